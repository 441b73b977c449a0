"""The last call's answer in, the reply out: its usage adds up all calls, and lists them where the client asks.

Tokens pass unread. A stream's headers may have been sent before something went otherwise than planned, so its end
tells of that again, in a comment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict

import orjson

from coe.aggregators.run import Call, Run
from coe.errors import DeadlineError
from coe.plan.expert import Answer
from coe.plan.request import ChatRequest
from coe.sse import FrameReader, Usage, read_usage

NOTES_HEADER = "x-coe-plan-notes"
_END = b"data: [DONE]"


class Reply:
    """One reply, from the moment when its last call has begun."""

    def __init__(self, run: Run, request: ChatRequest) -> None:
        self._run = run
        self._request = request
        self._started = asyncio.get_running_loop().time()

    def chunks(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        return self._streamed(answer) if answer.streamed else self._complete(answer)

    async def _complete(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        async with aclosing(answer.chunks) as chunks:
            body = b"".join([chunk async for chunk in self._in_time(chunks)])
        self._account(answer.expert, read_usage(body))
        fields = orjson.loads(body)
        yield orjson.dumps({**fields, **self._sums()})

    async def _streamed(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        reader = FrameReader(keep_usage=False)
        outcome = "cut_off"
        try:
            async with aclosing(answer.chunks) as chunks:
                async for chunk in self._in_time(chunks):
                    frames = reader.feed(chunk)
                    if _END in frames:
                        before, end, after = frames.partition(_END)
                        outcome = "ok"
                        self._account(answer.expert, reader.usage)
                        yield before + self._last_frames(answer.expert) + end + after
                    elif frames:
                        yield frames
            yield reader.rest()
        finally:
            if outcome != "ok":
                self._account(answer.expert, reader.usage, outcome)

    async def _in_time(self, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        while True:
            try:
                async with asyncio.timeout_at(self._run.deadline):
                    chunk = await anext(chunks, None)
            except TimeoutError as error:
                raise too_late(self._run) from error
            if chunk is None:
                return
            yield chunk

    def _account(self, expert: str, usage: Usage | None, outcome: str = "ok") -> None:
        if (role := self._run.last_role) is None:
            return
        seconds = asyncio.get_running_loop().time() - self._started
        found = usage or Usage(0, 0)
        self._run.add(Call(role, expert, 1, found.prompt_tokens, found.completion_tokens, seconds, outcome))

    def _last_frames(self, expert: str) -> bytes:
        head = {
            "id": f"chatcmpl-{self._request.request_id}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": expert,
        }
        usage = b"data: " + orjson.dumps({**head, "choices": [], **self._sums()}) + b"\n\n"
        notes = "; ".join(map(str, self._run.notes))
        return (f": {NOTES_HEADER}: {notes}\n\n".encode() if notes else b"") + usage

    def _sums(self) -> dict[str, object]:
        prompt, completion = self._run.usage.prompt_tokens, self._run.usage.completion_tokens
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        if not self._request.options.itemised:
            return {"usage": usage}
        calls = [{**asdict(call), "seconds": round(call.seconds, 4)} for call in self._run.calls]
        notes = [str(note) for note in self._run.notes]
        return {"usage": usage, "coe": {"plan": self._run.label, "calls": calls, "notes": notes}}


def too_late(run: Run) -> DeadlineError:
    return DeadlineError(
        f"The plan `{run.label}` gave no complete answer within {run.terms.max_seconds:g} s (`max_seconds`)."
    )
