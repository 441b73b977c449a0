"""A collector: what services send by OTLP over HTTP, parsed by the protocol's own definition."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from typing_extensions import override

HANGS_S = 30.0
Value = str | bool | int | float | list["Value"] | None


@dataclass(frozen=True, slots=True)
class Received:
    """One span. Ids are hexadecimal, `parent` is empty where it has none; times are in nanoseconds since 1970."""

    name: str
    service: str
    kind: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Value]
    failed: bool
    began: int
    ended: int


class OtlpReceiver:
    """`status`: what it answers; where it is not 200, it keeps nothing. While `answers` is not set it hangs."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.answers = threading.Event()
        self.answers.set()
        self._spans: list[Received] = []
        self._lock = threading.Lock()

    @property
    def spans(self) -> Sequence[Received]:
        with self._lock:
            return sorted(self._spans, key=lambda span: span.began)

    def one(self, name: str) -> Received:
        """The only span of this name."""
        (found,) = self.named(name)
        return found

    def named(self, name: str) -> list[Received]:
        return [span for span in self.spans if span.name == name]

    def below(self, parent: Received) -> list[str]:
        """Names of the spans directly below, in the order of their beginnings."""
        return [span.name for span in self.spans if (span.trace, span.parent) == (parent.trace, parent.id)]

    def take(self, body: bytes) -> None:
        sent = ExportTraceServiceRequest.FromString(body)
        with self._lock:
            if self.status != 200:
                return
            for resource in sent.resource_spans:
                service = _attributes(resource.resource.attributes)["service.name"]
                for scope in resource.scope_spans:
                    self._spans += [_received(span, str(service)) for span in scope.spans]


def _received(span: Span, service: str) -> Received:
    return Received(
        name=span.name,
        service=service,
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        attributes=_attributes(span.attributes),
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
    )


def _attributes(pairs: Sequence[KeyValue]) -> dict[str, Value]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Value:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    found: Value = getattr(value, kind) if kind else None
    return found


@contextmanager
def receiving() -> Iterator[OtlpReceiver]:
    """Listens in a thread of its own."""
    receiver = OtlpReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            receiver.answers.wait(HANGS_S)
            receiver.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(receiver.status)
            self.send_header("content-length", "0")
            self.end_headers()

        @override
        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
