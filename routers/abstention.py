"""Abstention: in come the signals of a prompt, out comes whether to decide at all.

The signals, scaled to one spread and averaged, become a conformal p-value (Bates et al., arXiv 2104.08279): the share
of in-scope prompts, held out of the fit, that are no more at home. Rejecting where it is at most `reject_rate` rejects
at most that share of new prompts of the same kind, in expectation over what was held out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from routers.ranking import auroc
from routers.signals import ALONE, Signal

GENERAL = "general"
# More held-out scores than this are thinned to so many order statistics: p-values stay exact to 2 in 4,096, and small
# ones err on the side of keeping a prompt.
MAX_CALIBRATION = 4_096


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Which signals count: their means and spreads over in-scope prompts, (signals,) each; spreads above 0."""

    signals: tuple[Signal, ...]
    centres: NDArray[np.float64]
    spreads: NDArray[np.float64]

    def of(self, measured: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,): the mean of the scaled signals; `measured` (n, signals)."""
        scaled = (measured - self.centres) / self.spreads
        mean: NDArray[np.float64] = scaled.sum(axis=1) / len(self.signals)
        return mean


@dataclass(frozen=True, slots=True, eq=False)
class Abstention:
    """`calibration` (m,): the evidence of held-out in-scope prompts, ascending; `reject_rate` in [0, 1)."""

    evidence: Evidence
    calibration: NDArray[np.float64]
    reject_rate: float

    def scores(self, measured: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) in (0, 1]: conformal p-values that prompts with signals `measured` (n, signals) are in scope."""
        below = np.searchsorted(self.calibration, self.evidence.of(measured), side="right")
        scores: NDArray[np.float64] = (1 + below) / (1 + len(self.calibration))
        return scores

    def rejects(self, scores: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(n,): which prompts go to the category `general`."""
        rejected: NDArray[np.bool_] = scores <= self.reject_rate
        return rejected


def fit_abstention(measured: NDArray[np.float64], evidence: Evidence, reject_rate: float) -> Abstention:
    """Calibrate on the signals `measured` (n, signals) of in-scope prompts that were held out of the fit."""
    ordered = np.sort(evidence.of(measured))
    if len(ordered) > MAX_CALIBRATION:
        ordered = ordered[np.linspace(0, len(ordered) - 1, MAX_CALIBRATION).round().astype(np.int64)]
    return Abstention(evidence, ordered, reject_rate)


def candidates(*, outlier_class: bool) -> list[tuple[Signal, ...]]:
    """The sets of signals to choose from: each alone, and those together that see different things."""
    margin: tuple[Signal, ...] = ("margin",) if outlier_class else ()
    together: tuple[Signal, ...] = ("energy", "distance", *margin)
    return [*((signal,) for signal in chain(ALONE, margin)), together]


def scaled(signals: Sequence[Signal], inside: NDArray[np.float64]) -> Evidence:
    """`signals` with their means and spreads over in-scope prompts, `inside` (n, signals)."""
    spreads = inside.std(axis=0)
    return Evidence(tuple(signals), inside.mean(axis=0), np.where(spreads > 0, spreads, 1.0))


def separation(evidence: Evidence, inside: NDArray[np.float64], outside: NDArray[np.float64]) -> float:
    """AUROC of `evidence` between the signals of in-scope (n, signals) and out-of-scope prompts (m, signals)."""
    return auroc(evidence.of(inside), evidence.of(outside))
