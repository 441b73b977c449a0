"""The files of a router: in come its parts, out come `router.json` and `weights.safetensors`, and back.

JSON holds what a person may want to read, safetensors the arrays; neither can carry code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from routers.abstention import Abstention, Signal
from routers.classifier import LinearClassifier
from routers.encoders.encoder import EncoderSpec
from routers.errors import ArtefactError, MapError
from routers.lexicon import COLUMNS, Lexicon
from routers.mapping.expert_map import ExpertMap
from routers.mapping.experts import ExpertSize
from routers.prototypes import Prototypes

RECORD_FILE = "router.json"
WEIGHTS_FILE = "weights.safetensors"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a router comes from. `metrics` are cross-validated figures, `libraries` versions by name."""

    data_sha256: str
    rows: int
    seed: int
    metrics: Mapping[str, float]
    libraries: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class RouterParts:
    """All that a router is, but for the encoder itself. `categories` are in the order of the classifier's rows."""

    categories: tuple[str, ...]
    encoder: EncoderSpec
    prototypes: Prototypes
    lexicon: Lexicon
    classifier: LinearClassifier
    abstention: Abstention
    expert_map: ExpertMap | None
    provenance: Provenance


class _MapRecord(BaseModel):
    model_config = ConfigDict(frozen=True)
    default: str
    by_category: dict[str, str]
    pool: dict[str, ExpertSize | None]
    max_active_params_b: float | None
    max_total_params_b: float | None


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)
    categories: tuple[str, ...]
    encoder: EncoderSpec
    temperature: float
    outlier_class: bool
    reject_rate: float
    abstention_signal: Signal
    expert_map: _MapRecord | None
    training: Provenance


def write_parts(parts: RouterParts, folder: Path) -> None:
    from safetensors.numpy import save_file  # noqa: PLC0415 - only where a router is written

    expert_map = parts.expert_map
    record = _Record(
        categories=parts.categories,
        encoder=parts.encoder,
        temperature=parts.classifier.temperature,
        outlier_class=parts.classifier.outlier_class,
        reject_rate=parts.abstention.reject_rate,
        abstention_signal=parts.abstention.signal,
        expert_map=None
        if expert_map is None
        else _MapRecord(
            default=expert_map.default,
            by_category=dict(expert_map.by_category),
            pool=dict(expert_map.pool),
            max_active_params_b=expert_map.max_active_params_b,
            max_total_params_b=expert_map.max_total_params_b,
        ),
        training=parts.provenance,
    )
    (folder / RECORD_FILE).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    arrays = {
        "dense": parts.classifier.dense,
        "words": parts.classifier.words,
        "intercept": parts.classifier.intercept,
        "prototypes": parts.prototypes.centres,
        "idf": parts.lexicon.idf,
        "abstention_quantiles": parts.abstention.quantiles,
    }
    # safetensors writes memory as it lies: an array in column order would come back scrambled.
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / WEIGHTS_FILE)


def read_parts(folder: Path) -> RouterParts:
    """Raises ArtefactError where the files do not describe a router."""
    from safetensors import SafetensorError  # noqa: PLC0415 - only where a router is loaded
    from safetensors.numpy import load_file  # noqa: PLC0415  # as the import above

    try:
        record = _Record.model_validate_json((folder / RECORD_FILE).read_bytes())
        arrays = load_file(folder / WEIGHTS_FILE)
        parts = RouterParts(
            categories=record.categories,
            encoder=record.encoder,
            prototypes=Prototypes(arrays["prototypes"]),
            lexicon=Lexicon(arrays["idf"]),
            classifier=LinearClassifier(
                arrays["dense"],
                arrays["words"],
                arrays["intercept"],
                record.temperature,
                outlier_class=record.outlier_class,
            ),
            abstention=Abstention(arrays["abstention_quantiles"], record.reject_rate, record.abstention_signal),
            expert_map=None if record.expert_map is None else _map(record.expert_map),
            provenance=record.training,
        )
    except (OSError, SafetensorError, KeyError, ValidationError, MapError) as error:
        raise ArtefactError(f"The router {folder} cannot be read: {error}") from error
    _check_shapes(parts, folder)
    return parts


def _map(record: _MapRecord) -> ExpertMap:
    return ExpertMap(
        record.default, record.by_category, record.pool, record.max_active_params_b, record.max_total_params_b
    )


def _check_shapes(parts: RouterParts, folder: Path) -> None:
    centres, classifier = parts.prototypes.centres, parts.classifier
    classes = len(parts.categories) + classifier.outlier_class
    fits = (
        centres.ndim == 2
        and centres.shape[1] == parts.encoder.dim
        and parts.lexicon.idf.shape == (COLUMNS,)
        and classifier.dense.shape == (parts.encoder.dim + len(centres), classes)
        and classifier.words.shape == (COLUMNS, classes)
        and classifier.intercept.shape == (classes,)
        and (parts.abstention.signal == "typicality" or classifier.outlier_class)
        and bool(
            np.isfinite(classifier.dense).all() and np.isfinite(classifier.words).all() and np.isfinite(centres).all()
        )
    )
    if not fits:
        raise ArtefactError(f"The router {folder} is inconsistent: its arrays do not fit together. Train it again")
