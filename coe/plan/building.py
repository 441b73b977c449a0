"""One plan in the making: settings, names and a request's options in, a plan with every name resolved out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from coe.aggregators.cascade import CascadeSettings, asking_order
from coe.config.models import Config, PlanConfig
from coe.errors import InvalidRequestError
from coe.plan.options import PlanOptions
from coe.plan.plans import (
    Aggregated,
    AgreementRule,
    ByAnswer,
    ByEmbedding,
    ByJudge,
    Cascade,
    Member,
    Moa,
    Selection,
    SequentialMoa,
    Terms,
)
from routers.mapping.strengths import Strengths

MOST_PROPOSERS = 6
OVER_BOUND = "plan_over_bound"


@dataclass(frozen=True, slots=True)
class Found:
    """What is known before the plan.

    Attributes:
        expert: who answers alone.
        category: as the router found it; None where the client named the expert.
        fallback: who answers while the expert cannot.
        probabilities: of every category; empty where nothing was classified.
        strengths: of experts, by category; None where nothing was learned of them.
    """

    expert: str
    category: str | None = None
    fallback: str | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    strengths: Strengths | None = None

    def log_odds(self, experts: Collection[str]) -> dict[str, float]:
        """Of those of `experts` that were measured: to be right on this prompt."""
        if self.strengths is None:
            return {}
        expected = self.strengths.expected(self.probabilities)
        return {name: odds for name, odds in expected.items() if name in experts}


@dataclass(frozen=True, slots=True)
class ExpertFacts:
    """What a plan has to know of an expert. `max_tokens` and `context` in tokens, None where nothing is said."""

    model: str
    max_tokens: int | None = None
    context: int | None = None


@dataclass(frozen=True, slots=True)
class PlanPrompts:
    """What aggregator and judge of one plan are told."""

    aggregate: str
    judge: str


def expert_facts(config: Config) -> dict[str, ExpertFacts]:
    return {
        name: ExpertFacts(expert.model, expert.sampling.max_tokens, config.models[expert.model].max_model_len)
        for name, expert in config.experts.items()
    }


@dataclass(frozen=True, slots=True)
class PlanBuilder:
    """One plan for one request. `found`: what is known before; `options`: what the request asks."""

    name: str
    settings: PlanConfig
    prompts: PlanPrompts
    experts: Mapping[str, ExpertFacts]
    found: Found
    options: PlanOptions

    def plan(self) -> Aggregated:
        """Raises InvalidRequestError: an option that the plan has no use for, or a bound that the request is over."""
        self._check_options()
        terms = self._terms()
        plan = self._with_terms(terms, 1)
        if plan.calls > terms.max_calls:
            raise self._over("coe.n", f"would take {plan.calls} calls", f"{terms.max_calls} (`max_calls`)")
        if plan.calls > terms.max_tokens:
            asked = f"would take {plan.calls} calls, each of a token or more,"
            raise self._over("coe.budget.tokens", asked, f"{terms.max_tokens} tokens (`max_tokens`)")
        tokens = self.options.max_tokens
        if tokens is not None and plan.calls * tokens > terms.max_tokens:
            raise self._over(
                "max_tokens",
                f"may generate {plan.calls} times {tokens} tokens",
                f"{terms.max_tokens} tokens (`max_tokens`)",
            )
        return self._with_terms(terms, terms.max_tokens // plan.calls)

    def _with_terms(self, terms: Terms, share: int) -> Aggregated:
        """`share`: tokens of one generation that keep all of them within the bound."""
        settings, found = self.settings, self.found
        log_odds = found.log_odds(self.experts)
        match settings.kind:
            case "self-moa" | "moa":
                return Moa(
                    label=self.name,
                    proposers=tuple(self._member(name, share, self._n) for name in self._proposers(log_odds)),
                    aggregator=self._member(self._aggregator, share),
                    prompt=self.prompts.aggregate,
                    terms=terms,
                    layers=settings.layers,
                    log_odds=log_odds,
                )
            case "self-moa-seq":
                return SequentialMoa(
                    label=self.name,
                    proposer=self._member(found.expert, share, self._n),
                    aggregator=self._member(self._aggregator, share),
                    prompt=self.prompts.aggregate,
                    terms=terms,
                    window=settings.window,
                )
            case "vote" | "best-of-n":
                contrast = settings.contrast
                return Selection(
                    label=self.name,
                    proposers=tuple(self._member(name, share, self._n) for name in self._proposers(log_odds)),
                    by="vote" if settings.kind == "vote" else "likelihood",
                    terms=terms,
                    log_odds=log_odds,
                    contrast=self._member(contrast, share) if contrast else None,
                )
            case "cascade":
                return Cascade(
                    label=self.name,
                    members=tuple(self._member(name, share) for name in self._proposers(log_odds)[: self._n]),
                    agreement=self._agreement(share),
                    terms=terms,
                    bar=settings.bar,
                    log_odds=log_odds,
                )

    @property
    def _n(self) -> int:
        return self.options.n or self.settings.samples

    @property
    def _aggregator(self) -> str:
        return self.options.aggregator or self.settings.aggregator or self.found.expert

    def _proposers(self, log_odds: Mapping[str, float]) -> Sequence[str]:
        """The experts that the request or the configuration names, or the routed one; the best of all in `moa`."""
        if named := self.options.proposers or self.settings.proposers:
            return named
        match self.settings.kind:
            case "cascade" if self.found.strengths and len(log_odds) > 1:
                return asking_order(log_odds, self.found.strengths.alike, CascadeSettings(most=self._n))
            case "moa" | "cascade":
                others = (name for name in self.experts if name != self.found.expert)
                ranked = sorted(others, key=lambda name: -log_odds.get(name, 0.0))
                return (self.found.expert, *ranked)[:MOST_PROPOSERS]
            case _:
                return (self.found.expert,)

    def _member(self, name: str, share: int, n: int = 1) -> Member:
        facts = self.experts[name]
        own = self.options.max_tokens or min(share, facts.max_tokens or share)
        fallback = self.found.fallback if name == self.found.expert and self.found.fallback != name else None
        return Member(
            expert=name, model=facts.model, max_tokens=max(1, own), n=n, fallback=fallback, context=facts.context
        )

    def _agreement(self, share: int) -> AgreementRule:
        match self.settings.agreement:
            case "answer":
                return ByAnswer()
            case "embedding":
                return ByEmbedding(self.settings.distance)
            case "judge":
                assert self.settings.judge is not None
                return ByJudge(self._member(self.settings.judge, share), self.prompts.judge)

    def _terms(self) -> Terms:
        """The plan's bounds, lowered where the request has a smaller budget."""
        settings, options = self.settings, self.options
        for value, most, param in (
            (options.calls, settings.max_calls, "calls"),
            (options.tokens, settings.max_tokens, "tokens"),
            (options.seconds, settings.max_seconds, "seconds"),
        ):
            if value is not None and value > most:
                raise self._over(f"coe.budget.{param}", f"asks for {value:g} {param}", f"{most:g} (`max_{param}`)")
        temperature = 0.0 if settings.kind == "cascade" else 0.7
        return Terms(
            max_calls=options.calls or settings.max_calls,
            max_tokens=options.tokens or settings.max_tokens,
            max_seconds=options.seconds or settings.max_seconds,
            temperature=temperature if settings.temperature is None else settings.temperature,
            min_proposals=settings.min_proposals,
            proposal_timeout_s=settings.proposal_timeout_s,
            mean_calls=settings.mean_calls,
            null_answer=settings.null_answer,
        )

    def _check_options(self) -> None:
        options, kind = self.options, self.settings.kind
        if options.choices > 1:
            raise InvalidRequestError("A plan gives one answer; leave `n` out. `coe.n` sets its samples.", param="n")
        if options.proposers is not None and kind not in {"moa", "vote", "cascade"}:
            raise InvalidRequestError(
                f"The plan `{self.name}` ({kind}) asks the routed expert alone; leave `coe.proposers` out.",
                param="coe.proposers",
            )
        if options.aggregator is not None and kind not in {"self-moa", "moa", "self-moa-seq"}:
            raise InvalidRequestError(
                f"The plan `{self.name}` ({kind}) chooses an answer and merges none; leave `coe.aggregator` out.",
                param="coe.aggregator",
            )
        named = {"coe.aggregator": [options.aggregator or self.found.expert], "coe.proposers": options.proposers or ()}
        for param, names in named.items():
            if unknown := [name for name in names if name not in self.experts]:
                known = ", ".join(self.experts)
                raise InvalidRequestError(f"There is no expert `{unknown[0]}`. Known experts: {known}.", param=param)

    def _over(self, param: str, asked: str, bound: str) -> InvalidRequestError:
        return InvalidRequestError(
            f"The request {asked} under the plan `{self.name}`; at most {bound} are allowed.",
            param=param,
            code=OVER_BOUND,
        )
