"""What pinned experts mean for the models below them."""

import pytest

from workers.pins import Pins
from workers.policies import Memory


def test_a_model_stays_as_long_as_one_of_its_experts_is_pinned() -> None:
    memory = Memory(costs={}, device_bytes=0, host_bytes=0)
    pins = Pins(memory, {"poet": "base", "cook": "base", "sage": "large"})
    for expert in ("poet", "cook", "sage"):
        pins.add(expert)
    assert memory.pinned == {"base", "large"}
    pins.remove("poet")
    assert "poet" not in pins
    assert pins.on("base") == ["cook"]
    assert memory.pinned == {"base", "large"}
    pins.remove("cook")
    assert memory.pinned == {"large"}
    with pytest.raises(KeyError):
        pins.remove("cook")
