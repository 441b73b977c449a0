"""A report after its router's map was learned again: what is new is new, what was judged in training says so."""

from pathlib import Path

import pytest

from routers.encoders.static import StaticEncoder
from routers.mapping.refresh import refresh
from routers.report.document import JSON_FILE, RefreshedEntry, ReportDocument, document_of
from routers.report.html import page
from routers.report.refreshed import read_report, refreshed_report
from routers.report.wording import findings, headline
from routers.router import CategoryRouter
from routers.training import train
from tests.routers.conftest import MakePrompts
from tests.routers.report.documents import LATENCY, skilled, written

AGAIN = RefreshedEntry(outcomes=1_234, default="jurist", evidence=0.2)


def third(category: str) -> dict[str, float]:
    return {"third": float(category == "maths")}


@pytest.mark.parametrize("learned", [True, False])
def test_experts_and_evidence_are_of_the_new_map_and_all_else_stays(
    word_encoder: StaticEncoder, make_prompts: MakePrompts, learned: bool
) -> None:
    router, report = train(make_prompts(60, outcomes=skilled if learned else None), word_encoder)
    before = document_of(router, report, LATENCY)
    found = refresh(router, make_prompts(40, seed=9, outcomes=third), ())

    after = refreshed_report(before, found)

    expert_map = found.router.expert_map
    assert expert_map is not None
    assert [entry.expert for entry in after.categories] == [expert_map.expert_for(e.name) for e in after.categories]
    assert after.general == expert_map.default
    assert after.default in expert_map.pool
    if learned:
        maths = next(entry for entry in after.categories if entry.name == "maths")
        change = next(change for change in found.changes if change.category == "maths")
        assert (maths.expert, maths.gain, maths.p_value) == ("third", change.difference, change.p_value)
    kept = {"categories", "general", "refreshed"}
    assert after.model_dump(exclude=kept) == before.model_dump(exclude=kept)
    assert ReportDocument.from_json(after.to_json()) == after
    assert "third" in page(after)


def test_outcomes_of_every_refresh_are_counted(
    word_encoder: StaticEncoder, make_prompts: MakePrompts, tmp_path: Path
) -> None:
    router, report = train(make_prompts(60, outcomes=skilled), word_encoder)
    document = document_of(router, report, LATENCY)
    for seed in (9, 10):
        found = refresh(router, make_prompts(20, seed=seed, outcomes=third), ())
        router, document = found.router, refreshed_report(document, found)
    assert document.refreshed is not None
    assert document.refreshed.outcomes == 2 * 60

    router.save(tmp_path / "router", {JSON_FILE: document.to_json()})
    assert read_report(tmp_path / "router") == document


def test_a_router_may_have_no_report_or_one_that_is_not_known(router_without_report: Path) -> None:
    assert read_report(router_without_report) is None
    (router_without_report / JSON_FILE).write_text('{"format": "another"}')
    assert read_report(router_without_report) is None


@pytest.fixture
def router_without_report(word_encoder: StaticEncoder, make_prompts: MakePrompts, tmp_path: Path) -> Path:
    router: CategoryRouter = train(make_prompts(30), word_encoder)[0]
    router.save(tmp_path / "router")
    return tmp_path / "router"


def test_what_was_gained_in_training_is_no_claim_on_the_new_map() -> None:
    said = headline(written().model_copy(update={"refreshed": AGAIN}))
    assert said.startswith("The map was learned again with 1,234 outcomes")
    assert f"As trained: {headline(written())}" in said


def test_a_chooser_that_a_refresh_took_away_is_not_told_of() -> None:
    outcomes = written().outcomes
    assert outcomes is not None
    chosen = {"outcomes": outcomes.model_copy(update={"chosen": "soft"})}
    told = findings(written().model_copy(update={**chosen, "refreshed": AGAIN}))
    assert not any("prompt by prompt" in line for line in told)
    assert any("preferred to jurist where a one-sided test gives p of 0.2" in line for line in told)


def test_the_page_marks_what_is_of_the_training() -> None:
    assert "as trained" not in page(written())
    shown = page(written().model_copy(update={"refreshed": AGAIN}))
    for title in ("Policies, as trained", "Budget frontier, as trained", "points gained, as trained"):
        assert title in shown
    assert "over jurist in the category" in shown
