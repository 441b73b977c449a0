"""Training: in come labelled prompts, an encoder and limits, out come a category router and a report on it.

prompts -> sorted -> stage one: vectors, words -> cross-validation -> classifier, abstention, held-out predictions
                  -> stage two: held-out predictions, outcomes -> policies -> expert map, chooser
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np

from routers.encoders.encoder import Encoder
from routers.errors import DataError, MapError
from routers.folds import assign_folds
from routers.mapping.expert_map import check_limits
from routers.mapping.experts import ExpertSize
from routers.mapping.limits import Limits
from routers.mapping.outcomes import answered_outcomes_of, experts_seen, outcomes_of
from routers.mapping.paired import PairedScores
from routers.mapping.policies import FOLDS, Selection, Setting, Situation, frontier, select_policy
from routers.marks import text_marks
from routers.prompts import LabelledPrompt
from routers.record import Provenance, RouterParts
from routers.report.figures import Frontier, OutcomeReport, TrainingReport, category_report
from routers.router import CategoryRouter
from routers.rows import SortedRows, fingerprint, sort_rows
from routers.stage_one import StageOne, fit_stage_one

LIBRARIES = ("numpy", "scikit-learn", "scipy", "tokenizers")
FRONTIER_POINTS = 8
STAGES = ("encode", "cross-validate", "compare policies", "frontier")
# (stage, steps done, steps in all)
StageProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class MapSettings:
    """What the expert map is chosen by. `sizes` None: costs are not known.

    `frontier`: budgets of average active parameters, in billions, to report the score at; empty: some between the
    smallest and the largest expert.
    """

    sizes: Mapping[str, ExpertSize] | None = None
    limits: Limits = field(default_factory=Limits)
    frontier: tuple[float, ...] = ()


def train(
    prompts: Sequence[LabelledPrompt],
    encoder: Encoder,
    *,
    mapping: MapSettings | None = None,
    reject_rate: float = 0.05,
    seed: int = 0,
    progress: StageProgress | None = None,
) -> tuple[CategoryRouter, TrainingReport]:
    """A router for the categories of `prompts`; it learns whom to ask where they hold outcomes.

    `reject_rate` in [0, 1): the share of in-scope prompts that may go to `general`. The same prompts, encoder and
    seed give the same router. Raises DataError (too few categories or rows), MapError or BudgetError.
    """
    settings = mapping or MapSettings()
    rows, experts, not_mapped = check_input(prompts, settings, reject_rate)
    with _one_thread():
        stages = [_stage(name, progress) for name in STAGES]
        first = fit_stage_one(
            rows, encoder, reject_rate=reject_rate, seed=seed, encoding=stages[0], validating=stages[1]
        )
        told = [prompt for prompt in prompts if not prompt.outcomes.keys().isdisjoint(experts)]
        situation = _situation(told, experts, first, seed) if experts else None
        setting = Setting(settings.sizes, settings.limits, seed)
        selection = None if situation is None else select_policy(situation, setting, stages[2])
        outcomes = (
            None
            if situation is None or selection is None
            else _outcome_report(situation, selection, settings, seed, stages[3])
        )
    report = _report(rows, not_mapped, first, outcomes, reject_rate)
    parts = RouterParts(
        categories=first.categories,
        encoder=encoder.spec,
        prototypes=first.prototypes,
        spelling=first.spelling,
        lexicon=first.lexicon,
        classifier=first.classifier,
        abstention=first.abstention,
        expert_map=None if selection is None else selection.expert_map,
        paired=None if situation is None else situation.paired(),
        chooser=None if selection is None else selection.chooser,
        seen=np.unique(text_marks(prompt.text for prompt in prompts)),
        provenance=_provenance(prompts, seed, report),
        answered=None if situation is None else _answered(told, situation),
    )
    return CategoryRouter(parts, encoder), report


def check_input(
    prompts: Sequence[LabelledPrompt], mapping: MapSettings, reject_rate: float
) -> tuple[SortedRows, list[str], tuple[str, ...]]:
    """The rows, experts that can take part, and those that cannot; told before an encoder is opened.

    Raises what `train` raises, but for limits that only the traffic of the categories can tell to be too tight.
    """
    if not 0 <= reject_rate < 1:
        raise DataError(f"The reject rate must be in [0, 1), not {reject_rate}")
    return sort_rows(prompts), *_usable_experts(prompts, mapping)


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread gives the same bits each time, and on cores that others use it is several times as fast: the matrices
    are small, and threads that spin for one another cost more than they add.
    """
    # Only libraries that are loaded can be limited, and each brings its own linear algebra.
    import sklearn.cluster  # noqa: F401, PLC0415  # as the import above
    from threadpoolctl import threadpool_limits  # noqa: PLC0415  # as the import above

    with threadpool_limits(limits=1):
        yield


