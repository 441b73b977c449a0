"""An admission over a scripted device, in whatever time its loop has."""

import asyncio
from typing import Any

from tests.workers.scripted_mechanism import ScriptedMechanism
from workers.admission import Admission, Limits, Turn
from workers.policies import Cost, Memory, make_policy
from workers.residency import Residency
from workers.spec import MemorySpec

LOAD_S = {"host": 1.0, "disk": 3.0}


class Scene:
    """An admission over a scripted device; experts `a`, `b`, … have models of the same name, `a2` shares `a`'s."""

    def __init__(self, memory: Memory, *, resident: str = "", policy: str = "default", **limits: Any) -> None:
        self.memory = memory
        self.mechanism = ScriptedMechanism(memory)
        self.mechanism.truth.update(resident)
        self.mechanism.runs = memory.running.keys
        chosen = make_policy(MemorySpec(policy=policy, quantum_s=10, max_wait_s=60), slots=2)
        clock = asyncio.get_running_loop().time
        self.residency = Residency(memory, self.mechanism, chosen, clock=clock)
        homes = {name: name for name in memory.costs} | {"a2": "a"}
        values = {"max_running": 2, "max_queued": 3, "queue_timeout_s": 3600.0} | limits
        self.admission = Admission(self.residency, homes, chosen, Limits(**values), clock=clock)
        self.residency.sync()

    async def request(self, expert: str, seconds: float = 1.0) -> Turn:
        async with self.admission.slot(expert) as turn:
            assert self.residency.memory.tier(expert[0]) == "device"
            await asyncio.sleep(seconds)
        return turn


def memory(names: str = "abc", *, fit: int = 1, host: int = 0, groups: tuple[frozenset[str], ...] = ()) -> Memory:
    costs = {name: Cost(size=10, load_s=LOAD_S) for name in names}  # type: ignore[arg-type]  # tiers are strings
    return Memory(costs=costs, device_bytes=10 * fit, host_bytes=10 * host, groups=groups)
