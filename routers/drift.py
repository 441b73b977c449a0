"""Drift: in come a router's decisions one by one, out come readings of how far they left what was usual.

Two signals over a sliding window. *Rejection*: the share of prompts that the classifier would not decide. *Mix*: the
categories of those that it decided. Both are compared with a baseline, the first full window of the same router.
Knows no clock, no store and no log: who feeds it keeps the baseline and tells people.
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, chdtrc, gammaln

WINDOW = 500
FALSE_ALARM = 0.001
LOOKS_PER_WINDOW = 10
PRIOR_DECISIONS = 20
PSI_SHIFTED = 0.25
PSI_STABLE = 0.1
BACK_LEVEL = 0.05
MIN_EXPECTED = 5.0

Signal: TypeAlias = Literal["rejection", "mix"]
SIGNALS: tuple[Signal, ...] = ("rejection", "mix")


@dataclass(frozen=True, slots=True)
class DecisionCounts:
    """Of some decisions: how many were rejected, and how many of the others went to each category."""

    rejected: int
    by_category: Mapping[str, int]

    @property
    def decisions(self) -> int:
        return self.rejected + sum(self.by_category.values())


@dataclass(frozen=True, slots=True)
class Reading:
    """What one look at the window showed.

    `rejection_ratio` in [0, 1]; `expected` the lowest and highest ratio of the band; `psi` >= 0 and `p_value` in
    [0, 1] of the category mix; `drifted` holds the signals that count as drifted now.
    """

    rejection_ratio: float
    expected: tuple[float, float]
    psi: float
    p_value: float
    drifted: frozenset[Signal]


class DriftMonitor:
    """Watches the decisions of one router. It looks every tenth of a window; a decision costs a few microseconds.

    A signal drifts where it leaves its expectation, and is back only where it is well within it (`BACK_LEVEL`,
    `PSI_STABLE`), so that one near the border does not flicker.

    False alarms: looks at overlapping windows are not independent, so the level is shared among them by Bonferroni,
    which needs no independence. Each look has `false_alarm / LOOKS_PER_WINDOW`: while traffic stays as it is, one
    signal raises at most `false_alarm` false warnings per window of decisions, on average.

    Args:
        reject_rate: in [0, 1), the share of in-scope prompts that the router was made to reject.
        window: decisions that are compared with the baseline, at least `LOOKS_PER_WINDOW`.
        false_alarm: in (0, 1), false warnings per window and signal.
    """

    def __init__(self, reject_rate: float, window: int = WINDOW, false_alarm: float = FALSE_ALARM) -> None:
        self._reject_rate = reject_rate
        self._window = window
        self._step = window // LOOKS_PER_WINDOW
        self._level = false_alarm / LOOKS_PER_WINDOW
        self._recent: deque[str | None] = deque(maxlen=window)
        self._counts: Counter[str | None] = Counter()
        self._until_look = self._step
        self._baseline: DecisionCounts | None = None
        self._band = self._inner_band = (0, window)
        self._reading: Reading | None = None

    @property
    def window(self) -> int:
        return self._window

    @property
    def seen(self) -> int:
        """Decisions in the window; it is full at `window`."""
        return len(self._recent)

    @property
    def baseline(self) -> DecisionCounts | None:
        return self._baseline

    @property
    def reading(self) -> Reading | None:
        """The last look; None before the window is full and a baseline known."""
        return self._reading

    def counts(self) -> DecisionCounts:
        """Of the window as it is; of a first full one, a baseline."""
        by_category = {name: count for name, count in self._counts.items() if name is not None and count}
        return DecisionCounts(self._counts[None], by_category)

    def compare_with(self, baseline: DecisionCounts) -> None:
        """Measures against `baseline` from the next look on."""
        self._baseline = baseline
        self._band = rejection_band(baseline, self._reject_rate, self._window, self._level)
        self._inner_band = rejection_band(baseline, self._reject_rate, self._window, BACK_LEVEL)

    def observe(self, category: str | None) -> Reading | None:
        """Takes one decision (None: rejected) and gives a reading where it is time for one."""
        if len(self._recent) == self._window:
            self._counts[self._recent[0]] -= 1
        self._recent.append(category)
        self._counts[category] += 1
        self._until_look -= 1
        if self._until_look > 0:
            return None
        self._until_look = self._step
        if self._baseline is None or len(self._recent) < self._window:
            return None
        self._reading = self._look(self._baseline)
        return self._reading

    def _look(self, baseline: DecisionCounts) -> Reading:
        now = self.counts()
        psi, p_value = compare_mixes(baseline.by_category, now.by_category)
        before = self._reading.drifted if self._reading else frozenset()
        drifted: set[Signal] = set()
        low, high = self._inner_band if "rejection" in before else self._band
        if not low <= now.rejected <= high:
            drifted.add("rejection")
        shifted = psi > PSI_SHIFTED and p_value < self._level
        back = psi < PSI_STABLE or p_value > BACK_LEVEL
        if shifted or ("mix" in before and not back):
            drifted.add("mix")
        expected = (self._band[0] / self._window, self._band[1] / self._window)
        return Reading(now.rejected / self._window, expected, psi, p_value, frozenset(drifted))


def rejection_band(baseline: DecisionCounts, reject_rate: float, n: int, level: float) -> tuple[int, int]:
    """Fewest and most rejections of `n` decisions that are to be expected; outside lies a share of at most `level`.

    The rate is not known, only seen: beside the binomial spread of `n` decisions the band holds that of the baseline
    (beta-binomial, the posterior predictive of a binomial rate). The router's stated `reject_rate` is the prior and
    counts as `PRIOR_DECISIONS` decisions, the baseline's are added to them.
    """
    rejected = 0.5 + PRIOR_DECISIONS * reject_rate + baseline.rejected
    decided = 0.5 + PRIOR_DECISIONS * (1 - reject_rate) + baseline.decisions - baseline.rejected
    counts = np.arange(n + 1)
    log_choose = gammaln(n + 1) - gammaln(counts + 1) - gammaln(n - counts + 1)
    log_share = log_choose + betaln(counts + rejected, n - counts + decided) - betaln(rejected, decided)
    below = np.cumsum(np.exp(log_share))
    low = int(np.searchsorted(below, level / 2, side="right"))
    high = int(np.searchsorted(below, 1 - level / 2))
    return min(low, n), min(high, n)


def compare_mixes(before: Mapping[str, int], now: Mapping[str, int]) -> tuple[float, float]:
    """How far two mixes of categories lie apart: the population stability index, and the p-value of a chi-square test.

    The index is the symmetric Kullback-Leibler divergence of the shares, with half a prompt added to each count; by
    custom above 0.25 is a shift. It grows with the number of categories even where nothing changed (by about
    (k - 1) (1/n + 1/m) for k categories), which is why the test must agree. For the test (homogeneity of two samples)
    categories that are too rare to judge are put together.
    """
    names = sorted(before.keys() | now.keys())
    table = np.array([[mix.get(name, 0) for name in names] for mix in (before, now)], dtype=np.float64)
    if not names or not table.sum(axis=1).all():
        return 0.0, 1.0
    smooth = table + 0.5
    share_before, share_now = smooth / smooth.sum(axis=1, keepdims=True)
    psi = float(((share_now - share_before) * np.log(share_now / share_before)).sum())
    return psi, _homogeneity_p_value(_pool_rare(table))


def _pool_rare(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, k) counts, the columns of which less than `MIN_EXPECTED` is expected in a row summed into one."""
    totals = table.sum(axis=1)
    rare = table.sum(axis=0) * totals.min() / totals.sum() < MIN_EXPECTED
    if not rare.any():
        return table
    return np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])


def _homogeneity_p_value(table: NDArray[np.float64]) -> float:
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    statistic = ((table - expected) ** 2 / expected).sum()
    freedom = table.shape[1] - 1
    return float(chdtrc(freedom, statistic)) if freedom else 1.0
