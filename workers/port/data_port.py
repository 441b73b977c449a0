"""The worker's OpenAI HTTP port: requests for experts go in, their engines' bytes come out as they arrive.

A request is read once and written once as JSON; its answer is not parsed at all. Whoever goes away, client or engine,
closes the other side of the same request at once. What a failure looks like is `workers.openai_errors`' business.
"""

import asyncio
import hmac
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Protocol

import aiohttp
from aiohttp import web

from workers.errors import AdmissionError, NotResidentError, QueueFullError, QueueTimeoutError
from workers.openai_errors import Failure, RefusedError, engine_died, relayed
from workers.port.answers import StreamFailedError, StreamNames, named_body
from workers.port.requests import ExpertRequest, Request, RequestFormatError, read_request
from workers.port.serving import REQUEST_ID_HEADER, OnServed, Serving
from workers.reports import SwapReport, Tier

TOKEN_HEADER = "x-coe-token"  # noqa: S105  a name, not a secret
SWAP_HEADER = "x-coe-swap-ms"
TIER_HEADER = "x-coe-tier"
_LARGEST_REQUEST = 64 * 2**20  # bytes; images come inside requests
_SHUTDOWN_S = 1.0
_RETRY_S = 5.0
_LOST = (aiohttp.ClientError, OSError, TimeoutError)
_DRAINING = Failure(503, "draining", "this worker is being stopped: ask another one", _RETRY_S)


@dataclass(frozen=True, slots=True)
class Lease:
    """An expert that stays resident: how to ask its engine, where its weights were, and what the request waited for.

    `swap_s` is the part of `waited_s` that was for the weights, which `swap` brought.
    """

    asking: ExpertRequest
    tier: Tier = "device"
    swap_s: float = 0.0
    waited_s: float = 0.0
    swap: SwapReport | None = None


class Servable(Protocol):
    """An expert as the port sees it: how to ask its engine, and whether to."""

    @property
    def name(self) -> str: ...
    @property
    def session(self) -> aiohttp.ClientSession: ...
    @property
    def base_url(self) -> str: ...
    def refusal(self) -> Failure | None:
        """Why it cannot answer now, or None where it can."""

    def expect(self, probability: float) -> None:
        """A request is likely to come soon; of no effect where the expert cannot answer now."""

    def lease(self) -> AbstractAsyncContextManager[Lease]:
        """Wait for the expert's turn, then keep it resident for one request.

        Raises `AdmissionError`, or `RefusedError` where the expert cannot answer now.
        """
        ...


class DataPort:
    """Serves `experts` on a free port of `host`. With a `token`, requests must carry it in `x-coe-token`.

    `on_served` is called at the end of every request, on its path: it must be quick and not fail.
    """

    def __init__(
        self,
        experts: Mapping[str, Servable],
        *,
        report: Callable[[], bytes],
        host: str,
        token: str | None = None,
        on_served: OnServed | None = None,
    ) -> None:
        self._experts = experts
        self._report = report
        self._on_served = on_served
        self._host = host
        self._token = token.encode() if token is not None else None
        self._runner: web.AppRunner | None = None
        self.draining = False
        self.url = ""

    async def start(self) -> None:
        """Listen; `url` then says where. Raises `OSError` where `host` is not this machine's."""
        app = web.Application(client_max_size=_LARGEST_REQUEST)
        app.router.add_get("/health", self._health)
        app.router.add_get("/report", self._serve_report)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/expected", self._expected)
        app.router.add_route("*", "/{path:.*}", self._unknown)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        self._runner = runner
        await web.TCPSite(runner, self._host, 0).start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def stop(self) -> None:
        """Close the port and whatever still runs through it."""
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "draining" if self.draining else "ok"})

    async def _serve_report(self, request: web.Request) -> web.Response:
        try:
            self._authorise(request)
        except RefusedError as error:
            return _reply(error.failure)
        return web.Response(body=self._report(), content_type="application/json")

    async def _expected(self, request: web.Request) -> web.Response:
        try:
            expert, asked = await self._accepted(request)
            expert.expect(_probability(asked))
        except RefusedError as error:
            return _reply(error.failure)
        return web.Response(status=204)

    async def _unknown(self, request: web.Request) -> web.Response:
        return _reply(Failure(404, "not_found", f"there is no {request.method} {request.path} here"))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        serving = Serving.begin(request.headers)
        try:
            response = await self._answer(request, serving)
        except (asyncio.CancelledError, ConnectionResetError):
            serving.error = "cancelled"
            raise
        else:
            serving.status = response.status
            return response
        finally:
            serving.ended = time.time()
            if self._on_served:
                self._on_served(serving)

    async def _answer(self, request: web.Request, serving: Serving) -> web.StreamResponse:
        try:
            expert, asked = await self._accepted(request)
            serving.expert = expert.name
            async with expert.lease() as lease:
                serving.tier, serving.waited_s, serving.swap = lease.tier, lease.waited_s, lease.swap
                return await _forward(request, expert, lease.asking.apply(asked), _memory_headers(lease), serving)
        except RefusedError as error:
            failure = error.failure
        except AdmissionError as error:
            failure = _not_admitted(error)
            if isinstance(error, NotResidentError):
                serving.swap = error.swap
        serving.error = failure.error_type
        return _reply(failure)

    async def _accepted(self, request: web.Request) -> tuple[Servable, Request]:
        self._authorise(request)
        if self.draining:
            raise RefusedError(_DRAINING)
        try:
            asked = read_request(await request.read())
        except RequestFormatError as error:
            raise RefusedError(Failure(400, None, str(error), param=error.param)) from error
        except web.HTTPRequestEntityTooLarge as error:
            too_large = f"the request is larger than {_LARGEST_REQUEST} bytes"
            raise RefusedError(Failure(413, None, too_large)) from error
        expert = self._experts.get(str(asked["model"]))
        if expert is None:
            unknown = f"there is no expert `{asked['model']}` here"
            raise RefusedError(Failure(404, "model_not_found", unknown, param="model"))
        if failure := expert.refusal():
            raise RefusedError(failure)
        return expert, asked

    def _authorise(self, request: web.Request) -> None:
        given = request.headers.get(TOKEN_HEADER, "").encode(errors="surrogateescape")
        if self._token is not None and not hmac.compare_digest(given, self._token):
            needed = f"the header `{TOKEN_HEADER}` must carry this worker's token"
            raise RefusedError(Failure(401, "invalid_token", needed))


