"""A checkpoint on disk: a folder goes in, its files, tensors and configuration come out. No tensor is read.

`refuse_unlike` says whether an engine that was started with one checkpoint can take another's weights in place, so that
it then answers as a process of that other one would. vLLM asks for less: it keeps the old weights where the new ones
lack a tensor, and answers with the mixture.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import orjson

from workers.errors import CheckpointRefusedError
from workers.tensor_header import TensorFileError, TensorInfo, read_header

CONFIG_FILE = "config.json"
Json: TypeAlias = Mapping[str, object]

_INDEX = "model.safetensors.index.json"
_SHOWN = 3
_OWN_MODEL = "give it a model, and so an engine, of its own"
# What is written into a configuration and changes no answer.
_IDLE = frozenset(
    {
        *("_name_or_path", "_model_name_or_path", "transformers_version", "unsloth_version", "unsloth_fixed"),
        *("torch_dtype", "dtype"),  # the tensors' own types are compared
        *("use_cache", "pad_token_id", "unk_token_id", "output_attentions", "output_hidden_states"),
        *("initializer_range", "attention_dropout", "hidden_dropout", "resid_pdrop", "embd_pdrop", "pretraining_tp"),
        *("gradient_checkpointing", "return_dict", "_from_model_config", "_commit_hash", "auto_map"),
    }
)
_SETTINGS = ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "special_tokens_map.json")
_TEXTS = ("chat_template.jinja", "tokenizer.model", "vocab.json", "merges.txt")
_ROTARY = ("rope_theta", "rope_scaling", "rope_parameters")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`files` are those with weights, in the order in which they are loaded; `config` is `config.json`."""

    directory: Path
    files: tuple[Path, ...]
    tensors: Mapping[str, TensorInfo]
    config: Json

    @property
    def read_files(self) -> list[Path]:
        """All files that tell whether it fits, also those that are judged beside the weights."""
        others = (CONFIG_FILE, _INDEX, *_SETTINGS, *_TEXTS)
        return [*self.files, *(file for name in others if (file := self.directory / name).is_file())]

    @property
    def nbytes(self) -> int:
        """Of all tensors: what a host copy takes."""
        return sum(tensor.end - tensor.begin for tensor in self.tensors.values())


def weight_files(directory: Path) -> list[Path]:
    """The safetensors files in `directory`, or those that its index names. Raises `OSError` or `ValueError`."""
    index = directory / _INDEX
    if not index.is_file():
        return sorted(directory.glob("*.safetensors"))
    places = orjson.loads(index.read_bytes())["weight_map"].values()
    return [directory / name for name in sorted(set(places))]


def read_checkpoint(directory: Path) -> Checkpoint:
    """Blocks for milliseconds. Raises `CheckpointRefusedError` where a file is missing, cut off or damaged."""
    try:
        files = weight_files(directory)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointRefusedError(f"its `{_INDEX}` cannot be read ({error}): save it again") from error
    if not files:
        raise CheckpointRefusedError("it holds no safetensors file: save it with `save_pretrained`")
    tensors: dict[str, TensorInfo] = {}
    for file in files:
        try:
            found = read_header(file)
        except FileNotFoundError as error:
            raise CheckpointRefusedError(f"`{file.name}` is missing: copy it again") from error
        except (TensorFileError, OSError) as error:
            raise CheckpointRefusedError(
                f"`{file.name}` is damaged or incomplete, {error}: copy or save it again"
            ) from error
        if twice := found.keys() & tensors.keys():
            raise CheckpointRefusedError(f"{_names(twice)} is in two of its files: save it again")
        tensors |= found
    return Checkpoint(directory, tuple(files), tensors, _read_json(directory / CONFIG_FILE))


