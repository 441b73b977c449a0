"""The request as it travels inside the gateway: what the service itself reads is typed, the rest is the engine's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

import orjson

from coe.plan.options import NO_OPTIONS, PlanOptions

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
CacheMode: TypeAlias = Literal["off", "greedy", "always"]


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A validated chat completion request.

    Attributes:
        request_id: identifies the request in headers, logs and engines.
        model: what the client asked for: `coe`, a plan or an expert.
        stream: answer as server-sent events.
        include_usage: the client wants the usage chunk at the end of the stream.
        temperature: as sent; None where the expert's default holds.
        cache: the client's choice; None where the configuration decides.
        fields: the body as the client sent it, without the service's own field `coe`.
        options: what the client says of the plan.
        trace: headers by which what a worker does joins the request's trace; none where nothing is traced.
    """

    request_id: str
    model: str
    stream: bool
    include_usage: bool
    temperature: float | None
    cache: CacheMode | None
    fields: Mapping[str, JsonValue]
    options: PlanOptions = NO_OPTIONS
    trace: tuple[tuple[str, str], ...] = ()

    @property
    def messages(self) -> list[JsonValue]:
        """The conversation, each message an object with `role` and `content`."""
        return cast("list[JsonValue]", self.fields["messages"])

    def body_for(self, expert: str) -> bytes:
        """The JSON body to send to a worker. Streams always ask for usage, because the service counts it."""
        fields = {**self.fields, "model": expert}
        if self.stream:
            options = fields.get("stream_options")
            fields["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
        return orjson.dumps(fields)
