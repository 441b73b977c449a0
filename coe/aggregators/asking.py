"""The client's request in, the requests of a plan's calls out: which of its fields go where.

Proposals run without what shapes the final answer (tools, response format, log probabilities); the last call has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from coe.plan.plans import Member
from coe.plan.request import ChatRequest, JsonValue

_TOOLS = frozenset({"tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"})
_FORMAT = frozenset(
    {
        "response_format",
        "structured_outputs",
        "guided_json",
        "guided_regex",
        "guided_choice",
        "guided_grammar",
    }
)
_OF_THE_ANSWER = frozenset({"logprobs", "top_logprobs", "n", "stream", "stream_options", "temperature"})
_LIMITS = ("max_completion_tokens", "max_tokens")


def tools_of(request: ChatRequest) -> JsonValue:
    """What the answer may call; empty or None where there is nothing."""
    return request.fields.get("tools") or request.fields.get("functions")


def wants_exact_form(request: ChatRequest) -> bool:
    """Whether a free text would break the client's own demand: a format, or a tool that must be called."""
    forced = bool(tools_of(request)) and request.fields.get("tool_choice") not in (None, "auto", "none")
    return forced or any(request.fields.get(name) is not None for name in _FORMAT)


def for_proposal(
    request: ChatRequest,
    member: Member,
    request_id: str,
    *,
    temperature: float,
    messages: Sequence[JsonValue] | None = None,
    keeps_format: bool = False,
    logprobs: bool = False,
) -> ChatRequest:
    """A streamed request for `member.n` samples.

    Args:
        request: the client's.
        member: who is asked.
        request_id: of this call.
        temperature: of sampling.
        messages: instead of the client's own.
        keeps_format: the proposal itself may become the answer.
        logprobs: of every token, with the likeliest one beside it.
    """
    dropped = _TOOLS | _OF_THE_ANSWER | (frozenset() if keeps_format else _FORMAT)
    fields: dict[str, JsonValue] = {name: value for name, value in request.fields.items() if name not in dropped}
    fields |= {"stream": True, "temperature": temperature, "n": member.n}
    fields["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}  # a sample's own tokens, in vLLM
    if messages is not None:
        fields["messages"] = list(messages)
    if logprobs:
        fields |= {"logprobs": True, "top_logprobs": 1}
    return _limited(request, fields, member, request_id, temperature, stream=True)


def for_answer(request: ChatRequest, member: Member, messages: Sequence[JsonValue]) -> ChatRequest:
    """The last call: all that the client asked for, about other messages, at temperature 0."""
    fields: dict[str, JsonValue] = {**request.fields, "messages": list(messages), "temperature": 0}
    return _limited(request, fields, member, request.request_id, 0.0, stream=request.stream)


def with_instructions(messages: Sequence[JsonValue], text: str) -> list[JsonValue]:
    """`text` at the end of the system message, or as one: the turns of the conversation stay as they are."""
    if messages and isinstance(first := messages[0], Mapping) and first.get("role") in {"system", "developer"}:
        return [{**first, "content": _appended(first.get("content"), text)}, *messages[1:]]
    return [{"role": "system", "content": text}, *messages]


def _appended(content: JsonValue, text: str) -> JsonValue:
    match content:
        case str(own) if own:
            return f"{own}\n\n{text}"
        case list(parts):
            return [*parts, {"type": "text", "text": f"\n\n{text}"}]
        case _:
            return text


def _limited(
    request: ChatRequest,
    fields: dict[str, JsonValue],
    member: Member,
    request_id: str,
    temperature: float,
    *,
    stream: bool,
) -> ChatRequest:
    if all(fields.get(name) is None for name in _LIMITS):
        fields["max_tokens"] = member.max_tokens
    return replace(request, request_id=request_id, stream=stream, temperature=temperature, fields=fields)
