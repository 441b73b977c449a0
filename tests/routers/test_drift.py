"""The drift monitor on simulated traffic: what it keeps quiet about, what it tells, and how often."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from routers.drift import (
    DecisionCounts,
    DriftMonitor,
    Reading,
    Signal,
    compare_mixes,
    rejection_band,
)

MIX = {"code": 0.5, "law": 0.3, "poetry": 0.15, "sql": 0.05}
SHIFTED = {"code": 0.1, "law": 0.3, "poetry": 0.15, "sql": 0.45}
Traffic = Sequence[str | None]


def draw(rng: np.random.Generator, n: int, rejected: float = 0.05, mix: Mapping[str, float] = MIX) -> Traffic:
    """`n` decisions of stationary traffic; None where the prompt was rejected."""
    names = list(mix)
    chosen = rng.choice(len(names), size=n, p=list(mix.values()))
    return [None if reject else names[i] for reject, i in zip(rng.random(n) < rejected, chosen, strict=True)]


def feed(monitor: DriftMonitor, traffic: Traffic) -> list[Reading]:
    """The readings that the traffic led to; a first full window becomes the baseline."""
    readings = []
    for category in traffic:
        if reading := monitor.observe(category):
            readings.append(reading)
        if monitor.baseline is None and monitor.seen == monitor.window:
            monitor.compare_with(monitor.counts())
    return readings


def warnings(readings: Sequence[Reading], signal: Signal) -> int:
    """How often the signal came to count as drifted."""
    states = [False, *(signal in reading.drifted for reading in readings)]
    return sum(now and not before for before, now in pairwise(states))


def test_nothing_is_said_before_a_window_is_full_and_a_baseline_known() -> None:
    traffic = draw(np.random.default_rng(0), 999)
    monitor = DriftMonitor(0.05, window=500)
    assert not any(monitor.observe(category) for category in traffic)
    monitor = DriftMonitor(0.05, window=1000)
    monitor.compare_with(DecisionCounts(50, {"code": 950}))
    assert not any(monitor.observe(category) for category in traffic)
    assert monitor.observe("code")


def test_ten_looks_a_window_show_what_the_window_holds() -> None:
    traffic = draw(np.random.default_rng(1), 2000)
    readings = feed(DriftMonitor(0.05, window=500), traffic)
    assert len(readings) == 30
    for look, reading in enumerate(readings, 1):
        seen = traffic[look * 50 : 500 + look * 50]
        assert reading.rejection_ratio == seen.count(None) / 500
        assert reading.expected[0] <= 0.05 <= reading.expected[1]


@pytest.mark.parametrize("rejected", [0.0, 0.05, 0.3])
def test_false_warnings_on_stationary_traffic_are_no_more_than_stated(rejected: float) -> None:
    """The level is set high, so that the rate can be seen; 1,000 windows, each baseline used for ten of them."""
    rng = np.random.default_rng(7)
    told: dict[Signal, int] = {"rejection": 0, "mix": 0}
    for _ in range(100):
        readings = feed(DriftMonitor(0.05, window=100, false_alarm=0.1), draw(rng, 1100, rejected))
        for signal in told:
            told[signal] += warnings(readings, signal)
    assert told["rejection"] <= 0.1 * 1000
    assert told["mix"] <= 0.1 * 1000
    if rejected:
        assert told["rejection"] > 0, "a level of 10 % that never errs is not what is stated"


def test_at_the_default_level_long_stationary_traffic_is_quiet() -> None:
    rng = np.random.default_rng(3)
    readings = [feed(DriftMonitor(0.05), draw(rng, 10_000, rejected)) for rejected in (0.02, 0.05, 0.1, 0.2, 0.5)]
    assert sum(len(found) for found in readings) == 950
    assert not any(reading.drifted for found in readings for reading in found)


@pytest.mark.parametrize("shifted", [0.15, 0.4, 1.0])
def test_a_rising_rejection_rate_is_told_within_a_window(shifted: float) -> None:
    rng = np.random.default_rng(4)
    monitor = DriftMonitor(0.05)
    assert not any(reading.drifted for reading in feed(monitor, draw(rng, 2000)))
    readings = feed(monitor, draw(rng, 500, shifted))
    assert readings[-1].drifted == {"rejection"}
    assert readings[-1].rejection_ratio > readings[-1].expected[1]


def test_a_rejection_rate_that_falls_is_told_too() -> None:
    rng = np.random.default_rng(4)
    monitor = DriftMonitor(0.05)
    feed(monitor, draw(rng, 2000, 0.2))
    assert feed(monitor, draw(rng, 500, 0.05))[-1].drifted == {"rejection"}


def test_another_mix_is_told_and_the_rejection_rate_left_alone() -> None:
    rng = np.random.default_rng(5)
    monitor = DriftMonitor(0.05)
    feed(monitor, draw(rng, 2000))
    reading = feed(monitor, draw(rng, 500, mix=SHIFTED))[-1]
    assert reading.drifted == {"mix"}
    assert reading.psi > 0.25
    assert reading.p_value < 1e-6


def test_a_category_that_the_baseline_lacks_is_a_shift() -> None:
    monitor = DriftMonitor(0.05)
    feed(monitor, draw(np.random.default_rng(6), 1000))
    assert "mix" in feed(monitor, ["chess"] * 250)[-1].drifted


def test_one_warning_when_it_begins_and_none_until_it_was_over() -> None:
    """Traffic that wavers around the border of the band is one warning, not many."""
    monitor = DriftMonitor(0.05)
    monitor.compare_with(DecisionCounts(25, {"code": 475}))
    high = rejection_band(DecisionCounts(25, {"code": 475}), 0.05, 500, 0.0001)[1]
    usual: Traffic = ([None] + ["code"] * 19) * 25
    border: Traffic = [None] * (high + 1) + ["code"] * (499 - high)
    below: Traffic = [None] * (high - 1) + ["code"] * (501 - high)
    wavering = [*usual, *border, *below, *border, *below, *border]
    readings = feed(monitor, wavering)
    assert warnings(readings, "rejection") == 1
    assert readings[-1].drifted == {"rejection"}
    readings = feed(monitor, usual)
    assert readings[-1].drifted == frozenset()
    assert warnings(feed(monitor, border), "rejection") == 1


def test_a_mix_that_came_back_is_over() -> None:
    rng = np.random.default_rng(8)
    monitor = DriftMonitor(0.05)
    feed(monitor, draw(rng, 1000))
    assert "mix" in feed(monitor, draw(rng, 500, mix=SHIFTED))[-1].drifted
    readings = feed(monitor, draw(rng, 1000))
    assert readings[-1].drifted == frozenset()
    assert "mix" in readings[0].drifted


def test_a_baseline_of_another_size_and_time_is_taken() -> None:
    """As a gateway does that starts beside others: theirs is the baseline, and traffic has shifted since."""
    monitor = DriftMonitor(0.05, window=200)
    monitor.compare_with(DecisionCounts(10, {"code": 500, "law": 300, "poetry": 150, "sql": 50}))
    readings = feed(monitor, draw(np.random.default_rng(9), 200, rejected=0.3))
    assert readings[-1].drifted == {"rejection"}


def test_many_rare_categories_are_no_shift_although_the_index_is_high() -> None:
    rng = np.random.default_rng(10)
    many = {f"c{i}": 1 / 60 for i in range(60)}
    monitor = DriftMonitor(0.05, window=200)
    readings = feed(monitor, draw(rng, 2000, mix=many))
    assert max(reading.psi for reading in readings) > 0.25
    assert not any(reading.drifted for reading in readings)


def test_a_single_category_cannot_shift() -> None:
    assert compare_mixes({"code": 400}, {"code": 10})[1] == 1.0
    assert compare_mixes({}, {"code": 10}) == (0.0, 1.0)
    assert compare_mixes({}, {}) == (0.0, 1.0)


def test_the_test_is_the_chi_square_test_of_homogeneity() -> None:
    before, now = {"a": 120, "b": 240, "c": 90}, {"a": 140, "b": 180, "c": 100}
    table = [[mix[name] for name in "abc"] for mix in (before, now)]
    assert compare_mixes(before, now)[1] == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)


@given(
    rejected=st.integers(0, 300),
    decided=st.integers(1, 1000),
    reject_rate=st.floats(0, 0.5),
    n=st.integers(10, 1000),
    level=st.floats(1e-6, 0.2),
)
def test_the_band_leaves_out_no_more_than_its_level(
    rejected: int, decided: int, reject_rate: float, n: int, level: float
) -> None:
    low, high = rejection_band(DecisionCounts(rejected, {"code": decided}), reject_rate, n, level)
    rate = stats.betabinom(n, 0.5 + 20 * reject_rate + rejected, 0.5 + 20 * (1 - reject_rate) + decided)
    assert 0 <= low <= high <= n
    assert rate.cdf(low - 1) <= level / 2 * (1 + 1e-6)
    assert rate.sf(high) <= level / 2 * (1 + 1e-6)
    assert rate.cdf(low) > level / 2 * (1 - 1e-6), "a narrower band would not do"


@given(traffic=st.lists(st.sampled_from(["a", "b", None]), max_size=80))
def test_the_window_holds_the_last_decisions(traffic: list[str | None]) -> None:
    monitor = DriftMonitor(0.05, window=30)
    for category in traffic:
        monitor.observe(category)
    last = traffic[-30:]
    assert monitor.seen == len(last) == monitor.counts().decisions
    assert monitor.counts().rejected == last.count(None)
    assert monitor.counts().by_category == {name: last.count(name) for name in ("a", "b") if name in last}
