"""What every domain speaks: a seed goes in, tasks come out; a task and an answer go in, right or wrong comes out."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal, Protocol

Split = Literal["train", "heldout"]
MAX_ANSWER_CHARS = 8_000
_DRAWS_PER_ROW = 200


@dataclass(frozen=True, slots=True)
class Draft:
    """A task before it has an id. `check` is what the domain's `score` needs, in that domain's own text format."""

    prompt: str
    completion: str
    check: str


@dataclass(frozen=True, slots=True)
class Task:
    """One prompt, a completion that is right, and what decides whether another answer is right too."""

    domain: str
    id: str
    prompt: str
    completion: str
    check: str


class Domain(Protocol):
    """A source of tasks and the judge of their answers."""

    @property
    def name(self) -> str: ...

    def generate(self, split: Split, rows: int, seed: int) -> list[Task]:
        """Draw `rows` tasks: the same for the same arguments, and no prompt twice.

        Raises:
            ValueError: the split has no such number of different prompts.
        """
        ...

    def score(self, task: Task, answer: str) -> bool:
        """Say whether `answer` is right; text around it is forgiven. Garbage is wrong, it never raises."""
        ...


class TrainedDomain(Domain, Protocol):
    """A domain with a train split, and with what shows that its held-out split is another one."""

    def wordings(self, split: Split) -> frozenset[str]:
        """The sentence patterns that the split's prompts are made of."""
        ...

    def vocabulary(self, split: Split) -> frozenset[str]:
        """The names, nouns and identifiers that are put into the patterns."""
        ...


def draw_tasks(domain: str, split: Split, rows: int, seed: int, draft: Callable[[Random], Draft]) -> list[Task]:
    """Call `draft` until it has given `rows` different prompts.

    Raises:
        ValueError: it did not, after 200 draws a row.
    """
    rng = Random(f"{domain}/{split}/{seed}")
    drafts: dict[str, Draft] = {}
    for _ in range(rows * _DRAWS_PER_ROW):
        if len(drafts) == rows:
            break
        drawn = draft(rng)
        drafts.setdefault(drawn.prompt, drawn)
    if len(drafts) < rows:
        raise ValueError(f"{domain}/{split} has only about {len(drafts)} different prompts: ask for fewer rows")
    return [
        Task(domain, f"{domain}-{split}-{seed}-{number:05d}", drawn.prompt, drawn.completion, drawn.check)
        for number, drawn in enumerate(drafts.values())
    ]
