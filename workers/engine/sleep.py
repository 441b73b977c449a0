"""Engines of different families in turns on one GPU: one that sleeps gives its device memory back, and goes on.

    awake ──sleep(1)──▶ weights in host memory, no KV cache      ──wake──▶ awake, verified
    awake ──sleep(2)──▶ no weights, no KV cache: loaded at wake  ──wake──▶ awake, verified

A request to an engine that sleeps would wait without a word until it wakes, and one that runs would be cut off. So the
engine is paused first, which ends when the last request has, and the caller admits none before `wake` has returned.
Tried against a scripted engine alone: no GPU was at hand.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import aiohttp

from workers.engine.control import EngineControl, EngineRefusedError, Query
from workers.errors import SleepUnsupportedError, WeightsMismatchError
from workers.spec import Device
from workers.weights.slot import WeightSlot

Level: TypeAlias = Literal[1, 2]
_WAKE_S = 120.0
_SLEEP_S = 300.0  # also the longest that running requests may take to end
_CONTROL_S = 30.0


def sleep_arguments() -> list[str]:
    """For the command line of vLLM's OpenAI server, which refuses them on a CPU."""
    return ["--enable-sleep-mode"]


class EngineSleep:
    """Of one engine in one life. `slot` has been opened on it. Calls must not overlap.

    Raises `EngineAwayError` where the engine has ended or does not answer in time. After any error the state of the
    engine is unknown: start it again.
    """

    def __init__(self, session: aiohttp.ClientSession, base_url: str, slot: WeightSlot, *, device: Device) -> None:
        """Raises `SleepUnsupportedError` on a CPU, where vLLM says that it sleeps and gives nothing back."""
        if device != "gpu":
            raise SleepUnsupportedError(
                "an engine on a CPU cannot sleep: stop it, and start it again when it is needed"
            )
        self._control = EngineControl(session, base_url)
        self._slot = slot
        self._asleep: Level | None = None

    @property
    def asleep(self) -> Level | None:
        """How deep it sleeps; None while it is awake."""
        return self._asleep

    async def sleep(self, level: Level) -> None:
        """Give the device memory back, once running requests have ended. 1: weights go to host memory; 2: nowhere.

        Raises `SleepUnsupportedError` where the engine was not started with `sleep_arguments`.
        """
        self._slot.forget()
        await self._post("/pause", [("mode", "wait")], _SLEEP_S)
        try:
            await self._post("/sleep", [("level", str(level)), ("mode", "wait")], _SLEEP_S)
        except EngineRefusedError as error:
            await self._post("/resume", [], _CONTROL_S)
            raise SleepUnsupportedError(f"{error}: start it with `{sleep_arguments()[0]}`") from error
        self._asleep = level
        if (await self._control.get("/is_sleeping", timeout_s=_CONTROL_S)).get("is_sleeping") is not True:
            raise WeightsMismatchError("the engine says that it does not sleep: it is started again")

    async def wake(self, name: str, checkpoint: Path) -> None:
        """Take the device memory again, with the weights of `checkpoint`, and verify that they answer as at first.

        After level 2 they come from the host copy of `name`, where the slot has one, or from disk. Raises
        `WeightsMismatchError`.
        """
        try:
            if self._asleep == 2:
                await self._post("/wake_up", [("tags", "weights")], _WAKE_S)
                await self._slot.load(name, checkpoint)
                await self._wake_fully([("tags", "kv_cache")])
            else:
                await self._wake_fully([])
                await self._control.call_workers("coe_weights_woken", timeout_s=_WAKE_S)
        except EngineRefusedError as error:
            raise WeightsMismatchError(f"the engine did not wake ({error}): it is started again") from error
        await self._slot.verify(name, checkpoint)
        self._asleep = None

    async def _wake_fully(self, tags: Query) -> None:
        answer = await self._control.post("/wake_up", query=tags, timeout_s=_WAKE_S)
        if answer.get("status", "awake") != "awake":
            raise WeightsMismatchError("the engine woke only in part: it is started again")
        await self._post("/resume", [], _CONTROL_S)

    async def _post(self, path: str, query: Sequence[tuple[str, str]], timeout_s: float) -> None:
        await self._control.post(path, query=query, timeout_s=timeout_s)
