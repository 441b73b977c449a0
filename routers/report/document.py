"""The report as a document: in come a router, its training's report and its latency, out comes typed JSON, and back.

Shares and scores are in [0, 1], gains are differences of such; parameters in billions; times in milliseconds. Table,
page and programs read the same document, and it knows nothing of how it is shown.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from routers.evaluation import LatencyFigures
from routers.gain import Gain
from routers.mapping.policies import PolicyScore
from routers.report.figures import CalibrationBin, CategoryReport, OutcomeReport, TrainingReport
from routers.report.preferences import default_expert, preferences
from routers.router import CategoryRouter
from routers.signals import Signal

JSON_FILE = "report.json"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainedOn(_Frozen):
    """Where the router comes from; with the same it is made again."""

    rows: int
    data_sha256: str
    seed: int
    encoder: str
    libraries: dict[str, str]


class DataFigures(_Frozen):
    """What the data held. `conflicts`: prompts with more than one category, of which `conflict` is one.

    `not_mapped`: experts with outcomes or a size, but not both.
    """

    out_of_scope: int
    unlabelled: int
    repeats: int
    conflicts: int
    conflict: str | None
    not_mapped: tuple[str, ...]


class CategoryEntry(_Frozen):
    """A category's `prompts`, the share of them found (`recall`), and the expert that the map names.

    `gain`: by how much that expert's mean score is above that of the default in this category, with the one-sided
    `p_value` that it is not above 0, on the rows that the map was learned from; None where it is the default, or no map
    was learned.
    """

    name: str
    prompts: int
    recall: float | None
    expert: str | None
    gain: float | None
    p_value: float | None


class ClassificationEntry(_Frozen):
    """Of held-out prompts. `confusion` [true][found]: rows, both in the order of the document's categories."""

    accuracy: float
    ci95: tuple[float, float]
    log_loss: float
    calibration_error: float
    calibration: tuple[CalibrationBin, ...]
    confusion: tuple[tuple[int, ...], ...]
    self_training: bool


class OutOfScopeEntry(_Frozen):
    """How prompts of no category are told. `recall`: share of them rejected when `reject_rate` of the others are.

    `mixed_outliers`: whether mixtures of prompts stood for out of scope in training.
    """

    signals: tuple[Signal, ...]
    mixed_outliers: bool
    reject_rate: float
    auroc: float | None
    recall: float | None


class FrontierEntry(_Frozen):
    """The map within a `budget` of average active parameters, beside the best single expert that fits it alone."""

    budget: float
    score: float
    active_params_b: float | None
    best_single: float | None
    gain: Gain


class OutcomesEntry(_Frozen):
    """`rows` hold an outcome; on the `compared`, which hold one of every expert, the policies are scored.

    `default`: the expert that others must be better than, `evidence` the level of that test. `chosen`: the policy that
    the router follows. `co_failure`: share of rows on which every expert fails.
    """

    rows: int
    compared: int
    default: str | None
    evidence: float
    chosen: str
    best_single: str | None
    co_failure: float | None
    policies: tuple[PolicyScore, ...]
    frontier: tuple[FrontierEntry, ...]

    def policy(self, name: str) -> PolicyScore | None:
        return next((policy for policy in self.policies if policy.name == name), None)


class RefreshedEntry(_Frozen):
    """A map that was learned again after training: from how many `outcomes` more, by which test (see OutcomesEntry)."""

    outcomes: int
    default: str | None
    evidence: float


