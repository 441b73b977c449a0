from collections.abc import Callable

import pytest

from coe.config.load import LoadedConfig

Load = Callable[..., LoadedConfig]
Mistakes = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (
            "general: generalist",
            "general: genralist",
            "service.yaml:3: router.general: there is no expert `genralist`; known: generalist, poet.",
        ),
        (
            "poetry: poet",
            "poetry: bard",
            "service.yaml:5: router.map.poetry: there is no expert `bard`; known: generalist, poet.",
        ),
        (
            "model: base\n    system",
            "model: bse\n    system",
            "service.yaml:13: experts.poet.model: there is no model `bse`; known: base.",
        ),
        (
            "device: cpu",
            "experts: [generalist, bard, poet]",
            "service.yaml:17: workers.local-1.experts.1: there is no expert `bard`; known: generalist, poet.",
        ),
        (
            "device: cpu",
            "experts: [generalist, poet, poet]",
            "service.yaml:17: workers.local-1.experts.2: `poet` is already in this list; name it once.",
        ),
        (
            "device: cpu",
            "experts: [generalist]",
            "service.yaml:12: experts.poet: no worker group holds this expert; add it to `workers.*.experts`.",
        ),
        (
            "system: Rhyme.",
            "load: request",
            "service.yaml:14: experts.poet.load: it has no `adapter` that could be loaded later; remove this key.",
        ),
        (
            "workers:",
            "  coe: {model: base}\nworkers:",
            "service.yaml:15: experts.coe: `coe` is the name of the routed model; choose another.",
        ),
        (
            "workers:",
            "  'null': {model: base}\nworkers:",
            "service.yaml:15: experts.null: `null` is the name of an answer that no expert gave; choose another.",
        ),
        (
            "    source: path:weights",
            "    active_params_b: 1",
            "service.yaml:7: models.base: set exactly one of `source` (weights to load) and `url` (a running server).",
        ),
        (
            "source: path:weights",
            "source: path:weights\n    url: http://x\n    served_name: y",
            "service.yaml:7: models.base: set exactly one of `source` (weights to load) and `url` (a running server).",
        ),
        (
            "source: path:weights",
            "url: http://x",
            "service.yaml:8: models.base.url: set `served_name` too, the model name that this server knows.",
        ),
        (
            "workers:",
            "  base: {model: base, adapter: path:x}\nworkers:",
            (
                "service.yaml:15: experts.base.adapter: the engine knows the model by the name `base`; "
                "give the expert or the model another."
            ),
        ),
    ],
)
def test_a_name_that_leads_nowhere_is_told(mistakes: Mistakes, old: str, new: str, found: str) -> None:
    assert mistakes(old, new) == [found]


def test_an_adapter_needs_an_engine_of_our_own(mistakes: Mistakes) -> None:
    found = mistakes(
        "source: path:weights",
        "url: http://x\n    served_name: y",
        COE_EXPERTS__POET__ADAPTER="path:x",
    )
    (line,) = found
    assert line.endswith("its model is a running server; load the adapter there and name it by `served_name`.")


def test_all_of_them_are_told_at_once(mistakes: Mistakes) -> None:
    assert len(mistakes("poetry: poet", "poetry: bard\n    law: judge", COE_ROUTER__GENERAL="nobody")) == 3


def test_a_running_server_is_fine(load: Load) -> None:
    assert (
        load("source: path:weights", "url: http://x:8000\n    served_name: y").config.models["base"].served_name == "y"
    )
