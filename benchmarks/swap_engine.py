"""One vLLM engine whose weights a benchmark replaces: a folder goes in, a slot and what its weights answer come out."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson

from workers.engine.server import ENGINE_URL, Engine, Launch, engine_session
from workers.spec import Device, ModelSpec
from workers.weights.slot import WeightSlot

SERVED = "swapped"
_PROMPTS = ("Tell me about the sea.", "A box holds 12 eggs. How many eggs are in 7 boxes?")
_ANSWER_TOKENS = 16


@dataclass(frozen=True, slots=True)
class SwapEngine:
    """`started_s`: seconds from the start of the process to weights that are verified."""

    slot: WeightSlot
    session: aiohttp.ClientSession
    pid: int
    started_s: float

    async def answers(self) -> tuple[str, ...]:
        """Greedy, one prompt at a time."""
        return tuple([await self._answer(prompt) for prompt in _PROMPTS])

    async def _answer(self, prompt: str) -> str:
        body = {
            "model": SERVED,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            "max_tokens": _ANSWER_TOKENS,
        }
        async with self.session.post(f"{ENGINE_URL}/v1/chat/completions", data=orjson.dumps(body)) as response:
            answer = orjson.loads(await response.read())
        return str(answer["choices"][0]["message"]["content"])


@asynccontextmanager
async def swap_engine(
    checkpoint: Path, folder: Path, *, device: Device = "cpu", extra_args: tuple[str, ...] = ()
) -> AsyncIterator[SwapEngine]:
    """An engine of `checkpoint`; its socket and records are in `folder`. Raises `WorkerError`."""
    model = ModelSpec(
        name=SERVED, source=f"path:{checkpoint}", dtype="bfloat16", max_model_len=2048, extra_args=extra_args
    )
    launch = Launch(model=model, device=device, model_dir=checkpoint, socket=folder / "e.sock", replaceable=True)
    engine = Engine(launch)
    began = time.perf_counter()
    await engine.start()
    try:
        async with engine_session(launch.socket) as session:
            slot = WeightSlot(
                session, ENGINE_URL, served_name=SERVED, base=checkpoint, cache_dir=folder / checkpoint.name
            )
            await slot.open(checkpoint.name)
            assert engine.pid is not None
            yield SwapEngine(slot, session, engine.pid, time.perf_counter() - began)
    finally:
        await engine.stop()
