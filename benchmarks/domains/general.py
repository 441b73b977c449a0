"""Everyday questions with a short answer: it is right where an accepted word stands among the first sixty."""

import re
from random import Random

from benchmarks.domains.general_questions import QUESTIONS
from benchmarks.domains.task import MAX_ANSWER_CHARS, Split, Task

_FIRST_WORDS = 60


class General:
    """Everyday questions, held out only. A task's check is the accepted answers, one a line."""

    name = "general"

    def generate(self, split: Split, rows: int, seed: int) -> list[Task]:
        """Draw held-out questions; `ValueError` for the train split, and for more rows than there are questions."""
        if split == "train":
            raise ValueError("the general domain is there to test the base model: it has a heldout split only")
        if rows > len(QUESTIONS):
            raise ValueError(f"general/heldout has {len(QUESTIONS)} questions: ask for fewer rows than {rows}")
        drawn = Random(f"{self.name}/{split}/{seed}").sample(QUESTIONS, rows)
        return [
            Task(self.name, f"{self.name}-{split}-{seed}-{number:05d}", question, accepted[0], "\n".join(accepted))
            for number, (question, accepted) in enumerate(drawn)
        ]

    def score(self, task: Task, answer: str) -> bool:
        """True where one of the accepted answers stands as whole words, in any case, among the first 60 words."""
        if len(answer) > MAX_ANSWER_CHARS:
            return False
        beginning = " ".join(answer.split()[:_FIRST_WORDS])
        accepted = "|".join(re.escape(text) for text in task.check.splitlines())
        return re.search(rf"(?<!\w)(?:{accepted})(?!\w)", beginning, re.IGNORECASE) is not None