def refuse_unlike(base: Checkpoint, other: Checkpoint) -> None:
    """Raise `CheckpointRefusedError` where `other` cannot take the place of `base` in a running engine."""
    _refuse_other_config(base.config, other.config, CONFIG_FILE)
    if missing := base.tensors.keys() - other.tensors.keys():
        raise CheckpointRefusedError(f"it lacks {_names(missing)}: save it whole, an engine would keep the old weights")
    if added := other.tensors.keys() - base.tensors.keys():
        raise CheckpointRefusedError(f"it has {_names(added)}, which the engine's model does not have: {_OWN_MODEL}")
    for name, wanted in base.tensors.items():
        found = other.tensors[name]
        if found.shape != wanted.shape:
            what = f"`{name}` as {list(found.shape)}, where the engine's model has {list(wanted.shape)}"
            raise CheckpointRefusedError(f"it has {what}: {_OWN_MODEL}")
        if found.dtype != wanted.dtype:
            what = f"`{name}` in {found.dtype}, where the engine's model has it in {wanted.dtype}"
            raise CheckpointRefusedError(f"it has {what}: convert it")
    _refuse_other_texts(base.directory, other.directory)


def _refuse_other_config(base: Json, other: Json, file: str) -> None:
    wanted, found = _telling(base), _telling(other)
    for key in sorted(wanted.keys() | found.keys()):
        if wanted.get(key) != found.get(key):
            raise CheckpointRefusedError(
                f"`{file}` sets `{key}` to {found.get(key)!r:.80}, where the engine was started with "
                f"{wanted.get(key)!r:.80}: {_OWN_MODEL}"
            )


def _refuse_other_texts(base: Path, other: Path) -> None:
    """The engine goes on with the tokenizer, chat template and defaults of its start: others would not be used.

    A folder that has no such file agrees to the engine's.
    """
    for name in _SETTINGS:
        if not (other / name).is_file() or _same_bytes(base / name, other / name):
            continue
        wanted = _read_json(base / name) if (base / name).is_file() else {}
        try:
            _refuse_other_config(_text_settings(wanted), _text_settings(_read_json(other / name)), name)
        except CheckpointRefusedError as error:
            raise CheckpointRefusedError(f"{error}; or delete the file, to serve it with the engine's own") from None
    for name in _TEXTS:
        if (other / name).is_file() and not _same_bytes(base / name, other / name):
            raise CheckpointRefusedError(
                f"its `{name}` differs from the engine's: {_OWN_MODEL}; or delete the file, to serve it with the "
                "engine's own"
            )


def _telling(config: Json) -> dict[str, object]:
    """What of a configuration changes answers, in one form whatever version wrote it. Unset is the same as null."""
    found = {
        key: dict(_telling(value)) if isinstance(value, dict) else value
        for key, value in config.items()
        if key not in _IDLE and key not in _ROTARY and value is not None
    }
    if any(config.get(key) is not None for key in _ROTARY):
        found["rope_parameters"] = _rotary(config)
    return found


def _rotary(config: Json) -> dict[str, object]:
    """The settings of rotary positions as one mapping: until version 5, transformers wrote two keys."""
    settings: dict[str, object] = {"rope_type": "default"}
    for key in ("rope_scaling", "rope_parameters"):
        if isinstance(written := config.get(key), dict):
            settings |= written
    if config.get("rope_theta") is not None:
        settings.setdefault("rope_theta", config["rope_theta"])
    if (old_name := settings.pop("type", None)) is not None:
        settings["rope_type"] = old_name
    return settings


def _text_settings(document: Json) -> Json:
    """Of a tokenizer's file: training leaves its own lengths in it."""
    idle = ("padding", "truncation", "model_max_length", "tokenizer_class", "padding_side", "truncation_side")
    return {key: value for key, value in document.items() if key not in idle}


def _same_bytes(first: Path, second: Path) -> bool:
    return first.is_file() and first.read_bytes() == second.read_bytes()


def _read_json(file: Path) -> Json:
    try:
        document = orjson.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointRefusedError(f"it has no `{file.name}`: save it with `save_pretrained`") from error
    except (OSError, ValueError) as error:
        raise CheckpointRefusedError(f"its `{file.name}` cannot be read ({error}): save it again") from error
    if not isinstance(document, dict):
        raise CheckpointRefusedError(f"its `{file.name}` is not a JSON object: save it again")
    return document


def _names(names: "set[str]") -> str:
    shown = ", ".join(f"`{name}`" for name in sorted(names)[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
