"""One request on its way through a worker: what is known of it so far, for whoever looks at it when it is over.

`current_request` tells it to code that has no other way to know, such as what writes log lines.
"""

import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeAlias

from workers.reports import SwapReport, Tier

TRACE_HEADERS = ("traceparent", "tracestate")
REQUEST_ID_HEADER = "x-request-id"


@dataclass(slots=True)
class Serving:
    """Filled in while the request proceeds.

    Attributes:
        request_id: as the client sent it; empty where it did not.
        trace: the headers, by W3C's trace context, that name the trace it belongs to.
        began: in seconds since 1970, as `ended` is.
        expert: empty until the request is read.
        status: of the reply; 0 where the client left before its end.
        error: the code of a failure, in a stream too; `cancelled` where the client left.
        tier: where it found its expert; None where it was not let in.
        waited_s: for its turn, a swap included.
        swap: the one that it waited for.
    """

    request_id: str
    trace: tuple[tuple[str, str], ...]
    began: float = field(default_factory=time.time)
    ended: float = 0.0
    expert: str = ""
    status: int = 0
    error: str | None = None
    tier: Tier | None = None
    waited_s: float = 0.0
    swap: SwapReport | None = None

    @classmethod
    def begin(cls, headers: Mapping[str, str]) -> "Serving":
        """From now on `current_request` tells it, in this task and those that it starts."""
        trace = tuple((name, value) for name in TRACE_HEADERS if (value := headers.get(name)))
        serving = cls(headers.get(REQUEST_ID_HEADER, ""), trace)
        _CURRENT.set(serving)
        return serving


OnServed: TypeAlias = Callable[[Serving], None]
_CURRENT: ContextVar[Serving | None] = ContextVar("serving", default=None)


def current_request() -> Serving | None:
    """What is being served where this is called; None outside of requests."""
    return _CURRENT.get()
