"""The outermost ASGI layer: identity, deadline, errors, and the one log line and metrics of every exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coe.errors import DeadlineError, InternalError, InvalidRequestError, RequestError
from coe.gateway.exchange import Exchange
from coe.gateway.http import ClientDisconnectedError, send_error
from coe.telemetry.logs import get_logger
from coe.telemetry.metrics import FIRST_TOKEN_SECONDS, REQUEST_SECONDS, REQUESTS, TOKENS

CLIENT_CLOSED = 499
LOGGED = frozenset({"/v1/chat/completions", "/v1/route"})
log = get_logger("coe.gateway")


class Envelope:
    """Wraps an ASGI application. Errors become OpenAI's error body, or an error frame where a stream has begun.

    `observe` is called at the end of every exchange, on the request path: it must be quick and not fail.
    """

    def __init__(
        self, app: ASGIApp, timeout_s: float, observe: Callable[[Exchange], None], *, repeats_id: bool
    ) -> None:
        self._app = app
        self._observe = observe
        self._repeats_id = repeats_id
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange.begin(scope, repeats_id=self._repeats_id)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = [*message.get("headers", ()), *exchange.headers()]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=exchange.request_id):
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._app(scope, receive, send_with_headers)
            except RequestError as error:
                await self._fail(exchange, error, send_with_headers)
            except HTTPException as error:  # no such path or method
                await self._fail(exchange, _as_request_error(error), send_with_headers)
            except TimeoutError:
                late = DeadlineError(f"No complete answer within {self._timeout_s:g} s (`server.request_timeout_s`).")
                await self._fail(exchange, late, send_with_headers)
            except ClientDisconnectedError:
                exchange.status = CLIENT_CLOSED
            except Exception as error:  # the edge: whatever went wrong, the client gets an error it can read
                log.exception("unexpected error", endpoint=exchange.endpoint, error=repr(error))
                await self._fail(
                    exchange, InternalError("The service failed on this request; see its log."), send_with_headers
                )
            except asyncio.CancelledError:
                exchange.status = CLIENT_CLOSED
                raise
            finally:
                _record(exchange)
                self._observe(exchange)

    async def _fail(self, exchange: Exchange, error: RequestError, send: Send) -> None:
        exchange.error = error.body.code or error.body.type
        if not exchange.status:
            await send_error(send, error)
            return
        await send({"type": "http.response.body", "body": error.body.to_frame()})


def _as_request_error(error: HTTPException) -> InvalidRequestError:
    return InvalidRequestError(
        f"{error.detail}. The API is under /v1: /v1/chat/completions, /v1/models, /v1/route.",
        code="unknown_url" if error.status_code == 404 else "method_not_allowed",
        status=error.status_code,
    )


def _record(exchange: Exchange) -> None:
    expert = exchange.expert or "-"
    seconds = exchange.seconds()
    REQUESTS.labels(exchange.endpoint or "-", expert, str(exchange.status)).inc()
    if exchange.endpoint not in LOGGED:
        return
    REQUEST_SECONDS.labels(exchange.endpoint, expert).observe(seconds)
    if exchange.first_byte_s is not None:
        FIRST_TOKEN_SECONDS.labels(expert).observe(exchange.first_byte_s)
    calls = exchange.run.calls if exchange.run else ()
    for by, prompt, completion in [(call.expert, call.prompt_tokens, call.completion_tokens) for call in calls] or [
        (expert, exchange.prompt_tokens, exchange.completion_tokens)
    ]:
        if prompt or completion:
            TOKENS.labels(by, "prompt").inc(prompt)
            TOKENS.labels(by, "completion").inc(completion)
    decision = exchange.decision
    log.info(
        "request",
        endpoint=exchange.endpoint,
        status=exchange.status,
        expert=expert,
        category=decision.category if decision else None,
        confidence=round(decision.confidence, 4) if decision else None,
        plan=decision.plan.label if decision else None,
        instead_of=decision.instead_of if decision else None,
        ttft_s=exchange.first_byte_s and round(exchange.first_byte_s, 4),
        duration_s=round(seconds, 4),
        prompt_tokens=exchange.prompt_tokens,
        completion_tokens=exchange.completion_tokens,
        error=exchange.error,
    )
