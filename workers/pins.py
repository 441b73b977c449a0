"""Which experts are pinned: their names and models go in, the models that must stay resident come out."""

from collections.abc import Mapping

from workers.policies import Memory


class Pins:
    """A model is pinned in `memory` for as long as one of its experts is here.

    Args:
        memory: of the device; its `pinned` is written here alone.
        homes: the model of each expert.
    """

    def __init__(self, memory: Memory, homes: Mapping[str, str]) -> None:
        self._memory = memory
        self._homes = homes
        self._experts: set[str] = set()

    def __contains__(self, expert: str) -> bool:
        return expert in self._experts

    def on(self, model: str) -> list[str]:
        """The pinned experts of `model`, in alphabetical order."""
        return sorted(expert for expert in self._experts if self._homes[expert] == model)

    def add(self, expert: str) -> None:
        self._experts.add(expert)
        self._memory.pinned.add(self._homes[expert])

    def remove(self, expert: str) -> None:
        """Raises `KeyError` where it is not pinned."""
        self._experts.remove(expert)
        if not self.on(self._homes[expert]):
            self._memory.pinned.discard(self._homes[expert])
