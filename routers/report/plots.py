"""Plots of a report: in come parts of its document, out come SVG elements to stand in a page.

Text stays text, and colours are the page's CSS variables (`--ink`, `--faint`, `--accent`, `--other`), so that a plot
follows the page into the dark. matplotlib is loaded when a plot is drawn; its settings are left as they were.
"""

import re
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from routers.mapping.policies import PolicyScore
from routers.report.document import ClassificationEntry, FrontierEntry
from routers.report.figures import CalibrationBin
from routers.report.wording import gain, percent, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Stand-ins that matplotlib can draw with, and what the page calls them.
INK, FAINT, ACCENT, OTHER = "#010203", "#010204", "#010205", "#010206"
_VARIABLES: Final = {INK: "var(--ink)", FAINT: "var(--faint)", ACCENT: "var(--accent)", OTHER: "var(--other)"}
_COLOUR = re.compile("|".join(_VARIABLES))
_FONT = re.compile(r"font-family: [^;]*")
_WIDTH = 5.0  # inches: the whole width of a phone, half of a desk's
_LABEL_CHARS = 26
MOST_NUMBERED = 16
_GAPS = 0.02


@dataclass(frozen=True, slots=True)
class Plot:
    """`svg`: an element for a page. `title` and `description` are in it, for those who do not see it."""

    title: str
    description: str
    svg: str


def policies_plot(policies: Sequence[PolicyScore], chosen: str) -> Plot | None:
    """Gains over the best single expert with their intervals; None where there are none.

    Random and oracle, far to both sides, would press the others into a line.
    """
    shown = [one for one in reversed(policies) if one.name not in {"best single", "random", "oracle"}]
    shown = [one for one in shown if one.gain.mean is not None and one.gain.ci95 is not None]
    if not shown:
        return None

    def draw(axes: "Axes") -> None:
        axes.axvline(0, color=INK, linewidth=1)
        for place, one in enumerate(shown):
            low, high = one.gain.ci95 or (0.0, 0.0)
            colour = ACCENT if one.name == chosen else OTHER
            axes.plot([100 * low, 100 * high], [place, place], color=colour, linewidth=2)
            axes.plot([100 * (one.gain.mean or 0)], [place], "o", color=colour, markersize=7)
        names = [f"{one.name} (chosen)" if one.name == chosen else one.name for one in shown]
        axes.set_yticks(range(len(shown)), names)
        axes.set_ylim(-0.6, len(shown) - 0.4)
        axes.set_xlabel("points above the best single expert, 95 % interval")
        axes.grid(axis="x")

    told = "; ".join(f"{one.name} {gain(one.gain)}" for one in reversed(shown))
    return _plot("Policies", f"Gain over the best single expert in points: {told}.", draw, 0.9 + 0.34 * len(shown))


def frontier_plot(points: Sequence[FrontierEntry]) -> Plot | None:
    """Scores of the map, and of the best single expert, against the budget; None below two budgets."""
    if len(points) < 2:
        return None

    def draw(axes: "Axes") -> None:
        budgets = [point.budget for point in points]
        alone = [(point.budget, 100 * point.best_single) for point in points if point.best_single is not None]
        if alone:
            axes.plot(*zip(*alone, strict=True), "s--", color=OTHER, markersize=5, label="best single expert")
        for point in points:
            if point.best_single is not None and point.gain.ci95 is not None:
                ends = [100 * (point.best_single + end) for end in point.gain.ci95]
                axes.plot([point.budget, point.budget], ends, color=ACCENT, linewidth=1.5, alpha=0.6)
        axes.plot(budgets, [100 * point.score for point in points], "o-", color=ACCENT, label="map")
        if max(budgets) > 4 * min(budgets):
            axes.set_xscale("log")
        axes.set_xticks(_spread(budgets), [f"{budget:g}" for budget in _spread(budgets)])
        axes.minorticks_off()
        axes.set_xlabel("budget: average active parameters, billions")
        axes.set_ylabel("score, %")
        axes.grid()
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)  # above, where it hides no point

    told = "; ".join(f"{one.budget:g} B: {percent(one.score)} against {percent(one.best_single)}" for one in points)
    return _plot("Budget frontier", f"Score of the map against the best single expert's. {told}.", draw, 3.2)


def calibration_plot(bins: Sequence[CalibrationBin]) -> Plot | None:
    """Accuracy against confidence, larger dots for more prompts; None without any."""
    if not bins:
        return None

    def draw(axes: "Axes") -> None:
        confidence, accuracy = [100 * one.confidence for one in bins], [100 * one.accuracy for one in bins]
        axes.plot([0, 100], [0, 100], "--", color=FAINT, linewidth=1)
        axes.plot(confidence, accuracy, color=ACCENT, linewidth=1.5)
        # Circles of an area like the share, but none too small to see.
        axes.scatter(confidence, accuracy, [20 + 380 * one.share for one in bins], color=ACCENT, alpha=0.75)
        axes.set_xlim(0, 103)
        axes.set_ylim(0, 103)
        axes.set_aspect("equal")
        axes.set_xlabel("confidence, %")
        axes.set_ylabel("accuracy, %")
        axes.grid()

    told = "; ".join(f"{percent(one.confidence)} sure, {percent(one.accuracy)} right" for one in bins)
    return _plot("Calibration", f"Accuracy by confidence on held-out prompts: {told}.", draw, 3.8)


