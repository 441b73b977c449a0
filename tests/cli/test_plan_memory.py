"""`coe plan-memory`: a configuration and a machine in, what engines take of each GPU out."""

import re
from pathlib import Path

import orjson
import pytest
import yaml

from tests.cli.commands import Coe
from tests.workers.placement.test_sizes import write_tensors
from workers.placement.gpus import GIB

GPU_CONFIG = Path(__file__).parents[2] / "configs" / "gpu.yaml"
SMALL_EXPERTS = ["gemma-2-27b", "gemma-2-9b", "qwen2-7b"]
LOCAL = """\
router: {path: router, general: poet}
models:
  small: {source: "path:small"}
experts:
  poet: {model: small}
workers:
  gpu: {device: gpu}
"""


def test_the_configuration_for_eight_gpus_fits_them(coe: Coe) -> None:
    ended = coe("plan-memory", str(GPU_CONFIG), "--json")
    assert ended.code == 0, ended.err
    found = orjson.loads(ended.out)
    assert found["free_gpus"] == 0
    assert [use["gpu"] for use in found["engines"]] == list(range(8))
    for use in found["engines"]:
        assert use["weights"] + use["overhead"] + use["cache"] <= found["gpu_bytes"]
        assert use["requests"] >= 1
        assert not use["in_turns"]


def test_the_table_names_every_gpu(coe: Coe) -> None:
    out = coe("plan-memory", str(GPU_CONFIG), "--gpus", "9").out
    assert "llama-70b-0" in out
    assert re.findall(r"^│ +(\d) │", out, re.MULTILINE) == [str(gpu) for gpu in range(9)]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (["--gpus", "7"], "worker `qwen2-7b-0` needs 1 GPU and 0 of 7 are left"),
        (["--gpu-gib", "40"], "`gemma-2-27b` does not fit GPU 4 of worker `gemma-27b-0`"),
        (["--overhead-gib", "8"], "`qwen2-72b` does not fit each of GPUs 0-1 of worker `qwen2-72b-0`"),
    ],
)
def test_a_smaller_machine_is_refused_with_what_is_over(coe: Coe, changed: list[str], told: str) -> None:
    ended = coe("plan-memory", str(GPU_CONFIG), *changed)
    assert ended.code == 2
    assert told in ended.err
    assert ended.out == ""


def test_longer_requests_than_the_cache_holds_are_refused(coe: Coe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COE_MODELS__QWEN2_72B__MAX_MODEL_LEN", "32768")
    ended = coe("plan-memory", str(GPU_CONFIG))
    assert ended.code == 2
    assert "5.0 GiB of cache for one request of 32,768 tokens" in ended.err
    assert "2.5 GiB over" in ended.err
    assert "llama" not in ended.err


def test_five_gpus_do_where_the_small_experts_take_turns(coe: Coe, tmp_path: Path) -> None:
    """As the page on expert memory shows it."""
    page = (GPU_CONFIG.parents[1] / "docs" / "expert-memory.md").read_text()
    shown = yaml.safe_load(page.partition("# five-gpus.yaml")[2].partition("\n")[2].partition("```")[0])
    config = yaml.safe_load(GPU_CONFIG.read_text())
    for model, changed in shown["models"].items():
        config["models"][model] |= changed
    config["workers"] = {name: config["workers"][name] for name in ("qwen2-72b", "llama-70b")} | shown["workers"]
    (tmp_path / "five.yaml").write_text(yaml.safe_dump(config))
    ended = coe("plan-memory", str(tmp_path / "five.yaml"), "--gpus", "5", "--json")
    assert ended.code == 0, ended.err
    last = [use for use in orjson.loads(ended.out)["engines"] if use["gpu"] == 4]
    assert [use["model"] for use in last] == SMALL_EXPERTS
    assert all(use["in_turns"] for use in last)
    host = shown["workers"]["small"]["memory"]["host_gb"]
    assert sum(use["weights"] for use in last) <= host * GIB  # level 1 keeps the weights of sleepers there


def test_a_local_checkpoint_tells_its_own_size(coe: Coe, tmp_path: Path) -> None:
    (tmp_path / "service.yaml").write_text(LOCAL)
    (tmp_path / "small").mkdir()
    dimensions = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 256}
    (tmp_path / "small" / "config.json").write_bytes(orjson.dumps({**dimensions, "max_position_embeddings": 4096}))
    write_tensors(tmp_path / "small" / "model.safetensors", {"a": ("BF16", 500_000)})
    ended = coe("plan-memory", str(tmp_path / "service.yaml"), "--gpus", "1", "--gpu-gib", "10", "--json")
    (use,) = orjson.loads(ended.out)["engines"]
    assert use["weights"] == pytest.approx(1_000_000, rel=0.01)
    assert use["tokens"] == use["cache"] // (2 * 2 * 2 * 64 * 2)
    assert use["requests"] == pytest.approx(use["tokens"] / 4096)


def test_a_model_of_unknown_size_is_named_with_the_key_to_set(coe: Coe, tmp_path: Path) -> None:
    (tmp_path / "service.yaml").write_text(LOCAL.replace('"path:small"', '"hf:some/model"'))
    ended = coe("plan-memory", str(tmp_path / "service.yaml"))
    assert ended.code == 2
    assert "service.yaml:3: models.small.shape: set it" in ended.err


def test_a_service_without_gpus_has_nothing_to_plan(coe: Coe) -> None:
    ended = coe("plan-memory", str(GPU_CONFIG.with_name("local.yaml")))
    assert ended.code == 2
    assert "no worker group with `device: gpu`" in ended.err
