"""The report on a training in a terminal: in comes its document, out come tables and findings to print."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, RenderableType
    from rich.table import Table

    from routers.report.document import OutcomesEntry, ReportDocument

WIDTH = 100
_NAME_CHARS = 30


def print_report(console: Console, document: ReportDocument) -> None:
    """Tables no wider than 100 columns, the findings, and last what the router gains."""
    width = min(WIDTH, console.width) if console.is_terminal else WIDTH
    for part in report_parts(document):
        console.print(part, highlight=False, width=width)


def report_parts(document: ReportDocument) -> Iterator[RenderableType]:
    from rich.text import Text

    from routers.report.wording import findings, headline

    yield categories_table(document)
    if document.outcomes is not None and document.outcomes.policies:
        yield policies_table(document.outcomes)
    if document.outcomes is not None and document.outcomes.frontier:
        yield frontier_table(document.outcomes)
    for finding in findings(document):
        yield Text(finding)
    yield Text(headline(document), style="bold" if document.objection is None else "bold red")


def categories_table(document: ReportDocument) -> Table:
    """One row a category: its prompts, how many are found, its expert and the evidence for it."""
    from routers.report.wording import p_value, percent

    table = _table("Router", "category", "prompts", "found", "expert", "gain", "p")
    for entry in document.categories:
        gained = "-" if entry.gain is None else f"{100 * entry.gain:+.2f}"
        _add(
            table,
            entry.name,
            f"{entry.prompts:,}",
            percent(entry.recall),
            entry.expert or "-",
            gained,
            p_value(entry.p_value),
        )
    _add(table, "general", "", "", document.general or "-", "", "")
    return table


def policies_table(outcomes: OutcomesEntry) -> Table:
    """One row a policy; an arrow marks the one that the router follows."""
    from routers.report.wording import billions, gain, p_value, percent

    title = f"Policies on {outcomes.compared:,} held-out rows, gains over the best single expert in points"
    table = _table(title, "policy", "score", "active", "gain [95 %]", "p")
    for one in outcomes.policies:
        name = f"→ {one.name}" if one.name == outcomes.chosen else f"  {one.name}"
        style = "bold" if one.name == outcomes.chosen else None
        cells = (percent(one.score), billions(one.active_params_b), gain(one.gain), p_value(one.gain.p_value))
        table.add_row(name, *cells, style=style)
    return table


def frontier_table(outcomes: OutcomesEntry) -> Table:
    """One row a budget: the map within it, and the best single expert within it."""
    from routers.report.wording import billions, gain, p_value, percent

    title = "Budget of average active parameters"
    table = _table(title, "budget", "score", "uses", "best single", "gain [95 %]", "p")
    for one in outcomes.frontier:
        _add(
            table,
            f"{one.budget:g} B",
            percent(one.score),
            billions(one.active_params_b),
            percent(one.best_single),
            gain(one.gain),
            p_value(one.gain.p_value),
        )
    return table


def _table(title: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in columns:
        named = name in {"category", "expert", "policy"}
        table.add_column(name, justify="left" if named else "right", no_wrap=not named, overflow="fold")
    return table


def _add(table: Table, *cells: str) -> None:
    from rich.markup import escape

    from routers.report.wording import shortened

    table.add_row(*(escape(shortened(cell, _NAME_CHARS)) if cell else "" for cell in cells))
