"""vLLM's control endpoints on an engine's private socket: a path or a worker's method goes in, its JSON comes out.

They exist where the engine was started with `control_environment`, and are never reachable from outside: the socket's
folder belongs to the worker alone, and its data port relays none of them.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import aiohttp
import orjson

from workers.errors import EngineAwayError, EngineError
from workers.openai_errors import engine_is_dead

Json: TypeAlias = dict[str, object]
Query: TypeAlias = Sequence[tuple[str, str]]
_SHOWN_CHARS = 400


class EngineRefusedError(EngineError):
    """An engine that lives answered with an error; the message has what it said."""


def control_environment() -> Mapping[str, str]:
    """The environment that opens these endpoints."""
    return {"VLLM_SERVER_DEV_MODE": "1"}


class EngineControl:
    """Of one engine, in one life. Every call has a deadline in seconds.

    Calls raise `EngineAwayError` where the engine has ended or does not answer in time, and `EngineRefusedError` where
    it answers with an error. A call that is cancelled may yet take effect.
    """

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self._session = session
        self._base_url = base_url

    async def get(self, path: str, *, timeout_s: float) -> Json:
        return await self._ask("GET", path, (), None, timeout_s)

    async def post(self, path: str, *, timeout_s: float, query: Query = (), body: object = None) -> Json:
        return await self._ask("POST", path, query, body, timeout_s)

    async def call_workers(self, method: str, *arguments: str | list[str], timeout_s: float) -> list[Json]:
        """What each worker process of the engine returned, in order of rank; they run it between two steps."""
        body = {"method": method, "args": arguments}
        answered = await self.post("/collective_rpc", body=body, timeout_s=timeout_s)
        results = answered.get("results")
        if not isinstance(results, list) or not results or not all(isinstance(result, dict) for result in results):
            raise EngineRefusedError(f"the engine returned {str(answered)[:_SHOWN_CHARS]} from `{method}`")
        return results

    async def _ask(self, verb: str, path: str, query: Query, body: object, timeout_s: float) -> Json:
        try:
            async with self._session.request(
                verb,
                f"{self._base_url}{path}",
                params=list(query),
                data=None if body is None else orjson.dumps(body),
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as response:
                status, answer = response.status, await response.read()
        except TimeoutError as error:
            raise EngineAwayError(f"the engine does not answer `{path}` within {timeout_s:.0f} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise EngineAwayError(
                f"the engine ended while it was asked for `{path}` ({type(error).__name__}: {error}): it is started "
                "again"
            ) from error
        if status == 200:
            return _document(answer)
        said = " ".join(answer.decode(errors="replace").split())[:_SHOWN_CHARS]
        if engine_is_dead(said):
            raise EngineAwayError(f"the engine ended while it was asked for `{path}`: it is started again")
        raise EngineRefusedError(f"the engine answered `{path}` with {status}: {said or 'no reason given'}")


def _document(answer: bytes) -> Json:
    if not answer.strip():
        return {}
    try:
        document = orjson.loads(answer)
    except ValueError as error:
        raise EngineRefusedError(f"the engine answered with no JSON: {answer[:_SHOWN_CHARS]!r}") from error
    return document if isinstance(document, dict) else {"results": document}
