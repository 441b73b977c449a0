"""The table of metrics in docs/operations.md is that of the code, labels included."""

from __future__ import annotations

import re
from collections.abc import Iterable

from prometheus_client.metrics import MetricWrapperBase

from coe.telemetry import metrics
from tests.docs.pages import page, table
from tests.running_gateway import MakeReport
from workers.reports import WorkerReport


class ScriptedReports(list[WorkerReport]):
    """A fleet whose workers last said this."""

    def reports(self) -> Iterable[WorkerReport]:
        return self


def documented() -> dict[str, set[str]]:
    text = page("docs/operations.md").text.partition("**Metrics.**")[2]
    found: dict[str, set[str]] = {}
    for names, labels in table(text):
        plain = set(re.findall(r"[a-z_]+", re.sub(r"\([^)]*\)", "", labels)))
        found |= dict.fromkeys(re.findall(r"`(coe_[a-z_]+)`", names), plain)
    return found


def counted() -> dict[str, set[str]]:
    wrappers = [one for one in vars(metrics).values() if isinstance(one, MetricWrapperBase)]
    return {f"{one._name}{'_total' if one._type == 'counter' else ''}": set(one._labelnames) for one in wrappers}


def reported(make_report: MakeReport) -> dict[str, set[str]]:
    source = ScriptedReports([make_report("http://127.0.0.1:9", "poet")])
    return {family.name: set(family._labelnames) for family in metrics._WorkerCollector(source).collect()}  # type: ignore[attr-defined]  # the families keep their labels' names there


def test_the_table_is_that_of_the_code(make_report: MakeReport) -> None:
    assert documented() == counted() | reported(make_report)


def test_every_metric_is_shown() -> None:
    shown = metrics.render_metrics(ScriptedReports()).decode()
    for name in counted():
        assert f"# TYPE {name.removesuffix('_total')}" in shown
