"""Sentences and the keys wanted from them: the right answer is a JSON object with those keys and their values."""

import json
from random import Random

from benchmarks.domains.answers import unfenced
from benchmarks.domains.extraction_vocabulary import VALUES
from benchmarks.domains.extraction_wordings import INSTRUCTIONS, KINDS, Slot
from benchmarks.domains.task import MAX_ANSWER_CHARS, Draft, Split, Task, draw_tasks

_FEWEST_KEYS = 2
_MOST_KEYS = 4
_NUMBERS = (2, 60)


class Extraction:
    """Sentences to JSON. A task's check is the JSON object itself."""

    name = "extraction"

    def generate(self, split: Split, rows: int, seed: int) -> list[Task]:
        return draw_tasks(self.name, split, rows, seed, lambda rng: _draft(split, rng))

    def score(self, task: Task, answer: str) -> bool:
        """True where the answer's first JSON object has exactly the keys, and values equal but for spaces around them.

        A number may be written as a number or as text.
        """
        if len(answer) > MAX_ANSWER_CHARS:
            return False
        given = _first_object(unfenced(answer))
        wanted = _first_object(task.check)
        return given is not None and wanted is not None and _plain(given) == _plain(wanted)

    def wordings(self, split: Split) -> frozenset[str]:
        patterns = (pattern for kind in KINDS[split].values() for pattern in kind.patterns)
        return frozenset({*INSTRUCTIONS[split], *patterns})

    def vocabulary(self, split: Split) -> frozenset[str]:
        return frozenset(value for values in VALUES[split].values() for value in values)


def _draft(split: Split, rng: Random) -> Draft:
    kind = KINDS[split][rng.choice(tuple(KINDS[split]))]
    values = _draw_values(kind.slots, split, rng)
    names = rng.sample(tuple(kind.slots), rng.randint(_FEWEST_KEYS, _MOST_KEYS))
    wanted = {rng.choice(kind.slots[name].keys): values[name] for name in names}
    text = rng.choice(kind.patterns).format(**values)
    prompt = rng.choice(INSTRUCTIONS[split]).format(keys=", ".join(wanted), text=text)
    completion = json.dumps(wanted)
    return Draft(prompt, completion, completion)


def _draw_values(slots: dict[str, Slot], split: Split, rng: Random) -> dict[str, str | int]:
    """A value for every slot; no two are equal."""
    values: dict[str, str | int] = {}
    for name, slot in slots.items():
        if slot.source == "number":
            values[name] = rng.randint(*_NUMBERS)
        else:
            values[name] = rng.choice([value for value in VALUES[split][slot.source] if value not in values.values()])
    return values


def _first_object(text: str) -> dict[str, object] | None:
    """The JSON object at the first brace, or None."""
    start = text.find("{")
    if start < 0:
        return None
    try:
        found, _ = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _plain(found: dict[str, object]) -> dict[str, str]:
    return {key.strip(): _text(value) for key, value in found.items()}


def _text(value: object) -> str:
    """One form for a value: text trimmed, 3 and 3.0 alike; whatever has structure is unlike any text."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
