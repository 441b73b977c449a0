"""The files of a router: in come its parts, out come `router.json` and `weights.safetensors`, and back.

JSON holds what a person may want to read, safetensors the arrays; neither can carry code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from routers.abstention import Abstention, Evidence
from routers.classifier import LinearClassifier
from routers.encoders.encoder import EncoderSpec
from routers.errors import ArtefactError, MapError
from routers.lexicon import COLUMNS, Lexicon
from routers.mapping.chooser import Chooser
from routers.mapping.estimators import EstimatorKind, restore
from routers.mapping.expert_map import ExpertMap
from routers.mapping.experts import ExpertSize
from routers.mapping.limits import Limits
from routers.mapping.paired import PairedScores
from routers.prototypes import Prototypes
from routers.signals import Signal
from routers.spelling import Spelling

RECORD_FILE = "router.json"
WEIGHTS_FILE = "weights.safetensors"
WORDS_FILE = "words.txt"
_PAIRED = ("counts", "sums", "squares", "products", "traffic")
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a router comes from. `metrics` are cross-validated figures, `libraries` versions by name.

    `forced`: why it would not have been written without `--force`; None where nothing spoke against it.
    `outcomes_until`: scores of answers in service were added up to this time, in seconds since 1970.
    """

    data_sha256: str
    rows: int
    seed: int
    metrics: Mapping[str, float]
    libraries: Mapping[str, str]
    forced: str | None = None
    outcomes_until: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RouterParts:
    """All that a router is, but for the encoder itself. `categories` are in the order of the classifier's classes.

    `paired`: the outcomes that `expert_map` was learned from, a row for each category and one for `general`, so that
    more can be added. `answered`: the same without those of experts that gave no answer, which votes are weighted by;
    None where the data told no answers. `chooser` stands in for the map where it was found better. `seen` (m,): marks
    of the training texts (`routers.marks`), ascending, by which prompts of an evaluation are known again.
    """

    categories: tuple[str, ...]
    encoder: EncoderSpec
    prototypes: Prototypes
    spelling: Spelling
    lexicon: Lexicon
    classifier: LinearClassifier
    abstention: Abstention
    expert_map: ExpertMap | None
    paired: PairedScores | None
    chooser: Chooser | None
    seen: NDArray[np.uint64]
    provenance: Provenance
    answered: PairedScores | None = None


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class _MapRecord(_Frozen):
    default: str
    by_category: dict[str, str]
    pool: dict[str, ExpertSize | None]
    limits: Limits
    evidence: float


class _ChooserRecord(_Frozen):
    kind: EstimatorKind
    experts: tuple[str, ...]


class _Record(_Frozen):
    categories: tuple[str, ...]
    encoder: EncoderSpec
    temperature: float
    outlier_class: bool
    reject_rate: float
    signals: tuple[Signal, ...]
    expert_map: _MapRecord | None
    compared_experts: tuple[str, ...] | None
    chooser: _ChooserRecord | None
    training: Provenance


def write_parts(parts: RouterParts, folder: Path) -> None:
    from safetensors.numpy import save_file  # noqa: PLC0415 - only where a router is written

    chooser = parts.chooser
    record = _Record(
        categories=parts.categories,
        encoder=parts.encoder,
        temperature=parts.classifier.temperature,
        outlier_class=parts.classifier.outlier_class,
        reject_rate=parts.abstention.reject_rate,
        signals=parts.abstention.evidence.signals,
        expert_map=None if parts.expert_map is None else _map_record(parts.expert_map),
        compared_experts=None if parts.paired is None else parts.paired.experts,
        chooser=None if chooser is None else _ChooserRecord(kind=chooser.estimator.kind, experts=chooser.experts),
        training=parts.provenance,
    )
    (folder / RECORD_FILE).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    (folder / WORDS_FILE).write_text("\n".join(parts.spelling.words), encoding="utf-8")
    # safetensors writes memory as it lies: an array in column order would come back scrambled.
    arrays = {name: np.ascontiguousarray(array) for name, array in _arrays(parts).items()}
    save_file(arrays, folder / WEIGHTS_FILE)


def _map_record(expert_map: ExpertMap) -> _MapRecord:
    return _MapRecord(
        default=expert_map.default,
        by_category=dict(expert_map.by_category),
        pool=dict(expert_map.pool),
        limits=expert_map.limits,
        evidence=expert_map.evidence,
    )


