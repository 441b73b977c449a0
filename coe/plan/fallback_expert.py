"""An expert that hands over to another while it cannot answer."""

from __future__ import annotations

from coe.errors import RequestError
from coe.plan.expert import Answer, Expert
from coe.plan.request import ChatRequest
from coe.telemetry.logs import get_logger

log = get_logger("coe.plan.fallback")


class FallbackExpert:
    """Asks `second` where `first` is loading, failed or gone (503); where it is overloaded (429) the client waits."""

    def __init__(self, first: Expert, second: Expert) -> None:
        self._first = first
        self._second = second

    @property
    def name(self) -> str:
        return self._first.name

    async def answer(self, request: ChatRequest) -> Answer:
        try:
            return await self._first.answer(request)
        except RequestError as error:
            if error.http_status != 503:
                raise
            log.warning("expert unavailable, falling back", expert=self._first.name, to=self._second.name)
            return await self._second.answer(request)
