"""The page for everyone: by keyboard, in dark and light, on a phone's width, with less motion, by its names alone."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from tests.scripted_worker import DONE, chunk, usage_chunk
from tests.ui.browser import Scheme
from tests.ui.conftest import SWAP, Page

SECTIONS = ("playground", "experts", "route", "decisions")


def test_everything_is_done_with_the_keyboard_alone(page: Page) -> None:
    browser, worker = page.browser, page.service.worker
    worker.stalls(chunk("poet", "Roses "))
    browser.open(f"{page.service.url}/ui/")
    browser.reads("#service", "ready")
    browser.press(Keys.TAB)
    browser.until(lambda: browser.run("return document.activeElement.className") == "skip")
    browser.press(Keys.ENTER)  # past the navigation
    browser.tab_to("#message")
    browser.press("a poem", Keys.ENTER)
    browser.reads(".answer .text", "Roses")
    browser.press(Keys.ESCAPE)
    browser.reads(".answer", "Stopped.")
    browser.tab_to("#send")
    browser.open(f"{page.service.url}/ui/")
    browser.tab_to("nav a[href='#route']")
    browser.press(Keys.ENTER)
    browser.until(lambda: browser.run("return document.activeElement.id") == "route-title")
    browser.tab_to("#route-prompt")
    browser.press("a poem", Keys.ENTER)
    browser.reads("#route-result", "poetry")


@pytest.mark.parametrize("section", SECTIONS)
def test_the_focus_is_seen_everywhere_and_caught_nowhere(page: Page, section: str) -> None:
    page.open(section)
    if section == "experts":
        page.browser.reads("#experts-table", "poet")
    page.browser.run("for (const each of document.querySelectorAll('details')) each.open = true")
    page.browser.run("document.querySelector('.skip').focus()")
    page.browser.press(Keys.TAB)
    seen = 0
    for _ in range(60):
        found = page.browser.probe("focused")
        if found is None:  # past the last
            break
        seen += 1
        assert found["outline"] != "none", found
        assert found["name"], found
        page.browser.press(Keys.TAB)
    else:
        raise AssertionError("Tab does not leave the page")
    assert seen >= len(SECTIONS)


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(page: Page, section: str, scheme: Scheme) -> None:
    fill(page, section)
    page.browser.looks(scheme=scheme)
    dark = page.browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(20, 24, 26)") == (scheme == "dark")
    assert page.browser.probe("faint") == []


@pytest.mark.parametrize("section", SECTIONS)
def test_a_phone_scrolls_down_alone(page: Page, section: str) -> None:
    page.browser.looks(360, 740)
    fill(page, section)
    assert page.browser.run("return [innerWidth, document.documentElement.scrollWidth]") == [360, 360]
    assert page.browser.probe("beyond") == []


def test_motion_is_left_out_where_it_is_not_wanted(page: Page) -> None:
    page.service.worker.stalls(chunk("poet", "Roses "))
    page.open()
    page.ask("a poem")
    page.browser.reads(".answer .text", "Roses")
    moving = "return getComputedStyle(document.querySelector('.answer .text'), '::after').animationName"
    assert page.browser.run(moving) == "none"
    page.browser.looks(still=False)
    page.browser.until(lambda: page.browser.run(moving) == "blink")


def test_landmarks_and_names_are_there_for_who_does_not_see(page: Page) -> None:
    browser = page.browser
    page.open()
    page.ask("a poem")
    browser.reads(".answer .text", "Hello there.")
    assert len(browser.all("header")) == len(browser.all("main")) == len(browser.all("nav[aria-label]")) == 1
    assert browser.find("html").get_attribute("lang") == "en"
    assert browser.find("nav a[aria-current=page]").text == "Playground"
    assert browser.find("#announcer").get_attribute("aria-live") == "polite"
    assert browser.probe("unnamed") == []


def fill(page: Page, section: str) -> None:
    """Shows a section with as much in it as a day brings, long words among it."""
    browser, service = page.browser, page.service
    service.worker.streams(chunk("poet", "word " * 30 + "w" * 200), usage_chunk("poet"), DONE)
    service.wait(service.gateway.swaps.add("local-0", 1, [SWAP]))
    service.wait(service.gateway.ask("a poem", stream=True))
    service.wait(service.gateway.settle())
    page.open(section)
    browser.run("for (const each of document.querySelectorAll('details')) each.open = true")
    match section:
        case "playground":
            page.ask("a poem " + "p" * 120)
            browser.until(lambda: "Tokens" in page.facts())
        case "experts":
            browser.reads("#swaps-table", "clerk")
        case "route":
            browser.find("#route-prompt").send_keys("a poem", Keys.ENTER)
            browser.reads("#route-result", "poetry")
        case _:
            browser.reads("#decisions-table", "poetry")
