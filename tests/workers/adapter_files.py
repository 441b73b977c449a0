"""Small base models and adapters on disk, whole or with one thing wrong."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HIDDEN, INNER, KEYS = 16, 24, 8
BASE = {
    "model.embed_tokens.weight": (100, HIDDEN),
    "model.norm.weight": (HIDDEN,),
    **{
        f"model.layers.{number}.{name}.weight": shape
        for number in range(2)
        for name, shape in {
            "self_attn.q_proj": (HIDDEN, HIDDEN),
            "self_attn.k_proj": (KEYS, HIDDEN),
            "self_attn.v_proj": (KEYS, HIDDEN),
            "self_attn.o_proj": (HIDDEN, HIDDEN),
            "mlp.gate_proj": (INNER, HIDDEN),
            "mlp.up_proj": (INNER, HIDDEN),
            "mlp.down_proj": (HIDDEN, INNER),
        }.items()
    },
}
BASE_CONFIG = {
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
}
WEIGHTS = "adapter_model.safetensors"


def write_base(folder: Path, *, files: int = 1) -> Path:
    """A base model whose weights are in `files` files; with 0 there is only its `config.json`."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(BASE_CONFIG))
    tensors = {name: np.zeros(shape, np.float16) for name, shape in BASE.items()}
    if files == 1:
        save_file(tensors, folder / "model.safetensors")
    names = sorted(tensors)
    shards = {f"model-{part}.safetensors": names[part::files] for part in range(files)} if files > 1 else {}
    for file, held in shards.items():
        save_file({name: tensors[name] for name in held}, folder / file)
    if shards:
        index = {"weight_map": {name: file for file, held in shards.items() for name in held}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def write_adapter(
    folder: Path,
    *,
    rank: int = 8,
    module: str = "model.layers.0.self_attn.q_proj",
    size: tuple[int, int] = (HIDDEN, HIDDEN),
    seed: int = 0,
    config: Mapping[str, object] | None = None,
    tensors: Mapping[str, tuple[int, ...]] | None = None,
) -> str:
    """A LoRA adapter of one layer, `size` being (outputs, inputs); its source string. `config` goes over the usual.

    `tensors` are put beside, or in the place of, the usual ones; an empty shape takes one out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    usual = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": 2 * rank,
        "target_modules": [module.rpartition(".")[2]],
        "bias": "none",
    }
    (folder / "adapter_config.json").write_text(json.dumps(usual | dict(config or {})))
    stem = f"base_model.model.{module}"
    shapes: dict[str, tuple[int, ...]] = {
        f"{stem}.lora_A.weight": (rank, size[1]),
        f"{stem}.lora_B.weight": (size[0], rank),
        **(tensors or {}),
    }
    random = np.random.default_rng(seed)
    weights = {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items() if shape}
    save_file(weights, folder / WEIGHTS)
    return f"path:{folder}"


def tear(folder: Path, kept: int | None = None) -> None:
    """Cut off the end of the adapter's weights, as a copy that was interrupted has it."""
    file = folder / WEIGHTS
    data = file.read_bytes()
    file.write_bytes(data[: len(data) - 10 if kept is None else kept])
