"""A node's answer as the gateway passes it on: progress while the node works, then its answer with summed usage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from coe.aggregators.run import Run
from coe.aggregators.totals import Reply, too_late
from coe.plan.expert import Answer, Expert
from coe.plan.request import ChatRequest

GRACE_S = 1.0  # nodes keep the deadline themselves, and may still answer with what they have


def planned_answer(node: Expert, request: ChatRequest, run: Run) -> Answer:
    """Nothing runs before the first chunk is asked for; closing the chunks cancels every call under way."""

    async def chunks() -> AsyncGenerator[bytes, None]:
        work = asyncio.create_task(_answer(node, request, run))
        try:
            async for frames in run.progress.until(work):
                yield frames
            found = await work
        except BaseException:  # whatever it is, no call may go on for a reply that nobody gets
            await _discard(work)
            raise
        planned.expert, planned.swap_ms, planned.cache = found.expert, run.swap_ms, found.cache
        async with aclosing(Reply(run, request).chunks(found)) as reply:
            async for chunk in reply:
                yield chunk

    planned = Answer(node.name, request.stream, chunks(), run=run)
    return planned


async def _answer(node: Expert, request: ChatRequest, run: Run) -> Answer:
    try:
        async with asyncio.timeout_at(run.deadline + GRACE_S):
            return await node.answer(request)
    except TimeoutError as error:
        raise too_late(run) from error


async def _discard(work: asyncio.Task[Answer]) -> None:
    work.cancel()
    await asyncio.wait({work})
    if not work.cancelled() and work.exception() is None:
        await work.result().chunks.aclose()
