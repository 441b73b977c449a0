"""`POST /v1/feedback`: a request id and a score in, an outcome for the expert map out."""

from __future__ import annotations

import asyncio
import time

import orjson
from starlette.requests import Request
from starlette.responses import Response

from coe.errors import InvalidRequestError, UnavailableError
from coe.gateway.exchange import Exchange
from coe.gateway.http import read_body
from coe.gateway.observer import LINGER_S
from coe.gateway.protocol import parse_feedback
from coe.plan.plans import SINGLE
from coe.store.client import STORE_ERRORS
from coe.store.decision_log import DecisionLog, LoggedDecision
from coe.store.outcomes import LoggedOutcome, OutcomeLog
from coe.telemetry.logs import get_logger
from coe.telemetry.metrics import FEEDBACK

SETTLE_S = 3 * LINGER_S  # a decision is in the log this long after its answer, whichever gateway made it
RETRY_AFTER_S = 5.0
log = get_logger("coe.gateway.feedback")


class FeedbackPage:
    """A Starlette endpoint. The score is about the expert that answered, in the category that the router found."""

    def __init__(self, decisions: DecisionLog, outcomes: OutcomeLog, max_body: int) -> None:
        self._decisions = decisions
        self._outcomes = outcomes
        self._max_body = max_body

    async def feedback(self, request: Request) -> Response:
        """The same score twice counts once; another replaces it."""
        Exchange.of(request.scope).endpoint = "/v1/feedback"
        given = parse_feedback(await read_body(request.receive, self._max_body))
        try:
            decision = await self._find(given.request_id)
            if decision.expert is None:
                raise InvalidRequestError(
                    "No expert answered this request, so there is nothing to score.",
                    param="request_id",
                    code="request_not_answered",
                    status=409,
                )
            category = decision.category if decision.plan == SINGLE else None  # a plan's answer is not one expert's
            outcome = LoggedOutcome(
                given.request_id, category, decision.expert, given.score, round(time.time(), 3), given.comment
            )
            new = await self._outcomes.add(outcome)
        except STORE_ERRORS as error:
            log.warning("Redis is away; feedback is refused", error=repr(error))
            raise UnavailableError(
                "Feedback cannot be kept now, because Redis is away. Send it again.",
                code="feedback_unavailable",
                retry_after_s=RETRY_AFTER_S,
            ) from error
        FEEDBACK.labels(outcome.expert, "recorded" if new else "repeated").inc()
        reply = {
            "recorded": True,
            "counts_for_map": outcome.category is not None,
            "expert": outcome.expert,
            "category": outcome.category,
        }
        return Response(orjson.dumps(reply), media_type="application/json")

    async def _find(self, request_id: str) -> LoggedDecision:
        """Raises InvalidRequestError (404). A score may come sooner than its decision is written, so it looks twice."""
        found = await self._decisions.find(request_id)
        if found is None:
            await asyncio.sleep(SETTLE_S)
            found = await self._decisions.find(request_id)
        if found is None:
            raise InvalidRequestError(
                f"No request with this id is remembered. Give the reply's `x-request-id`, within "
                f"{self._decisions.keep_s / 3600:g} hours of the answer (`router.log.keep_h`).",
                param="request_id",
                code="request_not_found",
                status=404,
            )
        return found
