"""The report of a training: in come held-out predictions and policies' scores, out come the figures to show.

Every figure is of rows that the model behind it did not see; shares and scores are in [0, 1].
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from routers.classifier import log_loss
from routers.mapping.policies import PolicyScore, Selection
from routers.ranking import recall_at
from routers.signals import Signal, measure
from routers.stage_one import StageOne

BINS = 10
Frontier: TypeAlias = tuple[tuple[float, PolicyScore], ...]


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Prompts of like confidence: their mean `confidence`, `accuracy`, and `share` of all."""

    confidence: float
    accuracy: float
    share: float


@dataclass(frozen=True, slots=True)
class CategoryReport:
    """Of stage one. `ci95`: Wilson's interval of the accuracy. `confusion` [true][found]: rows, before abstention.

    `out_of_scope_recall`: share of out-of-scope prompts rejected when `reject_rate` of the others are; with `auroc`
    None where no out-of-scope prompts could be held out. `calibration_error`: mean distance of confidence and accuracy.
    """

    accuracy: float
    ci95: tuple[float, float]
    log_loss: float
    confusion: tuple[tuple[int, ...], ...]
    calibration: tuple[CalibrationBin, ...]
    calibration_error: float
    signals: tuple[Signal, ...]
    mixed_outliers: bool
    self_training: bool
    auroc: float | None
    out_of_scope_recall: float | None


@dataclass(frozen=True, slots=True)
class OutcomeReport:
    """Of stage two. `rows` hold an outcome, `compared` of them one of every expert.

    `co_failure`: share of the compared rows on which all experts fail, an upper bound of any policy (arXiv 2606.27288).
    `frontier`: budgets of average active parameters, in billions, with the map's figures within each.
    """

    rows: int
    compared: int
    selection: Selection
    co_failure: float | None
    frontier: Frontier


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What the data held and how the router did on rows held out of its fit.

    `repeats`: rows whose prompt and category occurred before; the classifier sees them once, the map every time.
    `conflicts`: prompts with more than one category. `not_mapped`: experts that have outcomes or a size, but not
    both. `outcomes`: None without outcomes.
    """

    rows_by_category: Mapping[str, int]
    out_of_scope: int
    unlabelled: int
    repeats: int
    conflicts: tuple[str, ...]
    not_mapped: tuple[str, ...]
    category: CategoryReport
    outcomes: OutcomeReport | None

    def metrics(self) -> dict[str, float]:
        """The figures that a router carries with it."""
        metrics = {"accuracy": self.category.accuracy, "log_loss": self.category.log_loss}
        if self.category.auroc is not None:
            metrics["ood_auroc"] = self.category.auroc
        held_out = None if self.outcomes is None else self.outcomes.selection.held_out
        if held_out is not None:
            metrics["routed_score"] = held_out.score
            if held_out.gain.mean is not None:
                metrics["gain"] = held_out.gain.mean
        return metrics

    def objection(self) -> str | None:
        """Why this router should not be used: it is not shown to beat the best single expert; None where it is."""
        if self.outcomes is None:
            return None
        selection, compared = self.outcomes.selection, self.outcomes.compared
        held_out = selection.held_out
        if held_out is None:
            return (
                f"only {compared} rows hold an outcome of every expert, too few to compare the router with the best "
                "single expert"
            )
        if held_out.gain.mean is None or held_out.gain.ci95 is None:
            return None  # no expert fits the limits alone: there is nothing to beat
        if held_out.gain.ci95[0] > 0:
            return None
        low, high = (100 * bound for bound in held_out.gain.ci95)
        return (
            f"on {compared} held-out rows it does not beat the best single expert, {selection.best_single!r}: "
            f"{100 * held_out.gain.mean:+.2f} points, 95 % interval {low:+.2f} to {high:+.2f}"
        )


def category_report(first: StageOne, reject_rate: float) -> CategoryReport:
    """The figures of stage one on rows held out in cross-validation."""
    rows, held_out = first.rows, first.held_out
    logits = held_out.logits[rows.inside, : rows.categories]
    labels = rows.labels[rows.inside]
    found = logits.argmax(axis=1)
    confidence = first.classifier.probabilities(held_out.logits)[rows.inside].max(axis=1)
    right = found == labels
    confusion = np.zeros((rows.categories, rows.categories), dtype=np.int64)
    np.add.at(confusion, (labels, found), 1)
    bins = _calibration(confidence, right)
    return CategoryReport(
        accuracy=float(right.mean()),
        ci95=wilson(int(right.sum()), len(right)),
        log_loss=log_loss(logits, labels, held_out.recipe.temperature),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        calibration=bins,
        calibration_error=sum(one.share * abs(one.confidence - one.accuracy) for one in bins),
        signals=held_out.evidence.signals,
        mixed_outliers=held_out.recipe.mixed_outliers,
        self_training=held_out.recipe.self_training,
        auroc=held_out.auroc,
        out_of_scope_recall=_recall(first, reject_rate),
    )


def _calibration(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[CalibrationBin, ...]:
    place = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    return tuple(
        CalibrationBin(
            float(confidence[place == i].mean()), float(right[place == i].mean()), float((place == i).mean())
        )
        for i in np.unique(place)
    )


def _recall(first: StageOne, reject_rate: float) -> float | None:
    rows, held_out = first.rows, first.held_out
    if not rows.has_outliers:
        return None
    evidence = held_out.evidence.of(
        measure(held_out.evidence.signals, held_out.logits, held_out.distances, rows.categories)
    )
    return recall_at(evidence[rows.inside], evidence[~rows.inside], reject_rate)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share, `hits` of `n` (Wilson 1927)."""
    z = 1.96
    centre = (hits + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * float(np.sqrt(hits * (n - hits) / n + z * z / 4))
    return max(0.0, centre - half), min(1.0, centre + half)
