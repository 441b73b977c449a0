"""The shared picture of the workers in Redis: each worker writes its report, every gateway reads them all.

A report expires when its worker stops writing. Its epoch fences it: what an earlier life of a worker still sends
after a later one has reported is refused.
"""

from __future__ import annotations

from redis.asyncio import Redis

from coe.store.streams import text_of
from workers.errors import SpecError
from workers.report_json import report_from_json, report_to_json
from workers.reports import WorkerReport

REPORT_TTL_S = 10

_WRITE = """
local epoch = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
if epoch > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'report', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('SADD', KEYS[2], ARGV[4])
return 1
"""


class RedisDirectory:
    """Reads and writes worker reports under one namespace. Raises `STORE_ERRORS` when Redis is away."""

    def __init__(self, client: Redis, namespace: str) -> None:
        self._client = client
        self._prefix = f"{namespace}:worker:"
        self._index = f"{namespace}:workers"
        self._write = client.register_script(_WRITE)

    async def write(self, report: WorkerReport) -> bool:
        """Stores a report; False where a later life of this worker has already written."""
        keys = [self._prefix + report.worker_id, self._index]
        arguments: list[str | bytes] = [str(report.epoch), report_to_json(report), str(REPORT_TTL_S), report.worker_id]
        return bool(await self._write(keys=keys, args=arguments))

    async def remove(self, report: WorkerReport) -> None:
        """Takes a worker that stops out of the picture, unless a later life has already written."""
        stored = await self._client.hget(self._prefix + report.worker_id, "epoch")
        if stored is not None and int(stored) <= report.epoch:
            await self._client.delete(self._prefix + report.worker_id)

    async def reports(self) -> list[WorkerReport]:
        """The latest report of every worker that is alive, ordered by worker id."""
        names = sorted(text_of(member) for member in await self._client.smembers(self._index))
        pipeline = self._client.pipeline(transaction=False)
        for name in names:
            await pipeline.hget(self._prefix + name, "report")  # queued; sent by execute
        reports = []
        for name, stored in zip(names, await pipeline.execute(), strict=True):
            if stored is None:
                await self._client.srem(self._index, name)
                continue
            try:
                reports.append(report_from_json(stored))
            except SpecError:  # written by another version during an upgrade; its worker is asked directly then
                continue
        return reports
