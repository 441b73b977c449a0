"""Whether an adapter can go into an engine: its folder and the base's layers go in, nothing or an error comes out.

An engine refuses some bad adapters with a sentence for its developers, takes others and answers nonsense, and dies of a
few. So each is judged before. No weight is loaded: the headers of the files tell names and shapes. Messages name files
without their folder, which the caller knows.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import orjson

from workers.adapters.base_layers import BaseLayers, Size
from workers.errors import AdapterRefusedError
from workers.tensor_header import TensorFileError, TensorInfo, read_header

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # those that vLLM takes for --max-lora-rank
AdapterConfig: TypeAlias = Mapping[str, object]

_PLAIN_START = frozenset({"gaussian", "eva", "orthogonal", "mica", "lora_ga"})
_NAME = re.compile(
    r"(?:base_model\.model\.)?(?P<module>.+)\.(?P<part>lora_A\.weight|lora_B\.weight|lora_embedding_A|lora_embedding_B)"
)
_KEPT_BASE = (".embed_tokens.base_layer.weight", ".lm_head.base_layer.weight")  # the engine passes over them
_UNSUPPORTED: tuple[tuple[str, Callable[[object], bool], str], ...] = (
    ("bias", lambda value: value not in (None, "none"), "train it with `bias: none`"),
    ("modules_to_save", bool, "train it without `modules_to_save`: engines take low-rank layers alone"),
    ("use_dora", bool, "train it without DoRA"),
    ("lora_bias", bool, "train it without `lora_bias`"),
    ("use_qalora", bool, "train it without QALoRA"),
    ("use_bdlora", bool, "train it without BD-LoRA"),
    ("layer_replication", bool, "train it without `layer_replication`"),
    ("alora_invocation_tokens", bool, "train it as a plain LoRA, not as an activated one"),
    (
        "init_lora_weights",
        lambda value: isinstance(value, str) and value.lower() not in _PLAIN_START,
        "convert it to a plain LoRA with PEFT's `path_initial_model_for_weight_conversion`",
    ),
)


@dataclass(frozen=True, slots=True)
class _Pair:
    """The two factors of one layer."""

    module: str
    rank: int
    outputs: int
    inputs: int
    embedding: bool


def read_config(directory: Path) -> AdapterConfig:
    """The adapter's `adapter_config.json`. Raises `AdapterRefusedError` where it is not one of a LoRA adapter."""
    file = directory / CONFIG_FILE
    try:
        config = orjson.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise AdapterRefusedError(
            f"`{CONFIG_FILE}` cannot be read ({error}): save the adapter again, with PEFT's `save_pretrained`"
        ) from error
    if not isinstance(config, dict):
        raise AdapterRefusedError(f"`{file.name}` is not a JSON object: save the adapter again")
    kind = config.get("peft_type")
    if kind != "LORA":
        raise AdapterRefusedError(f"`{file.name}` is of `peft_type` {kind!r}: engines take `LORA` alone")
    return config


def highest_rank(config: AdapterConfig) -> int:
    """The largest rank that the adapter uses anywhere. Raises `AdapterRefusedError` where one is not above 0."""
    patterns = config.get("rank_pattern") or {}
    ranks = [config.get("r"), *(patterns.values() if isinstance(patterns, dict) else [patterns])]
    whole = [rank for rank in ranks if isinstance(rank, int) and not isinstance(rank, bool) and rank > 0]
    if len(whole) < len(ranks):
        raise AdapterRefusedError(
            f"`{CONFIG_FILE}` has the rank {ranks[0]!r} (`r`, `rank_pattern`): each must be a whole number above 0"
        )
    return max(whole)


def check_adapter(
    directory: Path, base: BaseLayers, *, model: str, max_rank: int, layers: frozenset[str] = frozenset()
) -> None:
    """Raise `AdapterRefusedError` where the adapter in `directory` cannot serve on an engine of `model`. Blocks.

    `layers`: those that the engine has room in, by the last part of their names; empty where in all.
    """
    config = read_config(directory)
    for key, unsupported, remedy in _UNSUPPORTED:
        if unsupported(config.get(key)):
            raise AdapterRefusedError(f"`{CONFIG_FILE}` sets `{key}`, which engines do not serve: {remedy}")
    for key in ("lora_alpha", "target_modules"):
        if config.get(key) is None:
            raise AdapterRefusedError(f"`{CONFIG_FILE}` has no `{key}`: save the adapter again")
    rank = highest_rank(config)
    if rank > max_rank:
        raise AdapterRefusedError(
            f"it has rank {rank}, and the engine of model `{model}` was started for at most "
            f"{max_rank}: raise `models.{model}.max_lora_rank` to {_room_for(rank)} and start the service again, or "
            "train the adapter with a lower rank"
        )
    for pair in _pairs(directory):
        _check_rank(pair, config)
        _check_base(pair, config, base, model)
        if layers and pair.module.rpartition(".")[2] not in layers:
            raise AdapterRefusedError(
                f"it changes `{pair.module}`, and the engine of model `{model}` was started for adapters of "
                f"{', '.join(sorted(layers))}: start the service again with the adapter in its place, or train it "
                "without"
            )