def confusion_plot(classification: ClassificationEntry, categories: Sequence[str]) -> Plot:
    """Where prompts of each category end up, as a share of that category's."""
    shares = [[count / max(sum(row), 1) for count in row] for row in classification.confusion]
    size = len(categories)

    def draw(axes: "Axes") -> None:
        from matplotlib.patches import Rectangle  # noqa: PLC0415 - where a report is written only

        for true, row in enumerate(shares):
            for found, share in enumerate(row):
                if share <= 0:
                    continue
                corner = found - 0.5 + _GAPS, true - 0.5 + _GAPS
                side = 1 - 2 * _GAPS
                shade = 0.06 + 0.59 * share
                axes.add_patch(Rectangle(corner, side, side, facecolor=ACCENT, alpha=shade, linewidth=0))
                if size <= MOST_NUMBERED and round(100 * share):
                    axes.text(found, true, f"{100 * share:.0f}", ha="center", va="center", fontsize=7)
        names = [shortened(name, _LABEL_CHARS) for name in categories]
        font = 9 if size <= MOST_NUMBERED else max(3.0, 150 / size)
        axes.set_xticks(range(size), names, rotation=90, fontsize=font)
        axes.set_yticks(range(size), names, fontsize=font)
        axes.set_xlim(-0.5, size - 0.5)
        axes.set_ylim(size - 0.5, -0.5)
        axes.set_aspect("equal")
        axes.set_xlabel("category found")
        axes.set_ylabel("true category")
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)

    return _plot("Confusion", "Percent of each category's prompts by the category found; numbers below.", draw, _WIDTH)


def _spread(budgets: Sequence[float]) -> list[float]:
    """Those of `budgets` that can be labelled side by side."""
    width = max(budgets) - min(budgets)
    kept: list[float] = []
    for budget in sorted(budgets):
        if not kept or budget - kept[-1] >= 0.05 * width:
            kept.append(budget)
    return kept


def _plot(title: str, description: str, draw: Callable[["Axes"], None], height: float) -> Plot:
    from matplotlib.figure import Figure  # noqa: PLC0415 - where a report is written only

    with _settings(), warnings.catch_warnings():
        # A script that the measuring font lacks is drawn by the reader's browser all the same.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        draw(figure.add_subplot())
        drawn = _svg_bytes(figure)
    return Plot(title, description, _element(drawn, title, description))


def _settings() -> AbstractContextManager[None]:
    import matplotlib as mpl  # noqa: PLC0415 - where a report is written only

    return mpl.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "coe",
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans"],
            "font.size": 9.0,
            "text.color": INK,
            "text.parse_math": False,
            "axes.edgecolor": FAINT,
            "axes.labelcolor": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.unicode_minus": True,
            "xtick.color": FAINT,
            "ytick.color": FAINT,
            "xtick.labelcolor": INK,
            "ytick.labelcolor": INK,
            "grid.color": FAINT,
            "grid.alpha": 0.35,
            "legend.frameon": False,
        }
    )


def _svg_bytes(figure: "Figure") -> bytes:
    out = BytesIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return out.getvalue()


def _element(svg: bytes, title: str, description: str) -> str:
    """`svg` as an element that shares a page with others: own ids, the page's colours and font, a title."""
    root = ET.fromstring(svg)  # noqa: S314 - drawn here
    prefix = f"{title.lower().replace(' ', '-')}-"
    for parent in root.iter():
        for child in [child for child in parent if child.tag.endswith(("}metadata", "}style"))]:
            parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for name, value in list(element.attrib.items()):
            del element.attrib[name]
            element.set(name.rpartition("}")[2], _own(name.rpartition("}")[2], value, prefix))
    view_box = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib.update({"viewBox": view_box, "role": "img", "class": "plot", "aria-label": f"{title}. {description}"})
    named = ET.Element("title")
    named.text = title
    root.insert(0, named)
    return ET.tostring(root, encoding="unicode")


def _own(name: str, value: str, prefix: str) -> str:
    match name:
        case "id":
            return prefix + value
        case "href":
            return value.replace("#", f"#{prefix}")
        case "clip-path":
            return value.replace("url(#", f"url(#{prefix}")
        case _:
            coloured = _COLOUR.sub(lambda found: _VARIABLES[found.group()], value)
            return _FONT.sub("font-family: var(--font)", coloured)
