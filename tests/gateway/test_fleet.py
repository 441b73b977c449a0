import asyncio
from dataclasses import replace

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from coe.gateway import fleet as fleet_module
from coe.gateway.fleet import Fleet, SourceAwayError
from coe.plan.worker_expert import Endpoint
from coe.store.directory import RedisDirectory
from tests.running_gateway import MakeReport, ScriptedSource
from tests.scripted_worker import until
from workers.reports import WorkerReport


async def test_the_first_source_that_answers_is_believed(make_report: MakeReport) -> None:
    first, second = ScriptedSource([make_report("http://a")]), ScriptedSource([make_report("http://b")])
    fleet = Fleet([first, second])
    await fleet.refresh()
    assert fleet.reports() == first.known


@pytest.mark.parametrize("error", [SourceAwayError("gone"), ConnectionError("gone"), TimeoutError()])
async def test_the_next_source_is_asked_where_one_is_away(make_report: MakeReport, error: Exception) -> None:
    first, second = ScriptedSource([make_report("http://a")]), ScriptedSource([make_report("http://b")])
    fleet = Fleet([first, second])
    await fleet.refresh()
    first.error = error
    with capture_logs() as lines:
        await fleet.refresh()
        await fleet.refresh()
    assert fleet.reports() == second.known
    assert [line["event"] for line in lines] == ["lost a source of worker reports"]
    first.error = None
    await fleet.refresh()
    assert fleet.reports() == first.known


async def test_a_source_that_knows_nobody_is_passed_over(make_report: MakeReport) -> None:
    second = ScriptedSource([make_report("http://b")])
    fleet = Fleet([ScriptedSource(), second])
    await fleet.refresh()
    assert fleet.reports() == second.known


async def test_the_last_picture_stands_while_all_sources_are_away(make_report: MakeReport) -> None:
    source = ScriptedSource([make_report("http://a")])
    fleet = Fleet([source])
    await fleet.refresh()
    source.error = SourceAwayError("gone")
    await fleet.refresh()
    assert fleet.reports() == source.known


async def test_redis_away_is_a_source_away(absent_redis: Redis, make_report: MakeReport) -> None:
    second = ScriptedSource([make_report("http://b")])
    fleet = Fleet([RedisDirectory(absent_redis, "test"), second])
    await fleet.refresh()
    assert fleet.reports() == second.known


async def test_the_picture_is_kept_fresh(make_report: MakeReport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "REFRESH_S", 0.01)
    source = ScriptedSource()
    fleet = Fleet([source])
    refreshing = asyncio.create_task(fleet.keep_fresh())
    source.known = [make_report("http://a")]
    await until(lambda: bool(list(fleet.reports())))
    refreshing.cancel()


async def fleet_of(*reports: object) -> Fleet:
    fleet = Fleet([ScriptedSource(list(reports))])  # type: ignore[arg-type]  # a scripted source
    await fleet.refresh()
    return fleet


async def test_the_least_loaded_worker_is_the_best(make_report: MakeReport) -> None:
    fleet = await fleet_of(
        make_report("http://a", worker_id="a", running=3), make_report("http://b", worker_id="b", running=1)
    )
    assert fleet.endpoints("poet") == [Endpoint("b", "http://b"), Endpoint("a", "http://a")]


async def test_only_workers_that_are_ready_and_hold_the_expert_are_asked(make_report: MakeReport) -> None:
    fleet = await fleet_of(
        make_report("http://a", "generalist", worker_id="a"),
        make_report("http://b", worker_id="b", state="draining"),
        make_report("http://c", worker_id="c"),
    )
    assert [endpoint.worker_id for endpoint in fleet.endpoints("poet")] == ["c"]


