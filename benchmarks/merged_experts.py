"""Full-weight experts of one family: `python -m benchmarks.merged_experts [--count N]`, their folders on stdout.

The adapters that ship are merged into their base at several scales, so that every expert has all the base's weights,
answers differently, and fits the same engine. Made once, kept beside the converted base: 270 MB each. Exit 0 or 1.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orjson

from benchmarks.programs import say
from benchmarks.running import run
from coe.runtime import cache_directory
from workers.errors import SourceError
from workers.sources.resolution import resolve
from workers.tensor_header import TensorFileError, read_header

_ADAPTERS = Path(__file__).parents[1] / "configs" / "adapters"
_NAMES = ("arithmetic", "extraction", "python", "sql")
_SCALES = (1.0, 0.75, 0.5, 1.25, 0.625, 0.875)  # of the adapter's own strength; every one answers in sentences
_WEIGHTS = "model.safetensors"

MOST = len(_NAMES) * len(_SCALES)


@dataclass(frozen=True, slots=True)
class MergedExpert:
    """`directory` is a whole checkpoint in bfloat16, with the base's own configuration and tokenizer."""

    name: str
    directory: Path


def base_directory(cache_dir: Path) -> Path:
    """The base of the adapters that ship, converted where it is not yet. Raises `SourceError`."""
    config = orjson.loads((_ADAPTERS / _NAMES[0] / "adapter_config.json").read_bytes())
    return resolve(config["base_model_name_or_path"], cache_dir, say)


def merged_experts(count: int, cache_dir: Path) -> list[MergedExpert]:
    """The first `count` experts, of 1 to 24; those not yet there take some three seconds each. Raises `SourceError`."""
    base = base_directory(cache_dir)
    wanted = [(name, scale) for scale in _SCALES for name in _NAMES][:count]
    return [_merged(base, name, scale) for name, scale in wanted]


def _merged(base: Path, adapter: str, scale: float) -> MergedExpert:
    name = f"{adapter}-{scale:g}"
    target = base.with_name(f"{base.name}-{name}")
    if not _is_whole(target / _WEIGHTS):
        say(f"merging {name}")
        shutil.rmtree(target, ignore_errors=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
        try:
            _merge(base, _ADAPTERS / adapter, scale, partial)
            partial.chmod(0o755)
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return MergedExpert(name, target)


def _is_whole(file: Path) -> bool:
    try:
        return bool(read_header(file))
    except (OSError, TensorFileError):
        return False


def _merge(base: Path, adapter: Path, scale: float, target: Path) -> None:
    """In float32, so that the rounding to bfloat16 happens once."""
    import torch  # noqa: PLC0415 - seconds, and only where an expert is missing
    from peft import PeftModel  # noqa: PLC0415 - loads torch, too
    from peft.tuners.lora import LoraLayer  # noqa: PLC0415 - loads torch, too
    from transformers import AutoModelForCausalLM  # noqa: PLC0415 - loads torch, too

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, local_files_only=True)
    tuned = PeftModel.from_pretrained(model, adapter)
    for layer in tuned.modules():
        if isinstance(layer, LoraLayer):
            layer.scale_layer(scale)
    tuned.merge_and_unload().to(torch.bfloat16).save_pretrained(target)
    for file in base.iterdir():  # an expert differs by its weights alone
        if file.name != _WEIGHTS:
            shutil.copy(file, target)


def _as_lines(experts: Sequence[MergedExpert]) -> str:
    return "\n".join(f"{expert.name}\t{expert.directory}" for expert in experts)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.merged_experts", description=__doc__)
    parser.add_argument("--count", type=int, default=12, choices=range(1, MOST + 1), metavar=f"1..{MOST}")
    count: int = parser.parse_args(arguments).count
    return run(partial(merged_experts, count, cache_directory()), _as_lines, (SourceError, OSError))


if __name__ == "__main__":
    sys.exit(main())
