"""Word problems of one or two steps over small whole numbers: the right answer ends with the right number."""

import re
from dataclasses import dataclass
from random import Random

from benchmarks.domains.arithmetic_wordings import CONTAINERS, STORIES, THINGS
from benchmarks.domains.task import MAX_ANSWER_CHARS, Draft, Split, Task, draw_tasks
from benchmarks.domains.vocabulary import PEOPLE

_LARGEST = 200
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Step:
    """`left operator right`; the operands are a number's letter, or `x` for the result of the step before."""

    left: str
    operator: str
    right: str


@dataclass(frozen=True, slots=True)
class Structure:
    """What a story computes, and the inclusive ranges that its numbers are drawn from."""

    steps: tuple[Step, ...]
    ranges: dict[str, _Range]


_SUM: _Range = (6, 95)
_FACTOR: _Range = (2, 9)
_EACH: _Range = (3, 15)
_SMALL: _Range = (3, 30)

STRUCTURES: dict[str, Structure] = {
    "add": Structure((Step("a", "+", "b"),), {"a": _SUM, "b": _SUM}),
    "subtract": Structure((Step("a", "-", "b"),), {"a": (12, 120), "b": _SUM}),
    "multiply": Structure((Step("a", "*", "b"),), {"a": _FACTOR, "b": _EACH}),
    "share": Structure((Step("a", "/", "b"),), {"a": (8, 90), "b": _FACTOR}),
    "difference": Structure((Step("a", "-", "b"),), {"a": (12, 95), "b": _SUM}),
    "more_than": Structure((Step("a", "+", "b"),), {"a": _SUM, "b": _SMALL}),
    "fewer_than": Structure((Step("a", "-", "b"),), {"a": (12, 95), "b": _SMALL}),
    "rate": Structure((Step("a", "*", "b"),), {"a": _FACTOR, "b": _EACH}),
    "times": Structure((Step("a", "*", "b"),), {"a": (2, 6), "b": _EACH}),
    "multiply_add": Structure((Step("a", "*", "b"), Step("x", "+", "c")), {"a": _FACTOR, "b": _EACH, "c": _SMALL}),
    "multiply_subtract": Structure((Step("a", "*", "b"), Step("x", "-", "c")), {"a": _FACTOR, "b": _EACH, "c": _SMALL}),
    "add_subtract": Structure((Step("a", "+", "b"), Step("x", "-", "c")), {"a": _SUM, "b": _SMALL, "c": _SMALL}),
    "subtract_twice": Structure((Step("a", "-", "b"), Step("x", "-", "c")), {"a": (20, 99), "b": _SMALL, "c": _SMALL}),
    "add_share": Structure((Step("a", "+", "b"), Step("x", "/", "c")), {"a": (4, 40), "b": (4, 40), "c": _FACTOR}),
    "change": Structure((Step("a", "*", "b"), Step("c", "-", "x")), {"a": _FACTOR, "b": (2, 9), "c": (20, 100)}),
}


class Arithmetic:
    """Word problems. A task's check is the number that answers it."""

    name = "arithmetic"

    def generate(self, split: Split, rows: int, seed: int) -> list[Task]:
        return draw_tasks(self.name, split, rows, seed, lambda rng: _draft(split, rng))

    def score(self, task: Task, answer: str) -> bool:
        """True where the first number after the last "Answer:", or else the last number, is the task's."""
        if len(answer) > MAX_ANSWER_CHARS:
            return False
        _, marked, tail = answer.rpartition("Answer:")
        numbers = _NUMBER.findall(tail)
        if not numbers:
            return False
        return float(numbers[0 if marked else -1].replace(",", "")) == float(task.check)

    def wordings(self, split: Split) -> frozenset[str]:
        return frozenset(story for stories in STORIES[split].values() for story in stories)

    def vocabulary(self, split: Split) -> frozenset[str]:
        containers = (word for pair in CONTAINERS[split] for word in pair)
        return frozenset({*PEOPLE[split], *THINGS[split], *containers})


def _draft(split: Split, rng: Random) -> Draft:
    name = rng.choice(tuple(STRUCTURES))
    story = rng.choice(STORIES[split][name])
    numbers, steps, result = _draw_numbers(STRUCTURES[name], rng)
    person, other = rng.sample(PEOPLE[split], 2)
    plural, single = rng.choice(CONTAINERS[split])
    words = {"n": person, "m": other, "t": rng.choice(THINGS[split]), "p": plural, "s": single}
    return Draft(
        prompt=story.format(**words, **numbers),
        completion="\n".join([*steps, f"Answer: {result}"]),
        check=str(result),
    )


def _draw_numbers(structure: Structure, rng: Random) -> tuple[dict[str, int], list[str], int]:
    """Draw until every step gives a whole number from 1 to 200; return the numbers, the steps' text, the result."""
    while True:
        numbers = {letter: rng.randint(*bounds) for letter, bounds in structure.ranges.items()}
        known, lines = dict(numbers), list[str]()
        for step in structure.steps:
            left, right = known[step.left], known[step.right]
            result = _apply(step.operator, left, right)
            if result is None:
                break
            lines.append(f"{left} {step.operator} {right} = {result}")
            known["x"] = result
        else:
            return numbers, lines, known["x"]


def _apply(operator: str, left: int, right: int) -> int | None:
    """The result, or None where it is no whole number from 1 to 200."""
    if operator == "/" and left % right:
        return None
    results = {"+": left + right, "-": left - right, "*": left * right, "/": left // right}
    result = results[operator]
    return result if 1 <= result <= _LARGEST else None
