"""The configuration for eight GPUs: its experts, and that the sizes in it are those of the published checkpoints."""

from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from coe.checks import check_service
from coe.config.load import load_config
from tests.cli.commands import run

GPU_CONFIG = Path(__file__).parents[2] / "configs" / "gpu.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Dimensions out of a model's `config.json`."""

    source: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool = False
    biases: bool = False
    norms: int = 2

    @property
    def parameters(self) -> int:
        """Of a decoder with gated MLPs: projections of attention and MLP, norms, embeddings."""
        query, key_value = self.heads * self.head_dim, 2 * self.kv_heads * self.head_dim
        attention = self.hidden * (2 * query + key_value) + (query + key_value) * self.biases
        layer = attention + 3 * self.hidden * self.intermediate + self.norms * self.hidden
        return self.layers * layer + self.hidden + self.vocabulary * self.hidden * (1 if self.tied else 2)


PUBLISHED = {
    "qwen2-7b": Published(
        source="hf:Qwen/Qwen2-7B-Instruct",
        layers=28,
        hidden=3584,
        intermediate=18944,
        heads=28,
        kv_heads=4,
        head_dim=128,
        vocabulary=152064,
        biases=True,
    ),
    "gemma-2-9b": Published(
        source="hf:google/gemma-2-9b-it",
        layers=42,
        hidden=3584,
        intermediate=14336,
        heads=16,
        kv_heads=8,
        head_dim=256,
        vocabulary=256000,
        tied=True,
        norms=4,
    ),
    "gemma-2-27b": Published(
        source="hf:google/gemma-2-27b-it",
        layers=46,
        hidden=4608,
        intermediate=36864,
        heads=32,
        kv_heads=16,
        head_dim=128,
        vocabulary=256000,
        tied=True,
        norms=4,
    ),
    "llama-3.1-70b": Published(
        source="hf:meta-llama/Llama-3.1-70B-Instruct",
        layers=80,
        hidden=8192,
        intermediate=28672,
        heads=64,
        kv_heads=8,
        head_dim=128,
        vocabulary=128256,
    ),
    "qwen2-72b": Published(
        source="hf:Qwen/Qwen2-72B-Instruct",
        layers=80,
        hidden=8192,
        intermediate=29568,
        heads=64,
        kv_heads=8,
        head_dim=128,
        vocabulary=152064,
        biases=True,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_shapes_are_those_of_the_published_models(name: str) -> None:
    published, model = PUBLISHED[name], load_config(GPU_CONFIG, {}).config.models[name]
    assert model.source == published.source
    assert model.shape is not None
    assert model.shape.params_b == pytest.approx(published.parameters / 1e9, abs=1e-4)
    assert model.active_params_b == pytest.approx(model.shape.params_b, abs=0.01)
    assert (model.shape.layers, model.shape.kv_heads, model.shape.head_dim) == (
        published.layers,
        published.kv_heads,
        published.head_dim,
    )


def test_it_would_start_here_and_every_category_of_its_router_has_an_expert() -> None:
    pytest.importorskip("vllm", reason="`check_service` asks for the engine, which is not installed")
    loaded = load_config(GPU_CONFIG, {})
    check_service(loaded)
    categories = orjson.loads((loaded.path(loaded.config.router.path) / "router.json").read_bytes())["categories"]
    assert set(loaded.config.router.map) == set(categories)
    assert set(loaded.config.router.map.values()) == set(loaded.config.experts)


@pytest.mark.parametrize("name", ["gemma-2-9b", "gemma-2-27b"])
def test_gemma_reads_system_messages_before_what_the_user_says_next(name: str) -> None:
    option, template = load_config(GPU_CONFIG, {}).config.models[name].engine_args
    assert option == "--chat-template"
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)  # as transformers renders it
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Who?"},
        {"role": "assistant", "content": "Me."},
        {"role": "user", "content": " And now? "},
    ]
    rendered = environment.from_string(template).render(
        messages=messages, bos_token="<bos>", add_generation_prompt=True
    )
    assert rendered == (
        "<bos><start_of_turn>user\nBe brief.\n\nWho?<end_of_turn>\n<start_of_turn>model\nMe.<end_of_turn>\n"
        "<start_of_turn>user\nAnd now?<end_of_turn>\n<start_of_turn>model\n"
    )


def test_its_budgets_are_a_placement_problem(tmp_path: Path) -> None:
    demand = dict.fromkeys(PUBLISHED, 0.5) | {"gemma-2-27b": 1.0}
    (tmp_path / "demand.json").write_bytes(orjson.dumps(demand))
    ended = run("plan-placement", "--config", str(GPU_CONFIG), "--demand", str(tmp_path / "demand.json"), "--json")
    assert ended.code == 0, ended.err
    found = orjson.loads(ended.out)
    assert found["off_device"] == []
    assert {copy["worker"] for copy in found["copies"] if copy["expert"] == "gemma-2-27b"} == {
        "gemma-27b-0",
        "gemma-27b-1",
    }
    assert found["maximum_load"] == pytest.approx(0.5)