def _arrays(parts: RouterParts) -> Arrays:
    paired, answered, chooser = parts.paired, parts.answered, parts.chooser
    return {
        "dense": parts.classifier.dense,
        "words": parts.classifier.words,
        "intercept": parts.classifier.intercept,
        "prototypes": parts.prototypes.centres,
        "idf": parts.lexicon.idf,
        "signal_centres": parts.abstention.evidence.centres,
        "signal_spreads": parts.abstention.evidence.spreads,
        "calibration": parts.abstention.calibration,
        "seen": parts.seen,
        **({} if paired is None else {f"paired.{name}": getattr(paired, name) for name in _PAIRED}),
        **({} if answered is None else {f"answered.{name}": getattr(answered, name) for name in _PAIRED}),
        **({} if chooser is None else {f"chooser.{name}": a for name, a in chooser.estimator.arrays.items()}),
        **({} if chooser is None else {"chooser_prices": chooser.prices}),
    }


def read_parts(folder: Path) -> RouterParts:
    """Raises ArtefactError where the files do not describe a router."""
    from safetensors import SafetensorError  # noqa: PLC0415 - only where a router is loaded
    from safetensors.numpy import load_file  # noqa: PLC0415  # as the import above

    try:
        record = _Record.model_validate_json((folder / RECORD_FILE).read_bytes())
        arrays = load_file(folder / WEIGHTS_FILE)
        words = (folder / WORDS_FILE).read_text(encoding="utf-8").split()
        parts = _parts(record, arrays, Spelling(tuple(words)))
    except (OSError, UnicodeDecodeError, SafetensorError, KeyError, ValidationError, MapError) as error:
        raise ArtefactError(f"The router {folder} cannot be read: {error}") from error
    if not _fit_together(parts):
        raise ArtefactError(f"The router {folder} is inconsistent: its arrays do not fit together. Train it again")
    return parts


def _parts(record: _Record, arrays: Arrays, spelling: Spelling) -> RouterParts:
    of_map = record.expert_map
    evidence = Evidence(record.signals, arrays["signal_centres"], arrays["signal_spreads"])
    return RouterParts(
        categories=record.categories,
        encoder=record.encoder,
        prototypes=Prototypes(arrays["prototypes"]),
        spelling=spelling,
        lexicon=Lexicon(arrays["idf"]),
        classifier=LinearClassifier(
            arrays["dense"],
            arrays["words"],
            arrays["intercept"],
            record.temperature,
            outlier_class=record.outlier_class,
        ),
        abstention=Abstention(evidence, arrays["calibration"], record.reject_rate),
        expert_map=None
        if of_map is None
        else ExpertMap(of_map.default, of_map.by_category, of_map.pool, of_map.limits, of_map.evidence),
        paired=_scores(record, arrays, "paired"),
        answered=_scores(record, arrays, "answered") if "answered.counts" in arrays else None,
        chooser=None if record.chooser is None else _chooser(record.chooser, arrays),
        seen=arrays["seen"],
        provenance=record.training,
    )


def _scores(record: _Record, arrays: Arrays, name: str) -> PairedScores | None:
    if record.compared_experts is None:
        return None
    return PairedScores(record.compared_experts, *(arrays[f"{name}.{part}"] for part in _PAIRED))


def _chooser(record: _ChooserRecord, arrays: Arrays) -> Chooser:
    own = {name.removeprefix("chooser."): array for name, array in arrays.items() if name.startswith("chooser.")}
    return Chooser(restore(record.kind, own), record.experts, arrays["chooser_prices"])


def _fit_together(parts: RouterParts) -> bool:
    centres, classifier, abstention = parts.prototypes.centres, parts.classifier, parts.abstention
    classes = len(parts.categories) + classifier.outlier_class
    signals = (len(abstention.evidence.signals),)
    floats = (classifier.dense, classifier.words, classifier.intercept, centres, abstention.calibration)
    return (
        centres.ndim == 2
        and centres.shape[1] == parts.encoder.dim
        and parts.lexicon.idf.shape == (COLUMNS,)
        and classifier.dense.shape == (parts.encoder.dim, classes)
        and classifier.words.shape == (COLUMNS, classes)
        and classifier.intercept.shape == (classes,)
        and abstention.evidence.centres.shape == signals
        and abstention.evidence.spreads.shape == signals
        and abstention.calibration.ndim == 1
        and ("margin" not in abstention.evidence.signals or classifier.outlier_class)
        and _outcomes_fit(parts)
        and all(bool(np.isfinite(array).all()) for array in floats)
    )


def _outcomes_fit(parts: RouterParts) -> bool:
    expert_map, paired, chooser = parts.expert_map, parts.paired, parts.chooser
    if expert_map is None:
        return paired is None and parts.answered is None and chooser is None
    if chooser is not None and not set(chooser.experts) <= set(expert_map.pool):
        return False
    rows = len(parts.categories) + 1
    return all(_scores_fit(scores, rows) for scores in (paired, parts.answered) if scores is not None)


def _scores_fit(scores: PairedScores, rows: int) -> bool:
    experts = len(scores.experts)
    return scores.traffic.shape == (rows,) and all(
        getattr(scores, name).shape == (rows, experts, experts) for name in _PAIRED[:4]
    )
