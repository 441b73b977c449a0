"""An object is right with exactly the keys and values asked for, however it is laid out."""

import pytest

from benchmarks.domains.extraction import Extraction
from benchmarks.domains.task import Split, Task

DOMAIN = Extraction()
REFERENCE = '{"name": "Ann", "quantity": 3}'
TASK = Task("extraction", "t", "Extract name, quantity as JSON. Ann buys 3 cups.", REFERENCE, REFERENCE)


@pytest.mark.parametrize(
    "answer",
    [
        REFERENCE,
        '{\n  "quantity": 3,\n  "name": " Ann "\n}',
        '```json\n{"name": "Ann", "quantity": 3}\n```',
        'Here it is: {"name": "Ann", "quantity": 3.0} as asked.',
        '{"name": "Ann", "quantity": "3"}',
    ],
)
def test_the_same_object_is_right(answer: str) -> None:
    assert DOMAIN.score(TASK, answer)


@pytest.mark.parametrize(
    "answer",
    [
        '{"name": "Ann"}',
        '{"name": "Ann", "quantity": 4}',
        '{"name": "ann", "quantity": 3}',
        '{"name": "Ann", "quantity": 3, "item": "cups"}',
        '{"Name": "Ann", "quantity": 3}',
        '{"name": "Ann", "quantity": [3]}',
        "{'name': 'Ann', 'quantity': 3}",
        '{"name": "Ann", "quantity": 3',
        '["name", "quantity"]',
        "name: Ann, quantity: 3",
    ],
)
def test_another_object_or_none_is_wrong(answer: str) -> None:
    assert not DOMAIN.score(TASK, answer)


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_every_wanted_value_stands_in_the_prompt(split: Split) -> None:
    for task in DOMAIN.generate(split, 200, seed=8):
        values = [part.split(": ", 1)[1] for part in task.completion.strip("{}").split(", ")]
        assert all(value.strip('"') in task.prompt for value in values)