def _room_for(rank: int) -> int:
    return next((allowed for allowed in RANKS if allowed >= rank), rank)


def _pairs(directory: Path) -> Iterator[_Pair]:
    parts: dict[str, dict[str, TensorInfo]] = {}
    file = directory / WEIGHTS_FILE
    for name, tensor in _tensors(file).items():
        if name.endswith(_KEPT_BASE):
            continue
        match = _NAME.fullmatch(name)
        if match is None:
            raise AdapterRefusedError(
                f"`{file.name}` holds `{name}`, which is no part of a plain LoRA: train it on linear layers alone"
            )
        parts.setdefault(match["module"], {})["A" if "_A" in match["part"] else "B"] = tensor
        parts[match["module"]].update({"embedding": tensor} if "embedding" in match["part"] else {})
    if not parts:
        raise AdapterRefusedError(f"`{file.name}` holds no LoRA weights: save the adapter again")
    for module, found in parts.items():
        if not {"A", "B"} <= found.keys():
            missing = "lora_B" if "A" in found else "lora_A"
            raise AdapterRefusedError(f"`{file.name}` has no `{missing}` for `{module}`: save the adapter again")
        yield _pair(module, found, file)


def _pair(module: str, found: Mapping[str, TensorInfo], file: Path) -> _Pair:
    first, second = found["A"].shape, found["B"].shape
    if len(first) != 2 or len(second) != 2 or first[0] != second[1]:
        raise AdapterRefusedError(
            f"`{file.name}`: the factors of `{module}` do not fit each other, lora_A is {list(first)} and lora_B "
            f"{list(second)}: save the adapter again"
        )
    return _Pair(module, first[0], second[0], first[1], "embedding" in found)


def _tensors(file: Path) -> dict[str, TensorInfo]:
    try:
        return read_header(file)
    except FileNotFoundError as error:
        raise AdapterRefusedError(f"there is no `{file.name}`: save the adapter as safetensors") from error
    except (TensorFileError, OSError) as error:
        raise AdapterRefusedError(
            f"`{file.name}` is damaged or incomplete, {error}: copy or save the adapter again"
        ) from error


def _check_rank(pair: _Pair, config: AdapterConfig) -> None:
    stated = _stated_rank(pair.module, config)
    if pair.rank != stated:
        raise AdapterRefusedError(
            f"the weights of `{pair.module}` in `{WEIGHTS_FILE}` have rank {pair.rank}, but "
            f"`{CONFIG_FILE}` says {stated}: the two files are not of one adapter, save it again"
        )


def _stated_rank(module: str, config: AdapterConfig) -> object:
    """As PEFT chooses: a pattern fits as the end of the module's name, from a dot on."""
    patterns = config.get("rank_pattern")
    for pattern, rank in patterns.items() if isinstance(patterns, dict) else ():
        try:
            if re.match(rf"(.*\.)?({pattern})$", module):
                return rank
        except re.error:
            continue
    return config.get("r")


def _check_base(pair: _Pair, config: AdapterConfig, base: BaseLayers, model: str) -> None:
    name = base.find(pair.module)
    size = base.sizes[name] if name else None
    if size and pair.embedding:  # an embedding is looked up, not multiplied: its factors are the other way round
        size = Size(size.inputs, size.outputs)
    if size is not None and (pair.outputs, pair.inputs) != tuple(size):
        what = f"`{pair.module}` as {pair.outputs} x {pair.inputs}, where the model has {size.outputs} x {size.inputs}"
    elif base.lacks(pair.module):
        what = f"`{pair.module}`, which the model does not have"
    else:
        return
    made_for = config.get("base_model_name_or_path")
    origin = f" (`{CONFIG_FILE}` names `{made_for}`)" if made_for else ""
    raise AdapterRefusedError(
        f"it was made for another base than model `{model}`{origin}: it changes {what}; name an expert's `model` that "
        "fits, or train the adapter on this one"
    )
