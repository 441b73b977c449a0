"""Scores of answers in a Redis stream: what `/v1/feedback` takes in and `coe refresh-map` learns from."""

from __future__ import annotations

from dataclasses import dataclass

import orjson
from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis

from coe.store.streams import as_text

_PAGE = 1_000
_ADD = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return 0 end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', unpack(ARGV, 4))
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""


@dataclass(frozen=True, slots=True)
class LoggedOutcome:
    """How well an expert answered a request.

    Attributes:
        request_id: the request that was scored.
        category: `general` where the router abstained; None where the client named the expert: no map learns from it.
        expert: who answered.
        score: in [0, 1], 1 the best.
        at: when the score came, in seconds since 1970.
        comment: what was said beside it.
    """

    request_id: str
    category: str | None
    expert: str
    score: float
    at: float
    comment: str | None = None


_OUTCOME = TypeAdapter(LoggedOutcome)


class OutcomeLog:
    """Adds and reads scores under one namespace. Raises `STORE_ERRORS` when Redis is away.

    Args:
        client: of Redis.
        namespace: prefix of all keys.
        keep_s: how long a score is known for a repetition of itself, in seconds; as long as scores may come.
        max_outcomes: length of the stream, about.
    """

    def __init__(self, client: Redis, namespace: str, keep_s: float, max_outcomes: int) -> None:
        self._client = client
        self._stream = f"{namespace}:outcomes"
        self._prefix = f"{namespace}:outcome:"
        self._keep_ms = round(keep_s * 1000)
        self._max_outcomes = max_outcomes
        self._add = client.register_script(_ADD)

    async def add(self, outcome: LoggedOutcome) -> bool:
        """Appends the score in one step, whole or not at all; False where the same was the request's last one."""
        fields = {
            "request_id": outcome.request_id,
            "category": outcome.category,
            "expert": outcome.expert,
            "score": repr(outcome.score),
            "at": repr(outcome.at),
            "comment": outcome.comment,
        }
        said = orjson.dumps([outcome.score, outcome.comment])
        arguments: list[str | bytes] = [said, str(self._keep_ms), str(self._max_outcomes)]
        for name, value in fields.items():
            if value is not None:
                arguments += [name, value]
        keys = [self._prefix + outcome.request_id, self._stream]
        return bool(await self._add(keys=keys, args=arguments))

    async def read(self) -> list[LoggedOutcome]:
        """The last score of every request, the oldest first. Entries of another version are passed over."""
        last: dict[str, LoggedOutcome] = {}
        start = "-"
        while page := list(as_text(await self._client.xrange(self._stream, min=start, count=_PAGE))):
            start = f"({page[-1][0]}"
            for _, fields in page:
                try:
                    outcome = _OUTCOME.validate_python({"category": None, **fields})
                except ValidationError:
                    continue
                last.pop(outcome.request_id, None)  # so that its place is that of its last score
                last[outcome.request_id] = outcome
        return list(last.values())
