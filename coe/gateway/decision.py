"""Which plan answers a request: the model name decides, or the router does."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from coe.errors import ModelNotFoundError
from coe.plan.executor import Plan, Single
from coe.plan.request import JsonValue
from coe.telemetry.metrics import ABSTENTIONS, ROUTE_SECONDS, ROUTES
from routers.abstention import GENERAL
from routers.prompts import prompt_text
from routers.router import Classification

ROUTED_MODEL = "coe"
NO_CATEGORY = "none"


class Classifier(Protocol):
    """Classifies prompts without blocking the event loop."""

    async def classify(self, text: str) -> Classification: ...


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
    """

    plan: Plan
    expert: str
    category: str
    confidence: float
    abstained: bool
    probabilities: Mapping[str, float]
    router_ms: float

    @property
    def routed(self) -> bool:
        """The router was asked; False where the client named the expert."""
        return self.abstained or bool(self.probabilities)


class Decider:
    """Maps model names and categories to plans.

    Args:
        classifier: stage one of the router.
        experts: names of all experts.
        expert_map: category to expert; stage two of the router.
        general: the expert for everything that the map does not name.
    """

    def __init__(
        self, classifier: Classifier, experts: Sequence[str], expert_map: Mapping[str, str], general: str
    ) -> None:
        self._classifier = classifier
        self._experts = frozenset(experts)
        self._map = dict(expert_map)
        self._general = general

    async def decide(self, model: str, messages: Sequence[JsonValue]) -> Decision:
        """Raises ModelNotFoundError for a name that is neither `coe` nor an expert."""
        if model == ROUTED_MODEL:
            return await self._route(messages)
        if model in self._experts:
            return Decision(Single(model), model, NO_CATEGORY, 1.0, False, {}, 0.0)
        known = ", ".join((ROUTED_MODEL, *sorted(self._experts)))
        raise ModelNotFoundError(f"There is no such model. Known models: {known}.", param="model")

    async def _route(self, messages: Sequence[JsonValue]) -> Decision:
        started = time.perf_counter()
        try:
            text = prompt_text(messages)
        except ValueError:  # nothing to classify: images alone, or no user message
            undecidable = Classification(GENERAL, 0.0, abstained=True, in_scope=0.0, probabilities={})
            return self._decision(undecidable, started)
        return self._decision(await self._classifier.classify(text), started)

    def _decision(self, found: Classification, started: float) -> Decision:
        seconds = time.perf_counter() - started
        category = found.category
        expert = self._map.get(category, self._general)
        ROUTE_SECONDS.observe(seconds)
        ROUTES.labels(category, expert).inc()
        if found.abstained:
            ABSTENTIONS.inc()
        plan = Single(expert, fallback=self._general)
        return Decision(plan, expert, category, found.confidence, found.abstained, found.probabilities, seconds * 1000)
