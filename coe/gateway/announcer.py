"""Tells workers what a plan under way is going to ask of them, so that they may bring it in before it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

import aiohttp

from coe.aggregators.gathering import Residency
from coe.plan.worker_expert import Endpoint
from coe.telemetry.logs import get_logger

TIMEOUT_S = 2.0
log = get_logger("coe.gateway.announcer")


class Workers(Residency, Protocol):
    """The gateway's picture of the workers."""

    def endpoints(self, expert: str) -> list[Endpoint]:
        """Data ports of the workers that can answer as the expert, the best first."""
        ...


class Announcer:
    """Announces in the background: an announcement that is lost costs the time that it would have saved."""

    def __init__(self, workers: Workers, session: aiohttp.ClientSession, token: str) -> None:
        self._workers = workers
        self._session = session
        self._headers = {"x-coe-token": token}
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def announce(self, probabilities: Mapping[str, float]) -> None:
        """Of experts: how likely each is going to be asked, in [0, 1]. What some worker has resident is not told."""
        for expert, probability in probabilities.items():
            if expert in self._under_way or self._workers.is_resident(expert):
                continue
            if endpoints := self._workers.endpoints(expert):
                telling = self._tell(endpoints[0], expert, probability)
                self._under_way[expert] = asyncio.create_task(telling, name=f"announce {expert}")

    async def _tell(self, endpoint: Endpoint, expert: str, probability: float) -> None:
        body = {"model": expert, "probability": probability}
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self._session.post(f"{endpoint.url}/expected", json=body, headers=self._headers) as reply,
            ):
                if reply.status != 204:
                    log.warning("an announcement was refused", worker=endpoint.worker_id, status=reply.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("an announcement did not arrive", worker=endpoint.worker_id, error=repr(error))
        finally:
            del self._under_way[expert]
