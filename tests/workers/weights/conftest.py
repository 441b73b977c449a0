"""What these tests share: three checkpoints of a family, and a slot on a scripted engine that was started with one."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.workers.weights.checkpoint_files import write_checkpoint
from tests.workers.weights.scripted_weights import ScriptedWeights
from workers.engine.server import ENGINE_URL, engine_session
from workers.weights.slot import Timeouts, WeightSlot

QUICK = Timeouts(fetch_s=0.4, replace_s=0.2, verify_s=0.2, first_pass_s=0.2, control_s=0.2)


@dataclass(frozen=True, slots=True)
class Family:
    base: Path
    poet: Path
    cook: Path
    cache: Path
    session: aiohttp.ClientSession

    async def slot(self) -> WeightSlot:
        """As a worker makes it when its engine has started."""
        slot = WeightSlot(
            self.session, ENGINE_URL, served_name="m", base=self.base, cache_dir=self.cache, timeouts=QUICK
        )
        await slot.open("base")
        return slot


@pytest.fixture
async def scripted_weights(tmp_path: Path) -> AsyncIterator[ScriptedWeights]:
    engine = ScriptedWeights(write_checkpoint(tmp_path / "base"))
    async with engine.serve(tmp_path / "e.sock"):
        yield engine


@pytest.fixture
async def family(tmp_path: Path, scripted_weights: ScriptedWeights) -> AsyncIterator[Family]:
    poet, cook = (write_checkpoint(tmp_path / name, seed=seed) for seed, name in enumerate(("poet", "cook"), 1))
    async with engine_session(tmp_path / "e.sock") as session:
        yield Family(scripted_weights.resident, poet, cook, tmp_path / "cache", session)
