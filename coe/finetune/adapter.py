"""The result on disk: `adapter_config.json`, `adapter_model.safetensors` and the card, as PEFT and vLLM read them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from coe.finetune.errors import CheckpointError

if TYPE_CHECKING:
    import torch

CARD = "README.md"
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
CHECKPOINTS = "checkpoints"


def refuse_foreign(out: Path) -> None:
    """Raise CheckpointError where `out` holds files that no earlier run has left there."""
    if out.exists() and not out.is_dir():
        raise CheckpointError(f"`{out}` is a file: name a folder for the adapter")
    known = {CARD, CONFIG, WEIGHTS, CHECKPOINTS}
    foreign = sorted(entry.name for entry in out.iterdir() if entry.name not in known) if out.is_dir() else []
    if foreign:
        raise CheckpointError(f"`{out}` holds other files ({', '.join(foreign[:3])}): name an empty or a new folder")


def write_adapter(out: Path, weights: Mapping[str, torch.Tensor], config: Mapping[str, object], card: str) -> None:
    """Write the three files, each whole or not at all; an adapter that was there is replaced.

    What is half written lies among the checkpoints, and goes with them.
    """
    from safetensors.torch import save  # noqa: PLC0415 - imports torch

    out.mkdir(parents=True, exist_ok=True)
    described = orjson.dumps(config, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
    _replace(out / WEIGHTS, save(dict(weights), metadata={"format": "pt"}))
    _replace(out / CONFIG, described)
    _replace(out / CARD, card.encode())


def _replace(path: Path, content: bytes) -> None:
    part = path.parent / CHECKPOINTS / f"{path.name}.part"
    part.parent.mkdir(exist_ok=True)
    with part.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)
