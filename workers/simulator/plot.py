"""A picture of a comparison: policies' waits and seconds of loading come in, an SVG or PNG file goes out.

matplotlib is loaded when a plot is drawn.
"""

from __future__ import annotations

from pathlib import Path

from workers.errors import SimulationError
from workers.simulator.results import Comparison

_SUFFIXES = (".svg", ".png")


def write_plot(path: Path, comparison: Comparison) -> None:
    """Draws bars of load seconds, with the optimum as a line, and bars of waits, with the maximum wait as a line.

    Raises:
        SimulationError: `path` ends in neither .svg nor .png, or cannot be written.
    """
    check_plot_path(path)
    from matplotlib.figure import Figure  # noqa: PLC0415 - where a plot is drawn only

    names = list(comparison.policies)
    places = range(len(names))
    figure = Figure(figsize=(9, 0.6 * len(names) + 1.8), layout="constrained")
    loading, waiting = figure.subplots(1, 2)
    loading.barh(places, [comparison.policies[name].load_seconds for name in names], color="tab:blue")
    loading.axvline(comparison.optimum.load_seconds, color="black", linestyle="--", label=comparison.optimum.kind)
    loading.set(title="Seconds spent loading", yticks=places, yticklabels=names)
    for at, (label, color) in enumerate((("p50", "tab:green"), ("p95", "tab:orange"), ("max", "tab:red"))):
        waits = [getattr(comparison.policies[name].wait_s, label) for name in names]
        waiting.barh([place + (at - 1) * 0.25 for place in places], waits, 0.25, label=label, color=color)
    waiting.axvline(comparison.max_wait_s, color="black", linestyle="--", label="maximum wait")
    waiting.set(title="Seconds of waiting", yticks=places, yticklabels=names)
    for axes in (loading, waiting):
        axes.invert_yaxis()
        axes.legend(fontsize="small")
    try:
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    except OSError as error:
        raise SimulationError(f"The plot cannot be written to {path}: {error.strerror}") from error


def check_plot_path(path: Path) -> None:
    """Raises SimulationError where `path` ends in neither .svg nor .png."""
    if path.suffix not in _SUFFIXES:
        raise SimulationError(f"{path} names no kind of plot: let it end in .svg or .png")
