"""An expert held by workers: picks a worker, asks its data port, relays the bytes of the answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

import aiohttp
import orjson

from coe.errors import ErrorBody, RequestError, UnavailableError, UpstreamError
from coe.plan.expert import Answer
from coe.plan.request import ChatRequest
from coe.telemetry.metrics import TIER_HITS
from workers.reports import Tier

RETRY_AFTER_S = 5.0
TIERS: tuple[Tier, ...] = ("device", "host", "disk")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A worker's data port, and where the worker last had the expert that is asked for."""

    worker_id: str
    url: str
    tier: Tier = "device"


class Workers(Protocol):
    """The gateway's picture of the workers."""

    def endpoints(self, expert: str) -> list[Endpoint]:
        """Data ports of the workers that can answer as the expert, the best first."""
        ...

    def began(self, endpoint: Endpoint, expert: str) -> None:
        """A request for the expert goes to the worker."""
        ...

    def ended(self, endpoint: Endpoint, expert: str) -> None:
        """It has ended, or never got there."""
        ...

    def why_unavailable(self, expert: str) -> str:
        """One sentence for people, when `endpoints` is empty."""
        ...

    def suspect(self, endpoint: Endpoint) -> None:
        """The worker did not answer: leave it out until it reports again."""
        ...


class WorkerExpert:
    """Asks one worker after another until one begins an answer.

    Only failures before the first byte are retried elsewhere: after it the client already has a part of the answer.
    """

    def __init__(self, name: str, workers: Workers, session: aiohttp.ClientSession, token: str) -> None:
        self.name = name
        self._workers = workers
        self._session = session
        self._headers = {"content-type": "application/json", "x-coe-token": token}

    async def answer(self, request: ChatRequest) -> Answer:
        body = request.body_for(self.name)
        refusal: RequestError | None = None
        for endpoint in self._workers.endpoints(self.name):
            try:
                return await self._ask(endpoint, request, body)
            except aiohttp.ClientError:  # refused, lost, or what listens there speaks no HTTP
                self._workers.suspect(endpoint)
            except UpstreamError as error:
                if error.http_status not in {429, 503}:
                    raise
                refusal = error
        raise refusal or UnavailableError(
            self._workers.why_unavailable(self.name), code="expert_unavailable", retry_after_s=RETRY_AFTER_S
        )

    async def _ask(self, endpoint: Endpoint, request: ChatRequest, body: bytes) -> Answer:
        self._workers.began(endpoint, self.name)
        try:
            response = await self._post(endpoint, request, body)
        except BaseException:  # also a client that left while it waited
            self._workers.ended(endpoint, self.name)
            raise
        streamed = response.content_type == "text/event-stream"
        swap_ms = float(response.headers.get("x-coe-swap-ms", 0))
        TIER_HITS.labels(self.name, _tier_found(endpoint, response, swap_ms)).inc()
        return Answer(self.name, streamed, self._relay(endpoint, response), swap_ms)

    async def _post(self, endpoint: Endpoint, request: ChatRequest, body: bytes) -> aiohttp.ClientResponse:
        headers = {**self._headers, "x-request-id": request.request_id}
        headers.update(request.trace)
        response = await self._session.post(f"{endpoint.url}/v1/chat/completions", data=body, headers=headers)
        if response.status != 200:
            async with response:
                raise _upstream_error(response, await response.read())
        return response

    async def _relay(self, endpoint: Endpoint, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
        """The body as it arrives. Leaving early closes the connection, which tells the worker to stop."""
        try:
            async for chunk in response.content.iter_any():
                yield chunk
        except aiohttp.ClientError as error:
            raise UnavailableError(
                "The worker was lost while it was answering. Send the request again.",
                code="worker_lost",
                retry_after_s=RETRY_AFTER_S,
            ) from error
        finally:
            self._workers.ended(endpoint, self.name)
            if response.content.at_eof():
                response.release()
            else:
                response.close()


def _tier_found(endpoint: Endpoint, response: aiohttp.ClientResponse, swap_ms: float) -> str:
    """Where the request found its expert: as the worker says, else, where it waited for a swap, as the last report."""
    told = response.headers.get("x-coe-tier")
    return told if told in TIERS else endpoint.tier if swap_ms else "device"


def _upstream_error(response: aiohttp.ClientResponse, body: bytes) -> UpstreamError:
    try:
        error = orjson.loads(body)["error"]
        relayed = ErrorBody(str(error["message"]), str(error["type"]), error["param"], error["code"])
    except (ValueError, KeyError, TypeError):
        relayed = ErrorBody(f"The worker answered {response.status} in an unknown form.", "server_error", None, None)
    retry_after = response.headers.get("retry-after", "")
    return UpstreamError(response.status, relayed, float(retry_after) if retry_after.isdigit() else None)
