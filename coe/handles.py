"""The other deployments as a gateway reaches them through their Serve handles: workers, and a router of its own.

What is asked of workers goes to every replica of a deployment. Nothing here carries tokens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

import numpy as np
import ray
from ray import serve
from ray.serve.handle import DeploymentHandle

from coe.errors import UnavailableError
from coe.gateway.fleet import SourceAwayError
from coe.gateway.loading import LOST, NO_ANSWER, Verb
from coe.routing import Routed, RouterCard
from routers.encoders.encoder import Vectors
from workers.reports import LoadReport, WorkerReport

REPORT_TIMEOUT_S = 2.0
LOAD_TIMEOUT_S = 360.0  # longer than a worker takes to give up
CARD_TIMEOUT_S = 2.0
ROUTE_TIMEOUT_S = 10.0
EMBED_TIMEOUT_S = 10.0
RETRY_AFTER_S = 5.0


class AskedWorkers:
    """Reports straight from the workers, for when Redis is away."""

    def __init__(self, handles: dict[str, DeploymentHandle]) -> None:
        self._handles = handles

    async def reports(self) -> list[WorkerReport]:
        reports: list[WorkerReport] = []
        for handle in self._handles.values():
            try:
                reports += await handle.broadcast("report").results_async(timeout_s=REPORT_TIMEOUT_S)
            except (TimeoutError, ray.exceptions.RayError, serve.exceptions.RayServeException) as error:
                raise SourceAwayError(str(error)) from error
        return reports


class RemoteRouter:
    """The router in a deployment of its own."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle

    async def route(self, turns: Sequence[str]) -> Routed:
        """Raises UnavailableError."""
        found = await _in_time(self._handle.route.remote(tuple(turns)), ROUTE_TIMEOUT_S)
        assert isinstance(found, Routed)
        return found

    async def card(self) -> RouterCard:
        """Of the router that decides there now. Raises UnavailableError."""
        card = await _in_time(self._handle.card.remote(), CARD_TIMEOUT_S)
        assert isinstance(card, RouterCard)
        return card

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """(n, dim) unit vectors of texts. Raises UnavailableError."""
        vectors = await _in_time(self._handle.embed.remote(tuple(texts)), EMBED_TIMEOUT_S)
        assert isinstance(vectors, np.ndarray)
        return vectors


async def _in_time(answer: Awaitable[object], timeout_s: float) -> object:
    try:
        async with asyncio.timeout(timeout_s):
            return await answer
    except (TimeoutError, ray.exceptions.RayError, serve.exceptions.RayServeException) as error:
        raise UnavailableError(
            "The router's deployment does not answer now. Try again soon.",
            code="router_unavailable",
            retry_after_s=RETRY_AFTER_S,
        ) from error


class ControlledWorkers:
    """Loads and unloads experts on all workers that hold them, by group: its handle and its experts."""

    def __init__(self, groups: dict[str, tuple[DeploymentHandle, list[str]]]) -> None:
        self._groups = groups

    async def change(self, verb: Verb, expert: str) -> list[LoadReport]:
        asked = [
            self._ask(group, handle, verb, expert)
            for group, (handle, experts) in self._groups.items()
            if expert in experts
        ]
        return [report for reports in await asyncio.gather(*asked) for report in reports]

    async def _ask(self, group: str, handle: DeploymentHandle, verb: Verb, expert: str) -> list[LoadReport]:
        def failed(code: str, message: str) -> LoadReport:
            return LoadReport(worker_id=group, expert=expert, state="failed", code=code, error=message)

        try:
            answers = await handle.broadcast(verb, expert).results_async(
                timeout_s=LOAD_TIMEOUT_S, return_exceptions=True
            )
        except TimeoutError:
            return [failed(NO_ANSWER, f"the workers of `{group}` did not answer within {LOAD_TIMEOUT_S:.0f} s")]
        except (ray.exceptions.RayError, serve.exceptions.RayServeException) as error:
            return [failed(LOST, f"the workers of `{group}` cannot be asked now ({error}); try again")]
        lost = f"a worker of `{group}` was lost meanwhile; try again when `coe ps` shows it"
        return [answer if isinstance(answer, LoadReport) else failed(LOST, lost) for answer in answers]
