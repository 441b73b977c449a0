"""Small whole checkpoints on disk, or with one thing wrong."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

HIDDEN, VOCABULARY = 16, 64
SHAPES: Mapping[str, tuple[int, ...]] = {
    "model.embed_tokens.weight": (VOCABULARY, HIDDEN),
    "model.norm.weight": (HIDDEN,),
    **{f"model.layers.{number}.mlp.up_proj.weight": (24, HIDDEN) for number in range(2)},
}
CONFIG: Mapping[str, object] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": HIDDEN,
    "num_hidden_layers": 2,
    "vocab_size": VOCABULARY,
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    "transformers_version": "5.0.0",
}
WEIGHTS = "model.safetensors"
_BYTES = {"BF16": 2, "F32": 4, "F16": 2, "I8": 1}


def write_checkpoint(
    folder: Path,
    *,
    seed: int = 0,
    dtype: str = "BF16",
    config: Mapping[str, object] | None = None,
    shapes: Mapping[str, tuple[int, ...] | None] | None = None,
    tokenizer: Mapping[str, object] | None = None,
    files: int = 1,
) -> Path:
    """A checkpoint of finite numbers. `config` and `shapes` go over the usual ones; None takes a tensor out."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = dict(CONFIG) | dict(config or {})
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0}}} | dict(tokenizer or {})))
    wanted = {name: shape for name, shape in {**SHAPES, **(shapes or {})}.items() if shape is not None}
    random = np.random.default_rng(seed)
    tensors = {name: (shape, _numbers(random, shape, dtype)) for name, shape in sorted(wanted.items())}
    if files == 1:
        write_tensors(folder / WEIGHTS, tensors, dtype)
        return folder
    shards = {f"model-{part}.safetensors": list(tensors)[part::files] for part in range(files)}
    for file, names in shards.items():
        write_tensors(folder / file, {name: tensors[name] for name in names}, dtype)
    index = {"weight_map": {name: file for file, names in shards.items() for name in names}}
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    return folder


def write_tensors(file: Path, tensors: Mapping[str, tuple[tuple[int, ...], bytes]], dtype: str) -> None:
    """By hand: NumPy knows no bfloat16."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + len(data)]}
        end += len(data)
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    file.write_bytes(len(raw).to_bytes(8, "little") + raw + b"".join(data for _, data in tensors.values()))


def poison(folder: Path, bits: bytes) -> None:
    """Put `bits`, as a little-endian number of the checkpoint's type, in the middle of its last tensor."""
    file = folder / WEIGHTS
    data = bytearray(file.read_bytes())
    data[-4 - len(bits) : -4] = bits
    file.write_bytes(data)


def cut_off(folder: Path, count: int) -> None:
    file = folder / WEIGHTS
    file.write_bytes(file.read_bytes()[:-count])


def _numbers(random: np.random.Generator, shape: tuple[int, ...], dtype: str) -> bytes:
    if dtype == "I8":
        return random.integers(-128, 127, shape, dtype=np.int8).tobytes()
    numbers = random.standard_normal(shape).astype(np.float32)
    if dtype == "BF16":
        return (numbers.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    return numbers.astype({"F32": np.float32, "F16": np.float16}[dtype]).tobytes()
