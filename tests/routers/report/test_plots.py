import matplotlib as mpl

from routers.gain import Gain
from routers.mapping.policies import PolicyScore
from routers.report.plots import calibration_plot, confusion_plot, frontier_plot, policies_plot
from tests.routers.report.documents import written


def test_there_is_no_plot_of_nothing() -> None:
    outcomes = written().outcomes
    assert outcomes is not None
    assert policies_plot([PolicyScore("map", 0.5, None, Gain())], "map") is None
    assert frontier_plot(outcomes.frontier[:1]) is None
    assert calibration_plot([]) is None


def test_text_is_text_and_told_to_those_who_do_not_see_it() -> None:
    outcomes = written().outcomes
    assert outcomes is not None
    plot = policies_plot(outcomes.policies, outcomes.chosen)
    assert plot is not None
    assert ">map (chosen)</text>" in plot.svg
    assert 'role="img"' in plot.svg
    assert "map +2.13 [+1.08, +3.19]" in plot.description
    assert plot.description in plot.svg


def test_colours_are_the_pages() -> None:
    svg = confusion_plot(written().classification, ["law", "maths"]).svg
    assert "var(--accent)" in svg
    assert "#010" not in svg


def test_a_cell_shows_its_share_of_the_true_category() -> None:
    svg = confusion_plot(written().classification, ["law", "maths"]).svg
    for percent in ("90", "10", "25", "75"):
        assert f">{percent}</text>" in svg


def test_matplotlibs_settings_are_left_as_they_were() -> None:
    before = dict(mpl.rcParams)
    confusion_plot(written().classification, ["law", "maths"])
    assert dict(mpl.rcParams) == before
