"""The weights of one running engine: checkpoints of its family go in, and the engine answers as one of them.

    disk ──fetch──▶ host copy ──replace──▶ resident weights ──verify──▶ its fingerprint, or an error
      └──────────────replace──────────────▶

Nothing that is not checked gets near the engine, and nothing that is not verified answers: `resident` is None from the
moment on at which weights begin to change until they have given their fingerprint. The caller lets no request run in
the engine meanwhile, and starts the engine again after an `EngineError`.
"""

import asyncio
import logging
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import aiohttp

from workers.engine.control import EngineControl, EngineRefusedError, Json
from workers.errors import CheckpointRefusedError, EngineAwayError, EngineError, WeightsMismatchError
from workers.weights.family import Accepted, Family
from workers.weights.unchanged import unchanged_tensors
from workers.weights.verification import AGAIN, Verification

_LOG = logging.getLogger("coe.engine")
_POLL_S = 0.02

Tier: TypeAlias = Literal["disk", "host", "image"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """In seconds. `first_pass_s`: the first forward pass after a start, for which an engine may compile."""

    fetch_s: float = 300.0
    replace_s: float = 120.0
    verify_s: float = 60.0
    first_pass_s: float = 300.0
    control_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Replaced:
    """How a checkpoint became resident: from which tier, and how many seconds it took from the call to its return.

    `check_s`, `load_s` and `verify_s` are its parts. `image`: host memory too, in the kernels' own layout.
    `unchanged_bytes`: of tensors that were resident already.
    """

    tier: Tier
    seconds: float
    check_s: float
    load_s: float
    verify_s: float
    unchanged_bytes: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """From which tier a checkpoint came, and the bytes of it that were resident already."""

    tier: Tier
    unchanged_bytes: int


@dataclass(frozen=True, slots=True)
class _Resident:
    name: str
    known: Accepted


class WeightSlot:
    """Of one engine in one life, and one event loop. Make it with `open`. Calls for one slot must not overlap.

    All but `check` raise `EngineAwayError` where the engine has ended or does not answer in time.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        *,
        served_name: str,
        base: Path,
        cache_dir: Path,
        timeouts: Timeouts | None = None,
    ) -> None:
        """`base`: the folder that the engine was started with. `cache_dir`: what was found out about checkpoints."""
        self._control = EngineControl(session, base_url)
        self._served_name = served_name
        self._family = Family(base, cache_dir / "checkpoints")
        self._cache_dir = cache_dir
        self._timeouts = timeouts or Timeouts()
        self._fetched: dict[str, str] = {}
        self._resident: _Resident | None = None
        self._on_cpu = False
        self._opened: Verification | None = None

    @property
    def resident(self) -> str | None:
        """The name whose weights answer, verified; None while that is not known."""
        return self._resident.name if self._resident else None

    @property
    def copies(self) -> Collection[str]:
        """The names that have a copy in host memory."""
        return self._fetched.keys()

    def forget(self) -> None:
        """Say that what the engine holds is not known any more, because something else than this changes it."""
        self._resident = None

    async def open(self, name: str) -> None:
        """Learn what the engine that has just started holds, and call it `name`.

        Raises `CheckpointRefusedError` where the folder is not one whose weights could be replaced.
        """
        known = await self._family.base()
        [described, *_] = await self._control.call_workers("coe_weights_held", timeout_s=self._timeouts.control_s)
        if kept := described.get("keeps"):
            raise CheckpointRefusedError(
                "its weights cannot be replaced in place on this device, where layers would keep old ones "
                f"({_listed(kept)}): give every model that shares its engine an engine of its own"
            )
        engine = str(described["engine"])
        self._on_cpu = engine.startswith("cpu")
        self._opened = Verification(
            self._control,
            served_name=self._served_name,
            base=known.checkpoint,
            engine=engine,
            cache_dir=self._cache_dir,
        )
        await self._verification.compare(known, timeout_s=self._timeouts.first_pass_s)
        self._resident = _Resident(name, known)

    async def check(self, checkpoint: Path) -> int:
        """The bytes that a host copy of the checkpoint in this folder takes. Raises `CheckpointRefusedError`.

        Reads all of it the first time, and looks at its files' times after that.
        """
        return (await self._family.accept(checkpoint)).checkpoint.nbytes

    async def fetch(self, name: str, checkpoint: Path) -> int:
        """Bring the checkpoint into host memory as `name`; the bytes there, over all of the engine's workers.

        Requests may run meanwhile. What was held as `name` is given back first. Raises `CheckpointRefusedError` where
        the checkpoint cannot be read, or has no room.
        """
        known = await self._family.accept(checkpoint)
        self._fetched.pop(name, None)
        try:
            async with asyncio.timeout(self._timeouts.fetch_s):
                answers = await self._read(name, checkpoint)
        except TimeoutError as error:
            await self._abandon(name)
            raise EngineAwayError(f"`{name}` is not in memory after {self._timeouts.fetch_s:.0f} s") from error
        except asyncio.CancelledError:
            await self._abandon(name)
            raise
        for answer in answers:
            if refused := answer.get("refused"):
                await self.drop(name)
                raise CheckpointRefusedError(f"it cannot be held in memory ({refused}): free some, or copy it again")
        if not await self._family.unchanged(known):
            await self.drop(name)
            raise CheckpointRefusedError("it was written to while it was read: try again when it is complete")
        self._fetched[name] = known.digest
        return sum(int(str(answer["bytes"])) for answer in answers)

    async def drop(self, name: str) -> int:
        """Give back the host memory of `name`, which may be none; the bytes."""
        self._fetched.pop(name, None)
        answers = await self._control.call_workers("coe_weights_drop", name, timeout_s=self._timeouts.control_s)
        return sum(int(str(answer["bytes"])) for answer in answers)

    async def held(self) -> dict[str, int]:
        """Bytes of host memory by name, over all of the engine's workers. An image may take other bytes than a copy."""
        total: dict[str, int] = {}
        for answer in await self._control.call_workers("coe_weights_held", timeout_s=self._timeouts.control_s):
            held = answer["held"]
            assert isinstance(held, dict)
            for name, size in held.items():
                total[name] = total.get(name, 0) + int(size)
        return total

    async def replace(self, name: str, checkpoint: Path) -> Replaced:
        """Let the engine answer as this checkpoint; from the host copy of `name` where one of the same content is held.

        Raises `CheckpointRefusedError`, and then the resident weights stay. After any other error, and after a
        cancellation, `resident` is None: start the engine again, or replace once more. `WeightsMismatchError`: what
        the engine holds now is not what it should be. A host copy that does not verify is given back, and the
        checkpoint read from disk, before that is said.
        """
        began = time.perf_counter()
        await self._family.accept(checkpoint)
        checked = time.perf_counter()
        try:
            done = await self.load(name, checkpoint)
            loaded = time.perf_counter()
            await self.verify(name, checkpoint)
        except WeightsMismatchError as error:
            if name not in self._fetched:
                raise
            _LOG.warning("the host copy of `%s` is given back: %s", name, error)
            await self.drop(name)
            done = await self.load(name, checkpoint)
            loaded = time.perf_counter()
            await self.verify(name, checkpoint)
        ended = time.perf_counter()
        parts = checked - began, loaded - checked, ended - loaded
        return Replaced(done.tier, ended - began, *parts, done.unchanged_bytes)

    async def load(self, name: str, checkpoint: Path) -> Loaded:
        """The first half of `replace`: `resident` is None until `verify`, before which no request must run.

        Tensors that are resident already are not loaded again, unless it is the checkpoint's first load: that gives
        the fingerprint which later ones are compared with. Nor on a GPU, where later loads are of an image.
        """
        known = await self._family.accept(checkpoint)
        held = self._fetched.get(name) == known.digest
        unchanged = await self._unchanged(known)
        self._resident = None
        try:
            [answer, *_] = await self._control.call_workers(
                "coe_weights_replace",
                name,
                str(known.checkpoint.directory),
                "host" if held else "disk",
                unchanged,
                timeout_s=self._timeouts.replace_s,
            )
        except EngineRefusedError as error:
            raise WeightsMismatchError(f"the weights were not replaced ({error}): {AGAIN}") from error
        if not held and not await self._family.unchanged(known):
            raise WeightsMismatchError(f"the checkpoint was written to while it was loaded: {AGAIN}")
        tensors = known.checkpoint.tensors
        return Loaded(_tier(answer), sum(tensors[name].end - tensors[name].begin for name in unchanged))

    async def verify(self, name: str, checkpoint: Path) -> None:
        """The second half: forget what was cached of other weights, and see that these answer as they did at first."""
        self._resident = None
        known = await self._family.accept(checkpoint)
        await self._verification.forget_caches(timeout_s=self._timeouts.control_s)
        await self._verification.compare(known, timeout_s=self._timeouts.verify_s)
        self._resident = _Resident(name, known)

    @property
    def _verification(self) -> Verification:
        assert self._opened is not None, "open the slot before its weights are replaced"
        return self._opened

    async def _unchanged(self, wanted: Accepted) -> list[str]:
        if not self._on_cpu or self._resident is None or not await self._verification.knows(wanted):
            return []
        return unchanged_tensors(self._resident.known.tensors, wanted.tensors)

    async def _read(self, name: str, folder: Path) -> list[Json]:
        timeout_s = self._timeouts.control_s
        await self._control.call_workers("coe_weights_fetch", name, str(folder), timeout_s=timeout_s)
        while True:
            answers = await self._control.call_workers("coe_weights_fetched", name, timeout_s=timeout_s)
            if all(answers):
                return answers
            await asyncio.sleep(_POLL_S)

    async def _abandon(self, name: str) -> None:
        """Also while this task is being cancelled: the engine must not go on holding what nobody counts."""
        try:
            await asyncio.shield(self.drop(name))
        except EngineError as error:
            _LOG.warning("what was fetched of `%s` may still be held: %s", name, error)


def _listed(names: object) -> str:
    return ", ".join(map(str, names)) if isinstance(names, list) else str(names)


def _tier(answer: Json) -> Tier:
    match answer.get("tier"):
        case "image":
            return "image"
        case "host":
            return "host"
        case _:
            return "disk"
