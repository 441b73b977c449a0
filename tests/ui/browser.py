"""A headless Chromium of this machine: what it showed, what it said on its console, and whom it asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import ActionChains, Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PROBES = Path(__file__).with_name("probes.js")
SOON_S = 10.0
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # Chromium has none for root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",  # whatever it would ask, it finds nobody
)

Scheme = Literal["light", "dark"]


def find_browser() -> tuple[str, str] | None:
    """Chromium and its driver; None where one of them is missing."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Browser:
    """One window. Methods that wait fail where what they wait for is not there soon."""

    def __init__(self, driver: Chrome) -> None:
        self._driver = driver

    def looks(
        self, width: int = 1280, height: int = 900, scheme: Scheme = "light", *, scale: int = 1, still: bool = True
    ) -> None:
        """Size of the window in CSS pixels, colour scheme, and whether the person wants less motion."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        motion = "reduce" if still else "no-preference"
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion},
        ]
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def open(self, url: str) -> None:
        self._driver.get(url)

    def forget(self) -> None:
        """Leaves the page, and what was said and asked so far."""
        self._driver.get("about:blank")
        self._log("browser")
        self._log("performance")

    def find(self, selector: str) -> WebElement:
        """The first element that fits, shown or not."""
        return self._driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self._driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """What a person reads of the first element that fits; empty where there is none."""
        found = self.all(selector)
        return found[0].text if found else ""

    def run(self, script: str, *arguments: object) -> Any:
        """The value of JavaScript, as in the body of a function."""
        return self._driver.execute_script(script, *arguments)

    def probe(self, name: str, *arguments: object) -> Any:
        """The value of a function of probes.js."""
        return self.run(f"{PROBES.read_text()}\nreturn {name}(...arguments)", *arguments)

    def until(self, condition: Callable[[], object]) -> None:
        wait = WebDriverWait(self._driver, SOON_S, 0.05, ignored_exceptions=[StaleElementReferenceException])
        wait.until(lambda _: condition())

    def reads(self, selector: str, text: str) -> None:
        """Waits until `text` is read there."""
        self.until(lambda: text in self.text(selector))

    def press(self, *keys: str) -> None:
        """On the keyboard, wherever the focus is."""
        for key in keys:
            ActionChains(self._driver).send_keys(key).perform()

    def tab_to(self, selector: str, most: int = 40) -> int:
        """Presses Tab until the focus is there; how often that was."""
        for presses in range(1, most + 1):
            self.press(Keys.TAB)
            if self.run("return document.activeElement.matches(arguments[0])", selector):
                return presses
        raise AssertionError(f"{selector} is not reached by {most} presses of Tab")

    def screenshot(self) -> bytes:
        return self._driver.get_screenshot_as_png()

    def complaints(self) -> list[str]:
        """Warnings and errors on the console since the last call, refused requests among them."""
        return [entry["message"] for entry in self._log("browser") if entry["level"] in {"WARNING", "SEVERE"}]

    def hosts_asked(self) -> set[str]:
        """Of the requests that pages have made since the last call."""
        events = (json.loads(entry["message"])["message"] for entry in self._log("performance"))
        urls = (str(_asked(event)) for event in events if event["method"] == "Network.requestWillBeSent")
        return {urlsplit(url).netloc for url in urls if url.startswith(("http", "ws"))}

    def _log(self, kind: str) -> list[dict[str, Any]]:
        """What was added since the last call."""
        entries: list[dict[str, Any]] = self._driver.get_log(kind)  # type: ignore[no-untyped-call]  # selenium's gap
        return entries


def _asked(event: Mapping[str, Any]) -> object:
    return event["params"]["request"]["url"]


@contextmanager
def browsing(browser: str, driver: str, profile: Path) -> Iterator[Browser]:
    """Runs a Chromium with a fresh `profile` folder. Looks for no driver on the network: both paths are given."""
    options = ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    running = Chrome(options=options, service=Service(executable_path=driver))
    try:
        yield Browser(running)
    finally:
        running.quit()
