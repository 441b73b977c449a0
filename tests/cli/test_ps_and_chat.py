"""The commands that talk to a running service: here a gateway in front of a scripted worker."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.cli.commands import Coe, Finished
from tests.running_gateway import MakeReport, RunningGateway
from tests.scripted_worker import ScriptedWorker, chunk
from workers.report_json import report_from_json

Run = Callable[..., Awaitable[Finished]]


@pytest.fixture
def run(coe: Coe) -> Run:
    """Runs a command beside the service."""

    async def run(*arguments: str, stdin: str = "") -> Finished:
        return await asyncio.to_thread(coe, *arguments, stdin=stdin)

    return run


async def test_ps_lists_what_every_worker_holds(run: Run, gateway: RunningGateway, make_report: MakeReport) -> None:
    gateway.source.known = [
        make_report("http://a", worker_id="w-0", running=2),
        make_report("http://b", "poet", worker_id="w-1", state="failed", error="the disk is full"),
    ]
    await gateway.fleet.refresh()
    ended = await run("ps", "--url", gateway.url)
    assert (ended.code, ended.err) == (0, "")
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert lines[:4] == [
        "expert worker model tier state size running queue room wait unloads in pinned last swap error",
        "generalist w-0 base device ready - 2 0 0 0.0 s - - -",
        "poet w-0 base device ready - 2 0 0 0.0 s - - -",
        "poet w-1 base device failed - 0 0 0 - - - - the disk is full",
    ]
    assert lines[-2:] == [
        "w-0: 2 experts, 2 on the device (-), 4 running, 0 waiting, 0 swaps",
        "w-1: 1 experts, 1 on the device (-), 0 running, 0 waiting, 0 swaps",
    ]


async def test_ps_watch_goes_on_until_it_is_interrupted(
    run: Run, gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[None] = []

    def pause() -> None:
        pauses.append(None)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("coe.cli.ps._pause", pause)
    ended = await run("ps", "--watch", "--url", gateway.url)
    assert (ended.code, ended.err, len(pauses)) == (0, "", 3)
    assert "generalist" in ended.out


async def test_ps_watch_is_not_for_programs(run: Run, gateway: RunningGateway) -> None:
    ended = await run("ps", "--watch", "--json", "--url", gateway.url)
    assert (ended.code, ended.out) == (2, "")
    assert "`coe ps --json`" in ended.err


async def test_ps_gives_programs_the_reports(
    run: Run, gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COE_URL", gateway.url)
    ended = await run("ps", "--json")
    assert report_from_json(ended.out.strip().removeprefix("[").removesuffix("]").encode()) in (gateway.source.known)


async def test_chat_prints_the_answer_and_says_who_gave_it(run: Run, gateway: RunningGateway) -> None:
    ended = await run("chat", "a poem", "--url", gateway.url)
    assert (ended.code, ended.out) == (0, "Hello there.\n")
    assert "[poet, poetry]" in ended.err


async def test_a_conversation_remembers_what_was_said(
    run: Run, gateway: RunningGateway, worker: ScriptedWorker
) -> None:
    ended = await run("chat", "--url", gateway.url, "--model", "poet", stdin="first\n\nsecond\n")
    assert (ended.code, ended.out) == (0, "Hello there.\nHello there.\n")
    assert worker.asked[1].body["messages"] == [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "Hello there."},
        {"role": "user", "content": "second"},
    ]


async def test_an_unknown_model_is_told(run: Run, gateway: RunningGateway) -> None:
    ended = await run("chat", "hello", "--url", gateway.url, "--model", "gpt-4")
    assert (ended.code, ended.out) == (1, "")
    told = f"error: {gateway.url} answered 404: There is no such model. Known models: coe, generalist, poet, coe/"
    assert told in ended.err


async def test_an_answer_that_breaks_is_told(run: Run, gateway: RunningGateway, worker: ScriptedWorker) -> None:
    worker.dies(chunk("poet", "Hello "))
    ended = await run("chat", "a poem", "--url", gateway.url)
    assert (ended.code, ended.out) == (1, "Hello ")
    assert "The worker was lost while it was answering" in ended.err


@pytest.mark.parametrize("command", [["ps"], ["ps", "--json"], ["ps", "--watch"], ["chat", "hello"]])
@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}", "localhost:{port}", "http://[", "ftp://x"])
def test_a_service_that_does_not_run_is_told_with_the_remedy(coe: Coe, command: list[str], url: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = url.format(port=probe.getsockname()[1])
        ended = coe(*command, "--url", url)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"error: No service answers at {url} (")
    assert "start it with `coe serve`, or give --url." in ended.err


async def test_something_else_at_the_address_is_told(run: Run, gateway: RunningGateway, worker: ScriptedWorker) -> None:
    ended = await run("ps", "--url", worker.url)
    assert ended.code == 1
    assert f"{worker.url} answered 404" in ended.err


@pytest.fixture
def another_service() -> Iterator[Callable[[bytes], str]]:
    """`start(body)`: the address of a web server that answers everything with it."""
    with ExitStack() as stack:

        def start(body: bytes) -> str:
            class Answers(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    self.rfile.read(int(self.headers.get("content-length", 0)))
                    self.send_response(200)
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

                do_POST = do_GET  # noqa: N815  the names that the base class asks for

                def log_message(self, *_: object) -> None:
                    """Nothing is to be printed."""

            server = stack.enter_context(HTTPServer(("127.0.0.1", 0), Answers))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield start


@pytest.mark.parametrize(
    ("command", "body"),
    [
        (["ps"], b"<html>Welcome"),
        (["ps", "--json"], b'{"welcome": true}'),
        (["chat", "hello"], b"<html>Welcome"),
        (["load", "poet"], b"<html>Welcome"),
        (["feedback", "r-1", "1"], b"<html>Welcome"),
    ],
)
def test_another_service_at_the_address_is_told(
    coe: Coe, another_service: Callable[[bytes], str], command: list[str], body: bytes
) -> None:
    url = another_service(body)
    ended = coe(*command, "--url", url)
    assert (ended.code, ended.out) == (1, "")
    assert f"What answers at {url} is another service than `coe serve`; check --url." in ended.err
