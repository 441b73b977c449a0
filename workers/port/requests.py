"""What a client asks of an expert: the request's JSON goes in, what the expert's engine is to be asked comes out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import orjson

from workers.spec import ExpertSpec

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Request: TypeAlias = dict[str, Json]

_SYSTEM_ROLES = frozenset({"system", "developer"})
_SYNONYMS = {"max_tokens": "max_completion_tokens"}


class RequestFormatError(ValueError):
    """The body is not a request. `param` is the field that is wrong, or None where it is the body itself."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True, slots=True)
class ExpertRequest:
    """Turns requests to an expert into requests to its engine, which knows it as `served_name`."""

    expert: ExpertSpec
    served_name: str

    def apply(self, request: Request) -> bytes:
        """The body for the engine: its model name, the expert's system prompt, and defaults where none are set."""
        applied = {**request, "model": self.served_name}
        for field, value in self.expert.sampling.as_request().items():
            if request.get(field) is None and request.get(_SYNONYMS.get(field, field)) is None:
                applied[field] = list[Json](value) if isinstance(value, list) else value
        messages = request.get("messages")
        if self.expert.system and isinstance(messages, list):
            applied["messages"] = with_system(messages, self.expert.system)
        return orjson.dumps(applied)


def read_request(body: bytes) -> Request:
    """Read a body. Raises `RequestFormatError` where it is not a JSON object that names a model."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestFormatError(f"the body is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise RequestFormatError("the body must be a JSON object")
    if not isinstance(request.get("model"), str):
        raise RequestFormatError("`model` must be the name of an expert", "model")
    return request


def with_system(messages: list[Json], system: str) -> list[Json]:
    """`messages` with `system` before the client's own system text, in the same message, or else in a first one."""
    for index, message in enumerate(messages):
        if isinstance(message, dict) and message.get("role") in _SYSTEM_ROLES:
            return [*messages[:index], _prefixed(message, system), *messages[index + 1 :]]
    return [{"role": "system", "content": system}, *messages]


def _prefixed(message: Mapping[str, Json], system: str) -> dict[str, Json]:
    match message.get("content"):
        case str(text):
            content: Json = f"{system}\n\n{text}" if text else system
        case list(parts):
            content = [{"type": "text", "text": f"{system}\n\n"}, *parts]
        case None:
            content = system
        case other:  # for the engine to refuse
            content = other
    return {**message, "content": content}
