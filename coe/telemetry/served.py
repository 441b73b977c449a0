"""A request that a worker has served in; its log line out, and its spans where requests are traced.

A line at `debug` where the request simply ran; at `info` where it waited for a swap or was not answered.
"""

from __future__ import annotations

from coe.telemetry.logs import get_logger
from coe.tracing.hooks import WorkerTracing
from coe.tracing.traceparent import trace_ids
from workers.port.serving import Serving

log = get_logger("coe.worker")


class ServedLog:
    """Of one worker."""

    def __init__(self, worker_id: str, tracing: WorkerTracing) -> None:
        self._worker_id = worker_id
        self._tracing = tracing

    def served(self, serving: Serving) -> None:
        """Quick, and never fails: it stands on the request's path."""
        self._tracing.served(serving)
        tell = log.info if serving.swap or serving.error else log.debug
        tell(
            "request",
            request_id=serving.request_id,
            worker=self._worker_id,
            expert=serving.expert,
            status=serving.status,
            tier=serving.tier,
            waited_s=round(serving.waited_s, 4),
            swap=serving.swap.number if serving.swap else None,
            duration_s=round(serving.ended - serving.began, 4),
            error=serving.error,
            **trace_ids(dict(serving.trace)),
        )
