"""Which tensors of a checkpoint may stay as they are because the resident one has the same."""

import pytest

from workers.weights.unchanged import unchanged_tensors

RESIDENT = {
    "model.embed_tokens.weight": "e",
    "model.norm.weight": "n",
    "lm_head.weight": "h",
    **{f"model.layers.{layer}.self_attn.{part}_proj.weight": f"{layer}{part}" for layer in (0, 1) for part in "qkv"},
    **{f"model.layers.{layer}.input_layernorm.weight": f"{layer}norm" for layer in (0, 1)},
    **{f"model.layers.1.mlp.experts.{number}.up_proj.weight": f"x{number}" for number in range(3)},
}
FIRST = {name for name in RESIDENT if name.startswith("model.layers.0.")}
SECOND = {name for name in RESIDENT if name.startswith("model.layers.1.")}
OUTSIDE = {"model.embed_tokens.weight", "model.norm.weight"}
ALL = RESIDENT.keys()


@pytest.mark.parametrize(
    ("changed", "loaded"),
    [
        ([], set()),
        (["model.layers.0.self_attn.q_proj.weight"], FIRST),  # fused with those of k and v
        (["model.layers.1.mlp.experts.2.up_proj.weight"], SECOND),  # fused with the other experts
        (["model.layers.0.input_layernorm.weight"], FIRST),
        (["model.norm.weight"], OUTSIDE),
        (["lm_head.weight"], {"lm_head.weight"}),
        (["lm_head.weight", "model.layers.1.self_attn.v_proj.weight"], {"lm_head.weight", *SECOND}),
    ],
)
def test_a_block_is_left_alone_as_a_whole_or_not_at_all(changed: list[str], loaded: set[str]) -> None:
    wanted = RESIDENT | dict.fromkeys(changed, "other")
    assert set(unchanged_tensors(RESIDENT, wanted)) == ALL - loaded


def test_projections_outside_of_numbered_blocks_are_kept_together_too() -> None:
    resident = {f"projector.{part}_proj.weight": part for part in ("gate", "up")} | {"other.norm.weight": "n"}
    assert unchanged_tensors(resident, resident | {"projector.up_proj.weight": "new"}) == ["other.norm.weight"]


def test_a_tensor_that_is_not_resident_is_loaded() -> None:
    assert unchanged_tensors({}, {"lm_head.weight": "h"}) == []
