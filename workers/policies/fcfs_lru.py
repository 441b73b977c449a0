"""The baseline: first come, first served; the longest unused leaves. In comes what is where, out comes a choice."""

from __future__ import annotations

from typing_extensions import override

from workers.policies.interface import Choice, Memory, Policy, Serve, Swap, Wait


class FcfsLru(Policy):
    """In order of arrival; what was not used for the longest time leaves: Samba-CoE (arXiv 2405.07518, section V)."""

    @override
    def arrived(self, name: str, now: float) -> None:
        """Nothing is remembered."""

    @override
    def ended(self, name: str, service_s: float, now: float) -> None:
        """Nothing is remembered."""

    @override
    def loaded(self, name: str, now: float) -> None:
        """Nothing is remembered."""

    @override
    def choose(self, memory: Memory, now: float) -> Choice:
        """Serves the request that came first, after the swap that it needs."""
        heads = {name: queue[0] for name, queue in memory.queues.items() if name not in memory.full}
        if not heads:
            return Wait()
        name = min(heads, key=heads.__getitem__)
        if name in memory.resident:
            return Serve(name)
        evicted = memory.evicted_for(name, [other for other in memory.resident if other not in memory.pinned])
        return Wait() if evicted is None else Swap(name, evicted)

    @override
    def leaves_host(self, memory: Memory, now: float) -> list[str]:
        """The longest unused first."""
        return list(memory.host)

    @override
    def prefetch(self, memory: Memory, now: float) -> str | None:
        """Nothing."""
        return None