def _stage(name: str, progress: StageProgress | None) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(name, done, total)


def _usable_experts(prompts: Sequence[LabelledPrompt], settings: MapSettings) -> tuple[list[str], tuple[str, ...]]:
    """Experts that can take part, none without outcomes; and those that cannot. Tells limits that nothing meets."""
    seen, sizes = experts_seen(prompts), settings.sizes
    if not seen:
        if settings.limits != Limits():
            raise MapError("A budget needs data with `outcomes`: without them no expert map is learned")
        return [], ()
    usable = seen if sizes is None else [name for name in seen if name in sizes]
    if not usable:
        raise MapError("No expert of the experts file has outcomes in the data: the names must be the same in both")
    check_limits(usable, sizes, settings.limits)
    return usable, tuple(sorted({*seen, *(sizes or ())} - set(usable)))


def _situation(told: Sequence[LabelledPrompt], experts: Sequence[str], first: StageOne, seed: int) -> Situation:
    """`told`: the rows that hold an outcome of one of `experts` or more."""
    predicted = first.predicted(told)
    return Situation(
        categories=first.categories,
        inputs=predicted.inputs,
        found=predicted.found,
        true=first.labels(told),
        outcomes=outcomes_of(told, experts),
        fold=assign_folds(predicted.inputs.vectors, predicted.found, FOLDS, seed),
    )


def _answered(told: Sequence[LabelledPrompt], situation: Situation) -> PairedScores | None:
    if not any(prompt.answers for prompt in told):
        return None
    outcomes = answered_outcomes_of(told, situation.outcomes.experts)
    return PairedScores.of(outcomes, situation.found, len(situation.categories) + 1)


def _outcome_report(
    situation: Situation,
    selection: Selection,
    settings: MapSettings,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> OutcomeReport:
    complete = situation.outcomes.scores[situation.outcomes.complete]
    return OutcomeReport(
        rows=len(situation.outcomes),
        compared=len(complete),
        selection=selection,
        co_failure=float((complete.max(axis=1) <= 0).mean()) if len(complete) else None,
        frontier=_frontier(situation, settings, seed, progress) if selection.scores else (),
    )


def _frontier(
    situation: Situation, settings: MapSettings, seed: int, progress: Callable[[int, int], None] | None
) -> Frontier:
    if settings.sizes is None:
        return ()
    active = [settings.sizes[name].active_params_b for name in situation.outcomes.experts]
    between = np.geomspace(min(active), max(active), FRONTIER_POINTS).round(1)
    budgets = settings.frontier or tuple(sorted({float(budget) for budget in between}))
    return frontier(situation, Setting(settings.sizes, settings.limits, seed), budgets, progress)


def _report(
    rows: SortedRows,
    not_mapped: tuple[str, ...],
    first: StageOne,
    outcomes: OutcomeReport | None,
    reject_rate: float,
) -> TrainingReport:
    return TrainingReport(
        rows_by_category=rows.by_category(),
        out_of_scope=len(rows.out_of_scope),
        unlabelled=len(rows.unlabelled),
        repeats=rows.repeats,
        conflicts=rows.conflicts,
        not_mapped=not_mapped,
        category=category_report(first, reject_rate),
        outcomes=outcomes,
    )


def _provenance(prompts: Sequence[LabelledPrompt], seed: int, report: TrainingReport) -> Provenance:
    return Provenance(
        data_sha256=fingerprint(prompts),
        rows=len(prompts),
        seed=seed,
        metrics=report.metrics(),
        libraries={name: version(name) for name in LIBRARIES},
    )
