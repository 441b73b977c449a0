"""Which checkpoints can take the place of the one that an engine was started with."""

import json
from pathlib import Path

import pytest

from tests.workers.weights.checkpoint_files import CONFIG, HIDDEN, SHAPES, WEIGHTS, cut_off, write_checkpoint
from workers.errors import CheckpointRefusedError
from workers.weights.checkpoint import read_checkpoint, refuse_unlike

NORM = "model.norm.weight"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = write_checkpoint(tmp_path / "base")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "generation_config.json").write_text('{"eos_token_id": 2, "transformers_version": "4.1"}')
    return folder


def judge(base: Path, other: Path) -> None:
    refuse_unlike(read_checkpoint(base), read_checkpoint(other))


def test_other_weights_of_the_same_shapes_fit(base: Path, tmp_path: Path) -> None:
    judge(base, write_checkpoint(tmp_path / "other", seed=1))


def test_how_tensors_lie_in_files_does_not_matter(base: Path, tmp_path: Path) -> None:
    other = write_checkpoint(tmp_path / "other", seed=1, files=3)
    judge(base, other)
    assert read_checkpoint(other).nbytes == read_checkpoint(base).nbytes


@pytest.mark.parametrize(
    "config",
    [
        {"transformers_version": "4.40", "_name_or_path": "x", "use_cache": False, "torch_dtype": "float32"},
        {"rope_parameters": None, "rope_theta": 10000.0},
        {"rope_parameters": None, "rope_theta": 10000.0, "rope_scaling": {"type": "default"}},
        {"quantization_config": None},
    ],
)
def test_settings_that_change_no_answer_may_differ(base: Path, tmp_path: Path, config: dict[str, object]) -> None:
    judge(base, write_checkpoint(tmp_path / "other", config=config))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("architectures", ["Qwen3ForCausalLM"]),
        ("num_hidden_layers", 3),
        ("tie_word_embeddings", False),
        ("vocab_size", 65),
        ("rope_parameters", {"rope_theta": 500000.0, "rope_type": "default"}),
        ("rope_scaling", {"type": "yarn", "factor": 4.0}),
        ("rms_norm_eps", 1e-5),
        ("eos_token_id", 7),
        ("quantization_config", {"quant_method": "fp8"}),
    ],
)
def test_settings_that_change_answers_must_be_the_same(base: Path, tmp_path: Path, key: str, value: object) -> None:
    told = "rope_parameters" if key.startswith("rope") else key
    with pytest.raises(CheckpointRefusedError, match=f"`config.json` sets `{told}` to .* a model, and so an engine"):
        judge(base, write_checkpoint(tmp_path / "other", config={key: value}))


@pytest.mark.parametrize(
    ("shapes", "told"),
    [
        ({NORM: None}, f"it lacks `{NORM}`: save it whole"),
        ({"lm_head.weight": (64, HIDDEN)}, "it has `lm_head.weight`, which the engine's model does not have"),
        ({NORM: (HIDDEN + 1,)}, r"`model.norm.weight` as \[17\], where the engine's model has \[16\]"),
        (
            {"model.layers.0.mlp.up_proj.weight": (HIDDEN, 24)},
            r"as \[16, 24\], where the .* has \[24, 16\]",
        ),
        (dict.fromkeys(SHAPES), "it lacks .* and 1 more"),
    ],
)
def test_tensors_must_be_the_same(
    base: Path, tmp_path: Path, shapes: dict[str, tuple[int, ...] | None], told: str
) -> None:
    with pytest.raises(CheckpointRefusedError, match=told):
        judge(base, write_checkpoint(tmp_path / "other", shapes=shapes))


def test_numbers_of_another_type_are_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointRefusedError, match="in F32, where the engine's model has it in BF16: convert it"):
        judge(base, write_checkpoint(tmp_path / "other", dtype="F32"))


@pytest.mark.parametrize("count", [1, 100, 2000])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, count: int) -> None:
    cut_off(write_checkpoint(tmp_path / "other"), count)
    with pytest.raises(CheckpointRefusedError, match=f"`{WEIGHTS}` is damaged .*: copy or save it again"):
        read_checkpoint(tmp_path / "other")


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointRefusedError, match="no safetensors file"):
        read_checkpoint(tmp_path)
    sharded = write_checkpoint(tmp_path / "sharded", files=2)
    (sharded / "model-1.safetensors").unlink()
    with pytest.raises(CheckpointRefusedError, match=r"`model-1\.safetensors` is missing"):
        read_checkpoint(sharded)
    (sharded / f"{WEIGHTS}.index.json").write_text("{}")
    with pytest.raises(CheckpointRefusedError, match=r"index\.json` cannot be read"):
        read_checkpoint(sharded)
    whole = write_checkpoint(tmp_path / "whole")
    (whole / "config.json").unlink()
    with pytest.raises(CheckpointRefusedError, match=r"no `config\.json`"):
        read_checkpoint(whole)


def test_a_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "other")
    (folder / "copy.safetensors").write_bytes((folder / WEIGHTS).read_bytes())
    with pytest.raises(CheckpointRefusedError, match="in two of its files"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("tokenizer.json", '{"model": {"vocab": {"b": 0}}}', "`tokenizer.json` sets `model`"),
        ("generation_config.json", '{"eos_token_id": [2, 7]}', "`generation_config.json` sets `eos_token_id`"),
        ("generation_config.json", '{"eos_token_id": 2, "temperature": 0.6}', "sets `temperature`"),
        ("chat_template.jinja", "{{ other }}", "its `chat_template.jinja` differs from the engine's"),
        ("merges.txt", "a b", "its `merges.txt` differs from the engine's"),
    ],
)
def test_the_engines_own_texts_stay_so_others_are_refused(
    base: Path, tmp_path: Path, file: str, text: str, told: str
) -> None:
    other = write_checkpoint(tmp_path / "other", seed=1)
    (other / file).write_text(text)
    with pytest.raises(CheckpointRefusedError, match=f"{told}.*delete the file"):
        judge(base, other)


def test_a_folder_without_texts_agrees_to_the_engines(base: Path, tmp_path: Path) -> None:
    other = write_checkpoint(tmp_path / "other", seed=1)
    (other / "tokenizer.json").unlink()
    judge(base, other)


def test_what_training_leaves_in_a_tokenizer_may_differ(base: Path, tmp_path: Path) -> None:
    judge(base, write_checkpoint(tmp_path / "other", tokenizer={"padding": {"length": 9}, "truncation": None}))


def test_a_configuration_that_is_no_object_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "other")
    (folder / "config.json").write_text(json.dumps([CONFIG]))
    with pytest.raises(CheckpointRefusedError, match="not a JSON object"):
        read_checkpoint(folder)
