"""The service's Prometheus metrics: base units, histograms for durations, no label with a user's text in it.

With `PROMETHEUS_MULTIPROC_DIR` set, as `coe serve` does, every process of a node counts into that folder and any
gateway's `/metrics` shows the sum.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from workers.reports import WorkerReport

MULTIPROC_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
if MULTIPROC_VARIABLE in os.environ:  # metrics open files in it when they are made, on whichever machine this is
    Path(os.environ[MULTIPROC_VARIABLE]).mkdir(parents=True, exist_ok=True)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
ROUTE_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)

REQUESTS = Counter("coe_requests_total", "Requests answered.", ["endpoint", "expert", "status"])
REQUEST_SECONDS = Histogram(
    "coe_request_duration_seconds", "From arrival to last byte.", ["endpoint", "expert"], buckets=LATENCY_BUCKETS
)
FIRST_TOKEN_SECONDS = Histogram(
    "coe_time_to_first_token_seconds", "From arrival to the first streamed bytes.", ["expert"], buckets=LATENCY_BUCKETS
)
TOKENS = Counter("coe_tokens_total", "Tokens that engines reported.", ["expert", "kind"])
ROUTES = Counter("coe_route_decisions_total", "Prompts routed.", ["category", "expert"])
ABSTENTIONS = Counter("coe_route_abstentions_total", "Prompts that the classifier would not decide.")
ROUTE_SECONDS = Histogram("coe_route_duration_seconds", "Encoding and classification.", buckets=ROUTE_BUCKETS)
ROUTER_RELOADS = Counter("coe_router_reloads_total", "Changed routers, taken up or refused.", ["result"])
ROUTER_INFO = Gauge(
    "coe_router_info", "Processes that route by this version.", ["version"], multiprocess_mode="livesum"
)
CACHE = Counter("coe_response_cache_total", "Lookups of the response cache.", ["result"])
DECISIONS_LOGGED = Counter(
    "coe_decision_log_total", "Decisions for the log: written, or dropped (queue_full, redis_away).", ["result"]
)
PLAN_CALLS = Counter("coe_plan_calls_total", "Generations that plans asked for.", ["plan", "role"])
PLAN_TOKENS = Counter("coe_plan_tokens_total", "Tokens of all calls of plans.", ["plan", "kind"])
PLAN_LEFT_OUT = Counter("coe_plan_left_out_total", "Proposers that failed or were late.", ["plan"])
PLAN_FALLBACKS = Counter("coe_plan_fallbacks_total", "Aggregators that failed; a proposal answered.", ["plan"])
FEEDBACK = Counter("coe_feedback_total", "Scores for answers: recorded, or repeated.", ["expert", "result"])
DRIFT = Gauge("coe_router_drift", "1 while the signal is drifted.", ["kind"], multiprocess_mode="mostrecent")
PSI = Gauge("coe_router_psi", "Population stability index of the category mix.", multiprocess_mode="mostrecent")
REJECTION_RATIO = Gauge(
    "coe_router_rejection_ratio",
    "Share of the window that the router would not decide.",
    multiprocess_mode="mostrecent",
)
RESIDENT_ROUTED = Counter(
    "coe_route_resident_total",
    "Prompts that a resident expert took instead of the mapped one.",
    ["expert", "instead_of"],
)
TIER_HITS = Counter("coe_tier_hits_total", "Requests by where they found their expert.", ["expert", "tier"])
SWAPS = Counter("coe_swaps_total", "Changes of what is resident.", ["worker", "model", "tier", "result"])
SWAP_SECONDS = Histogram("coe_swap_duration_seconds", "Of swaps that were done.", ["tier"], buckets=LATENCY_BUCKETS)
TRACE_SPANS = Counter("coe_trace_spans_total", "Spans for the collector: sent, or lost.", ["result"])
SWAP_THRASH = Counter("coe_swap_thrash_total", "Swaps in of what had just left.", ["worker", "model"])

_COUNTED = (
    REQUESTS,
    REQUEST_SECONDS,
    FIRST_TOKEN_SECONDS,
    TOKENS,
    ROUTES,
    ABSTENTIONS,
    ROUTE_SECONDS,
    ROUTER_RELOADS,
    ROUTER_INFO,
    CACHE,
    DECISIONS_LOGGED,
    PLAN_CALLS,
    PLAN_TOKENS,
    PLAN_LEFT_OUT,
    PLAN_FALLBACKS,
    FEEDBACK,
    DRIFT,
    PSI,
    REJECTION_RATIO,
    RESIDENT_ROUTED,
    TIER_HITS,
    SWAPS,
    SWAP_SECONDS,
    SWAP_THRASH,
    TRACE_SPANS,
)


class WorkerStates(Protocol):
    """Where the gateway's picture of the workers comes from."""

    def reports(self) -> Iterable[WorkerReport]: ...


class _WorkerCollector:
    def __init__(self, states: WorkerStates) -> None:
        self._states = states

    def collect(self) -> Iterable[Metric]:
        labels = ["worker", "expert"]
        ready = GaugeMetricFamily("coe_expert_ready", "1 where the worker can answer as the expert.", labels=labels)
        running = GaugeMetricFamily("coe_expert_running_requests", "Requests in the engine.", labels=labels)
        waiting = GaugeMetricFamily("coe_expert_waiting_requests", "Requests in the worker's queue.", labels=labels)
        bytes_used = GaugeMetricFamily("coe_device_bytes", "Weights on the worker's device.", labels=["worker"])
        restarts = GaugeMetricFamily("coe_engine_restarts", "Engine restarts.", labels=["worker", "model"])
        for report in self._states.reports():
            bytes_used.add_metric([report.worker_id], float(report.device_bytes))
            for expert in report.experts:
                key = [report.worker_id, expert.name]
                ready.add_metric(key, float(expert.state == "ready"))
                running.add_metric(key, float(expert.running))
                waiting.add_metric(key, float(expert.waiting))
            for engine in report.engines:
                restarts.add_metric([report.worker_id, engine.model], float(engine.restarts))
        return (ready, running, waiting, bytes_used, restarts)


def render_metrics(states: WorkerStates) -> bytes:
    """All metrics of this node in Prometheus' text format."""
    registry = CollectorRegistry()
    if MULTIPROC_VARIABLE in os.environ:
        _forget_the_dead(Path(os.environ[MULTIPROC_VARIABLE]))
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library's __init__ has no annotations
    else:
        for metric in _COUNTED:
            registry.register(metric)
    registry.register(_WorkerCollector(states))
    return generate_latest(registry)


def _forget_the_dead(folder: Path) -> None:
    """Live gauges of a process that was killed, which could not take them back itself."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        if not Path(f"/proc/{pid}").exists():
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]  # prometheus_client does not type it
