"""What every benchmark prints: rows, targets and a machine come in, lines of Markdown go out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.machine import Machine

_BUSY = 0.1


@dataclass(frozen=True, slots=True)
class Goal:
    """A target of the project and what was measured."""

    text: str
    measured: float
    holds: bool


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first of `rows` heads the columns; all but the first column stand to the right."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], "| --- |" + " ---: |" * (len(rows[0]) - 1), *lines[1:]]


def goals_table(title: str, goals: Sequence[Goal], figure: str = ",.3g") -> list[str]:
    """One row a target; `figure`: how what was measured is written."""
    rows = [(goal.text, format(goal.measured, figure), "holds" if goal.holds else "**missed**") for goal in goals]
    return table([(title, "measured", ""), *rows])


def machine_lines(machine: Machine) -> list[str]:
    """What a reader needs to compare the figures with others."""
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    lines = [f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib:g} GiB; Python {machine.python}, {versions}."]
    if machine.busy_before > _BUSY:
        lines.append(f"Others took {machine.busy_before:.0%} of the cores before the start: run it again when idle.")
    return lines
