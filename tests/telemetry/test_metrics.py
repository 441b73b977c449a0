import os
import subprocess
import sys
from pathlib import Path

from coe.telemetry.metrics import render_metrics
from workers.reports import EngineReport, ExpertReport, Tier, WorkerReport

COUNT = """
import sys
from coe.telemetry.metrics import REQUESTS, render_metrics
REQUESTS.labels("/x", "poet", "200").inc(2)
class Nobody:
    def reports(self): return []
if len(sys.argv) > 1: print(render_metrics(Nobody()).decode())
"""

ROUTE = """
import sys
from coe.telemetry.metrics import ROUTER_INFO, render_metrics
ROUTER_INFO.labels(sys.argv[1]).set(1)
class Nobody:
    def reports(self): return []
print(render_metrics(Nobody()).decode())
"""


HELD: tuple[tuple[str, str, Tier, int], ...] = (
    ("poet", "verse", "device", 200),
    ("bard", "verse", "device", 200),
    ("clerk", "prose", "device", 100),
    ("critic", "essay", "host", 700),
)


class OneWorker:
    def reports(self) -> list[WorkerReport]:
        engines = (EngineReport(model="base", state="ready", restarts=4),)
        held = tuple(
            ExpertReport(name=name, model=model, state="ready", tier=tier, size_bytes=size)
            for name, model, tier, size in HELD
        )
        return [WorkerReport(worker_id="w-0", group="w", url="", pid=1, epoch=1, experts=held, engines=engines)]


def test_bytes_on_the_device_are_those_of_models_that_are_there() -> None:
    assert b'coe_device_bytes{worker="w-0"} 300.0' in render_metrics(OneWorker())


def test_engine_restarts_are_shown_as_workers_report_them() -> None:
    assert b'coe_engine_restarts{model="base",worker="w-0"} 4.0' in render_metrics(OneWorker())


def test_the_processes_of_a_node_are_counted_together(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COUNT]
    subprocess.run(command, env=environment, check=True, cwd=Path(__file__).parents[2])
    shown = subprocess.run(
        [*command, "show"],
        env=environment,
        check=True,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    ).stdout
    assert 'coe_requests_total{endpoint="/x",expert="poet",status="200"} 4.0' in shown


def test_a_process_that_is_gone_routes_no_more(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}

    def route(version: str) -> str:
        command = [sys.executable, "-c", ROUTE, version]
        folder = Path(__file__).parents[2]
        ended = subprocess.run(command, env=environment, check=True, cwd=folder, capture_output=True, text=True)
        return ended.stdout

    assert 'coe_router_info{version="old"} 1.0' in route("old")
    shown = route("new")
    assert 'coe_router_info{version="new"} 1.0' in shown
    assert "old" not in shown
