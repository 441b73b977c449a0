"""The adapters in one running engine: folders go in, the names that the engine answers to come out.

    expert ─▶ held version ─▶ `poet@2` in the engine       requests that began on `poet@1` end on it
                              `poet@1`, until its last lease ends

Every version is served under a name and from a folder of its own. So a new one takes its predecessor's place between
two requests: no stream breaks or changes its weights, and no cached prefix of the old weights is used for the new.
"""

import asyncio
import logging
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp

from workers.adapters.base_layers import BaseLayers
from workers.adapters.check import check_adapter
from workers.adapters.loading import AdapterCopy, LoraRoom, copy_adapter, load_adapter, unload_adapter
from workers.engine.control import EngineControl
from workers.errors import AdapterRefusedError, EngineAwayError, EngineError

_LOG = logging.getLogger("coe.engine")
_PIN_TIMEOUT_S = 30.0


@dataclass(slots=True)
class _Version:
    served_name: str
    copy: AdapterCopy
    leases: int = 0
    replaced: bool = False


class EngineAdapters:
    """Belongs to one life of an engine and one event loop. `folder` is its own; `close` removes it.

    `pinned`: experts whose adapters keep their slots, as long as a batch has no need of them; `send_pins` when that has
    changed. Where the `room` is contended, the engine was started with `extension_arguments`.

    Calls of `put` and `drop` for one expert must not overlap.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        *,
        model: str,
        base: BaseLayers,
        room: LoraRoom,
        folder: Path,
        pinned: Collection[str] = (),
    ) -> None:
        self._session = session
        self._base_url = base_url
        self._check = partial(check_adapter, base=base, model=model, max_rank=room.max_rank, layers=room.layers)
        self._folder = folder
        self._pinned = pinned
        self._control = EngineControl(session, base_url) if room.contended else None
        self._held: dict[str, _Version] = {}
        self._numbers: dict[str, int] = {}
        self._removing: set[asyncio.Task[None]] = set()

    def digest(self, expert: str) -> str | None:
        """Of the adapter that answers as `expert`; None where none is held."""
        held = self._held.get(expert)
        return held.copy.digest if held else None

    async def put(self, expert: str, source: Path) -> bool:
        """Check the adapter in `source` and let it answer as `expert`; False where the same one does already.

        Raises `AdapterRefusedError` or `EngineAwayError`; what was held before then stays.
        """
        number = self._numbers[expert] = self._numbers.get(expert, 0) + 1
        folder = self._folder / f"{expert}-{number}"
        version = None
        try:
            copy = await asyncio.to_thread(copy_adapter, source, folder)
            if copy.digest == self.digest(expert):
                return False
            await asyncio.to_thread(self._check, folder)
            await load_adapter(self._session, self._base_url, f"{expert}@{number}", folder)
            version = _Version(f"{expert}@{number}", copy)
        except AdapterRefusedError as error:
            raise AdapterRefusedError(f"the adapter in `{source}` is refused: {error}") from error
        finally:
            if version is None:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        self._replace(expert, version)
        if expert in self._pinned:
            await self.send_pins()
        return True

    async def send_pins(self) -> None:
        """Tell the engine what keeps its slot. Where that fails, adapters take turns as others do."""
        if self._control is None:
            return
        names = [held.served_name for expert, held in self._held.items() if expert in self._pinned]
        try:
            await self._control.call_workers("coe_adapters_pin", names, timeout_s=_PIN_TIMEOUT_S)
        except EngineError as error:
            _LOG.warning("the engine did not pin %s: %s", names, error)

    def drop(self, expert: str) -> bool:
        """Let nothing answer as `expert` any more; False where nothing does. Running requests go on to their end."""
        return self._replace(expert, None)

    @contextmanager
    def lease(self, expert: str) -> Iterator[str]:
        """The name to ask the engine for, which stays good for as long as the lease. Raises `KeyError`."""
        version = self._held[expert]
        version.leases += 1
        try:
            yield version.served_name
        finally:
            version.leases -= 1
            self._remove_unused(version)

    async def close(self) -> None:
        """Forget everything, because the engine has ended."""
        self._held.clear()
        self._control = None
        for task in self._removing:
            task.cancel()
        if self._removing:
            await asyncio.wait(self._removing)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def _replace(self, expert: str, version: _Version | None) -> bool:
        previous = self._held.pop(expert, None)
        if version:
            self._held[expert] = version
        if previous is None:
            return False
        previous.replaced = True
        self._remove_unused(previous)
        return True

    def _remove_unused(self, version: _Version) -> None:
        if version.replaced and not version.leases:
            task = asyncio.create_task(self._remove(version), name=f"unload {version.served_name}")
            self._removing.add(task)
            task.add_done_callback(self._removing.discard)

    async def _remove(self, version: _Version) -> None:
        with suppress(EngineAwayError):  # then it has forgotten everything
            if refusal := await unload_adapter(self._session, self._base_url, version.served_name):
                _LOG.warning("the engine did not unload `%s`: %s", version.served_name, refusal)
        await asyncio.to_thread(shutil.rmtree, version.copy.directory, ignore_errors=True)
