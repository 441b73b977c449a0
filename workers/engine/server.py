"""One vLLM OpenAI server as a process: what it shall serve goes in, a Unix socket that answers comes out.

`engine_command` and `engine_environment` say how vLLM is called. `Engine` starts any such command, waits until it is
healthy, watches it, and ends it with all of its processes. Who restarts it is not known here.
"""

import asyncio
import os
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import aiohttp
import psutil

from workers.adapters.loading import LoraRoom, lora_arguments
from workers.engine.diagnosis import last_lines, start_failure
from workers.engine.extension_arguments import extension_arguments, extension_environment
from workers.engine.health import until_healthy, until_unhealthy
from workers.engine.log import EngineLog
from workers.engine.sleep import sleep_arguments
from workers.errors import EngineStartError
from workers.processes.reaper import reaped
from workers.spec import Device, ModelSpec

ENGINE_URL = "http://engine"  # over a Unix socket the host is only a header
MAX_SOCKET_PATH = 107  # bytes; the kernel's limit
_GRACE_S = 10.0
_LAST_WORDS_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What one engine is started with. `socket` is a path that it creates.

    `replaceable`: its weights can be replaced in place, by `workers.weights`. `sleeps`: it can give its device memory
    back and stay, by `workers.engine.sleep`.
    """

    model: ModelSpec
    device: Device
    model_dir: Path
    socket: Path
    lora: LoraRoom | None = None
    replaceable: bool = False
    sleeps: bool = False

    @property
    def verified(self) -> bool:
        """Whether its weights come and go, so that they are verified each time."""
        return self.replaceable or self.sleeps

    @property
    def extended(self) -> bool:
        """Whether our methods are mixed into it."""
        return self.verified or (self.lora is not None and self.lora.contended)


EngineCommand: TypeAlias = Callable[[Launch], list[str]]


def engine_command(launch: Launch) -> list[str]:
    """The command line of vLLM's OpenAI server. The model's `extra_args` come last, so they win."""
    model = launch.model
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(launch.model_dir), "--served-model-name", model.base_name, "--uds", str(launch.socket)]
    command += ["--dtype", model.dtype, "--disable-uvicorn-access-log", "--disable-fastapi-docs"]
    # Without these, requests that carry `tools` are refused, also by models that would only ignore them.
    command += ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
    if launch.device == "cpu":
        command.append("--enforce-eager")  # compiling takes a minute more at each start, for a tenth of speed
    if launch.device == "gpu" and model.gpu_memory_utilization is not None:
        command += ["--gpu-memory-utilization", str(model.gpu_memory_utilization)]
    if model.tensor_parallel > 1:
        command += ["--tensor-parallel-size", str(model.tensor_parallel)]
    if model.max_model_len is not None:
        command += ["--max-model-len", str(model.max_model_len)]
    if model.max_num_seqs is not None:
        command += ["--max-num-seqs", str(model.max_num_seqs)]
    if launch.lora:
        command += lora_arguments(launch.lora)
    if launch.extended:
        command += extension_arguments()
    if launch.sleeps:
        command += sleep_arguments()
    return [*command, *model.extra_args]


def engine_environment(launch: Launch, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of vLLM: `inherited`, then ours, then the model's `env`."""
    environment = {
        **inherited,
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
        "VLLM_NO_USAGE_STATS": "1",
        # Longer than a client keeps an idle connection, so that none is closed while a request is on its way in it.
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "120",
    }
    if launch.lora:
        environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "1"
    if launch.extended:
        environment |= extension_environment(environment)
    if launch.verified and launch.device == "cpu":
        # Engines run eagerly there: only log-probabilities would be compiled, at a first request's cost.
        environment["TORCH_COMPILE_DISABLE"] = "1"
    if launch.device == "cpu":
        environment["VLLM_CPU_KVCACHE_SPACE"] = str(launch.model.kv_cache_gb)
    return environment | dict(launch.model.env)


def engine_session(socket: Path) -> aiohttp.ClientSession:
    """A session to the engine behind `socket`: any number of connections, no limit to how long an answer takes."""
    return aiohttp.ClientSession(
        connector=aiohttp.UnixConnector(str(socket), limit=0, keepalive_timeout=60.0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10.0),
        headers={"accept-encoding": "identity", "content-type": "application/json"},
    )


