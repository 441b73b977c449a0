from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from coe.errors import InvalidRequestError, UnavailableError
from coe.plan.plans import AgreementRule, ByAnswer, ByEmbedding, ByJudge, Cascade
from tests.aggregators.scripted_experts import TERMS, ScriptedExpert, member, request, tell

JUDGE_PROMPT = "Q: $question\n1: $first\n2: $second"


def cascade(*names: str, agreement: AgreementRule | None = None, **log_odds: float) -> Cascade:
    return Cascade(
        label="cascade",
        members=tuple(member(name) for name in names),
        agreement=agreement or ByAnswer(),
        terms=TERMS,
        log_odds=log_odds,
    )


def experts(**texts: str) -> list[ScriptedExpert]:
    return [ScriptedExpert(name, (text,)) for name, text in texts.items()]


def asked(found: Sequence[ScriptedExpert]) -> list[int]:
    return [len(expert.asked) for expert in found]


async def test_two_that_agree_are_enough() -> None:
    found = experts(a="The answer is 4.", b="4", c="5")
    told = await tell(cascade("a", "b", "c"), request(), *found)
    assert asked(found) == [1, 1, 0]
    assert told.answer.expert in {"a", "b"}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_third_is_asked_where_two_differ_and_decides(stream: bool) -> None:
    found = experts(a="4", b="5", c="5", d="6")
    told = await tell(cascade("a", "b", "c", "d"), request(stream=stream), *found)
    assert asked(found) == [1, 1, 1, 0]
    assert (told.text, told.answer.expert) == ("5", "b")
    assert told.usage["completion_tokens"] == 3


async def test_a_third_that_could_not_change_the_answer_is_not_asked() -> None:
    found = experts(a="4", b="5", c="5")
    told = await tell(cascade("a", "b", "c", a=3.0, b=-1.0, c=-1.0), request(), *found)
    assert (told.text, asked(found)) == ("4", [1, 1, 0])


async def test_an_answer_that_says_nothing_has_no_vote() -> None:
    found = experts(a="...", b="4", c="4")
    assert (await tell(cascade("a", "b", "c"), request(), *found)).text == "4"
    assert asked(found) == [1, 1, 0]  # nobody else could lead


async def test_where_all_differ_all_are_asked_and_the_best_measured_one_stands() -> None:
    found = experts(a="4", b="5", c="6")
    told = await tell(cascade("a", "b", "c", a=-0.8, b=0.4, c=0.0), request(), *found)
    assert asked(found) == [1, 1, 1]
    assert told.text == "5"


async def test_one_that_fails_is_replaced_by_the_next() -> None:
    found = [ScriptedExpert("a", error=UnavailableError("x", code="gone")), *experts(b="5", c="5", d="6")]
    told = await tell(cascade("a", "b", "c", "d"), request(), *found)
    assert (told.text, told.notes, asked(found)) == ("5", ["left_out=a:gone"], [1, 1, 1, 0])


async def test_a_request_that_is_refused_is_not_repeated() -> None:
    found = [ScriptedExpert(name, error=InvalidRequestError("bad stop")) for name in "ab"]
    with pytest.raises(InvalidRequestError, match="bad stop"):
        await tell(cascade("a", "b", "c"), request(), *found, *experts(c="5"))


async def test_where_nobody_answers_it_is_an_error() -> None:
    found = [ScriptedExpert(name, error=UnavailableError("x")) for name in "abc"]
    with pytest.raises(UnavailableError):
        await tell(cascade("a", "b", "c"), request(), *found)


class ScriptedEmbedder:
    """Texts that begin with the same letter are near; a digit's distance from the next is a tenth."""

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        angles = [np.arccos(1 - int(text[1]) / 10) for text in texts]
        return np.array([[np.cos(angle), np.sin(angle)] for angle in angles], dtype=np.float32)


@pytest.mark.parametrize(("distance", "calls"), [(0.25, [1, 1, 0]), (0.15, [1, 1, 1])])
async def test_answers_agree_within_a_distance_of_their_embeddings(distance: float, calls: list[int]) -> None:
    found = experts(a="x0", b="x2", c="x9")
    plan = cascade("a", "b", "c", agreement=ByEmbedding(distance))
    await tell(plan, request(), *found, embedder=ScriptedEmbedder())
    assert asked(found) == calls


async def test_an_encoder_that_is_away_takes_answers_to_differ() -> None:
    class AwayEmbedder:
        async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
            raise UnavailableError("x", code="router_unavailable")

    found = experts(a="x0", b="x1", c="x9")
    told = await tell(cascade("a", "b", "c", agreement=ByEmbedding(0.5)), request(), *found, embedder=AwayEmbedder())
    assert asked(found) == [1, 1, 1]
    assert told.notes[0] == "left_out=embedding:router_unavailable"


@pytest.mark.parametrize(
    ("verdict", "calls"), [("Yes.", [1, 1, 0]), (" YES", [1, 1, 0]), ("No", [1, 1, 1]), ("?", [1, 1, 1])]
)
async def test_a_judge_decides_whether_two_answers_agree(verdict: str, calls: list[int]) -> None:
    found = experts(a="four", b="4", c="5")
    judge = ScriptedExpert("judge", (verdict,))
    plan = cascade("a", "b", "c", agreement=ByJudge(member("judge"), JUDGE_PROMPT))
    await tell(plan, request("2+2?", max_tokens=500), *found, judge)
    assert asked(found) == calls
    assert judge.asked[0].messages == [{"role": "user", "content": "Q: 2+2?\n1: four\n2: 4"}]
    assert (judge.asked[0].fields["temperature"], judge.asked[0].fields["max_tokens"]) == (0.0, 8)


async def test_a_judge_that_fails_takes_answers_to_differ() -> None:
    found = experts(a="four", b="4", c="5")
    judge = ScriptedExpert("judge", error=UnavailableError("x", code="gone"))
    told = await tell(
        cascade("a", "b", "c", agreement=ByJudge(member("judge"), JUDGE_PROMPT)), request(), *found, judge
    )
    assert asked(found) == [1, 1, 1]
    assert told.notes[0] == "left_out=judge:gone"
