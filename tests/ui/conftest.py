"""A page in a real browser, over a real gateway in front of a scripted worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.running_gateway import Settings
from tests.ui.browser import Browser, browsing, find_browser
from tests.ui.gateway_thread import GatewayThread, MakeReports, serving
from workers.reports import ExpertReport, SwapReport, WorkerReport

SWAP = SwapReport(number=3, at=1_000.0, model="poet", tier="host", evicted=("clerk",), seconds=0.42)


def two_tiers(url: str) -> list[WorkerReport]:
    """One worker: the generalist is on its device and pinned, the poet in host memory."""
    general = ExpertReport(
        name="generalist",
        model="base",
        state="ready",
        tier="device",
        running=2,
        room=5,
        size_bytes=270_000_000,
        pinned=True,
    )
    poet = ExpertReport(
        name="poet", model="poet", state="ready", tier="host", wait_s=0.5, swap_s=0.5, size_bytes=1_500_000_000
    )
    return [
        WorkerReport(
            worker_id="local-0", group="w", url=url, pid=1, epoch=1, experts=(general, poet), engines=(), swaps=(SWAP,)
        )
    ]


@dataclass(slots=True)
class Page:
    """The page in its browser, and the gateway that serves it. `provoked`: parts of complaints that a test wants."""

    browser: Browser
    service: GatewayThread
    provoked: list[str] = field(default_factory=list)

    def open(self, section: str = "playground") -> None:
        """Shows a section, when the page knows what the service has."""
        self.browser.open(f"{self.service.url}/ui/#{section}")
        self.browser.reads("#service", "ready")

    def ask(self, text: str) -> None:
        """Sends a message with the mouse."""
        self.browser.find("#message").send_keys(text)
        self.browser.find("#send").click()

    def facts(self) -> dict[str, str]:
        """What stands below the last answer."""
        return dict(self.browser.probe("facts"))


StartPage = Callable[..., Page]
"""`start(make_reports, **settings)`; what it takes is in `tests.running_gateway.Settings`."""


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    found = find_browser()
    if found is None:
        pytest.skip("no Chromium with chromedriver on this machine; on Debian: apt install chromium chromium-driver")
    with browsing(*found, tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def start_page(chromium: Browser, redis_url: str) -> Iterator[StartPage]:
    """Starts gateways with their page. Whatever a test does, the console stays empty and no other host is asked."""
    pages: list[Page] = []
    chromium.forget()
    chromium.looks()
    with ExitStack() as stack:

        def start(make_reports: MakeReports = two_tiers, **settings: Any) -> Page:
            service = stack.enter_context(serving(redis_url, make_reports, Settings(**settings)))
            pages.append(Page(chromium, service))
            return pages[-1]

        yield start
        complaints, asked = chromium.complaints(), chromium.hosts_asked()
        chromium.forget()
    provoked = [part for page in pages for part in page.provoked]
    assert [each for each in complaints if not any(part in each for part in provoked)] == []
    assert asked <= {page.service.url.removeprefix("http://") for page in pages}


@pytest.fixture
def page(start_page: StartPage) -> Page:
    return start_page()
