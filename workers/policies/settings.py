"""The policy of a worker: its settings in, a policy out."""

from __future__ import annotations

import math

from workers.errors import SpecError
from workers.policies.fcfs_lru import FcfsLru
from workers.policies.grouping import Grouping
from workers.policies.interface import Policy
from workers.spec import MemorySpec

MAX_WAIT_S = 30.0
PATIENCE = 1.0
"""A load is worth as much waiting, added up over those who wait, as it takes itself."""


def make_policy(memory: MemorySpec, slots: int) -> Policy:
    """`slots`: requests of one expert that run at once. Raises `SpecError` for a name that is no policy's."""
    match memory.policy:
        case "default":
            return Grouping(
                memory.max_wait_s or MAX_WAIT_S,
                patience=PATIENCE,
                quantum_s=memory.quantum_s or math.inf,
                max_swaps_per_minute=memory.swaps_per_minute,
                slots=slots,
                idles=False,
                ahead_from=memory.ahead_from,
            )
        case "fcfs-lru":
            return FcfsLru()
    raise SpecError(f"there is no policy `{memory.policy}`: name `default` or `fcfs-lru`")
