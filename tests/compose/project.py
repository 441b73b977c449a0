"""One Compose project of docker-compose.yml: `docker compose` and `docker` commands in, what the engine says out."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
COMPOSE_FILE = REPOSITORY / "docker-compose.yml"
BUILD_TIMEOUT_S = 3600.0
COMMAND_TIMEOUT_S = 300.0
POLL_S = 0.5


class ComposeTestError(Exception):
    """What was promised did not happen."""


@dataclass(frozen=True, slots=True)
class Container:
    """One life of a service's container."""

    identifier: str
    status: str
    health: str
    started_at: str
    restarts: int

    @property
    def healthy(self) -> bool:
        return self.status == "running" and self.health == "healthy"


def missing_engine() -> str | None:
    """Why there is no Docker engine with Compose here; None where there is one."""
    if shutil.which("docker") is None:
        return "there is no `docker` command"
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        return "this Docker has no `docker compose`"
    answered = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    return "no Docker engine answers" if answered.returncode else None


class Project:
    """Commands on one project. Raises `ComposeTestError` where a command fails."""

    def __init__(self, name: str) -> None:
        self.name = name

    def up(self, *, build: bool) -> None:
        """Returns once every service is healthy."""
        self._compose(
            "up", *(["--build"] if build else []), "--wait", "--wait-timeout", "900", timeout_s=BUILD_TIMEOUT_S
        )

    def down(self) -> None:
        """Stops the project and removes its containers, networks and volumes."""
        self._compose("down", "--volumes", "--remove-orphans")

    def services(self) -> list[str]:
        return sorted(self._compose("ps", "--services", "--all").split())

    def logs(self, lines: int) -> str:
        return self._compose("logs", "--no-color", "--tail", str(lines))

    def container(self, service: str) -> Container:
        """The service's container as it is now."""
        identifier = self._compose("ps", "--all", "--quiet", service).strip()
        found = json.loads(_run("docker", "inspect", identifier))[0]
        state = found["State"]
        return Container(
            identifier=identifier,
            status=state["Status"],
            health=state.get("Health", {}).get("Status", "unchecked"),
            started_at=state["StartedAt"],
            restarts=found["RestartCount"],
        )

    def crash(self, service: str) -> Container:
        """Kills every process in the service's container by SIGKILL, and returns what the container was.

        From within: what `docker kill` ends counts as stopped on purpose, and no restart policy starts it again.
        """
        before = self.container(service)
        self._compose("exec", "--no-TTY", service, "sh", "-c", "kill -9 -1", accept_failure=True)
        return before

    def wait_until_restarted(self, service: str, before: Container, timeout_s: float) -> None:
        """Returns once the restart policy has started the container again and it is healthy."""

        def restarted() -> bool:
            now = self.container(service)
            return now.restarts > before.restarts and now.started_at != before.started_at and now.healthy

        wait_until(restarted, f"{service} is healthy again", timeout_s)

    def published(self) -> list[str]:
        """`ADDRESS:PORT` of every port of the project that the machine listens on."""
        found = set()
        for service in self.services():
            settings = json.loads(_run("docker", "inspect", self.container(service).identifier))[0]["NetworkSettings"]
            for bindings in settings["Ports"].values():
                found |= {f"{binding['HostIp']}:{binding['HostPort']}" for binding in bindings or []}
        return sorted(found)

    def users(self, service: str) -> set[int]:
        """The user ids of all processes in the service's container."""
        table = _run("docker", "top", self.container(service).identifier, "-eo", "uid,pid,comm")
        return {int(line.split()[0]) for line in table.splitlines()[1:]}

    def left(self) -> list[str]:
        """What the engine still has of the project."""
        label = f"label=com.docker.compose.project={self.name}"
        containers = _run("docker", "ps", "--all", "--quiet", "--filter", label)
        volumes = _run("docker", "volume", "ls", "--quiet", "--filter", label)
        networks = _run("docker", "network", "ls", "--quiet", "--filter", label)
        return [*containers.split(), *volumes.split(), *networks.split()]

    def _compose(self, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S, accept_failure: bool = False) -> str:
        command = ["docker", "compose", "--file", str(COMPOSE_FILE), "--project-name", self.name, *arguments]
        return _run(*command, timeout_s=timeout_s, accept_failure=accept_failure)


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float) -> float:
    """Seconds until the condition held. Raises `ComposeTestError` after `timeout_s`."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > timeout_s:
            raise ComposeTestError(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(POLL_S)
    return time.monotonic() - started


def _run(*command: str, timeout_s: float = COMMAND_TIMEOUT_S, accept_failure: bool = False) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise ComposeTestError(f"not within {timeout_s:.0f} s: {_shown(command)}") from error
    if done.returncode and not accept_failure:
        raise ComposeTestError(f"{_shown(command)} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return done.stdout


def _shown(command: Sequence[str]) -> str:
    return "`" + " ".join(command) + "`"
