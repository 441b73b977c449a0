"""Training: in come labelled prompts, an encoder and budgets, out come a category router and a report on it.

prompts -> checked and without repeats -> vectors, words -> cross-validation -> classifier, prototypes, abstention
        -> outcomes by category -> expert map
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np
import orjson

from routers.abstention import fit_abstention
from routers.classifier import STRENGTHS, LinearClassifier, log_loss
from routers.encoders.encoder import Encoder, Vectors
from routers.errors import DataError, MapError
from routers.lexicon import Lexicon, fit_lexicon
from routers.mapping.expert_map import ExpertMap, learn_map
from routers.mapping.experts import ExpertSize
from routers.mapping.outcomes import experts_seen, outcome_table
from routers.prompts import LabelledPrompt
from routers.prototypes import Prototypes
from routers.ranking import auroc
from routers.record import Provenance, RouterParts
from routers.router import CategoryRouter
from routers.validation import FOLDS, HeldOut, Rows, cross_validate

MIN_ROWS = FOLDS
LIBRARIES = ("numpy", "scikit-learn", "scipy", "tokenizers")
# (stage, steps done, steps in all)
StageProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class MapSettings:
    """What the expert map is chosen by; parameters in billions. `sizes` None: costs are not known."""

    sizes: Mapping[str, ExpertSize] | None = None
    max_active_params_b: float | None = None
    max_total_params_b: float | None = None


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What the data held and how the router did on rows held out of its fit. Shares and scores are in [0, 1].

    `repeats`: rows whose prompt and category occurred before; the classifier sees them once, the map every time.
    `conflicts`: prompts with more than one category. `not_mapped`: experts that have outcomes or a size, but not
    both. `ood_auroc`: None without out-of-scope rows.
    """

    rows_by_category: Mapping[str, int]
    out_of_scope: int
    unlabelled: int
    repeats: int
    conflicts: tuple[str, ...]
    not_mapped: tuple[str, ...]
    accuracy: float
    log_loss: float
    ood_auroc: float | None


@dataclass(frozen=True, slots=True)
class _Sorted:
    """Rows by what they are good for. `in_scope` and `out_of_scope` are without repeats."""

    in_scope: tuple[LabelledPrompt, ...]
    out_of_scope: tuple[LabelledPrompt, ...]
    unlabelled: int
    repeats: int
    conflicts: tuple[str, ...]

    def rows_by_category(self) -> dict[str, int]:
        return dict(sorted(Counter(prompt.category or "" for prompt in self.in_scope).items()))


def train(
    prompts: Sequence[LabelledPrompt],
    encoder: Encoder,
    *,
    mapping: MapSettings | None = None,
    reject_rate: float = 0.05,
    seed: int = 0,
    progress: StageProgress | None = None,
) -> tuple[CategoryRouter, TrainingReport]:
    """A router for the categories of `prompts`; it learns an expert map where they hold outcomes.

    `reject_rate` in [0, 1): the share of in-scope prompts that may go to `general`. The same prompts, encoder and
    seed give the same router. Raises DataError (too few categories or rows), MapError or BudgetError.
    """
    if not 0 <= reject_rate < 1:
        raise DataError(f"The reject rate must be in [0, 1), not {reject_rate}")
    rows = _sort(prompts)
    counts = rows.rows_by_category()
    _check_enough(counts)
    categories = tuple(counts)
    # Before the encoder runs: a budget that cannot be met is told at once.
    expert_map, not_mapped = _learn_map(prompts, categories, mapping or MapSettings(), reject_rate)
    texts = [prompt.text for prompt in (*rows.in_scope, *rows.out_of_scope)]
    vectors = encoder.encode(texts, _stage("encode", progress))
    lexicon = fit_lexicon(texts)
    fitting = _fitting_rows(rows, categories, vectors, lexicon)
    held_out, prototypes, classifier = _fit(fitting, seed, _stage("cross-validate", progress))
    labels = fitting.labels[fitting.inside]
    report = TrainingReport(
        rows_by_category=counts,
        out_of_scope=len(rows.out_of_scope),
        unlabelled=rows.unlabelled,
        repeats=rows.repeats,
        conflicts=rows.conflicts,
        not_mapped=not_mapped,
        accuracy=float((held_out.logits.argmax(axis=1) == labels).mean()),
        log_loss=log_loss(held_out.logits, labels, held_out.temperature),
        ood_auroc=_held_out_auroc(held_out),
    )
    parts = RouterParts(
        categories=categories,
        encoder=encoder.spec,
        prototypes=prototypes,
        lexicon=lexicon,
        classifier=classifier,
        abstention=fit_abstention(held_out.confidence, reject_rate, held_out.signal),
        expert_map=expert_map,
        provenance=_provenance(prompts, seed, report),
    )
    return CategoryRouter(parts, encoder), report


def _stage(name: str, progress: StageProgress | None) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(name, done, total)


