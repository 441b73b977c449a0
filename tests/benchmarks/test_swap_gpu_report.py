"""From seconds on a GPU to the published figures."""

from benchmarks.image_copy import Copies
from benchmarks.machine import Machine
from benchmarks.swap_gpu_report import IMAGE, START, Ways, as_json, as_markdown, report

MACHINE = Machine("Some CPU", 16, 128.0, "3.12.3", {"coe": "0.1.0"}, 0.02)
COPIES = Copies(
    device="Some GPU",
    torch="2.13.0",
    nbytes=10_000_000_000,
    tensors=195,
    pinned=True,
    link=50e9,
    plain_link=8e9,
    install_s=0.25,
    install_p95_s=0.26,
    share_of_link=0.8,
    taking_s=4.0,
    extra_bytes=0,
)


def ways(*, image: bool) -> Ways:
    found = Ways(nbytes=10_000_000_000)
    found.add(START, 60.0)
    for seconds in (1.9, 2.0, 2.1):
        found.add("disk", seconds, loading=seconds - 0.1)
        if image:
            found.add(IMAGE, seconds / 5, loading=seconds / 8)
    found.add("sleep 2", 0.5)
    found.freed["sleep 2"] = 60_000_000_000
    return found


def test_every_way_is_measured_against_the_host_link() -> None:
    found = report(MACHINE, "8b", COPIES, ways(image=True), compared=9, differing=0)
    assert found.ways[IMAGE].link_share == 0.8
    assert [goal.holds for goal in found.goals] == [True] * 3
    shown = as_markdown(found)
    assert "| image in pinned memory → device in place | 3 | 0.400 | 0.250 | 80% |  |" in shown
    assert "| sleep 2 | 1 | 0.500 |  |  | 60.0 |" in shown
    assert '"compared": 9' in as_json(found)


def test_an_engine_that_uses_no_image_misses_the_target_and_is_named() -> None:
    found = report(MACHINE, "8b", COPIES, ways(image=False), compared=9, differing=2)
    assert [goal.holds for goal in found.goals] == [True, False, False]
    assert "No image was used" in as_markdown(found)
