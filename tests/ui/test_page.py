"""The page as a person uses it, in a real Chromium."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from coe.config.models import DecisionLogConfig
from tests.running_gateway import ROUTER
from tests.scripted_worker import DONE, chunk, usage_chunk
from tests.ui.conftest import SWAP, Page, StartPage, two_tiers
from workers.report_json import report_from_json, report_to_json
from workers.reports import LoadReport

NOTHING = "\N{EN DASH}"
KEY = "a-key-of-the-tests"
MARKUP = "**bold** <b>not markup</b> <img src=x onerror=alert(1)>"


def test_the_page_counts_experts_and_not_the_plans_beside_them(page: Page) -> None:
    page.open()
    page.browser.reads("#service", "2 of 2 experts ready")


def test_an_answer_streams_with_what_was_decided_beside_it(page: Page) -> None:
    browser, worker = page.browser, page.service.worker
    worker.stalls(chunk("poet", "Roses "), chunk("poet", "are "))
    page.open()
    page.ask("a poem")
    browser.reads(".answer .text", "Roses are")  # while the worker still holds the rest back
    facts = page.facts()
    assert (facts["Expert"], facts["Category"], facts["Confidence"], facts["Plan"]) == (
        "poet",
        "poetry",
        "90.0 %",
        "single",
    )
    assert facts["Swap"] == "none"
    assert facts["Router"].endswith("ms")
    assert facts["First token"].endswith("s")
    assert browser.all(".answer[aria-busy=true]")
    page.service.loop.call_soon_threadsafe(worker.release)
    browser.reads(".answer .text", "Roses are Hello there.")
    browser.until(lambda: page.facts().get("Tokens", "").startswith("7 in, 3 out"))
    assert browser.all(".answer[aria-busy=false]")
    browser.until(lambda: "Answer of poet complete." in browser.run("return announcer.textContent"))


def test_stop_ends_the_work_of_the_expert(page: Page) -> None:
    browser, worker = page.browser, page.service.worker
    worker.stalls(chunk("poet", "Roses "))
    page.open()
    page.ask("a poem")
    browser.reads(".answer .text", "Roses")
    browser.find("#stop").click()
    browser.reads(".answer", "Stopped.")
    browser.until(lambda: worker.aborted == 1)
    browser.until(lambda: not browser.find("#stop").is_displayed())
    assert "Roses" in browser.text(".answer .text")


def test_a_conversation_goes_on_and_is_sent_whole(page: Page) -> None:
    browser, worker = page.browser, page.service.worker
    page.open()
    page.ask("a poem")
    browser.reads(".answer .text", "Hello there.")
    browser.until(lambda: not browser.find("#stop").is_displayed())
    page.ask("another poem")
    browser.until(lambda: len(browser.all(".answer[aria-busy=false]")) == 2)
    assert worker.asked[1].body["messages"] == [
        {"role": "user", "content": "a poem"},
        {"role": "assistant", "content": "Hello there."},
        {"role": "user", "content": "another poem"},
    ]
    browser.find("#clear").click()
    assert (browser.text("#conversation"), browser.find("#examples").is_displayed()) == ("", True)


def test_a_named_expert_is_asked_without_the_router(page: Page) -> None:
    browser = page.browser
    page.open()
    browser.find("#model option[value=poet]").click()
    assert browser.text("#model-about") == "The poet. 0.135 billion parameters work on each token."
    page.ask("whatever")
    browser.reads(".answer .text", "Hello there.")
    facts = page.facts()
    assert (facts["Expert"], facts["Category"]) == ("poet", "not asked")
    assert "Confidence" not in facts


def test_settings_of_a_request_reach_the_expert(page: Page) -> None:
    browser, worker = page.browser, page.service.worker
    page.open()
    browser.find("#composer summary").click()
    browser.find("#system").send_keys("Be brief.")
    browser.find("#temperature").send_keys("0")
    browser.find("#max-tokens").send_keys("9")
    browser.find("#cache option[value=always]").click()
    page.ask("a poem")
    browser.until(lambda: page.facts().get("Cache") == "miss")
    asked = worker.asked[0].body
    assert (asked["messages"][0], asked["temperature"], asked["max_tokens"]) == (
        {"role": "system", "content": "Be brief."},
        0,
        9,
    )


def test_what_a_model_writes_is_text_and_never_markup(page: Page) -> None:
    page.provoked = ["requires 'TrustedHTML'"]
    page.service.worker.streams(chunk("poet", MARKUP), usage_chunk("poet"), DONE)
    page.open()
    page.ask(f"a poem {MARKUP}")
    page.browser.reads(".answer .text", MARKUP)
    assert page.browser.all("#conversation img, #conversation b") == []
    assert "requires 'TrustedHTML'" in page.browser.run(
        "try { document.body.innerHTML = '' } catch (e) { return e.message }"
    )


def test_comments_of_a_stream_tell_why_it_takes_long(start_page: StartPage) -> None:
    page = start_page(ping_interval_s=0.1)
    worker = page.service.worker
    worker.stalls()
    page.open()
    page.ask("a poem")
    page.browser.reads(".answer .status", "s: queued for poet behind 0, about 0 s")  # it is in host memory
    page.service.loop.call_soon_threadsafe(worker.release)
    page.browser.reads(".answer .text", "Hello there.")
    assert "Swap" not in page.facts()  # the headers were sent before it was known
    worker.streams(b": 2 of 3 proposals are there\n\n", chunk("poet", ""))
    page.ask("a poem")
    page.browser.reads(".answer:last-child", "The answer is empty.")


def test_a_refusal_is_told_in_the_words_of_the_service(page: Page) -> None:
    page.provoked = ["status of 429"]
    page.service.worker.refuses(429, "queue_full", retry_after=7)
    page.open()
    page.ask("a poem")
    page.browser.reads(".answer [role=alert]", "Try again in 7 seconds. (429 queue_full)")
    assert "scripted 429" in page.browser.text(".answer [role=alert]")


def test_a_message_without_an_answer_is_left_out_of_what_is_asked_next(page: Page) -> None:
    page.provoked = ["status of 400"]
    worker = page.service.worker
    worker.refuses(400)
    page.open()
    page.ask("a poem")
    page.browser.reads(".answer", "The message is left out of what is asked next.")
    worker.streams(chunk("poet", "Roses"), usage_chunk("poet"), DONE)
    page.ask("another poem")
    page.browser.reads(".answer:last-child .text", "Roses")
    assert worker.asked[-1].body["messages"] == [{"role": "user", "content": "another poem"}]


def test_a_stream_that_breaks_keeps_what_came_and_says_what_happened(page: Page) -> None:
    page.service.worker.dies(chunk("poet", "Roses "))
    page.open()
    page.ask("a poem")
    page.browser.until(lambda: page.browser.text(".answer [role=alert]"))
    assert "Roses" in page.browser.text(".answer .text")
    assert "worker_lost" in page.browser.text(".answer [role=alert]")


def test_the_inspector_shows_probabilities_and_the_reason(page: Page) -> None:
    browser = page.browser
    page.open("route")
    browser.reads("#router", f"Router {ROUTER.version}, 2 categories.")
    browser.find("#route-prompt").send_keys("a poem")
    browser.find("#route-form button").click()
    browser.reads("#route-result", "poetry")
    assert "90.0 % sure, plan single" in browser.text("#route-result")
    assert [bar.text.split("\n") for bar in browser.all("#probabilities li")] == [
        ["poetry", "90.0 %"],
        ["law", "10.0 %"],
    ]
    widths = browser.run("return [...document.querySelectorAll('#probabilities .fill')].map((bar) => bar.offsetWidth)")
    assert widths[0] == pytest.approx(9 * widths[1], rel=0.05)
    assert [bar.text.split("\n") for bar in browser.all("#scope li")] == [
        ["In scope", "90.0 %"],
        ["Threshold", "5.0 %"],
    ]
    assert "The router learned that it is the best for the category poetry." in browser.text("#why")
    assert page.service.worker.asked == []
    browser.find("#route-prompt").clear()
    browser.find("#route-prompt").send_keys("unclear")
    browser.find("#route-form button").click()
    browser.reads("#route-result", "the router would not decide")


def test_an_answer_leads_to_its_inspection(page: Page) -> None:
    page.open()
    page.ask("a poem")
    page.browser.until(lambda: page.browser.all(".answer .link"))
    page.browser.find(".answer .link").click()
    page.browser.reads("#route-result", "poetry")
    assert page.browser.find("#route-prompt").get_attribute("value") == "a poem"


def test_experts_are_shown_with_tiers_swaps_and_demand(page: Page) -> None:
    browser, service = page.browser, page.service
    service.wait(service.gateway.swaps.add("local-0", 1, [SWAP]))
    service.wait(service.gateway.ask("a poem"))
    service.wait(service.gateway.settle())
    page.open("experts")
    browser.reads("#experts-table", "poet")
    rows = browser.probe("cells", "#experts-table")
    assert [row[:-1] for row in rows] == [
        ["generalist pinned", "local-0", "device", "ready", "270 MB", "2", "0", "5", "0 s", NOTHING, NOTHING],
        ["poet", "local-0", "host", "ready", "1.5 GB", "0", "0", "0", "500 ms", "500 ms", NOTHING],
    ]
    browser.reads("#swaps-table tbody", "clerk")
    assert "420 ms" in browser.text("#swaps-table tbody")
    browser.reads("#demand", "poet")
    assert browser.text("#demand .number") == "1.0"


def test_the_table_follows_what_workers_report(page: Page) -> None:
    browser = page.browser
    page.open("experts")
    browser.reads("#experts-table", "poet")
    pin = browser.find("#experts-table tbody tr:last-child button:last-child")
    browser.run("arguments[0].focus()", pin)
    (worker,) = two_tiers(page.service.worker.url)
    page.service.report([report_from_json(report_to_json(worker).replace(b'"host"', b'"device"'))])
    browser.until(lambda: [each.text for each in browser.all("#experts-table .tier")] == ["device", "device"])
    assert browser.run("return document.activeElement === arguments[0]", pin)  # a refresh takes no focus away


def test_experts_are_changed_by_who_has_the_key(start_page: StartPage) -> None:
    page = start_page(host="0.0.0.0", admin_key=KEY)
    page.provoked = ["status of 401"]
    browser, control = page.browser, page.service.gateway.control
    control.reports = [LoadReport(worker_id="local-0", expert="poet", state="ready", changed=True, seconds=0.06)]
    page.open("experts")
    browser.until(lambda: browser.all("[aria-label='pin poet']"))
    browser.find("[aria-label='pin poet']").click()
    browser.reads("#verb-error", "Send the key of `server.admin_key`")
    assert "It can be typed below" in browser.text("#verb-error")
    browser.find("#key").send_keys(KEY, Keys.ENTER)
    browser.reads("#key-state", "A key is in use.")
    browser.find("[aria-label='pin poet']").click()
    browser.reads("#verb-done", "pin poet: done in 60.0 ms on 1 worker; the expert is ready.")
    assert control.asked == [("pin", "poet")]
    assert not browser.find("#verb-error").is_displayed()
    assert browser.run("return [localStorage.length, document.cookie]") == [0, ""]
    browser.find("#key-forget").click()
    browser.reads("#key-state", "No key is in use.")


def test_decisions_are_listed_the_newest_first(start_page: StartPage) -> None:
    page = start_page(log=DecisionLogConfig(prompts="abstained"))
    browser, service = page.browser, page.service
    for text in ("a poem", "unclear"):
        service.wait(service.gateway.ask(text))
    service.wait(service.gateway.settle())
    page.open("decisions")
    browser.until(lambda: len(browser.all("#decisions-table tbody tr")) == 2)
    rows = browser.probe("cells", "#decisions-table")
    assert [row[1:-1] for row in rows] == [
        ["general", "90.0 %", "generalist", "single", "unclear"],
        ["poetry", "90.0 %", "poet", "single", "not kept"],
    ]


def test_where_there_is_nothing_to_show_the_page_says_what_to_do(start_page: StartPage) -> None:
    page = start_page(lambda _: [])
    browser = page.browser
    page.open("experts")
    browser.reads("#experts-empty", "No worker has reported yet.")
    browser.reads("#swaps-empty", "No swap yet.")
    browser.reads("#demand-empty", "Ask something in the playground.")
    page.open("decisions")
    browser.reads("#decisions-empty", "Ask something in the playground")
    page.open("route")
    browser.reads("#route-empty", "Write a prompt")
