"""The replay as a picture: figures go in, gain against mean calls is drawn to a file."""

from __future__ import annotations

from pathlib import Path

from coe.errors import InputError
from coe.replay.figures import PlanFigures, Replay

_TICKS = (1, 2, 3, 4, 5, 7, 10, 14, 20, 30, 50)


def draw(replay: Replay, path: Path) -> None:
    """Write `path`, in the format that its name ends in (svg, png, pdf): a line for each series of plans.

    Raises:
        InputError: it cannot be written, or the ending names no format.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - only where a picture is asked for

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for series in dict.fromkeys(plan.series for plan in replay.plans):
        shown = sorted((plan for plan in replay.plans if plan.series == series), key=lambda plan: plan.calls)
        gains = [100 * (plan.gain.mean or 0) for plan in shown]
        errors = [[gain - low for gain, (low, _) in zip(gains, map(_interval, shown), strict=True)]]
        errors.append([high - gain for gain, (_, high) in zip(gains, map(_interval, shown), strict=True)])
        axes.errorbar([plan.calls for plan in shown], gains, yerr=errors, fmt="o-", label=series, alpha=0.85)
        for plan, gain in zip(shown, gains, strict=True):
            mark = plan.name.removeprefix(series).strip(", ")
            axes.annotate(mark, (plan.calls, gain), (4, -11), textcoords="offset points", fontsize=7)
    most = max(plan.calls for plan in replay.plans)
    axes.set_xscale("log")
    axes.set_xticks([calls for calls in _TICKS if calls <= most], [str(calls) for calls in _TICKS if calls <= most])
    axes.minorticks_off()
    axes.set_xlabel("mean calls a prompt")
    axes.set_ylabel("points above the routed expert, 95 % interval")
    axes.grid(alpha=0.35)
    axes.legend()
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise InputError(f"--plot {path} cannot be written: {error}") from error


def _interval(plan: PlanFigures) -> tuple[float, float]:
    low, high = plan.gain.ci95 or (0.0, 0.0)
    return 100 * low, 100 * high
