"""The words of a report: in comes its document, out come the headline, the findings, and numbers as people read them.

Scores and shares are shown in percent, differences in points of a percent. It knows nothing of tables and pages.
"""

from collections.abc import Mapping

from routers.gain import Gain
from routers.report.document import ReportDocument

MEANINGS: Mapping[str, str] = {
    "map": "one expert a category, the category found by the classifier",
    "soft": "expected scores, weighted by the probabilities of the categories",
    "direct": "scores regressed on the prompt's vector and probabilities",
    "neighbours": "mean scores of the nearest training prompts",
    "clusters": "mean scores of the nearest k-means cluster",
    "true category": "the map if the classifier never erred",
    "best single": "one expert for everything, the best within the limits",
    "random": "an expert at random",
    "oracle": "the best expert of each prompt, in hindsight: no policy can do better",
}
_SHOWN_CHARS = 60


def headline(document: ReportDocument) -> str:
    """What the router gains over the best single expert, or why that cannot be said."""
    if document.refreshed is None:
        return _as_trained(document)
    return (
        f"The map was learned again with {count(document.refreshed.outcomes, 'outcome')} that came after the training; "
        f"how much it gains now was not judged. As trained: {_as_trained(document)}"
    )


def as_trained(document: ReportDocument, title: str) -> str:
    """`title` of what was judged in training, and not again where the map was refreshed."""
    return title if document.refreshed is None else f"{title}, as trained"


def _as_trained(document: ReportDocument) -> str:
    outcomes = document.outcomes
    if document.objection is not None:
        how = "was written by force" if document.forced else "should not be used"
        return f"This router {how}: {document.objection}."
    held_out = None if outcomes is None else outcomes.policy(outcomes.chosen)
    if outcomes is None or held_out is None:
        return (
            f"This router tells {count(len(document.categories), 'category', 'categories')} apart, rightly for "
            f"{percent(document.classification.accuracy)} of held-out prompts. It learned no experts, because the data "
            "hold no outcomes."
        )
    best = outcomes.policy("best single")
    if best is None:
        return (
            f"Routing scores {percent(held_out.score)} on {outcomes.compared:,} held-out rows; no single expert fits "
            "the limits alone, so there is none to compare it with."
        )
    return (
        f"Routing gains {gain(held_out.gain)} points over the best single expert, {outcomes.best_single}: "
        f"{percent(held_out.score)} against {percent(best.score)} on {outcomes.compared:,} held-out rows "
        f"(p {p_value(held_out.gain.p_value, sign=True)})."
    )


def findings(document: ReportDocument) -> tuple[str, ...]:
    """What the tables do not say, a sentence each."""
    return (_accuracy(document), *_of_outcomes(document), *_of_scope(document), *_of_data(document))


def _accuracy(document: ReportDocument) -> str:
    found = document.classification
    low, high = found.ci95
    return (
        f"The category is found for {percent(found.accuracy)} of held-out prompts [{100 * low:.1f}, {100 * high:.1f}], "
        f"log loss {found.log_loss:.3f}; confidence is off by {points(found.calibration_error)} points on average."
    )


def _of_outcomes(document: ReportDocument) -> list[str]:
    lines, outcomes, learned = [], document.outcomes, document.refreshed or document.outcomes
    if outcomes is not None and outcomes.chosen != "map" and document.refreshed is None:
        lines.append(
            f"Experts are chosen prompt by prompt ({outcomes.chosen}), which scored better than the map; "
            "the map answers for general."
        )
    if learned is not None and learned.default is not None:
        lines.append(
            f"An expert is preferred to {learned.default} where a one-sided test gives p of {learned.evidence:g} or "
            "less."
        )
    if outcomes is not None and outcomes.co_failure is not None:
        lines.append(f"On {percent(outcomes.co_failure)} of the rows every expert fails.")
    return lines


def _of_scope(document: ReportDocument) -> list[str]:
    found, latency = document.out_of_scope, document.latency_ms
    lines = []
    if found.auroc is not None and found.recall is not None:
        lines.append(
            f"Out of scope: {count(document.data.out_of_scope, 'prompt')}, AUROC {found.auroc:.3f}; "
            f"{percent(found.recall)} are rejected when {percent(found.reject_rate)} of the others are."
        )
    lines.append(f"Classifying a prompt takes {latency.p50:.2f} ms (p99 {latency.p99:.2f} ms), encoding included.")
    return lines


def _of_data(document: ReportDocument) -> list[str]:
    data, lines = document.data, []
    if data.unlabelled:
        used = "took part where the classifier was sure" if document.classification.self_training else "were not used"
        lines.append(f"{count(data.unlabelled, 'prompt')} without a category {used}.")
    if data.repeats:
        lines.append(f"{count(data.repeats, 'repeated row')} counted once for the classifier.")
    if data.conflicts and data.conflict is not None:
        several = "has" if data.conflicts == 1 else "have"
        lines.append(
            f"{count(data.conflicts, 'prompt')} {several} more than one category, such as "
            f"{shortened(data.conflict, _SHOWN_CHARS)!r}."
        )
    if data.not_mapped:
        lines.append(f"Left out of the map, without size or outcomes: {', '.join(data.not_mapped)}.")
    return lines


def count(number: int, noun: str, plural: str | None = None) -> str:
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def percent(share: float | None) -> str:
    """`0.1234` as `12.3 %`; a dash for what is not known."""
    return "-" if share is None else f"{100 * share:.1f} %"


def points(share: float | None) -> str:
    """`0.1234` as `12.34`, in points of a percent."""
    return "-" if share is None else f"{100 * share:.2f}"


def gain(found: Gain) -> str:
    """`+1.23 [+0.50, +1.90]`, in points."""
    if found.mean is None:
        return "-"
    shown = f"{100 * found.mean:+.2f}"
    return shown if found.ci95 is None else f"{shown} [{100 * found.ci95[0]:+.2f}, {100 * found.ci95[1]:+.2f}]"


def p_value(value: float | None, *, sign: bool = False) -> str:
    """`< 0.001` or three decimals; with `sign`, `= ` before them."""
    if value is None:
        return "-"
    return "< 0.001" if value < 0.001 else f"{'= ' if sign else ''}{value:.3f}"


def billions(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} B"


def shortened(text: str, chars: int) -> str:
    """In one line of at most `chars` characters, what cannot be printed replaced."""
    line = "".join(char if char.isprintable() else " " for char in text)
    line = " ".join(line.split()) or "?"
    return line if len(line) <= chars else line[: chars - 1] + "…"
