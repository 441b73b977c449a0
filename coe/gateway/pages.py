"""The endpoints beside chat: models, a routing dry run, health, readiness, metrics."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from starlette.requests import Request
from starlette.responses import Response

from coe.errors import ModelNotFoundError
from coe.gateway.decision import ROUTED_MODEL, Decider
from coe.gateway.exchange import Exchange
from coe.gateway.fleet import Fleet
from coe.gateway.http import read_body
from coe.gateway.protocol import parse_route
from coe.plan.tree import plan_tree
from coe.telemetry.metrics import CONTENT_TYPE, render_metrics
from workers.report_json import report_to_json


@dataclass(frozen=True, slots=True)
class ExpertCard:
    """What `/v1/models` tells of an expert."""

    name: str
    description: str
    active_params_b: float | None


class Pages:
    """Starlette endpoints over the gateway's parts."""

    def __init__(
        self, decider: Decider, fleet: Fleet, cards: Sequence[ExpertCard], general: str, max_body: int
    ) -> None:
        self._decider = decider
        self._fleet = fleet
        routed = ExpertCard(ROUTED_MODEL, "The router chooses.", None)
        plans = (ExpertCard(name, "The router chooses, a plan asks.", None) for name in decider.plan_models)
        self._cards = {card.name: card for card in (routed, *cards, *plans)}
        self._routed = {ROUTED_MODEL, *decider.plan_models}
        self._general = general
        self._max_body = max_body
        self._created = int(time.time())

    async def models(self, request: Request) -> Response:
        Exchange.of(request.scope).endpoint = "/v1/models"
        states = self._fleet.states()
        return _json({"object": "list", "data": [self._model(card, states) for card in self._cards.values()]})

    async def model(self, request: Request) -> Response:
        Exchange.of(request.scope).endpoint = "/v1/models"
        card = self._cards.get(request.path_params["name"])
        if card is None:
            raise ModelNotFoundError("There is no such model; see /v1/models.", param="model")
        return _json(self._model(card, self._fleet.states()))

    async def route(self, request: Request) -> Response:
        """Decides and runs nothing."""
        exchange = Exchange.of(request.scope)
        exchange.endpoint = "/v1/route"
        messages = parse_route(await read_body(request.receive, self._max_body))
        decision = await self._decider.decide(ROUTED_MODEL, messages)
        exchange.decision = decision
        exchange.expert = decision.expert
        return _json(
            {
                "category": decision.category,
                "confidence": decision.confidence,
                "abstained": decision.abstained,
                "expert": decision.expert,
                "chosen_by": decision.chosen_by,
                "instead_of": decision.instead_of,
                "score_loss": decision.score_loss,
                "plan": decision.plan.label,
                "tree": plan_tree(decision.plan, messages),
                "probabilities": dict(decision.probabilities),
                "in_scope": decision.in_scope,
                "reject_rate": decision.router_card.reject_rate if decision.router_card else None,
                "router_ms": decision.router_ms,
                "router_version": decision.router_version,
            }
        )

    async def health(self, request: Request) -> Response:
        """The process is up."""
        Exchange.of(request.scope).endpoint = "/health"
        return _json({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """200 once the general expert can answer, because then every prompt has an answer; 503 before."""
        Exchange.of(request.scope).endpoint = "/ready"
        states = self._fleet.states()
        ready = states.get(self._general) == "ready"
        return _json({"ready": ready, "experts": states}, 200 if ready else 503)

    async def workers(self, request: Request) -> Response:
        """The reports of all workers, for `coe ps`."""
        Exchange.of(request.scope).endpoint = "/v1/workers"
        body = b"[" + b",".join(report_to_json(report) for report in self._fleet.reports()) + b"]"
        return Response(body, media_type="application/json")

    async def metrics(self, request: Request) -> Response:
        Exchange.of(request.scope).endpoint = "/metrics"
        return Response(render_metrics(self._fleet), headers={"content-type": CONTENT_TYPE})

    def _model(self, card: ExpertCard, states: dict[str, str]) -> dict[str, object]:
        state = states.get(self._general if card.name in self._routed else card.name, "absent")
        model = {"id": card.name, "object": "model", "created": self._created, "owned_by": "coe"}
        return model | {"description": card.description, "active_params_b": card.active_params_b, "state": state}


def _json(content: object, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
