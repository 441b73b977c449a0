"""How much each expert was asked for lately, in Redis: counts in which a request weighs half as much after a half-life.

All gateways add to the same counts, by Redis' own clock, in one step.
"""

from __future__ import annotations

from collections.abc import Mapping

from redis.asyncio import Redis

from coe.store.streams import text_of

HALF_LIFE_S = 600.0
FORGOTTEN = 1e-3  # of a request

_ADD_AND_READ = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local counts, ages = redis.call('HGETALL', KEYS[1]), {}
local found = {}
for i = 1, #counts, 2 do
  local count, at = string.match(counts[i + 1], '(%S+) (%S+)')
  found[counts[i]] = count * 2 ^ (-math.max(0, now - at) / ARGV[1])
end
for i = 3, #ARGV, 2 do
  local total = (found[ARGV[i]] or 0) + ARGV[i + 1]
  found[ARGV[i]] = total
  redis.call('HSET', KEYS[1], ARGV[i], string.format('%.17g %.6f', total, now))
end
local reply = {}
for name, count in pairs(found) do
  if count < tonumber(ARGV[2]) then
    redis.call('HDEL', KEYS[1], name)
  else
    reply[#reply + 1] = name
    reply[#reply + 1] = string.format('%.17g', count)
  end
end
return reply
"""


def decayed(count: float, age_s: float, half_life_s: float = HALF_LIFE_S) -> float:
    """What is left of `count` requests after `age_s` seconds: exponential decay."""
    return float(count * 2 ** (-max(0.0, age_s) / half_life_s))


class DemandCounts:
    """Adds and reads counts under one namespace. Raises `STORE_ERRORS` when Redis is away."""

    def __init__(self, client: Redis, namespace: str, half_life_s: float = HALF_LIFE_S) -> None:
        self._key = f"{namespace}:demand"
        self.half_life_s = half_life_s
        self._add_and_read = client.register_script(_ADD_AND_READ)

    async def add(self, requests: Mapping[str, float]) -> dict[str, float]:
        """Adds requests by expert, and returns the counts of all experts now."""
        arguments = [repr(self.half_life_s), repr(FORGOTTEN)]
        for expert, count in requests.items():
            arguments += [expert, repr(count)]
        reply = [text_of(each) for each in await self._add_and_read(keys=[self._key], args=arguments)]
        return {name: float(count) for name, count in zip(reply[::2], reply[1::2], strict=True)}

    async def read(self) -> dict[str, float]:
        """The counts of all experts now."""
        return await self.add({})
