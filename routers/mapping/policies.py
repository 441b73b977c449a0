"""Which policy chooses experts: in come held-out predictions and outcomes, out come all policies' scores and the best.

Every policy is fitted on three quarters of the rows and scored on the fourth, four times, so that each row is judged
by a policy that did not see it. The map is taken unless another policy is better: it is the one that a person can read.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from routers.errors import BudgetError
from routers.gain import Gain, bootstrap
from routers.mapping.chooser import Chooser
from routers.mapping.estimators import KINDS, EstimatorKind, Inputs, fit_estimator
from routers.mapping.expert_map import ExpertMap, best_alone, choose, learn_map
from routers.mapping.experts import ExpertSize
from routers.mapping.limits import Costs, Limits
from routers.mapping.outcomes import Outcomes
from routers.mapping.paired import PairedScores
from routers.mapping.prices import prices

# Levels of the test by which an expert must be better than the default; 0.5: on average is enough.
EVIDENCE_LEVELS = (0.05, 0.2, 0.5)
# The best other policy replaces the map where its gain over it has this p-value or less: beyond what chance does often.
REPLACES_AT = 0.1
MIN_ROWS = 16
FOLDS = 4
# More than any prompt's score is worth at any price.
_BEYOND_PRICE = 1e3
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Situation:
    """What is known of n prompts with outcomes.

    `inputs` and `found` (n,) are predictions by models that did not see the row: `found` counts categories from 0, the
    number of categories stands for `general`. `true` (n,) likewise, -1 where the row does not tell. `fold` (n,): rows
    that say nearly the same share one.
    """

    categories: tuple[str, ...]
    inputs: Inputs
    found: NDArray[np.int64]
    true: NDArray[np.int64]
    outcomes: Outcomes
    fold: NDArray[np.int64]

    def __getitem__(self, rows: NDArray[np.bool_]) -> "Situation":
        return Situation(
            self.categories, self.inputs[rows], self.found[rows], self.true[rows], self.outcomes[rows], self.fold[rows]
        )

    def paired(self) -> PairedScores:
        return PairedScores.of(self.outcomes, self.found, len(self.categories) + 1)


@dataclass(frozen=True, slots=True)
class PolicyScore:
    """Of one policy on held-out rows. `active_params_b`: average, None where sizes are not known.

    `gain`: over the best single expert within the limits.
    """

    name: str
    score: float
    active_params_b: float | None
    gain: Gain


@dataclass(frozen=True, slots=True)
class Selection:
    """The map, the chooser where one replaces it, and every policy's figures, the chosen one named.

    `scores` is empty and `chosen` "map" where too few rows hold an outcome of every expert to compare policies.
    `best_single`: the best expert of those within the limits on these rows, in hindsight.
    """

    expert_map: ExpertMap
    chooser: Chooser | None
    chosen: str
    best_single: str | None
    scores: tuple[PolicyScore, ...]

    @property
    def held_out(self) -> PolicyScore | None:
        """The chosen policy's own figures."""
        return next((score for score in self.scores if score.name == self.chosen), None)


@dataclass(frozen=True, slots=True)
class Setting:
    """What policies are to keep to."""

    sizes: Mapping[str, ExpertSize] | None
    limits: Limits
    seed: int = 0


def select_policy(
    situation: Situation, setting: Setting, progress: Callable[[int, int], None] | None = None
) -> Selection:
    """Score all policies and choose. Raises BudgetError naming the limits that nothing meets, or MapError."""
    costs = Costs.of(situation.outcomes.experts, setting.sizes, setting.limits)
    # A budget that cannot be met is told at once.
    learn_map(situation.paired(), situation.categories, setting.sizes, setting.limits)
    if situation.outcomes.complete.sum() < MIN_ROWS:
        return Selection(_final_map(situation, setting, EVIDENCE_LEVELS[0]), None, "map", None, ())
    trial = _Trial(situation, setting, costs, progress)
    maps = {level: trial.map(level) for level in EVIDENCE_LEVELS}
    level = max(EVIDENCE_LEVELS, key=lambda one: trial.score(maps[one]))
    expert_map = _final_map(situation, setting, level)
    others: dict[str, NDArray[np.int64]] = {}
    choosers: dict[str, Chooser] = {}
    for kind in KINDS:
        others[kind], choosers[kind] = trial.estimator(kind, expert_map)
    chosen = _replacement(trial, maps[level], {kind: others[kind] for kind in KINDS}, setting.seed)
    policies = {"map": maps[level], **others, "true category": trial.map(level, by_truth=True)}
    return Selection(
        expert_map=expert_map,
        chooser=choosers.get(chosen),
        chosen=chosen,
        best_single=trial.best_single_name,
        scores=tuple(trial.figures(name, choice) for name, choice in policies.items()) + trial.references(),
    )


