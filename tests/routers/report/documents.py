"""A report written by hand, so that every figure of it is known."""

from routers.evaluation import LatencyFigures
from routers.gain import Gain
from routers.mapping.policies import PolicyScore
from routers.report.document import (
    CategoryEntry,
    ClassificationEntry,
    DataFigures,
    FrontierEntry,
    OutcomesEntry,
    OutOfScopeEntry,
    ReportDocument,
    TrainedOn,
)
from routers.report.figures import CalibrationBin

LATENCY = LatencyFigures(0.35, 0.5)


def written(name: str = "law", expert: str = "jurist", *, objection: str | None = None) -> ReportDocument:
    """`name` is a category, `expert` serves it."""
    gain = Gain(0.0213, (0.0108, 0.0319), 0.0002)
    return ReportDocument(
        objection=objection,
        forced=objection is not None,
        trained_on=TrainedOn(rows=100, data_sha256="ab" * 32, seed=3, encoder="static: test", libraries={"numpy": "2"}),
        data=DataFigures(
            out_of_scope=12,
            unlabelled=7,
            repeats=5,
            conflicts=2,
            conflict=f"which {name}?",
            not_mapped=(expert + "-xl",),
        ),
        categories=(
            CategoryEntry(name=name, prompts=60, recall=0.9, expert=expert, gain=0.0987, p_value=0.0123),
            CategoryEntry(name="maths", prompts=40, recall=0.75, expert="generalist", gain=None, p_value=None),
        ),
        general="generalist",
        classification=ClassificationEntry(
            accuracy=0.8472,
            ci95=(0.81, 0.88),
            log_loss=0.4321,
            calibration_error=0.0246,
            calibration=(CalibrationBin(0.55, 0.52, 0.3), CalibrationBin(0.93, 0.97, 0.7)),
            confusion=((54, 6), (10, 30)),
            self_training=True,
        ),
        out_of_scope=OutOfScopeEntry(
            signals=("energy",), mixed_outliers=False, reject_rate=0.05, auroc=0.9514, recall=0.7812
        ),
        outcomes=OutcomesEntry(
            rows=100,
            compared=90,
            default="generalist",
            evidence=0.05,
            chosen="map",
            best_single="generalist",
            co_failure=0.1731,
            policies=(
                PolicyScore("map", 0.5613, 7.25, gain),
                PolicyScore("best single", 0.54, 8.0, Gain(0.0, (0.0, 0.0), 1.0)),
                PolicyScore("random", 0.41, 7.5, Gain()),
            ),
            frontier=(
                FrontierEntry(budget=7.0, score=0.5, active_params_b=7.0, best_single=0.4788, gain=gain),
                FrontierEntry(budget=8.0, score=0.5613, active_params_b=7.25, best_single=0.54, gain=gain),
            ),
        ),
        latency_ms=LATENCY,
    )