def _fitting_rows(rows: _Sorted, categories: Sequence[str], vectors: Vectors, lexicon: Lexicon) -> Rows:
    """The rows to fit on; out-of-scope ones take part as one more class where there are enough for every fold."""
    place = {category: i for i, category in enumerate(categories)}
    labels = [place[prompt.category or ""] for prompt in rows.in_scope]
    prompts = list(rows.in_scope)
    if len(rows.out_of_scope) >= MIN_ROWS:
        prompts += rows.out_of_scope
        labels += [len(categories)] * len(rows.out_of_scope)
    words = lexicon.features([prompt.text for prompt in prompts])
    return Rows(vectors[: len(prompts)], words, np.array(labels, dtype=np.int64), len(categories))


def _fit(
    rows: Rows, seed: int, progress: Callable[[int, int], None] | None
) -> tuple[HeldOut, Prototypes, LinearClassifier]:
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # noqa: PLC0415 - training only

    # One thread gives the same bits each time, and on cores that others use it is several times as fast: the
    # matrices are small, and threads that spin for one another cost more than they add.
    with threadpool_limits(limits=1):
        held_out = cross_validate(rows, seed, progress)
        prototypes = rows.prototypes(seed)
        fitted = rows.fit(prototypes, STRENGTHS[: held_out.strength + 1])[-1]
    return held_out, prototypes, replace(fitted, temperature=held_out.temperature)


def _sort(prompts: Sequence[LabelledPrompt]) -> _Sorted:
    labelled = [prompt for prompt in prompts if prompt.labelled]
    by_key: dict[tuple[str, str | None], LabelledPrompt] = {}
    for prompt in labelled:
        by_key.setdefault((prompt.text, prompt.category), prompt)
    distinct = by_key.values()
    times = Counter(prompt.text for prompt in distinct)
    return _Sorted(
        in_scope=tuple(prompt for prompt in distinct if not prompt.out_of_scope),
        out_of_scope=tuple(prompt for prompt in distinct if prompt.out_of_scope),
        unlabelled=len(prompts) - len(labelled),
        repeats=len(labelled) - len(distinct),
        conflicts=tuple(text for text, count in times.items() if count > 1),
    )


def _check_enough(counts: Mapping[str, int]) -> None:
    if len(counts) < 2:
        found = f"only {next(iter(counts))!r}" if counts else "none"
        raise DataError(f"A router needs prompts of 2 categories or more, the data holds {found}: label more rows")
    few = [f"{category!r} ({rows})" for category, rows in counts.items() if rows < MIN_ROWS]
    if few:
        raise DataError(
            f"A category needs {MIN_ROWS} different prompts or more; too few: {', '.join(few)}. "
            "Add rows, or give them another category"
        )


def _learn_map(
    prompts: Sequence[LabelledPrompt], categories: Sequence[str], settings: MapSettings, default_traffic: float
) -> tuple[ExpertMap | None, tuple[str, ...]]:
    """The map, or None without outcomes; and the experts that could not take part."""
    seen, sizes = experts_seen(prompts), settings.sizes
    if not seen:
        if settings.max_active_params_b is not None or settings.max_total_params_b is not None:
            raise MapError("A parameter budget needs data with `outcomes`: without them no expert map is learned")
        return None, ()
    usable = seen if sizes is None else [name for name in seen if name in sizes]
    if not usable:
        raise MapError("No expert of the experts file has outcomes in the data: the names must be the same in both")
    expert_map = learn_map(
        outcome_table(prompts, categories, usable, default_traffic),
        sizes,
        max_active_params_b=settings.max_active_params_b,
        max_total_params_b=settings.max_total_params_b,
    )
    return expert_map, tuple(sorted({*seen, *(sizes or ())} - set(usable)))


def _held_out_auroc(held_out: HeldOut) -> float | None:
    if not len(held_out.outlier_confidence):
        return None
    return auroc(held_out.confidence, held_out.outlier_confidence)


def _provenance(prompts: Sequence[LabelledPrompt], seed: int, report: TrainingReport) -> Provenance:
    metrics = {"accuracy": report.accuracy, "log_loss": report.log_loss}
    if report.ood_auroc is not None:
        metrics["ood_auroc"] = report.ood_auroc
    return Provenance(
        data_sha256=fingerprint(prompts),
        rows=len(prompts),
        seed=seed,
        metrics=metrics,
        libraries={name: version(name) for name in LIBRARIES},
    )


def fingerprint(prompts: Sequence[LabelledPrompt]) -> str:
    """sha256 of what training reads of the rows, in their order; the files' names and layout do not count."""
    digest = hashlib.sha256()
    for prompt in prompts:
        row = [prompt.text, prompt.labelled, prompt.category, dict(prompt.outcomes)]
        digest.update(orjson.dumps(row, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE))
    return digest.hexdigest()