def _final_map(situation: Situation, setting: Setting, level: float) -> ExpertMap:
    return learn_map(situation.paired(), situation.categories, setting.sizes, setting.limits, evidence=level)


def _replacement(trial: "_Trial", of_map: NDArray[np.int64], others: Mapping[str, NDArray[np.int64]], seed: int) -> str:
    allowed = [name for name, choice in others.items() if trial.within_limits(choice)]
    if not allowed:
        return "map"
    best = max(allowed, key=lambda name: trial.score(others[name]))
    gain = bootstrap(trial.of(others[best]) - trial.of(of_map), seed)
    better = gain.mean is not None and gain.mean > 0 and (gain.p_value or 0) <= REPLACES_AT
    return best if better else "map"


class _Trial:
    """Cross-fitted choices, as places of experts: (n,) each; they are judged on the rows with all outcomes."""

    def __init__(
        self, situation: Situation, setting: Setting, costs: Costs, progress: Callable[[int, int], None] | None
    ) -> None:
        self._all, self._setting, self._costs = situation, setting, costs
        self._judged = situation.outcomes.complete
        self._scores = situation.outcomes.scores[self._judged]
        self._progress, self._done = progress, 0
        fitting = [
            i
            for i, name in enumerate(costs.experts)
            if setting.limits.fits_alone(name, None if setting.sizes is None else setting.sizes[name])
        ]
        means = self._scores.mean(axis=0)
        self._best = max(fitting, key=lambda i: means[i]) if fitting else None

    @property
    def best_single_name(self) -> str | None:
        return None if self._best is None else self._costs.experts[self._best]

    def of(self, choice: NDArray[np.int64]) -> NDArray[np.float64]:
        """(judged rows,): outcomes of the experts chosen."""
        chosen: NDArray[np.float64] = self._scores[np.arange(len(self._scores)), choice[self._judged]]
        return chosen

    def within_limits(self, choice: NDArray[np.int64]) -> bool:
        """Whether `choice` (n,) keeps to the average budget and the shares; where estimates tie, it need not."""
        budget = self._setting.limits.max_active_params_b
        got = np.bincount(choice, minlength=len(self._costs.experts)) / len(choice)
        spent = float(self._costs.active @ got)
        return (budget is None or spent <= budget + _ROUNDING) and bool((got <= self._costs.share + _ROUNDING).all())

    def score(self, choice: NDArray[np.int64]) -> float:
        return float(self.of(choice).mean())

    def map(self, level: float, *, by_truth: bool = False) -> NDArray[np.int64]:
        """Choices by maps learned without the row; `by_truth`: by its true category where it tells one.

        Limits are on the traffic of all rows: that of a fold could leave no map where the whole has one.
        """
        situation, choice = self._all, np.zeros(len(self._all.found), dtype=np.int64)
        traffic = situation.paired().traffic
        category = np.where(situation.true >= 0, situation.true, situation.found) if by_truth else situation.found
        for seen, held_out in self._folds():
            paired = replace(situation[seen].paired(), traffic=traffic)
            default = best_alone(paired, self._setting.sizes, self._setting.limits)
            chosen = choose(paired, self._costs, self._setting.limits, level, default)
            choice[held_out] = chosen[category[held_out]]
        self._tell()
        return choice

    def estimator(self, kind: EstimatorKind, expert_map: ExpertMap) -> tuple[NDArray[np.int64], Chooser]:
        """Choices by estimates made without the row, and the chooser fitted on all rows, with the same prices."""
        situation, seed = self._all, self._setting.seed
        kept = _kept(expert_map, self._costs, self._setting.limits)
        expected = np.zeros((len(situation.found), len(kept)))
        outcomes = Outcomes(tuple(self._costs.experts[i] for i in kept), situation.outcomes.scores[:, kept])
        for seen, held_out in self._folds():
            fitted = fit_estimator(kind, situation.inputs[seen], outcomes[seen], seed)
            expected[held_out] = fitted.estimate(situation.inputs[held_out])
        # Prompts that go to the default whatever they are worth take their part of the limits.
        default, undecided = self._costs.experts.index(expert_map.default), situation.found == len(situation.categories)
        expected[undecided] = np.where(np.array(kept) == default, _BEYOND_PRICE, 0)
        costs = Costs(outcomes.experts, self._costs.active[kept], self._costs.total[kept], self._costs.share[kept])
        price = prices(expected, costs, self._setting.limits, len(expected))
        choice = np.array(kept)[(expected - price).argmax(axis=1)]
        choice[undecided] = default
        self._tell()
        return choice, Chooser(fit_estimator(kind, situation.inputs, outcomes, seed), outcomes.experts, price)

    def figures(self, name: str, choice: NDArray[np.int64]) -> PolicyScore:
        scores = self.of(choice)
        active = None if self._setting.sizes is None else float(self._costs.active[choice[self._judged]].mean())
        gain = Gain() if self._best is None else bootstrap(scores - self._scores[:, self._best], self._setting.seed)
        return PolicyScore(name, float(scores.mean()), active, gain)

    def references(self) -> tuple[PolicyScore, ...]:
        """What no policy chooses: the best single expert, one at random, and each prompt's best."""
        best = () if self._best is None else (self.figures("best single", np.full(len(self._judged), self._best)),)
        active = None if self._setting.sizes is None else float(self._costs.active.mean())
        random = PolicyScore("random", float(self._scores.mean()), active, Gain())
        oracle = self.figures("oracle", self._oracle())
        return (*best, random, oracle)

    def _oracle(self) -> NDArray[np.int64]:
        choice = np.zeros(len(self._judged), dtype=np.int64)
        choice[self._judged] = (self._scores - 1e-6 * self._costs.active).argmax(axis=1)
        return choice

    def _folds(self) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
        for number in range(FOLDS):
            held_out = self._all.fold == number
            yield ~held_out, held_out

    def _tell(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, len(EVIDENCE_LEVELS) + len(KINDS) + 1)


