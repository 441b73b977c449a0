"""Dashboard, alerts and provisioning: what they ask for exists, and they can be read by what reads them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from prometheus_client import Histogram
from prometheus_client.metrics import MetricWrapperBase

from coe.gateway.fleet import Fleet
from coe.telemetry import metrics
from tests.running_gateway import MakeReport, ScriptedSource
from workers.reports import EngineReport

FOLDER = Path(__file__).parents[2] / "deploy" / "observability"
DASHBOARD = json.loads((FOLDER / "grafana" / "dashboards" / "coe.json").read_text(encoding="utf-8"))
ALERTS = yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]] + [rule["expr"] for rule in RULES]
SCRAPED = {"job", "instance"}
NAME = re.compile(r"\bcoe_[a-z_]+")
SELECTOR = re.compile(r"\b(coe_[a-z_]+)\{([^}]*)\}")
GROUPED = re.compile(r"\bby \(([^)]*)\)")
LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")


@pytest.fixture
async def known(make_report: MakeReport) -> dict[str, set[str]]:
    """Labels of every series that `/metrics` can show, by its name."""
    report = replace(make_report(), engines=(EngineReport(model="base", state="ready"),))
    fleet = Fleet([ScriptedSource([report])])
    await fleet.refresh()
    found = {name: labels for metric in metrics._COUNTED for name, labels in _series(metric)}
    for family in metrics._WorkerCollector(fleet).collect():
        found |= {sample.name: set(sample.labels) for sample in family.samples}
    return found


def _series(metric: MetricWrapperBase) -> Iterator[tuple[str, set[str]]]:
    labels = set(metric._labelnames)
    if isinstance(metric, Histogram):
        yield f"{metric._name}_bucket", {*labels, "le"}
        yield f"{metric._name}_sum", labels
        yield f"{metric._name}_count", labels
    else:
        yield f"{metric._name}_total" if metric._type == "counter" else metric._name, labels


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_asks_for_what_there_is(expression: str, known: dict[str, set[str]]) -> None:
    names = set(NAME.findall(expression))
    assert names <= known.keys()
    for name, matchers in SELECTOR.findall(expression):
        assert set(LABEL.findall(matchers)) <= known[name] | SCRAPED, name
    together = {label for name in names for label in known[name]} | SCRAPED
    for labels in GROUPED.findall(expression):
        assert {label.strip() for label in labels.split(",")} <= together


def test_every_metric_is_on_the_dashboard(known: dict[str, set[str]]) -> None:
    shown = {re.sub("_(bucket|sum|count)$", "", name) for name in NAME.findall(json.dumps(PANELS))}
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in known} <= shown


def test_every_panel_has_a_number_a_place_and_the_data_source_that_is_chosen() -> None:
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    for panel in PANELS:
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert {source["uid"] for source in sources} == {"${datasource}"}, panel["title"]
        assert panel["description"].endswith(".")
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(taken)) == len(taken), "two panels in one place"
    assert max(x for x, _ in taken) < 24


def test_every_variable_is_defined() -> None:
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(PANELS))) - {"__rate_interval"}
    assert used <= variables.keys()


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert rule["annotations"].keys() == {"summary", "remedy"}


def test_alerts_are_about_the_job_that_is_scraped() -> None:
    scraped = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    jobs = {job["job_name"] for job in scraped["scrape_configs"]}
    told = {job for rule in RULES for job in re.findall(r'job="(\w+)"', rule["expr"])}
    assert told == jobs == {"coe"}
    assert scraped["rule_files"] == ["alerts.yml"]


def test_grafana_is_given_the_data_source_and_the_folder_of_the_dashboard() -> None:
    provisioning = FOLDER / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "coe.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool, of Debian's package `prometheus`, is not installed")
@pytest.mark.parametrize(
    "command",
    [["check", "config", FOLDER / "prometheus.yml"], ["test", "rules", Path(__file__).with_name("alerts_test.yml")]],
)
def test_prometheus_itself_accepts_the_files_and_alerts_as_they_are_meant_to(command: list[str]) -> None:
    done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
