"""The engine's side of pinned adapters: their names go in, and they stay in the slots that the kernels read.

vLLM can pin an adapter to a slot, but its scheduler does not know of it: a batch that needs more of the other slots
than there are ends the engine. So nothing is pinned there. Before every step what is pinned is made the most recently
used, so that others leave; where a step needs the slots itself, it gets them, and what is pinned comes back after it.
"""

from collections.abc import Collection
from typing import Any


class AdapterSlotsExtension:
    """A method for vLLM's worker, for `POST /collective_rpc`. See `workers.engine.extension`."""

    model_runner: Any  # vLLM's

    def coe_adapters_pin(self, served_names: list[str]) -> dict[str, object]:
        """Keep these adapters, and no others, in slots from their next request on; the names of those in one now."""
        manager = self.model_runner.lora_manager
        if not hasattr(manager, "coe_pinned"):
            manager.coe_pinned = PinnedSlots(manager)
        return {"in_slots": manager.coe_pinned.pin(served_names)}


class PinnedSlots:
    """Of one `LRUCacheWorkerLoRAManager` of vLLM's, whose `set_active_adapters` it extends."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._slots = manager._adapter_manager  # noqa: SLF001 - vLLM has no other way to them
        self._set_active = manager.set_active_adapters
        self._names: frozenset[str] = frozenset()
        self._ids: dict[str, int] = {}
        manager.set_active_adapters = self.set_active_adapters

    def pin(self, names: Collection[str]) -> list[str]:
        """Those of `names` that are in slots now."""
        self._names = frozenset(names)
        return sorted(name for name in self._names if self._ids.get(name) in self._slots.lora_index_to_id)

    def set_active_adapters(self, requests: Collection[Any], mapping: Any) -> None:
        """What vLLM calls before every step; `requests` are the adapters (`LoRARequest`) of its batch."""
        batch = {request.lora_name: request.lora_int_id for request in requests}
        self._ids = {name: number for name, number in (self._ids | batch).items() if name in self._names}
        pinned = self._manager.list_adapters().intersection(self._ids.values())
        if len(pinned.union(batch.values())) <= self._slots.adapter_slots:
            for number in pinned:
                self._slots.activate_adapter(number)  # at the least, it becomes the most recently used
        self._set_active(requests, mapping)