def _kept(expert_map: ExpertMap, costs: Costs, limits: Limits) -> list[int]:
    """Experts that an estimator may choose from: where their sum is bounded, those that the map keeps."""
    if limits.max_total_params_b is None:
        return list(range(len(costs.experts)))
    named = {expert_map.default, *expert_map.by_category.values()}
    return [i for i, name in enumerate(costs.experts) if name in named]


def frontier(
    situation: Situation,
    setting: Setting,
    budgets: Sequence[float],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[tuple[float, PolicyScore], ...]:
    """The map's figures on held-out rows at each budget of average active parameters that can be met."""
    points: list[tuple[float, PolicyScore]] = []
    for done, budget in enumerate(budgets):
        if progress is not None:
            progress(done, len(budgets))
        limits = Limits(budget, setting.limits.max_total_params_b, setting.limits.max_share)
        within = Setting(setting.sizes, limits, setting.seed)
        costs = Costs.of(situation.outcomes.experts, setting.sizes, limits)
        try:
            trial = _Trial(situation, within, costs, None)
            tried = [trial.map(level) for level in EVIDENCE_LEVELS]
        except BudgetError:
            continue
        points.append((budget, trial.figures("map", max(tried, key=trial.score))))
    if progress is not None:
        progress(len(budgets), len(budgets))
    return tuple(points)