def _probability(asked: Request) -> float:
    match asked.get("probability"):
        case int(value) | float(value) if not isinstance(value, bool) and 0 <= value <= 1:
            return value
        case _:
            wrong = "`probability` must be a number from 0 to 1"
            raise RefusedError(Failure(400, None, wrong, param="probability"))


def _not_admitted(error: AdmissionError) -> Failure:
    match error:
        case QueueFullError():
            return Failure(429, "queue_full", str(error), error.retry_after_s)
        case QueueTimeoutError():
            return Failure(503, "queue_timeout", str(error), error.retry_after_s)
        case _:
            return Failure(503, "expert_unavailable", str(error), error.retry_after_s)


async def _forward(
    request: web.Request, expert: Servable, body: bytes, headers: Mapping[str, str], serving: Serving
) -> web.StreamResponse:
    try:
        upstream = await _ask(serving, expert, body)
    except _LOST as error:
        raise RefusedError(engine_died()) from error
    try:
        if upstream.status >= 400:
            raise RefusedError(relayed(upstream.status, await upstream.read()))
        if upstream.content_type == "text/event-stream":
            return await _stream(request, expert, upstream, headers, serving)
        answer = named_body(await upstream.read(), expert.name)
        return web.Response(body=answer, content_type=upstream.content_type, headers=headers)
    except aiohttp.ClientPayloadError as error:
        raise RefusedError(engine_died()) from error
    finally:
        upstream.close()  # of no effect on a connection that is done; else the engine aborts the request


async def _ask(serving: Serving, expert: Servable, body: bytes) -> aiohttp.ClientResponse:
    headers = dict(serving.trace)  # vLLM's own spans join the trace where it is told of the collector
    if serving.request_id:
        headers[REQUEST_ID_HEADER] = serving.request_id
    url = f"{expert.base_url}/v1/chat/completions"
    try:
        return await expert.session.post(url, data=body, headers=headers)
    except (aiohttp.ServerDisconnectedError, ConnectionResetError):
        # An idle connection may be closed just as it is used; nothing was answered on it, so asking again is safe.
        return await expert.session.post(url, data=body, headers=headers)


async def _stream(
    request: web.Request,
    expert: Servable,
    upstream: aiohttp.ClientResponse,
    headers: Mapping[str, str],
    serving: Serving,
) -> web.StreamResponse:
    names = StreamNames(expert.name)
    # Headers wait for the first bytes, so that a failure until then still has its status.
    first = names.feed(await upstream.content.readany())
    response = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-cache", **headers})
    await response.prepare(request)
    if first:
        await response.write(first)
    try:
        async for chunk in upstream.content.iter_any():
            if data := names.feed(chunk):
                await response.write(data)
        last = names.rest()
    except StreamFailedError as error:
        serving.error = error.failure.error_type
        last = error.before + error.failure.event
    except aiohttp.ClientPayloadError:
        serving.error = engine_died().error_type
        last = engine_died().event
    with suppress(ConnectionResetError):
        await response.write(last)
        await response.write_eof()
    return response


def _memory_headers(lease: Lease) -> Mapping[str, str]:
    waited = {SWAP_HEADER: f"{lease.swap_s * 1000:.1f}"} if lease.swap_s else {}
    return {TIER_HEADER: lease.tier, **waited}


def _reply(failure: Failure) -> web.Response:
    return web.Response(status=failure.status, body=failure.body, headers=failure.headers)
