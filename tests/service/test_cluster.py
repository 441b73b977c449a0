"""A service on more than one machine: its own cluster that another machine joins, and a cluster that was there before.

Where machines come and go, the engines are scripted servers that the workers attach to: two of vLLM's on two cores take
minutes to start, and again for each that is started anew. Ray, Ray Serve, workers, gateways and Redis are real.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.cluster import HEAD_HOST, OTHER_HOST, TOKEN, Clients, JoinedNode, joined_node, tcp_redis
from tests.service.running import (
    CLUSTER_CONFIG,
    LOCAL_CONFIG,
    RunningService,
    assert_all_gone,
    free_port,
    run_service,
    shipped_config,
)
from tests.service.test_faults import ScriptedEngine, ask, attached_config, stream_lines

pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]


@pytest.fixture
def ray_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of one node, started as its operator starts it."""
    address = f"127.0.0.1:{free_port()}"
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--include-dashboard=false"]
    log = (tmp_path_factory.mktemp("ray") / "ray.log").open("wb")
    with log, subprocess.Popen([*command, f"--port={address.rpartition(':')[2]}"], stdout=log, stderr=log) as head:
        _wait_until_started(Path(log.name))
        yield address
        head.terminate()


def _wait_until_started(log: Path) -> None:
    deadline = time.monotonic() + 60
    while "Ray runtime started" not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


def test_it_answers_and_leaves_the_cluster_running(ray_address: str, tmp_path: Path) -> None:
    engine = ScriptedEngine()
    try:
        with run_service(tmp_path, attached_config(engine), RAY_ADDRESS=ray_address) as service:
            assert ask(service.url).status_code == 200
        with run_service(tmp_path, attached_config(engine), RAY_ADDRESS=ray_address) as service:
            assert ask(service.url, "doomed").status_code == 200
    finally:
        engine.close()


def two_machine_config(engine: ScriptedEngine, redis_url: str, port: int) -> dict[str, object]:
    """The same expert on a worker of the head and on one of the machine that joins."""
    return {
        "cluster": {"port": port, "host": HEAD_HOST, "labels": {"machine": "head"}},
        "redis": {"url": redis_url},
        "router": {"path": str(LOCAL_CONFIG.parent / "router"), "general": "steady"},
        "models": {"scripted": {"url": f"http://127.0.0.1:{engine.port}", "served_name": "scripted"}},
        "experts": {"steady": {"model": "scripted"}, "distant": {"model": "scripted"}},
        "workers": {
            "here": {"nodes": {"machine": "head"}, "experts": ["steady"]},
            "there": {"nodes": {"machine": "other"}},
        },
    }


def workers(service: RunningService) -> dict[str, dict[str, Any]]:
    reports = httpx.get(f"{service.url}/v1/workers", timeout=10).json()
    return {report["group"]: report for report in reports}


def wait_for_workers(service: RunningService, groups: set[str], seconds: float = 120) -> dict[str, dict[str, Any]]:
    deadline = time.monotonic() + seconds
    while True:
        found = workers(service)
        ready = {name for name, report in found.items() if all(e["state"] == "ready" for e in report["experts"])}
        if ready == groups:
            return found
        assert time.monotonic() < deadline, (found, "".join(service.stderr))
        time.sleep(0.5)


def groups_that_run(service: RunningService, streams: int) -> set[str]:
    """Which groups' workers run requests while several streams of one expert are open."""
    running: set[str] = set()
    with ThreadPoolExecutor(streams) as pool:
        asked = [pool.submit(lambda: list(stream_lines(service.url, "steady", 60))) for _ in range(streams)]
        while not all(each.done() for each in asked):
            running |= {group for group, report in workers(service).items() if _runs_steady(report)}
            time.sleep(0.3)
    assert all(each.result()[-1] == "data: [DONE]" for each in asked)
    return running


def _runs_steady(report: dict[str, Any]) -> bool:
    return any(expert["name"] == "steady" and expert["running"] for expert in report["experts"])


@pytest.mark.timeout(540)
def test_a_second_machine_shares_the_work_is_lost_and_comes_back(tmp_path: Path) -> None:
    """One cluster lives through all of it, as it must: each step needs the one before."""
    engine, port = ScriptedEngine(), free_port()
    with (
        tcp_redis(tmp_path) as redis_url,
        # It is there before the head, and has to wait for it.
        joined_node(tmp_path, port, "machine=other") as first,
        run_service(tmp_path, two_machine_config(engine, redis_url, port), **TOKEN) as service,
    ):
        both_serve(service)
        its_loss_under_load_is_told_and_the_other_goes_on(service, first)
        with joined_node(tmp_path, port, "machine=other") as second:
            both_serve(service)
            it_leaves_when_told(service, second)
    engine.close()


def both_serve(service: RunningService) -> None:
    found = wait_for_workers(service, {"here", "there"})
    assert HEAD_HOST in found["here"]["url"]
    assert OTHER_HOST in found["there"]["url"]
    for report in found.values():
        assert httpx.get(f"{report['url']}/report", timeout=10).status_code == 401  # without the service's token
    assert ask(service.url, "distant").status_code == 200
    assert groups_that_run(service, 6) == {"here", "there"}


def its_loss_under_load_is_told_and_the_other_goes_on(service: RunningService, node: JoinedNode) -> None:
    clients = Clients(service.url)
    with clients.asking(6):
        time.sleep(3)
        node.lose()
        wait_for_workers(service, {"here"}, 60)
        answered = clients.outcomes["right"]
        deadline = time.monotonic() + 60
        while clients.outcomes["right"] < answered + 10:
            assert time.monotonic() < deadline, clients.outcomes
            time.sleep(0.2)
    assert not clients.strange
    assert set(clients.outcomes) <= {"right", "worker_lost"}, clients.outcomes
    assert ask(service.url, "distant").json()["error"]["code"] == "expert_unavailable"


def it_leaves_when_told(service: RunningService, node: JoinedNode) -> None:
    processes = node.descendants()
    lines = stream_lines(service.url, "distant", 50)
    next(lines)

    node.process.send_signal(signal.SIGTERM)

    assert list(lines)[-1] == "data: [DONE]"
    assert node.process.wait(90) == 0
    assert_all_gone(processes)
    assert ask(service.url).status_code == 200


@pytest.mark.timeout(540)
def test_the_cluster_that_ships_runs_its_model_where_the_label_is(tmp_path: Path) -> None:
    """`configs/cluster.yaml` on real vLLM: the head has no worker, the other machine prepares the model for itself."""
    port, head_home, other_home = free_port(), tmp_path / "head", tmp_path / "other"
    config = shipped_config(CLUSTER_CONFIG)
    with (
        tcp_redis(tmp_path) as redis_url,
        joined_node(tmp_path, port, "pool=cpu", COE_HOME=str(other_home)),
        run_service(
            tmp_path,
            {**config, "redis": {"url": redis_url}, "cluster": {"port": port, "host": HEAD_HOST}},
            COE_HOME=str(head_home),
            **TOKEN,
        ) as service,
    ):
        (report,) = httpx.get(f"{service.url}/v1/workers", timeout=10).json()
        assert OTHER_HOST in report["url"]
        answer = ask(service.url, "sql-writer", "How many rows has the table users?")
        assert answer.status_code == 200, answer.text
        assert answer.json()["model"] == "sql-writer"
        assert list((other_home / "models").iterdir())
        assert not (head_home / "models").exists()
