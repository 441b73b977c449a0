"""Rows for training: in come labelled prompts, out come the same, sorted by what they are good for.

Says what is wrong with them as a whole: too few categories or rows, repeats, prompts with two categories.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from routers.errors import DataError
from routers.prompts import LabelledPrompt
from routers.validation import FOLDS

MIN_ROWS = FOLDS


@dataclass(frozen=True, slots=True)
class SortedRows:
    """`in_scope` and `out_of_scope` are without repeats, `unlabelled` too.

    `repeats`: labelled rows whose prompt and category occurred before. `conflicts`: prompts with several categories.
    """

    in_scope: tuple[LabelledPrompt, ...]
    out_of_scope: tuple[LabelledPrompt, ...]
    unlabelled: tuple[LabelledPrompt, ...]
    repeats: int
    conflicts: tuple[str, ...]

    def by_category(self) -> dict[str, int]:
        """How many rows each category has, ordered by name."""
        return dict(sorted(Counter(prompt.category or "" for prompt in self.in_scope).items()))


def sort_rows(prompts: Sequence[LabelledPrompt]) -> SortedRows:
    """Raises DataError where there are too few categories, or too few rows of one."""
    distinct: dict[tuple[str, str | None, bool], LabelledPrompt] = {}
    for prompt in prompts:
        distinct.setdefault((prompt.text, prompt.category, prompt.labelled), prompt)
    labelled = [prompt for prompt in distinct.values() if prompt.labelled]
    times = Counter(prompt.text for prompt in labelled)
    rows = SortedRows(
        in_scope=tuple(prompt for prompt in labelled if not prompt.out_of_scope),
        out_of_scope=tuple(prompt for prompt in labelled if prompt.out_of_scope),
        unlabelled=tuple(p for p in distinct.values() if not p.labelled and p.text not in times),
        repeats=sum(prompt.labelled for prompt in prompts) - len(labelled),
        conflicts=tuple(text for text, count in times.items() if count > 1),
    )
    _check_enough(rows.by_category())
    return rows


def _check_enough(counts: Mapping[str, int]) -> None:
    if len(counts) < 2:
        found = f"only {next(iter(counts))!r}" if counts else "none"
        raise DataError(f"A router needs prompts of 2 categories or more, the data holds {found}: label more rows")
    few = [f"{category!r} ({rows})" for category, rows in counts.items() if rows < MIN_ROWS]
    if few:
        raise DataError(
            f"A category needs {MIN_ROWS} different prompts or more; too few: {', '.join(few)}. "
            "Add rows, or give them another category"
        )


def fingerprint(prompts: Sequence[LabelledPrompt]) -> str:
    """sha256 of what training reads of the rows, in their order; the files' names and layout do not count."""
    digest = hashlib.sha256()
    for prompt in prompts:
        row = [prompt.text, prompt.labelled, prompt.category, dict(prompt.outcomes)]
        digest.update(orjson.dumps(row, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE))
    return digest.hexdigest()