class ReportDocument(_Frozen):
    """`objection`: why the router should not be used, None where nothing speaks against it; `forced`: written anyway.

    `general`: the expert for prompts of no category. `outcomes`: None where the data held none. `refreshed`: None where
    the map is that of the training; else categories and `general` are of the new map, and all else of the training.
    """

    format: Literal["coe-router-report"] = "coe-router-report"
    version: Literal[1] = 1
    objection: str | None
    forced: bool
    trained_on: TrainedOn
    data: DataFigures
    categories: tuple[CategoryEntry, ...]
    general: str | None
    classification: ClassificationEntry
    out_of_scope: OutOfScopeEntry
    outcomes: OutcomesEntry | None
    latency_ms: LatencyFigures
    refreshed: RefreshedEntry | None = None

    @property
    def default(self) -> str | None:
        """The expert that others had to be better than when the map was learned."""
        learned = self.refreshed or self.outcomes
        return None if learned is None else learned.default

    def to_json(self) -> str:
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "ReportDocument":
        """Raises pydantic's ValidationError, a ValueError, where it is no such document."""
        return cls.model_validate_json(text)


def document_of(router: CategoryRouter, report: TrainingReport, latency: LatencyFigures) -> ReportDocument:
    """`report` on the training of `router`."""
    expert_map = router.expert_map
    return ReportDocument(
        objection=report.objection(),
        forced=router.provenance.forced is not None,
        trained_on=_trained_on(router),
        data=_data(report),
        categories=_categories(router, report),
        general=None if expert_map is None else expert_map.default,
        classification=_classification(report.category),
        out_of_scope=OutOfScopeEntry(
            signals=report.category.signals,
            mixed_outliers=report.category.mixed_outliers,
            reject_rate=router.reject_rate,
            auroc=report.category.auroc,
            recall=report.category.out_of_scope_recall,
        ),
        outcomes=None if report.outcomes is None else _outcomes(report.outcomes, router),
        latency_ms=latency,
    )


def _trained_on(router: CategoryRouter) -> TrainedOn:
    provenance, spec = router.provenance, router.encoder.spec
    return TrainedOn(
        rows=provenance.rows,
        data_sha256=provenance.data_sha256,
        seed=provenance.seed,
        encoder=f"{spec.kind}: {spec.source}" if spec.source else spec.kind,
        libraries=dict(provenance.libraries),
    )


def _data(report: TrainingReport) -> DataFigures:
    return DataFigures(
        out_of_scope=report.out_of_scope,
        unlabelled=report.unlabelled,
        repeats=report.repeats,
        conflicts=len(report.conflicts),
        conflict=report.conflicts[0] if report.conflicts else None,
        not_mapped=report.not_mapped,
    )


def _classification(found: CategoryReport) -> ClassificationEntry:
    return ClassificationEntry(
        accuracy=found.accuracy,
        ci95=found.ci95,
        log_loss=found.log_loss,
        calibration_error=found.calibration_error,
        calibration=found.calibration,
        confusion=found.confusion,
        self_training=found.self_training,
    )


def _categories(router: CategoryRouter, report: TrainingReport) -> tuple[CategoryEntry, ...]:
    entries: list[CategoryEntry] = []
    for i, preference in enumerate(preferences(router.paired, router.expert_map, router.categories)):
        row, name = report.category.confusion[i], router.categories[i]
        entries.append(
            CategoryEntry(
                name=name,
                prompts=report.rows_by_category[name],
                recall=row[i] / sum(row) if sum(row) else None,
                **preference._asdict(),
            )
        )
    return tuple(entries)


def _outcomes(found: OutcomeReport, router: CategoryRouter) -> OutcomesEntry:
    selection = found.selection
    return OutcomesEntry(
        rows=found.rows,
        compared=found.compared,
        default=default_expert(router.paired, selection.expert_map),
        evidence=selection.expert_map.evidence,
        chosen=selection.chosen,
        best_single=selection.best_single,
        co_failure=found.co_failure,
        policies=selection.scores,
        frontier=tuple(_frontier_entry(budget, score) for budget, score in found.frontier),
    )


def _frontier_entry(budget: float, found: PolicyScore) -> FrontierEntry:
    gain = found.gain.mean
    return FrontierEntry(
        budget=budget,
        score=found.score,
        active_params_b=found.active_params_b,
        best_single=None if gain is None else found.score - gain,
        gain=found.gain,
    )
