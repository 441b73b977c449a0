"""The router of a running process: in come prompts, out go decisions; a changed artefact is taken up on the way.

Knows nothing of Ray and HTTP: the graph hosts it in a gateway or in a deployment of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from coe.errors import ConfigError
from coe.routing import Routed, RouterCard, Routing
from coe.telemetry.logs import get_logger
from coe.telemetry.metrics import ROUTER_INFO, ROUTER_RELOADS
from routers.artefact import file_identities
from routers.encoders.encoder import Vectors

POLL_S = 2.0
WARM_UP = "What can you do for me?"

log = get_logger("coe.live_router")


class LiveRouter:
    """Routes by the `Routing` in force; `keep_current` replaces it whole when the artefact's files have changed.

    One thread routes, so that the event loop goes on, even where that takes a third of a millisecond: at 16 connections
    other requests' p99 is 12 ms so and 25 ms where the loop itself classifies, and as many prompts are routed a second.

    Args:
        directory: the artefact's.
        load: reads and checks what stands there now; what it raises at the start is raised here.
    """

    def __init__(self, directory: Path, load: Callable[[], Routing]) -> None:
        self._directory = directory
        self._load = load
        self._seen = self._tried = file_identities(directory)
        self._routing = load()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="router")
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="router-loader")
        ROUTER_INFO.labels(self.version).set(1)
        for result in ("taken", "refused"):
            ROUTER_RELOADS.labels(result)  # shown from 0 on, so that the first one is seen as a rise

    @property
    def version(self) -> str:
        """Of the router in force."""
        return self._routing.card.version

    async def card(self) -> RouterCard:
        """Of the router in force."""
        return self._routing.card

    async def route(self, turns: Sequence[str]) -> Routed:
        """Decides by the router that is in force now, even where another comes before the answer is there."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._routing.route, turns)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """(n, dim) unit vectors of texts, by the encoder of the router in force."""
        encode = self._routing.router.encoder.encode
        return await asyncio.get_running_loop().run_in_executor(self._thread, encode, texts)

    async def keep_current(self) -> None:
        """Looks at the files every two seconds until cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            await self.refresh()

    async def refresh(self) -> None:
        """Takes up the artefact if its files changed and stood still since the last look; refuses a bad one once."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._loader, file_identities, self._directory)
        moving, self._seen = found != self._seen, found
        if moving or found == self._tried:  # while someone copies files, only the last of them makes a router
            return
        self._tried = found
        if new := await loop.run_in_executor(self._loader, self._try_load):
            self._put_in_force(new)

    def _try_load(self) -> Routing | None:
        try:
            new = self._load()
            new.route((WARM_UP,))
        except ConfigError as error:
            self._refuse(str(error))
        except Exception as error:  # noqa: BLE001  # whatever is wrong with a new router, the old one must go on
            self._refuse(repr(error))
        else:
            return new
        return None

    def _refuse(self, error: str) -> None:
        ROUTER_RELOADS.labels("refused").inc()
        log.warning("the changed router is refused, the old one goes on", version=self.version, error=error)

    def _put_in_force(self, new: Routing) -> None:
        replaced = self.version
        if new.card.version == replaced:  # copied over itself
            return
        self._routing = new
        ROUTER_RELOADS.labels("taken").inc()
        ROUTER_INFO.labels(replaced).set(0)
        ROUTER_INFO.labels(self.version).set(1)
        log.info("the router was replaced", version=self.version, replaced=replaced)