class Engine:
    """One engine process from start to end. Start it from a thread that outlives it: see `workers.processes.reaper`."""

    def __init__(self, launch: Launch, *, command: EngineCommand = engine_command, grace_s: float = _GRACE_S) -> None:
        self._launch = launch
        self._command = command
        self._grace_s = grace_s
        self._log = EngineLog(launch.model.name)
        self._process: Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._family: list[psutil.Process] = []

    @property
    def pid(self) -> int | None:
        """The process id of the reaper above the engine; ending it ends the engine."""
        return self._process.pid if self._process and self._process.returncode is None else None

    @property
    def log_lines(self) -> tuple[str, ...]:
        return self._log.lines

    async def start(self) -> None:
        """Return once the engine is healthy. Raises `EngineStartError`."""
        started = time.monotonic()
        process = await self._spawn()
        served = False
        try:
            ended = asyncio.create_task(process.wait())
            healthy = asyncio.create_task(self._become_healthy())
            timeout_s = self._launch.model.start_timeout_s
            try:
                await asyncio.wait((ended, healthy), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                ended.cancel()
                healthy.cancel()
            if not healthy.done() or healthy.cancelled():
                raise await self._failure(process, time.monotonic() - started)
            self._family = _descendants(process.pid)
            served = True
        finally:
            if not served:
                await self.stop()

    async def wait(self) -> str:
        """Return when the engine has ended or does not answer any more, with a sentence that says so."""
        assert self._process is not None, "start the engine before waiting for its end"
        async with engine_session(self._launch.socket) as session:
            ended = asyncio.create_task(self._process.wait())
            mute = asyncio.create_task(until_unhealthy(session, ENGINE_URL))
            try:
                await asyncio.wait((ended, mute), return_when=asyncio.FIRST_COMPLETED)
            finally:
                ended.cancel()
                mute.cancel()
        name = self._launch.model.name
        if self._process.returncode is None:
            return f"the engine of model `{name}` does not answer any more"
        return f"the engine of model `{name}` ended with status {self._process.returncode} while it was serving"

    async def stop(self) -> None:
        """End the engine and everything it started; 10 s of grace, then SIGKILL. Does nothing where it has ended."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            family = _descendants(process.pid) or self._family
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(self._grace_s + 2):
                    await process.wait()
            except TimeoutError:
                process.kill()
                self._family = family
                await process.wait()
        for left in self._family:  # only where the reaper itself was killed
            with suppress(psutil.NoSuchProcess):
                left.kill()
        if self._reading:
            await asyncio.wait((self._reading,), timeout=1.0)
            self._reading.cancel()
        self._launch.socket.unlink(missing_ok=True)

    async def _spawn(self) -> Process:
        launch = self._launch
        if len(os.fsencode(launch.socket)) > MAX_SOCKET_PATH:
            raise EngineStartError(
                f"the socket path `{launch.socket}` is longer than {MAX_SOCKET_PATH} bytes: choose a shorter `run_dir`"
            )
        try:
            launch.socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            launch.socket.unlink(missing_ok=True)
            self._process = await asyncio.create_subprocess_exec(
                *reaped(self._command(launch), grace_s=self._grace_s),
                env=engine_environment(launch, os.environ),
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=STDOUT,
            )
        except OSError as error:
            raise EngineStartError(f"cannot start the engine of model `{launch.model.name}`: {error}") from error
        assert self._process.stdout is not None
        self._reading = asyncio.create_task(self._log.read(self._process.stdout))
        return self._process

    async def _become_healthy(self) -> None:
        async with engine_session(self._launch.socket) as session:
            await until_healthy(session, ENGINE_URL)

    async def _failure(self, process: Process, after_s: float) -> EngineStartError:
        status = process.returncode
        if status is not None and self._reading:
            await asyncio.wait((self._reading,), timeout=_LAST_WORDS_S)  # its last words
        message = start_failure(self._launch.model.name, self._log.lines, status=status, after_s=after_s)
        return EngineStartError(message, last_lines(self._log.lines))


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
