"""The pictures of docs/images: in comes a gateway with the shipped router over scripted workers, or a running service.

What the workers hold and answer here is made up; the decisions are the router's own.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from coe.config.load import load_config
from coe.config.models import DecisionLogConfig
from coe.gateway.pages import ExpertCard
from coe.live_router import LiveRouter
from coe.routing import load_routing
from coe.store.embedded import EmbeddedRedis
from tests.running_gateway import Settings
from tests.ui.browser import Browser, Scheme, browsing, find_browser
from tests.ui.gateway_thread import GatewayThread, serving
from tests.ui.scripted_fleet import ANSWERS, DEMAND, EARLIER, SWAPS, make_reports

REPOSITORY = Path(__file__).parents[2]
IMAGES = REPOSITORY / "docs" / "images"
CONFIG = REPOSITORY / "configs" / "local.yaml"
MOST_BYTES = 150_000
QUESTION = "A box holds 12 eggs. Tom has 3 boxes and eats 5 eggs. How many are left?"
FOLLOW_UP = "employees(id, name, salary): list the names of those who earn more than 4000."
INSPECTED = "Translate this SQL query into plain English: SELECT name FROM users"
WIDE, TALL, PHONE = (1180, 860), (1180, 1120), (360, 780)


def main() -> int:
    parser = argparse.ArgumentParser(prog="screenshots", description=__doc__)
    parser.add_argument("--url", help="of a running service; by default one is started over scripted workers")
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder of the pictures")
    given = parser.parse_args()
    found = find_browser()
    if found is None:
        sys.stderr.write("There is no Chromium with its driver here; on Debian: apt install chromium chromium-driver\n")
        return 1
    given.out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        _service(given.url, Path(folder)) as url,
        browsing(*found, Path(folder) / "profile") as browser,
    ):
        for name, picture in _pictures(browser, url):
            _keep(given.out / f"{name}.png", picture)
    return 0


def _pictures(browser: Browser, url: str) -> Iterator[tuple[str, bytes]]:
    schemes: tuple[Scheme, Scheme] = ("light", "dark")
    browser.looks(*TALL, "light", scale=2)
    _ask(browser, url)
    for scheme in schemes:
        browser.looks(*TALL, scheme, scale=2)
        yield f"playground-{scheme}", browser.screenshot()
    browser.looks(*PHONE, "light", scale=2)
    browser.run("document.querySelector('#conversation').scrollIntoView()")
    yield "playground-phone", browser.screenshot()
    _inspect(browser, url)
    for scheme in schemes:
        browser.looks(*WIDE, scheme, scale=2)
        yield f"route-{scheme}", browser.screenshot()
    browser.looks(*PHONE, "dark", scale=2)
    yield "route-phone", browser.screenshot()
    for section in ("experts", "decisions"):
        browser.open(f"{url}/ui/#{section}")
        _wait_for(browser, f"#{section}-table tbody tr", 1)
        for scheme in schemes:
            browser.looks(*WIDE, scheme, scale=2)
            yield f"{section}-{scheme}", browser.screenshot()
        browser.looks(*PHONE, "light", scale=2)
        yield f"{section}-phone", browser.screenshot()


def _ask(browser: Browser, url: str) -> None:
    browser.open(f"{url}/ui/")
    browser.reads("#service", "ready")
    for turn, text in enumerate((QUESTION, FOLLOW_UP), 1):
        browser.find("#message").send_keys(text)
        browser.find("#send").click()
        _wait_for(browser, ".answer[aria-busy=false]", turn)
    browser.run("document.activeElement.blur(); scrollTo(0, document.documentElement.scrollHeight)")


def _wait_for(browser: Browser, selector: str, count: int) -> None:
    browser.until(lambda: len(browser.all(selector)) >= count)


def _inspect(browser: Browser, url: str) -> None:
    browser.open(f"{url}/ui/#route")
    browser.find("#route-prompt").send_keys(INSPECTED)
    browser.find("#route-form button").click()
    browser.until(lambda: browser.all("#probabilities li"))
    browser.run("document.activeElement.blur()")


@contextmanager
def _service(url: str | None, folder: Path) -> Iterator[str]:
    if url is not None:
        yield url.rstrip("/")
        return
    loaded = load_config(CONFIG, {})
    router = LiveRouter(CONFIG.parent / "router", lambda: load_routing(loaded, folder))
    cards = [
        ExpertCard(name, expert.description, loaded.config.active_params_b(name))
        for name, expert in loaded.config.experts.items()
    ]
    settings = Settings(router=router, cards=cards, log=DecisionLogConfig(prompts="all"))
    with EmbeddedRedis(folder) as redis, serving(redis.url, make_reports, settings) as service:
        _fill(service, time.time())
        yield service.url


def _fill(service: GatewayThread, now: float) -> None:
    """What would have happened in the hour before."""
    service.worker.says(ANSWERS, pause_s=0.02)
    happened = [(swap.at, worker, swap) for worker, swaps in SWAPS.items() for swap in swaps(now)]
    for _, worker, swap in sorted(happened, key=lambda each: each[0]):
        service.wait(service.gateway.swaps.add(worker, 1, [swap]))
    for expert, count in DEMAND.items():
        for _ in range(count):
            service.gateway.demand.note(expert)
    for text in EARLIER:
        service.wait(_asked(service, text))
    service.wait(service.gateway.settle())


async def _asked(service: GatewayThread, text: str) -> None:
    await service.gateway.ask(text, stream=True)


def _keep(path: Path, picture: bytes) -> None:
    """Few colours, so that few bytes. Raises SystemExit: it is too large for the documentation."""
    shown = Image.open(io.BytesIO(picture)).convert("RGB")
    packed = io.BytesIO()
    shown.quantize(128, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
    if len(packed.getvalue()) > MOST_BYTES:
        raise SystemExit(f"{path.name} has {len(packed.getvalue())} bytes, more than {MOST_BYTES}")
    path.write_bytes(packed.getvalue())
    sys.stderr.write(f"{path.name}: {len(packed.getvalue()) / 1000:.0f} kB\n")


if __name__ == "__main__":
    sys.exit(main())
