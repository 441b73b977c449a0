"""docker-compose.yml on a real Docker engine, from nothing to nothing: `make compose-test`.

Brings the project up, asks it, looks at its ports and users, kills one service after another and waits until it has
healed by itself, and takes all down. Each step is told with its time. The exit status is 1 where a promise was broken,
and 0 where there is no engine to try it on.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import httpx

from tests.compose.asking import CATEGORY, Answer, answers, ask, ask_streamed, asking_meanwhile
from tests.compose.project import ComposeTestError, Project, missing_engine, wait_until

NEEDED = "the compose test needs a Docker engine with Compose v2"
HEAL_TIMEOUT_S = 300.0
SERVICES = ["head", "redis", "worker"]


def main() -> int:
    if reason := missing_engine():
        sys.stderr.write(f"skipped: {reason}; {NEEDED}.\n")
        return 0
    project = Project("coe-test")
    port = os.environ.setdefault("COE_PORT", "8000")
    started = time.monotonic()
    try:
        project.down()
        _try_all(project, f"http://127.0.0.1:{port}", f"127.0.0.1:{port}")
    except (ComposeTestError, httpx.HTTPError) as error:
        sys.stderr.write(f"failed: {error}\n{project.logs(100)}\n")
        return 1
    finally:
        project.down()
    sys.stdout.write(f"all done in {time.monotonic() - started:.0f} s\n")
    return 0


def _try_all(project: Project, url: str, address: str) -> None:
    with _step("up --build --wait"):
        project.up(build=True)
        _expect(project.services() == SERVICES, f"the services are {project.services()}")
    with _step("a complete answer"):
        _expect_answer(ask(url))
    with _step("a streamed answer"):
        streamed = ask_streamed(url)
        _expect_answer(streamed)
        _expect(streamed.pieces > 1, "the stream came in one piece")
    with _step("only the API's port is published"):
        _expect(project.published() == [address], f"published: {project.published()}")
    with _step("no process of root"):
        for service in SERVICES:
            _expect(0 not in project.users(service), f"{service} has processes of root")
    with _step("redis killed: answers go on, it heals"):
        _kill_redis(project, url)
    for service in ("worker", "head"):
        with _step(f"{service} killed: it heals, and answers come again"):
            _kill(project, service, url)
    with _step("down --volumes leaves nothing"):
        project.down()
        _expect(not project.left(), f"left: {project.left()}")


def _kill_redis(project: Project, url: str) -> None:
    with asking_meanwhile(url) as asked:
        project.wait_until_restarted("redis", project.crash("redis"), HEAL_TIMEOUT_S)
    _expect(not asked.failures, f"{len(asked.failures)} questions failed, the first: {asked.failures[:1]}")
    _expect(asked.answered > 0, "no question was answered meanwhile")


def _kill(project: Project, service: str, url: str) -> None:
    project.wait_until_restarted(service, project.crash(service), HEAL_TIMEOUT_S)
    for name in SERVICES:  # the others may start again with it
        wait_until(partial(_is_healthy, project, name), f"{name} is healthy", HEAL_TIMEOUT_S)
    wait_until(partial(answers, url), "answers come again", HEAL_TIMEOUT_S)
    _expect_answer(ask(url))


def _is_healthy(project: Project, service: str) -> bool:
    return project.container(service).healthy


def _expect_answer(answer: Answer) -> None:
    _expect(answer.status == 200, f"status {answer.status}: {answer.text}")
    _expect(answer.category == CATEGORY, f"the category is {answer.category}")
    _expect(bool(answer.text.strip()), "the answer is empty or was cut off")


def _expect(promise: bool, otherwise: str) -> None:
    if not promise:
        raise ComposeTestError(otherwise)


@contextmanager
def _step(what: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    sys.stdout.write(f"[{time.monotonic() - started:7.1f} s] {what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
