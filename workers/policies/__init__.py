"""Which weights come into device memory next, and which leave it: policies that workers and the simulator share."""

from workers.policies.fcfs_lru import FcfsLru
from workers.policies.grouping import Grouping
from workers.policies.interface import Choice, Cost, Expected, Memory, Policy, Serve, Swap, Wait
from workers.policies.settings import make_policy

__all__ = [
    "Choice",
    "Cost",
    "Expected",
    "FcfsLru",
    "Grouping",
    "Memory",
    "Policy",
    "Serve",
    "Swap",
    "Wait",
    "make_policy",
]
