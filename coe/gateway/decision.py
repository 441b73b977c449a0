"""Which plan answers a request: the model name decides, or the router does."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from coe.alternatives import Alternative
from coe.errors import InvalidRequestError, ModelNotFoundError
from coe.plan.building import Found
from coe.plan.options import NO_OPTIONS, PlanOptions
from coe.plan.planner import Planner
from coe.plan.plans import Plan
from coe.plan.request import JsonValue
from coe.routing import ChosenBy, Routed, RouterCard
from coe.telemetry.metrics import ABSTENTIONS, RESIDENT_ROUTED, ROUTE_SECONDS, ROUTES
from routers.abstention import GENERAL
from routers.prompts import user_turns
from routers.router import Classification

ROUTED_MODEL = "coe"
NO_CATEGORY = "none"


class PromptRouter(Protocol):
    """Finds category and expert of a prompt, both by one version of the router, without blocking the event loop."""

    async def route(self, turns: Sequence[str]) -> Routed: ...

    async def card(self) -> RouterCard:
        """Of the router that decides now. Raises UnavailableError where it cannot be asked."""
        ...


class Residents(Protocol):
    """What is in device memory now, as far as the gateway knows."""

    def is_resident(self, expert: str) -> bool: ...

    def has_room(self, expert: str) -> bool:
        """It is resident somewhere and would answer at once."""
        ...


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, and how sure the router was.

    Attributes:
        expert: who is to answer.
        category: `general` where the classifier abstained, `none` where the client named the expert.
        confidence: in [0, 1]; 1 where the client named the expert.
        abstained: the classifier would not decide.
        probabilities: of every category; empty where nothing was classified.
        router_ms: what encoding and classification took, in milliseconds.
        router_card: of the router that decided; None where nothing was classified.
        instead_of: the expert that the router named, where a resident one was taken; None where it was not.
        score_loss: by how much the expected score of that one is above that of `expert`.
        chosen_by: what named the expert, before one was taken instead; None where the client did.
        in_scope: in (0, 1], the share of in-scope prompts that are no more at home; None where nothing was classified.
    """

    plan: Plan
    expert: str
    category: str
    confidence: float
    abstained: bool
    probabilities: Mapping[str, float]
    router_ms: float
    router_card: RouterCard | None
    instead_of: str | None = None
    score_loss: float = 0.0
    chosen_by: ChosenBy | None = None
    in_scope: float | None = None

    @property
    def wanted(self) -> str:
        """The expert that would answer if everything were resident."""
        return self.instead_of or self.expert

    @property
    def routed(self) -> bool:
        """The service chose the expert; False where the client named it."""
        return self.abstained or bool(self.probabilities)

    @property
    def router_version(self) -> str:
        """Empty where nothing was classified."""
        return self.router_card.version if self.router_card else ""


class Decider:
    """Maps model names and prompts to plans.

    Args:
        router: both stages of the router.
        experts: names of all experts.
        general: the expert for prompts that cannot be routed.
        residents: tells whether an expert that the router holds for near enough saves a swap.
        planner: chooses how the expert, or several, are asked.
    """

    def __init__(
        self, router: PromptRouter, experts: Sequence[str], general: str, residents: Residents, planner: Planner
    ) -> None:
        self._router = router
        self._residents = residents
        self._experts = frozenset(experts)
        self._general = general
        self._planner = planner
        self._plans = {f"{ROUTED_MODEL}/{name}": name for name in planner.names}

    @property
    def plan_models(self) -> Sequence[str]:
        """The model names that stand for a plan."""
        return tuple(self._plans)

    async def decide(self, model: str, messages: Sequence[JsonValue], options: PlanOptions = NO_OPTIONS) -> Decision:
        """Raises ModelNotFoundError for a name that is neither `coe`, a plan nor an expert, or InvalidRequestError."""
        if plan := self._plans.get(model):
            if options.plan not in {None, plan}:
                raise InvalidRequestError(
                    f"The model names the plan `{plan}`, `coe.plan` another; name one.", param="coe.plan"
                )
            return await self._route(messages, replace(options, plan=plan))
        if model == ROUTED_MODEL:
            return await self._route(messages, options)
        if model in self._experts:
            plan_of_one = self._planner.plan(Found(model), options)
            return Decision(plan_of_one, model, NO_CATEGORY, 1.0, False, {}, 0.0, None)
        known = ", ".join((ROUTED_MODEL, *sorted(self._experts), *self._plans))
        raise ModelNotFoundError(f"There is no such model. Known models: {known}.", param="model")

    async def _route(self, messages: Sequence[JsonValue], options: PlanOptions) -> Decision:
        started = time.perf_counter()
        try:
            turns = user_turns(messages)
        except ValueError:  # nothing to classify: images alone, or no user message
            undecidable = Classification(GENERAL, 0.0, abstained=True, in_scope=0.0, probabilities={})
            nowhere = Found(self._general, undecidable.category, self._general)
            seconds = time.perf_counter() - started
            return self._decision(undecidable, nowhere, options, card=None, seconds=seconds, chosen_by="abstention")
        routed = await self._router.route(turns)
        seconds = time.perf_counter() - started
        taken = self._resident_instead(routed) if routed.alternatives else None
        found = Found(
            expert=taken.expert if taken else routed.expert,
            category=routed.classification.category,
            fallback=self._general,
            probabilities=routed.classification.probabilities,
            strengths=routed.strengths,
        )
        decision = self._decision(
            routed.classification,
            found,
            options,
            card=routed.router_card,
            seconds=seconds,
            chosen_by=routed.chosen_by,
        )
        if taken is None:
            return decision
        RESIDENT_ROUTED.labels(taken.expert, routed.expert).inc()
        return replace(decision, instead_of=routed.expert, score_loss=taken.score_loss)

    def _resident_instead(self, routed: Routed) -> Alternative | None:
        """Who saves a swap at the smallest loss; None where the named expert is resident or nobody else has room."""
        if self._residents.is_resident(routed.expert):
            return None
        return next((near for near in routed.alternatives if self._residents.has_room(near.expert)), None)

    def _decision(
        self,
        classified: Classification,
        found: Found,
        options: PlanOptions,
        *,
        card: RouterCard | None,
        seconds: float,
        chosen_by: ChosenBy,
    ) -> Decision:
        ROUTE_SECONDS.observe(seconds)
        ROUTES.labels(classified.category, found.expert).inc()
        if classified.abstained:
            ABSTENTIONS.inc()
        return Decision(
            plan=self._planner.plan(found, options),
            expert=found.expert,
            category=classified.category,
            confidence=classified.confidence,
            abstained=classified.abstained,
            probabilities=classified.probabilities,
            router_ms=seconds * 1000,
            router_card=card,
            chosen_by=chosen_by,
            in_scope=classified.in_scope if card else None,
        )
