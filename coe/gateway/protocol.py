"""HTTP bodies in, typed requests out, or an error that names the field. Fields of the engine pass unread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, StrictBool, TypeAdapter, ValidationError

from coe.errors import InvalidRequestError
from coe.plan.options import PlanOptions, ProgressStyle
from coe.plan.request import CacheMode, ChatRequest, JsonValue

OWN_FIELD = "coe"
MAX_DEPTH = 200
Model = TypeVar("Model")


class _Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, object]] | None = None


class _StreamOptions(BaseModel):
    include_usage: StrictBool = False


class _Budget(BaseModel):
    model_config = ConfigDict(extra="forbid")

    calls: Annotated[int, Field(ge=1)] | None = None
    tokens: Annotated[int, Field(ge=1)] | None = None
    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class _OwnOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    cache: CacheMode | None = None
    plan: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    proposers: Annotated[list[str], Field(min_length=1, max_length=128)] | None = None
    aggregator: str | None = None
    budget: _Budget = _Budget()
    progress: ProgressStyle = "comments"
    usage: Literal["total", "calls"] = "total"
    dry_run: StrictBool = False


class _Chat(BaseModel):
    model: Annotated[str, Field(min_length=1, max_length=256)]
    messages: Annotated[list[_Message], Field(min_length=1)]
    stream: StrictBool | None = None
    stream_options: _StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: StrictBool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    tools: list[dict[str, object]] | None = None
    response_format: dict[str, object] | None = None
    coe: _OwnOptions | None = None


class _Route(BaseModel):
    model_config = ConfigDict(extra="forbid")

    prompt: Annotated[str, Field(min_length=1)] | None = None
    messages: Annotated[list[_Message], Field(min_length=1)] | None = None
    model: str | None = None


class _Feedback(BaseModel):
    model_config = ConfigDict(extra="forbid")

    request_id: Annotated[str, Field(min_length=1, max_length=256)]
    score: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
    comment: Annotated[str, Field(max_length=2000)] | None = None


_CHAT = TypeAdapter(_Chat)
_ROUTE = TypeAdapter(_Route)
_FEEDBACK = TypeAdapter(_Feedback)


@dataclass(frozen=True, slots=True)
class Feedback:
    """What somebody thinks of an answer: `score` in [0, 1], 1 the best."""

    request_id: str
    score: float
    comment: str | None


def parse_chat(body: bytes, request_id: str) -> ChatRequest:
    """Raises InvalidRequestError (400) with the field in `param`."""
    fields = _json_object(body)
    chat = _validate(_CHAT, fields)
    fields.pop(OWN_FIELD, None)
    options = _plan_options(chat)
    return ChatRequest(
        request_id=request_id,
        model=chat.model,
        stream=bool(chat.stream),
        include_usage=options.itemised or (chat.stream_options is not None and chat.stream_options.include_usage),
        temperature=chat.temperature,
        cache=chat.coe.cache if chat.coe else None,
        fields=fields,
        options=options,
    )


def _plan_options(chat: _Chat) -> PlanOptions:
    own = chat.coe or _OwnOptions()
    return PlanOptions(
        plan=own.plan,
        n=own.n,
        proposers=None if own.proposers is None else tuple(dict.fromkeys(own.proposers)),
        aggregator=own.aggregator,
        calls=own.budget.calls,
        tokens=own.budget.tokens,
        seconds=own.budget.seconds,
        progress=own.progress,
        itemised=own.usage == "calls",
        dry_run=own.dry_run,
        max_tokens=chat.max_completion_tokens or chat.max_tokens,
        choices=chat.n or 1,
    )


def parse_route(body: bytes) -> list[JsonValue]:
    """The messages to classify, from `{"prompt": …}` or `{"messages": […]}`. Raises InvalidRequestError (400)."""
    fields = _json_object(body)
    route = _validate(_ROUTE, fields)
    if (route.prompt is None) == (route.messages is None):
        raise InvalidRequestError("Send exactly one of `prompt` and `messages`.", param="messages")
    if route.prompt is not None:
        return [{"role": "user", "content": route.prompt}]
    messages = fields["messages"]
    return messages if isinstance(messages, list) else []


def parse_feedback(body: bytes) -> Feedback:
    """Raises InvalidRequestError (400) with the field in `param`."""
    given = _validate(_FEEDBACK, _json_object(body))
    return Feedback(given.request_id, given.score, given.comment)


def _json_object(body: bytes) -> dict[str, JsonValue]:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(
            f"The body is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}.",
            code="invalid_json",
        ) from error
    if not isinstance(fields, dict):
        raise InvalidRequestError("The body must be a JSON object.", code="invalid_json")
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        _refuse_deep(fields)
    return fields


def _refuse_deep(fields: dict[str, JsonValue]) -> None:
    """What cannot be written again for a worker is refused here: orjson reads deeper than it writes."""
    try:
        orjson.dumps(fields)
    except orjson.JSONEncodeError as error:
        raise InvalidRequestError(
            f"The body is nested too deeply; at most {MAX_DEPTH} levels are safe.", code="invalid_json"
        ) from error


def _validate(adapter: TypeAdapter[Model], fields: dict[str, JsonValue]) -> Model:
    try:
        return adapter.validate_python(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        location = [str(part) for part in first["loc"] if not _is_type_label(part)]
        param = ".".join(location) or None
        raise InvalidRequestError(f"`{param}`: {first['msg']}.", param=param) from error


def _is_type_label(part: int | str) -> bool:
    """Whether a location part is pydantic's name for a member of a union (`str`, `list[dict[str,any]]`)."""
    return isinstance(part, str) and (part in {"str", "int", "float"} or "[" in part)
