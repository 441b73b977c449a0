"""Swaps of all workers in a Redis stream: what a worker reports in, each once; the latest of all workers out.

A worker's epoch and the numbers of its swaps fence them: what is there already, and what an earlier life of a worker
still sends after a later one has written, is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis

from coe.store.streams import as_text
from workers.reports import SwapReport

MAX_SWAPS = 10_000
FENCED_FOR_S = 86_400

_EVENT = "event"
_ADD = """
local epoch = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
local last = tonumber(redis.call('HGET', KEYS[1], 'number') or '0')
local mine, added = tonumber(ARGV[1]), 0
if epoch > mine then return -1 end
if epoch < mine then last = 0 end
for i = 4, #ARGV, 2 do
  local number = tonumber(ARGV[i])
  if number > last then
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'event', ARGV[i + 1])
    last, added = number, added + 1
  end
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'number', last)
redis.call('EXPIRE', KEYS[1], ARGV[3])
return added
"""


@dataclass(frozen=True, slots=True)
class SwapEvent:
    """A swap of one life, `epoch`, of a worker. The other fields are those of `SwapReport`."""

    worker: str
    epoch: int
    number: int
    at: float
    model: str
    tier: str
    evicted: tuple[str, ...]
    seconds: float
    error: str | None


_EVENTS = TypeAdapter(SwapEvent)


class SwapLog:
    """Adds and reads swaps under one namespace. Raises `STORE_ERRORS` when Redis is away.

    Args:
        client: of Redis.
        namespace: prefix of all keys.
        max_swaps: length of the stream, about.
    """

    def __init__(self, client: Redis, namespace: str, max_swaps: int = MAX_SWAPS) -> None:
        self._client = client
        self._stream = f"{namespace}:swaps"
        self._prefix = f"{namespace}:swaps:of:"
        self._max_swaps = max_swaps
        self._add = client.register_script(_ADD)

    async def add(self, worker_id: str, epoch: int, swaps: Sequence[SwapReport]) -> bool:
        """Appends those that are not there yet; False where a later life of this worker has already written."""
        arguments: list[str | bytes] = [str(epoch), str(self._max_swaps), str(FENCED_FOR_S)]
        for swap in sorted(swaps, key=lambda swap: swap.number):
            arguments += [str(swap.number), orjson.dumps(_event(worker_id, epoch, swap))]
        return int(await self._add(keys=[self._prefix + worker_id, self._stream], args=arguments)) >= 0

    async def latest(self, limit: int) -> list[SwapEvent]:
        """At most `limit`, the newest first. Entries of another version are passed over."""
        found = []
        for _, fields in as_text(await self._client.xrevrange(self._stream, count=limit)):
            try:
                found.append(_EVENTS.validate_json(fields.get(_EVENT, "")))
            except ValidationError:
                continue
        return found


def _event(worker_id: str, epoch: int, swap: SwapReport) -> SwapEvent:
    return SwapEvent(
        worker=worker_id,
        epoch=epoch,
        number=swap.number,
        at=swap.at,
        model=swap.model,
        tier=swap.tier,
        evicted=swap.evicted,
        seconds=swap.seconds,
        error=swap.error,
    )
