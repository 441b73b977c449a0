"""Samples of one expert: a request in, finished texts with what they cost out.

All samples of an expert come from one engine request, so that its prompt is computed once. They are read as a stream:
each is told of when it is there, and those that are finished when time is up are kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from coe.aggregators.proposals import Proposal, Samples
from coe.aggregators.run import Call, Role, Run
from coe.errors import DeadlineError, RequestError, UnavailableError
from coe.plan.expert import Answer, Expert
from coe.plan.request import ChatRequest


async def sample(
    expert: Expert,
    asked: ChatRequest,
    run: Run,
    role: Role,
    *,
    until: float,
    on_finished: Callable[[str], None] = lambda _: None,
) -> list[Proposal]:
    """Asks for the samples of one expert; at least one comes back, those that are late do not.

    Args:
        expert: who is asked.
        asked: made by `asking.for_proposal`.
        run: takes the account of the call.
        role: what the call is for.
        until: loop time at which what is not finished is given up.
        on_finished: told the answering expert's name as often as a sample is there.

    Raises:
        RequestError: no sample was finished.
    """
    wanted = asked.fields.get("n")
    samples = Samples(wanted if isinstance(wanted, int) else 1)
    name, outcome = expert.name, "ok"
    loop = asyncio.get_running_loop()
    started = loop.time()
    failure: RequestError | None = None
    try:
        async with asyncio.timeout_at(until):
            answer = await expert.answer(asked)
            name = answer.expert
            run.swap_ms = max(run.swap_ms, answer.swap_ms)
            await _read(answer, samples, lambda: on_finished(name))
    except TimeoutError:
        failure = DeadlineError(f"`{name}` did not finish its proposal in time.")
    except RequestError as error:
        failure = error
    except asyncio.CancelledError:
        outcome = "cancelled"
        raise
    finally:
        if failure:
            outcome = failure.body.code or failure.body.type
        counted = (samples.prompt_tokens, samples.completion_tokens)
        run.add(Call(role, name, len(samples), *counted, loop.time() - started, outcome))
    proposals = samples.finished(name)
    if not proposals:
        raise failure or UnavailableError(f"`{name}` answered without a text.", code="empty_answer")
    return proposals


async def _read(answer: Answer, samples: Samples, on_finished: Callable[[], None]) -> None:
    async with aclosing(answer.chunks) as chunks:
        async for chunk in chunks:
            for _ in range(samples.feed(chunk)):
                on_finished()
    for _ in range(samples.rest()):
        on_finished()