async def test_a_suspected_worker_is_left_out_for_a_while(
    make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = await fleet_of(make_report("http://a"))
    monkeypatch.setattr(fleet_module, "SUSPECT_S", 0.05)
    fleet.suspect(Endpoint("w-0", "http://a"))
    assert fleet.endpoints("poet") == []
    await until(lambda: bool(fleet.endpoints("poet")))


async def test_the_best_state_of_an_expert_counts(make_report: MakeReport) -> None:
    fleet = await fleet_of(
        make_report("http://a", "poet", worker_id="a", state="ready"),
        make_report("http://b", "poet", "generalist", worker_id="b", state="loading"),
        make_report("http://c", "poet", "generalist", worker_id="c", state="failed"),
    )
    assert fleet.states() == {"poet": "ready", "generalist": "loading"}


async def test_which_adapters_answer_as_an_expert_can_be_told_apart(make_report: MakeReport) -> None:
    def held(worker_id: str, adapter: str | None) -> WorkerReport:
        report = make_report("http://a", "poet", worker_id=worker_id)
        return replace(report, experts=(replace(report.experts[0], adapter=adapter),))

    assert (await fleet_of(held("a", None))).adapters("poet") == ""
    same = await fleet_of(held("a", "one"), held("b", "one"))
    mixed = await fleet_of(held("a", "two"), held("b", "one"))
    assert (same.adapters("poet"), mixed.adapters("poet")) == ("one", "one,two")


async def test_why_an_expert_is_unavailable_is_told(make_report: MakeReport) -> None:
    fleet = await fleet_of(
        make_report("http://a", "poet", state="failed", error="the disk is full"),
        make_report("http://a", "generalist", state="loading"),
        make_report("http://a", "clerk", state="unloaded"),
    )
    assert "the disk is full" in fleet.why_unavailable("poet")
    assert "loading" in fleet.why_unavailable("generalist")
    assert "`coe load clerk`" in fleet.why_unavailable("clerk")
    assert "coe ps" in fleet.why_unavailable("nobody")


async def test_a_burst_between_two_reports_does_not_all_go_to_one_worker(make_report: MakeReport) -> None:
    def reports() -> list[WorkerReport]:
        return [make_report(f"http://{name}", worker_id=name, room=2, wait_s=1.0) for name in "ab"]

    source = ScriptedSource(reports())
    fleet = Fleet([source])
    await fleet.refresh()
    asked = []
    for _ in range(4):
        endpoint = fleet.endpoints("poet")[0]
        fleet.began(endpoint, "poet")
        asked.append(endpoint.worker_id)
    assert asked == ["a", "b", "a", "b"]
    assert not fleet.has_room("poet")
    fleet.ended(Endpoint("b", "http://b"), "poet")
    assert fleet.endpoints("poet")[0].worker_id == "b"
    source.known = reports()
    await fleet.refresh()
    assert fleet.has_room("poet")  # a later report knows what was sent


async def test_an_old_report_that_is_read_again_is_still_corrected(make_report: MakeReport) -> None:
    fleet = await fleet_of(
        make_report("http://a", worker_id="a", room=1), make_report("http://b", worker_id="b", room=1)
    )
    fleet.began(fleet.endpoints("poet")[0], "poet")
    await fleet.refresh()
    assert fleet.endpoints("poet")[0].worker_id == "b"


async def test_a_swap_that_this_gateway_causes_for_another_expert_counts_at_once(make_report: MakeReport) -> None:
    reports = [make_report(f"http://{name}", worker_id=name, tier="host", wait_s=0.5, swap_s=0.5) for name in "ab"]
    fleet = Fleet([ScriptedSource(reports)], at_once={"w": 4})
    await fleet.refresh()
    first = fleet.endpoints("poet")[0]
    fleet.began(first, "poet")
    assert fleet.endpoints("poet")[0] == first  # the same swap serves it
    assert fleet.endpoints("generalist")[0].worker_id != first.worker_id


async def test_residents_are_what_ready_workers_hold_on_the_device(make_report: MakeReport) -> None:
    fleet = await fleet_of(
        make_report("http://a", "poet", worker_id="a", tier="host", room=4),
        make_report("http://b", "clerk", worker_id="b", room=0),
        make_report("http://c", "critic", worker_id="c", room=1),
        make_report("http://d", "gone", worker_id="d", room=1, state="draining"),
    )
    found = {
        name: (fleet.is_resident(name), fleet.has_room(name)) for name in ("poet", "clerk", "critic", "gone", "no")
    }
    assert found == {
        "poet": (False, False),
        "clerk": (True, False),
        "critic": (True, True),
        "gone": (False, False),
        "no": (False, False),
    }
    assert fleet.endpoints("poet")[0].tier == "host"
