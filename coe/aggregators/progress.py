"""What a streamed reply tells before its first token: proposals come in and go out as server-sent events.

Nothing is told before the first proposal is there: until then a failure keeps its own HTTP status.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from typing import Literal

import orjson

from coe.plan.expert import Answer
from coe.plan.options import ProgressStyle
from coe.sse import PING, comment

PING_S = 10.0


@dataclass(frozen=True, slots=True)
class Step:
    """`finished` proposals are there, `left` are awaited; `expert` is whose turn it was."""

    stage: Literal["proposal", "left_out", "aggregating"]
    expert: str
    finished: int
    left: int

    def __str__(self) -> str:
        match self.stage:
            case "proposal":
                return f"proposal {self.finished} of {self.finished + self.left}: {self.expert}"
            case "left_out":
                return f"left out: {self.expert}, {self.left} to come"
            case "aggregating":
                return f"aggregating {self.finished}: {self.expert}"


class Progress:
    """Frames for one reply. `style` None: for a reply that is not streamed, nothing is kept."""

    def __init__(self, style: ProgressStyle | None, request_id: str, model: str) -> None:
        self._style = style
        self._head = {
            "id": f"chatcmpl-{request_id}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }
        self._held: list[bytes] = []
        self._frames: asyncio.Queue[bytes] = asyncio.Queue()
        self._begun = False

    def tell(self, step: Step) -> None:
        if self._style is None:
            return
        self._held.append(self._frame(step, self._style))
        self._begun = self._begun or step.stage == "proposal"
        if self._begun:
            self._frames.put_nowait(b"".join(self._held))
            self._held.clear()

    async def until(self, work: asyncio.Task[Answer]) -> AsyncGenerator[bytes, None]:
        """Frames as they come, until `work` is done; pings in between, once something was told."""
        while not work.done():
            coming = asyncio.ensure_future(self._frames.get())
            awaited: set[asyncio.Future[Answer] | asyncio.Future[bytes]] = {work, coming}
            try:
                timeout_s = PING_S if self._begun else None
                done, _ = await asyncio.wait(awaited, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
                if coming in done:
                    yield coming.result()
                elif not done:
                    yield PING
            finally:
                coming.cancel()
        while not self._frames.empty():
            yield self._frames.get_nowait()

    def _frame(self, step: Step, style: ProgressStyle) -> bytes:
        match style:
            case "comments":
                return comment(str(step))
            case "events":  # a chunk without choices, which clients that know nothing of it pass over
                chunk = {**self._head, "choices": [], "coe": {"progress": asdict(step)}}
            case "reasoning":
                delta = {"role": "assistant", "reasoning_content": f"{step}\n"}
                chunk = {**self._head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        return b"data: " + orjson.dumps(chunk) + b"\n\n"
