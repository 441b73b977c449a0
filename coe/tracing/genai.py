"""A request for a completion in, its attributes by OpenTelemetry's GenAI conventions out. Knows no span.

The conventions are in development; the names are those of opentelemetry-semantic-conventions 0.66b2
(https://github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai/gen-ai-spans.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import orjson

from coe.plan.request import ChatRequest, JsonValue

AttributeValue: TypeAlias = str | bool | int | float | Sequence[str]
Attributes: TypeAlias = dict[str, AttributeValue]

PROVIDER = "coe"
LONGEST_TEXT = 4000
"""Characters of a message that a span may carry, where it may carry any."""
_NUMBERS = {
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "seed": "gen_ai.request.seed",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
}


def chat_attributes(expert: str, request: ChatRequest, *, prompts: bool) -> Attributes:
    """Of one call. `prompts`: with the texts of its messages, which the conventions leave to choice."""
    found: Attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": PROVIDER,
        "gen_ai.request.model": expert,
        "gen_ai.request.stream": request.stream,
        "coe.request_id": request.request_id,
    }
    for field, name in _NUMBERS.items():
        value = request.fields.get(field)
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = value
    n = request.fields.get("n")
    if isinstance(n, int) and n != 1:
        found["gen_ai.request.choice.count"] = n
    if stop := _texts(request.fields.get("stop")):
        found["gen_ai.request.stop_sequences"] = stop
    if prompts:
        found["gen_ai.input.messages"] = orjson.dumps([_message(each) for each in request.messages]).decode()
    return found


def workflow_attributes(plan: str, request: ChatRequest) -> Attributes:
    """Of a plan of several calls."""
    return {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.provider.name": PROVIDER,
        "gen_ai.workflow.name": plan,
        "coe.request_id": request.request_id,
    }


def _texts(value: JsonValue) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str)]


def _message(message: JsonValue) -> dict[str, JsonValue]:
    """In the conventions' form, texts alone."""
    if not isinstance(message, Mapping):
        return {}
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    texts = [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]
    return {
        "role": message.get("role"),
        "parts": [{"type": "text", "content": str(text)[:LONGEST_TEXT]} for text in texts],
    }
