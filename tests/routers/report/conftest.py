from collections.abc import Callable

import pytest

from routers.encoders.static import StaticEncoder
from routers.mapping.experts import ExpertSize
from routers.prompts import LabelledPrompt
from routers.report.document import ReportDocument, document_of
from routers.training import MapSettings, train
from tests.routers.report.documents import LATENCY

MakePrompts = Callable[..., list[LabelledPrompt]]
SIZES = {"jurist": ExpertSize(7, 7), "generalist": ExpertSize(8, 8)}


def skilled(category: str) -> dict[str, float]:
    return {"generalist": 0.5, "jurist": 0.95 if category == "law" else 0.1}


@pytest.fixture(scope="session")
def trained(word_encoder: StaticEncoder, make_prompts: MakePrompts) -> ReportDocument:
    """Of a router that gains, whose budgets can all be met."""
    prompts = make_prompts(60, out_of_scope=30, outcomes=skilled)
    return document_of(*train(prompts, word_encoder, mapping=MapSettings(SIZES, frontier=(7, 8))), LATENCY)


@pytest.fixture(scope="session")
def without_outcomes(word_encoder: StaticEncoder, make_prompts: MakePrompts) -> ReportDocument:
    return document_of(*train(make_prompts(30), word_encoder), LATENCY)
