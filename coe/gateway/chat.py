"""`POST /v1/chat/completions`: decide, plan, execute, and pass the bytes of the answer on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from coe.errors import InvalidRequestError, OverloadedError, UnavailableError
from coe.gateway.decision import Decider
from coe.gateway.demand_counter import DemandCounter
from coe.gateway.dry_run import dry_run
from coe.gateway.exchange import Exchange
from coe.gateway.http import EVENT_STREAM, read_body, send_reply, start_reply, until_disconnect
from coe.gateway.protocol import parse_chat
from coe.plan.executor import PlanRunner
from coe.plan.expert import NO_EXPERT, Answer
from coe.plan.plans import Plan
from coe.plan.request import ChatRequest
from coe.plan.worker_expert import RETRY_AFTER_S
from coe.sse import PING, FrameReader, Usage, comment, read_usage
from coe.telemetry.logs import get_logger

log = get_logger("coe.gateway")

NO_BUFFERING = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))


@dataclass(frozen=True, slots=True)
class ChatLimits:
    """Bounds of one gateway process; units in the names."""

    max_body_bytes: int
    max_concurrent: int
    ping_interval_s: float


class ChatEndpoint:
    """An ASGI application. Counts its requests, so that they can be limited and drained."""

    def __init__(
        self,
        decider: Decider,
        runner: PlanRunner,
        limits: ChatLimits,
        demand: DemandCounter,
        *,
        queue: Callable[[str], str | None] = lambda _: None,
        log_prompts: bool = False,
    ) -> None:
        """`queue`: how a request fares that waits for an expert, in words; None where it does not wait."""
        self._decider = decider
        self._queue = queue
        self._demand = demand
        self._runner = runner
        self._limits = limits
        self._log_prompts = log_prompts
        self._running = 0
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange.of(scope)
        exchange.endpoint = scope["path"]
        self._admit()
        self._running += 1
        self._idle.clear()
        try:
            _check_media_type(scope)
            body = await read_body(receive, self._limits.max_body_bytes)
            request = parse_chat(body, exchange.request_id)
            await until_disconnect(self._answer(exchange, request, send), receive)
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def drain(self, timeout_s: float) -> bool:
        """Refuses new requests and waits for the running ones; False where some were left after `timeout_s`."""
        self._draining = True
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def _admit(self) -> None:
        if self._draining:
            raise UnavailableError("The service is shutting down.", code="draining", retry_after_s=10)
        if self._running >= self._limits.max_concurrent:
            raise OverloadedError(
                f"{self._running} requests are in flight, the limit of this gateway (`server.max_concurrent`).",
                retry_after_s=1,
            )

    async def _answer(self, exchange: Exchange, request: ChatRequest, send: Send) -> None:
        decision = await self._decider.decide(request.model, request.messages, request.options)
        exchange.messages = request.messages
        exchange.decision = decision
        exchange.expert = decision.expert
        if not request.options.dry_run:
            self._demand.note(decision.wanted)
        if self._log_prompts:
            log.info("prompt", messages=request.messages)
        if request.options.dry_run:
            await send_reply(send, 200, dry_run(decision, request))
        elif request.stream:
            await self._stream(exchange, decision.plan, request, send)
        else:
            await self._complete(exchange, decision.plan, request, send)

    async def _complete(self, exchange: Exchange, plan: Plan, request: ChatRequest, send: Send) -> None:
        answer = await self._runner.run(plan, request)
        exchange.run = answer.run
        async with aclosing(answer.chunks) as chunks:
            body = b"".join([chunk async for chunk in chunks])
        if not body:
            raise _empty_answer()
        _note_answer(exchange, answer)
        _note_usage(exchange, read_usage(body))
        await send_reply(send, 200, body)

    async def _stream(self, exchange: Exchange, plan: Plan, request: ChatRequest, send: Send) -> None:
        reader = FrameReader(keep_usage=request.include_usage)
        beginning = asyncio.ensure_future(self._begin(exchange, plan, request))
        try:
            while not (await asyncio.wait({beginning}, timeout=self._limits.ping_interval_s))[0]:
                told = self._queue(exchange.expert)
                await _send_frames(exchange, send, comment(told) if told else PING)
        except BaseException:  # cancelled or the client is gone: whatever it is, the answer must not go on unread
            await _discard(beginning)
            raise
        answer, first = beginning.result()
        async with aclosing(answer.chunks) as chunks:
            _note_answer(exchange, answer)
            exchange.first_byte_s = exchange.seconds()
            await _send_frames(exchange, send, reader.feed(first))
            async for chunk in chunks:
                await _send_frames(exchange, send, reader.feed(chunk))
        _note_answer(exchange, answer)  # who answers a plan may show late
        await _send_frames(exchange, send, reader.rest())
        if not (first and exchange.status):
            raise _empty_answer()
        _note_usage(exchange, reader.usage)
        await send({"type": "http.response.body", "body": b""})

    async def _begin(self, exchange: Exchange, plan: Plan, request: ChatRequest) -> tuple[Answer, bytes]:
        """The answer and its first bytes: until they are there, a failure still has its own HTTP status."""
        answer = await self._runner.run(plan, request)
        exchange.run = answer.run
        try:
            return answer, await anext(answer.chunks, b"")
        except BaseException:  # also a cancellation: the engine must stop
            await answer.chunks.aclose()
            raise


def _empty_answer() -> UnavailableError:
    return UnavailableError(
        "The worker sent an empty answer. Send the request again.", code="worker_lost", retry_after_s=RETRY_AFTER_S
    )


async def _send_frames(exchange: Exchange, send: Send, frames: bytes) -> None:
    if not frames:
        return
    if not exchange.status:
        await start_reply(send, 200, EVENT_STREAM, *NO_BUFFERING)
    await send({"type": "http.response.body", "body": frames, "more_body": True})


async def _discard(beginning: asyncio.Future[tuple[Answer, bytes]]) -> None:
    beginning.cancel()
    await asyncio.wait({beginning})
    if not beginning.cancelled() and beginning.exception() is None:
        await beginning.result()[0].chunks.aclose()


def _note_answer(exchange: Exchange, answer: Answer) -> None:
    exchange.answered = answer.expert != NO_EXPERT
    exchange.expert = answer.expert
    exchange.swap_ms = answer.swap_ms
    exchange.cache = answer.cache


def _note_usage(exchange: Exchange, usage: Usage | None) -> None:
    if usage:
        exchange.prompt_tokens = usage.prompt_tokens
        exchange.completion_tokens = usage.completion_tokens


def _check_media_type(scope: Scope) -> None:
    given = next((value for name, value in scope["headers"] if name == b"content-type"), b"application/json")
    if not given.lower().startswith(b"application/json"):
        raise InvalidRequestError(
            "Send the body as `content-type: application/json`.", code="unsupported_media_type", status=415
        )
