"""The report as a page: in comes its document, out comes one HTML file that needs nothing else.

The first sentence says what the router gains; tables and plots follow. Whatever comes from data is escaped in one
place, and the page may load and run nothing.
"""

from collections.abc import Iterable, Sequence
from html import escape

from routers.report.document import OutcomesEntry, ReportDocument
from routers.report.plots import Plot, calibration_plot, confusion_plot, frontier_plot, policies_plot
from routers.report.style import STYLE
from routers.report.wording import (
    MEANINGS,
    as_trained,
    billions,
    findings,
    gain,
    headline,
    p_value,
    percent,
    points,
    shortened,
)

HTML_FILE = "report.html"
_TEXT_CHARS = 10_000
_SHORT_CHARS = 40
# Nothing is fetched and no script runs, whatever the data say.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(document: ReportDocument) -> str:
    """The whole file."""
    sections = [
        *_outcomes(document, document.outcomes),
        _map(document),
        _categories(document),
        _out_of_scope(document),
        _origin(document),
    ]
    warned = ' class="warned"' if document.objection is not None else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>Router report</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>Router report</h1>
<p id="headline"{warned}>{_text(headline(document))}</p>
{_tiles(document)}
</header>
<main>
{"".join(sections)}
</main>
</body>
</html>
"""


def _tiles(document: ReportDocument) -> str:
    outcomes, found = document.outcomes, document.classification
    held_out = None if outcomes is None else outcomes.policy(outcomes.chosen)
    tiles = [("categories found", percent(found.accuracy)), ("a prompt takes", f"{document.latency_ms.p50:.2f} ms")]
    if document.out_of_scope.auroc is not None:
        tiles.insert(1, ("out of scope, AUROC", f"{document.out_of_scope.auroc:.3f}"))
    if held_out is not None and held_out.gain.mean is not None:
        tiles.insert(0, (as_trained(document, "points gained"), f"{100 * held_out.gain.mean:+.2f}"))
    items = "".join(f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in tiles)
    return f"<dl>{items}</dl>"


def _outcomes(document: ReportDocument, outcomes: OutcomesEntry | None) -> list[str]:
    if outcomes is None or not outcomes.policies:
        return []
    rows = [
        (
            f"{one.name} (chosen)" if one.name == outcomes.chosen else one.name,
            percent(one.score),
            billions(one.active_params_b),
            gain(one.gain),
            p_value(one.gain.p_value),
        )
        for one in outcomes.policies
    ]
    chosen = [i for i, one in enumerate(outcomes.policies) if one.name == outcomes.chosen]
    head = ("policy", "score", "active", "gain, points [95 %]", "p")
    meanings = [(one.name, MEANINGS.get(one.name, "")) for one in outcomes.policies]
    note = (
        f"Scores on {outcomes.compared:,} rows that the policy was not fitted on; gains are over the best single "
        "expert, with intervals and two-sided p-values by a paired bootstrap of 10,000 resamples. Active parameters "
        "are averages."
    )
    found = [
        _section(
            as_trained(document, "Policies"),
            note,
            _table(head, rows, marked=chosen),
            _figure(policies_plot(outcomes.policies, outcomes.chosen)),
            _details("What the policies are", _table(("policy", "what it does"), meanings)),
        )
    ]
    return [*found, _frontier(document, outcomes)] if outcomes.frontier else found


def _frontier(document: ReportDocument, outcomes: OutcomesEntry) -> str:
    head = ("budget", "score", "uses", "best single", "gain, points [95 %]", "p")
    rows = [
        (
            f"{one.budget:g} B",
            percent(one.score),
            billions(one.active_params_b),
            percent(one.best_single),
            gain(one.gain),
            p_value(one.gain.p_value),
        )
        for one in outcomes.frontier
    ]
    note = "The map's score within a budget of average active parameters, beside the best single expert within it."
    return _section(
        as_trained(document, "Budget frontier"), note, _table(head, rows), _figure(frontier_plot(outcomes.frontier))
    )


def _map(document: ReportDocument) -> str:
    if document.general is None:
        rows = [(entry.name, f"{entry.prompts:,}", percent(entry.recall)) for entry in document.categories]
        note = "No expert map was learned: the configuration's is used."
        return _section("Categories", note, _table(("category", "prompts", "found"), rows))
    mapped = [
        (
            entry.name,
            f"{entry.prompts:,}",
            percent(entry.recall),
            entry.expert or "-",
            "-" if entry.gain is None else f"{100 * entry.gain:+.2f}",
            p_value(entry.p_value),
        )
        for entry in document.categories
    ]
    note = (
        f"Gains are the expert's over {document.default or 'the default'} in the category, with one-sided p-values, on "
        "the rows that the map was learned from. Prompts of no category, and undecided ones, go to general."
    )
    head = ("category", "prompts", "found", "expert", "gain, points", "p")
    return _section(
        "Categories and experts", note, _table(head, [*mapped, ("general", "", "", document.general, "", "")])
    )


def _categories(document: ReportDocument) -> str:
    names = [entry.name for entry in document.categories]
    found = document.classification
    matrix = _table(
        ("true \\ found", *names),
        [
            (name, *(str(count) if count else "·" for count in row))
            for name, row in zip(names, found.confusion, strict=True)
        ],
    )
    bins = _table(
        ("confidence", "accuracy", "share of prompts"),
        [(percent(one.confidence), percent(one.accuracy), percent(one.share)) for one in found.calibration],
    )
    plots = _figure(confusion_plot(found, names)) + _figure(calibration_plot(found.calibration))
    notes = "".join(f"<li>{_text(one)}</li>" for one in findings(document))
    return _section(
        "What was found",
        None,
        f"<ul>{notes}</ul>",
        f'<div class="pair">{plots}</div>',
        _details("Confusion matrix in prompts", matrix),
        _details(f"Calibration, {points(found.calibration_error)} points off on average", bins),
    )


def _out_of_scope(document: ReportDocument) -> str:
    found = document.out_of_scope
    rows = [
        ("prompts of no category in the data", f"{document.data.out_of_scope:,}"),
        ("signals that abstention uses", ", ".join(found.signals)),
        ("mixed outliers in training", "yes" if found.mixed_outliers else "no"),
        ("in-scope prompts that may be rejected", percent(found.reject_rate)),
        ("AUROC on held-out prompts", "-" if found.auroc is None else f"{found.auroc:.3f}"),
        ("out-of-scope prompts rejected at that rate", percent(found.recall)),
    ]
    return _section("Out of scope", None, _table(("figure", "value"), rows))


def _origin(document: ReportDocument) -> str:
    made, latency = document.trained_on, document.latency_ms
    rows = [
        ("rows", f"{made.rows:,}"),
        ("data, SHA-256", made.data_sha256),
        ("seed", str(made.seed)),
        ("encoder", made.encoder),
        ("libraries", ", ".join(f"{name} {version}" for name, version in made.libraries.items())),
        ("one prompt, p50 and p99", f"{latency.p50:.2f} ms, {latency.p99:.2f} ms"),
        ("forced", "yes" if document.forced else "no"),
    ]
    return _section("Made from", None, _table(("what", "value"), rows))


def _section(title: str, note: str | None, *parts: str) -> str:
    said = f"<p>{_text(note)}</p>" if note else ""
    return f"<section>\n<h2>{_text(title)}</h2>\n{said}\n{''.join(parts)}\n</section>\n"


def _details(title: str, content: str) -> str:
    return f"<details><summary>{_text(title)}</summary>{content}</details>"


def _figure(plot: Plot | None) -> str:
    return "" if plot is None else f"<figure>{plot.svg}<figcaption>{_text(plot.title)}</figcaption></figure>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], marked: Sequence[int] = ()) -> str:
    """A table whose first column names its rows; it scrolls by itself where it is too wide."""
    titles = "".join(f'<th scope="col">{_text(name)}</th>' for name in head)
    body = "".join(_row(row, marked=i in marked) for i, row in enumerate(rows))
    table = f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0">{table}</div>'


def _row(row: Sequence[str], *, marked: bool) -> str:
    name, *values = row
    cells = "".join(f"<td{_short(value)}>{_text(value)}</td>" for value in values)
    opening = '<tr class="marked">' if marked else "<tr>"
    return f'{opening}<th scope="row">{_text(name)}</th>{cells}</tr>'


def _short(value: str) -> str:
    return ' class="short"' if len(value) <= _SHORT_CHARS else ""


def _text(value: str) -> str:
    return escape(shortened(value, _TEXT_CHARS)) if value else ""
