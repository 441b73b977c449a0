"""From seconds of copies, starts, swaps and sleep on a GPU to a table: samples go in, Markdown or JSON comes out."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

import orjson

from benchmarks.image_copy import Copies
from benchmarks.machine import Machine
from benchmarks.markdown import Goal, goals_table, machine_lines, table

START = "start"
IMAGE = "image"
_TARGET = 0.7
_NAMES = {
    START: "a process of its own, from its start to verified weights",
    "disk": "disk → device in place, the file in the page cache",
    "host": "pinned host copy → device in place, and an image taken",
    IMAGE: "image in pinned memory → device in place",
}


@dataclass(slots=True)
class Ways:
    """Samples by way, in seconds: of all of it, verification included, and of loading alone. `freed`: device bytes."""

    nbytes: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    loads: dict[str, list[float]] = field(default_factory=dict)
    freed: dict[str, int] = field(default_factory=dict)

    def add(self, way: str, seconds: float, *, loading: float | None = None) -> None:
        self.seconds.setdefault(way, []).append(seconds)
        if loading is not None:
            self.loads.setdefault(way, []).append(loading)


@dataclass(frozen=True, slots=True)
class Way:
    """Medians. `link_share`: bytes of the checkpoint over loading's seconds and the host link's rate."""

    measured: int
    seconds: float
    load_s: float | None
    link_share: float | None
    freed_bytes: int | None


@dataclass(frozen=True, slots=True)
class Report:
    machine: Machine
    shape: str
    nbytes: int
    copies: Copies
    ways: dict[str, Way]
    compared: int
    differing: int
    goals: list[Goal]


def report(machine: Machine, shape: str, copies: Copies, ways: Ways, *, compared: int, differing: int) -> Report:
    found = {name: _way(ways, name, copies.link) for name in ways.seconds}
    share = found[IMAGE].link_share if IMAGE in found else None
    goals = [
        Goal(f"copies alone, of the host link, at least {_TARGET:.0%}", copies.share_of_link, copies.holds),
        Goal(
            f"image → device in vLLM, of the host link, at least {_TARGET:.0%}", share or 0.0, (share or 0) >= _TARGET
        ),
        Goal("answers that differ from a process of its own, none", differing, differing == 0),
    ]
    return Report(machine, shape, ways.nbytes, copies, found, compared, differing, goals)


def _way(ways: Ways, name: str, link: float) -> Way:
    loads = ways.loads.get(name)
    load_s = statistics.median(loads) if loads else None
    return Way(
        measured=len(ways.seconds[name]),
        seconds=statistics.median(ways.seconds[name]),
        load_s=load_s,
        link_share=ways.nbytes / load_s / link if load_s else None,
        freed_bytes=ways.freed.get(name),
    )


def as_json(found: Report) -> str:
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()


def as_markdown(found: Report) -> str:
    copies = found.copies
    rows = [
        ("way", "measured", "median s", "of it loading", "of the host link", "GB freed"),
        *((_NAMES.get(name, name), *_row(way)) for name, way in found.ways.items()),
    ]
    lines = [*table(rows), "", *goals_table("target", found.goals), ""]
    kind = "pinned" if copies.pinned else "not pinned"
    lines.append(
        f"Shape {found.shape}, {found.nbytes / 1e9:.2f} GB in bfloat16, on {copies.device}. One block is copied at "
        f"{copies.link / 1e9:.1f} GB/s from registered memory and at {copies.plain_link / 1e9:.1f} GB/s from plain. "
        f"Copies alone: {copies.tensors} tensors from an image ({kind}) in {copies.install_s:.3f} s, 95th percentile "
        f"{copies.install_p95_s:.3f} s, with {copies.extra_bytes} more bytes on the device; taking an image "
        f"{copies.taking_s:.2f} s. Of {found.compared} answers after changes, {found.differing} were not those of a "
        "process of its own."
    )
    if IMAGE not in found.ways:
        lines.append("No image was used: the engine's log says what one would miss.")
    return "\n".join([*lines, "", *machine_lines(found.machine)])


def _row(way: Way) -> tuple[str, ...]:
    load = "" if way.load_s is None else f"{way.load_s:.3f}"
    share = "" if way.link_share is None else f"{way.link_share:.0%}"
    freed = "" if way.freed_bytes is None else f"{way.freed_bytes / 1e9:.1f}"
    return (str(way.measured), f"{way.seconds:.3f}", load, share, freed)
