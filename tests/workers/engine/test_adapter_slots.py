"""Pinned adapters in the slots of an engine: which are in them after each step."""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from workers.engine.adapter_slots import AdapterSlotsExtension

SLOTS = 3
ADAPTERS = {"poet": 1, "cook": 2, "sage": 3, "fool": 4, "king": 5}


@dataclass(frozen=True, slots=True)
class Request:
    lora_name: str
    lora_int_id: int


class ScriptedManager:
    """vLLM's manager of adapters as far as pins see it: in a full set of slots the longest unused gives way."""

    def __init__(self) -> None:
        self._adapter_manager = self
        self.adapter_slots = SLOTS
        self.registered = set(ADAPTERS.values())
        self.slots: OrderedDict[int, None] = OrderedDict()
        self.activated = 0

    @property
    def lora_index_to_id(self) -> list[int]:
        return list(self.slots)

    def list_adapters(self) -> set[int]:
        return set(self.registered)

    def activate_adapter(self, number: int) -> None:
        if number not in self.slots:
            self.activated += 1
            if len(self.slots) == SLOTS:
                self.slots.popitem(last=False)
        self.slots[number] = None
        self.slots.move_to_end(number)

    def set_active_adapters(self, requests: Collection[Request], mapping: object) -> None:
        assert mapping == "mapping"
        for request in requests:
            self.activate_adapter(request.lora_int_id)


class Engine(AdapterSlotsExtension):
    def __init__(self) -> None:
        self.manager = ScriptedManager()
        self.model_runner = SimpleNamespace(lora_manager=self.manager)

    def step(self, *names: str) -> set[str]:
        """A step whose batch has these adapters; what is in the slots after it."""
        self.manager.set_active_adapters([Request(name, ADAPTERS[name]) for name in names], "mapping")
        return {name for name, number in ADAPTERS.items() if number in self.manager.slots}


@pytest.fixture
def engine() -> Engine:
    return Engine()


def test_a_pinned_adapter_keeps_its_slot_while_others_take_turns(engine: Engine) -> None:
    assert engine.coe_adapters_pin(["poet"]) == {"in_slots": []}
    engine.step("poet")
    for names in (("cook", "sage"), ("fool", "king"), ("sage",), ("fool",)):
        assert {"poet", *names} <= engine.step(*names)
    assert engine.coe_adapters_pin(["poet"]) == {"in_slots": ["poet"]}
    assert engine.manager.activated == 1 + 2 + 2 + 1 + 1


def test_a_batch_that_needs_all_slots_gets_them_and_what_is_pinned_comes_back(engine: Engine) -> None:
    engine.coe_adapters_pin(["poet"])
    engine.step("poet")
    for _ in range(2):
        assert engine.step("cook", "sage", "fool") == {"cook", "sage", "fool"}
    assert "poet" in engine.step()


def test_several_are_pinned_at_once_and_none_drives_out_another(engine: Engine) -> None:
    engine.coe_adapters_pin(["poet", "cook"])
    engine.step("poet", "cook")
    engine.step("sage", "fool", "king")
    for name in ("sage", "fool", "king"):
        assert engine.step(name) == {"poet", "cook", name}


def test_what_is_not_pinned_any_more_takes_turns_again(engine: Engine) -> None:
    engine.coe_adapters_pin(["poet"])
    engine.step("poet")
    engine.coe_adapters_pin([])
    assert engine.step("cook", "sage", "fool") == {"cook", "sage", "fool"}
    assert engine.step() == {"cook", "sage", "fool"}


def test_a_pinned_adapter_that_the_engine_has_forgotten_is_left_alone(engine: Engine) -> None:
    engine.coe_adapters_pin(["poet"])
    engine.step("poet")
    engine.manager.registered.remove(ADAPTERS["poet"])
    engine.manager.slots.clear()
    assert engine.step("cook") == {"cook"}
