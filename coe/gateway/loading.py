"""`POST /v1/experts/NAME/load`, `unload`, `pin`, `unpin`: a name in, what became of it on every worker out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, Protocol, TypeAlias

import orjson
from starlette.requests import Request
from starlette.responses import Response

from coe.errors import (
    DeadlineError,
    InternalError,
    InvalidRequestError,
    ModelNotFoundError,
    RequestError,
    UnavailableError,
)
from coe.gateway.admin import AdminGuard
from coe.gateway.exchange import Exchange
from coe.gateway.fleet import Fleet
from workers.reports import LoadReport

RETRY_AFTER_S = 5.0
NO_ANSWER = "no_answer"
LOST = "worker_lost"
Verb: TypeAlias = Literal["load", "unload", "pin", "unpin"]

_CLIENT_STATUS = {
    "model_not_found": 404,
    "not_unloadable": 409,
    "sleep_unsupported": 409,
    "adapter_refused": 422,
    "checkpoint_refused": 422,
    "source_unusable": 422,
}


class WorkerControl(Protocol):
    """Control of the workers; every call has a deadline."""

    async def change(self, verb: Verb, expert: str) -> Sequence[LoadReport]:
        """What every worker that holds the expert made of it; one that did not answer has a report with its error."""
        ...


class LoadPages:
    """Starlette endpoints. The general expert stays: without it some prompts would have no answer."""

    def __init__(
        self, control: WorkerControl, fleet: Fleet, experts: Collection[str], general: str, guard: AdminGuard
    ) -> None:
        self._control = control
        self._guard = guard
        self._fleet = fleet
        self._experts = experts
        self._general = general

    async def load(self, request: Request) -> Response:
        """Loads the adapter as it is now, also where an earlier one is loaded."""
        return await self._change(request, "load")

    async def unload(self, request: Request) -> Response:
        """Requests to the expert are refused from now on; those that run end in peace."""
        return await self._change(request, "unload")

    async def pin(self, request: Request) -> Response:
        """Keeps the expert in device memory, whatever is asked for."""
        return await self._change(request, "pin")

    async def unpin(self, request: Request) -> Response:
        """Lets the expert leave device memory again."""
        return await self._change(request, "unpin")

    async def _change(self, request: Request, verb: Verb) -> Response:
        Exchange.of(request.scope).endpoint = f"/v1/experts/{verb}"
        self._guard.check(request.headers)
        name = request.path_params["name"]
        if verb == "unload" and name == self._general:
            raise InvalidRequestError(
                f"`{self._general}` is the general expert, which answers what no other does; it stays loaded.",
                param="name",
                code="general_expert",
                status=409,
            )
        if name not in self._experts:
            known = ", ".join(sorted(self._experts))
            raise ModelNotFoundError(f"There is no such expert. Known experts: {known}.", param="name")
        reports = await self._control.change(verb, name)
        await self._fleet.refresh()
        if not reports:
            raise UnavailableError(f"No worker holds the expert `{name}` now.", code=LOST, retry_after_s=RETRY_AFTER_S)
        if any(report.error for report in reports):
            raise _failure(reports)
        workers = [
            {"worker": report.worker_id, "state": report.state, "changed": report.changed, "seconds": report.seconds}
            for report in reports
        ]
        summary = {
            "expert": name,
            "state": self._fleet.states().get(name, reports[0].state),
            "changed": any(report.changed for report in reports),
            "seconds": max(report.seconds for report in reports),
            "workers": workers,
        }
        return Response(orjson.dumps(summary), media_type="application/json")


def _failure(reports: Sequence[LoadReport]) -> RequestError:
    """One error for all workers: the first that failed names the cause, and each is told of where there are several."""
    failed = [report for report in reports if report.error]
    message = failed[0].error or ""
    if len(reports) > 1:
        told = [f"{report.worker_id}: {report.error or f'done, {report.state}'}" for report in reports]
        message = f"{len(failed)} of {len(reports)} workers failed. " + "; ".join(told)
    code = failed[0].code
    if code in _CLIENT_STATUS:
        return InvalidRequestError(message, param="name", code=code, status=_CLIENT_STATUS[code])
    match code:
        case "engine_unavailable" | "not_admitted" | "worker_lost":
            return UnavailableError(message, code=code, retry_after_s=RETRY_AFTER_S)
        case "no_answer":
            return DeadlineError(message)
        case _:
            return InternalError(message)
