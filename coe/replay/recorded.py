"""Recorded answers: labelled prompts go in, out come the rows that plans can be replayed on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from coe.aggregators.answers import AnswerKind, comparable
from coe.errors import InputError
from routers.errors import DataError
from routers.mapping.experts import ExpertSize
from routers.mapping.outcomes import experts_seen
from routers.prompts import LabelledPrompt


@dataclass(frozen=True, slots=True)
class Recorded:
    """What every expert answered to `prompt`, in the form that is compared (None: nothing), and its score in [0, 1]."""

    prompt: LabelledPrompt
    answers: Mapping[str, str | None]
    scores: Mapping[str, float]


def experts_within(
    prompts: Sequence[LabelledPrompt],
    sizes: Mapping[str, ExpertSize] | None,
    max_active_params_b: float | None,
    known: Collection[str] | None = None,
) -> tuple[str, ...]:
    """Experts with outcomes and answers in `prompts`, of known size where sizes are given, none above the limit.

    `known`: those that something was learned of; None: it is yet to be learned.

    Raises:
        DataError: no outcomes, or no answers.
        InputError: fewer than two experts are left, or a limit is given without sizes.
    """
    seen = experts_seen(prompts)
    if not seen:
        raise DataError("The data hold no `outcomes`: a plan is scored by those of the experts that it asks")
    answering = {name for prompt in prompts for name in prompt.answers}
    if not answering & set(seen):
        raise DataError(
            "The data hold no `answers` of the experts in `outcomes`: votes and cascades compare what experts "
            'answered. Add `"answers": {expert: text}` to the rows'
        )
    if sizes is None:
        if max_active_params_b is not None:
            raise InputError("--max-active-params-b needs the experts' sizes: give --experts F")
        fitting = answering
    else:
        limit = float("inf") if max_active_params_b is None else max_active_params_b
        fitting = {name for name, size in sizes.items() if size.active_params_b <= limit} & answering
    usable = [name for name in seen if name in fitting and (known is None or name in known)]
    if len(usable) < 2:
        raise InputError(
            f"A vote needs two experts or more, {len(usable)} of {len(seen)} have answers, are known to the router "
            "and fit: see --experts and --max-active-params-b"
        )
    return tuple(usable)


def recorded(prompts: Sequence[LabelledPrompt], experts: Sequence[str], kind: AnswerKind = "auto") -> list[Recorded]:
    """The rows that tell answers and hold an outcome of every one of `experts`; an expert without an answer was silent.

    Raises:
        DataError: there is no such row.
    """
    rows = [_recorded(prompt, experts, kind) for prompt in prompts if _complete(prompt, experts)]
    if not rows:
        raise DataError(f"No row has `answers` and an outcome of each of: {', '.join(experts)}")
    return rows


def _complete(prompt: LabelledPrompt, experts: Sequence[str]) -> bool:
    return bool(prompt.answers) and all(name in prompt.outcomes for name in experts)


def _recorded(prompt: LabelledPrompt, experts: Sequence[str], kind: AnswerKind) -> Recorded:
    answers = {name: comparable(prompt.answers[name], kind) if name in prompt.answers else None for name in experts}
    return Recorded(prompt, answers, {name: prompt.outcomes[name] for name in experts})
