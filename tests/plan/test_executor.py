from collections.abc import AsyncGenerator

import pytest

from coe.errors import InvalidRequestError, OverloadedError, RequestError, UnavailableError
from coe.plan.executor import Executor
from coe.plan.expert import Answer
from coe.plan.fallback_expert import FallbackExpert
from coe.plan.plans import Single
from coe.plan.request import ChatRequest

REQUEST = ChatRequest(
    request_id="r", model="coe", stream=False, include_usage=False, temperature=None, cache=None, fields={}
)


async def _nothing() -> AsyncGenerator[bytes, None]:
    yield b"{}"


class ScriptedExpert:
    """Answers, or raises what it is given."""

    def __init__(self, name: str, error: RequestError | None = None) -> None:
        self.name = name
        self.error = error
        self.asked = 0

    async def answer(self, request: ChatRequest) -> Answer:
        self.asked += 1
        if self.error:
            raise self.error
        return Answer(self.name, request.stream, _nothing())


async def test_a_single_expert_answers() -> None:
    poet, general = ScriptedExpert("poet"), ScriptedExpert("general")
    executor = Executor({"poet": poet, "general": general})
    assert (await executor.run(Single("poet", fallback="general"), REQUEST)).expert == "poet"
    assert general.asked == 0


async def test_its_fallback_answers_while_it_is_unavailable() -> None:
    poet, general = ScriptedExpert("poet", UnavailableError("loading")), ScriptedExpert("general")
    executor = Executor({"poet": poet, "general": general})
    assert (await executor.run(Single("poet", fallback="general"), REQUEST)).expert == "general"


@pytest.mark.parametrize("error", [OverloadedError("full", retry_after_s=1), InvalidRequestError("no")])
async def test_other_refusals_are_the_clients_business(error: RequestError) -> None:
    general = ScriptedExpert("general")
    executor = Executor({"poet": ScriptedExpert("poet", error), "general": general})
    with pytest.raises(type(error)):
        await executor.run(Single("poet", fallback="general"), REQUEST)
    assert general.asked == 0


@pytest.mark.parametrize("fallback", [None, "poet"])
async def test_nobody_is_asked_twice(fallback: str | None) -> None:
    poet = ScriptedExpert("poet", UnavailableError("loading"))
    with pytest.raises(UnavailableError):
        await Executor({"poet": poet}).run(Single("poet", fallback=fallback), REQUEST)
    assert poet.asked == 1


def test_an_expert_with_a_fallback_keeps_its_name() -> None:
    assert FallbackExpert(ScriptedExpert("poet"), ScriptedExpert("general")).name == "poet"
