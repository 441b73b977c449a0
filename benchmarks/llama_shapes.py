"""Sizes of models as large as those that are served on GPUs; their weights may be random. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """As in the `config.json` of a Llama; `keys` is the width of keys and of values."""

    layers: int
    hidden: int
    inner: int
    heads: int
    keys: int
    vocabulary: int = 49152  # of the tokenizer that ships

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    def checkpoint(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Names and shapes of a checkpoint's tensors, layer by layer."""
        yield "model.embed_tokens.weight", (self.vocabulary, self.hidden)
        for number in range(self.layers):
            for name, shape in self._layer().items():
                yield f"model.layers.{number}.{name}.weight", shape
        yield "model.norm.weight", (self.hidden,)
        yield "lm_head.weight", (self.vocabulary, self.hidden)

    def kernels(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The same as an engine holds it: queries, keys and values as one tensor, gate and up as another."""
        yield "embed_tokens", (self.vocabulary, self.hidden)
        for number in range(self.layers):
            yield f"{number}.qkv_proj", (self.hidden + 2 * self.keys, self.hidden)
            yield f"{number}.o_proj", (self.hidden, self.hidden)
            yield f"{number}.gate_up_proj", (2 * self.inner, self.hidden)
            yield f"{number}.down_proj", (self.hidden, self.inner)
            yield f"{number}.input_layernorm", (self.hidden,)
            yield f"{number}.post_attention_layernorm", (self.hidden,)
        yield "norm", (self.hidden,)
        yield "lm_head", (self.vocabulary, self.hidden)

    def config(self) -> dict[str, object]:
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "intermediate_size": self.inner,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.keys // self.head_dim,
            "num_hidden_layers": self.layers,
            "head_dim": self.head_dim,
            "max_position_embeddings": 8192,
            "rms_norm_eps": 1e-5,
            "rope_parameters": {"rope_theta": 500000.0, "rope_type": "default"},
            "tie_word_embeddings": False,
            "vocab_size": self.vocabulary,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "dtype": "bfloat16",
        }

    def _layer(self) -> dict[str, tuple[int, ...]]:
        return {
            "self_attn.q_proj": (self.hidden, self.hidden),
            "self_attn.k_proj": (self.keys, self.hidden),
            "self_attn.v_proj": (self.keys, self.hidden),
            "self_attn.o_proj": (self.hidden, self.hidden),
            "mlp.gate_proj": (self.inner, self.hidden),
            "mlp.up_proj": (self.inner, self.hidden),
            "mlp.down_proj": (self.hidden, self.inner),
            "input_layernorm": (self.hidden,),
            "post_attention_layernorm": (self.hidden,),
        }


SHAPES = {
    "135m": LlamaShape(layers=30, hidden=576, inner=1536, heads=9, keys=192),
    "1b": LlamaShape(layers=16, hidden=2048, inner=8192, heads=32, keys=512),
    "3b": LlamaShape(layers=28, hidden=3072, inner=8192, heads=24, keys=1024),
    "8b": LlamaShape(layers=32, hidden=4096, inner=14336, heads=32, keys=1024),
}
