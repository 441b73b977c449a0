from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.errors import SpecError
from workers.report_json import report_from_json, report_to_json
from workers.reports import EngineReport, ExpertReport, WorkerReport
from workers.spec import ExpertSpec, ModelSpec, Sampling, WorkerSpec

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
counts = st.integers(0, 2**31)
experts = st.builds(
    ExpertReport,
    name=texts,
    model=texts,
    state=st.sampled_from(["loading", "ready", "failed", "draining"]),
    tier=st.sampled_from(["device", "host", "disk"]),
    running=counts,
    waiting=counts,
    error=st.none() | texts,
)
engines = st.builds(
    EngineReport,
    model=texts,
    state=st.sampled_from(["starting", "ready", "backoff", "failed", "stopped"]),
    pid=st.none() | counts,
    restarts=counts,
    started_in_s=st.none() | st.floats(0, 1e6),
    error=st.none() | texts,
)
reports = st.builds(
    WorkerReport,
    worker_id=texts,
    group=texts,
    url=texts,
    pid=counts,
    epoch=counts,
    experts=st.lists(experts, max_size=3).map(tuple),
    engines=st.lists(engines, max_size=3).map(tuple),
)


@given(reports)
def test_a_report_survives_json(report: WorkerReport) -> None:
    assert report_from_json(report_to_json(report)) == report


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"experts": [], "engines": [], "color": 1}'])
def test_what_is_no_report_is_refused(data: bytes) -> None:
    with pytest.raises(SpecError, match="no worker report"):
        report_from_json(data)


def test_only_set_sampling_fields_are_sent() -> None:
    assert Sampling().as_request() == {}
    assert Sampling(temperature=0.0, stop=("\n",), seed=0).as_request() == {
        "temperature": 0.0,
        "stop": ["\n"],
        "seed": 0,
    }


def worker(models: tuple[ModelSpec, ...], experts: tuple[ExpertSpec, ...]) -> WorkerSpec:
    return WorkerSpec(group="g", device="cpu", models=models, experts=experts, cache_dir=Path(), run_dir=Path())


BASE = ModelSpec(name="base", source="path:m")
REMOTE = ModelSpec(name="remote", url="http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("models", "experts", "message"),
    [
        ((BASE, BASE), (), "model names must differ"),
        ((BASE,), (ExpertSpec(name="a", model="base"),) * 2, "expert names must differ"),
        ((BASE,), (ExpertSpec(name="a", model="bass"),), "unknown model `bass`; known: `base`"),
        ((ModelSpec(name="base"),), (), "neither a `source` nor a `url`"),
        (
            (REMOTE,),
            (ExpertSpec(name="a", model="remote", adapter="path:a"),),
            "`adapter`, but model `remote` has a `url`",
        ),
        ((BASE,), (ExpertSpec(name="base", model="base", adapter="path:a"),), "rename one of them"),
    ],
)
def test_contradictions_are_refused(
    models: tuple[ModelSpec, ...], experts: tuple[ExpertSpec, ...], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        worker(models, experts)
