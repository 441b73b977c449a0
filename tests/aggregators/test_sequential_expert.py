from dataclasses import replace

from coe.errors import UnavailableError
from coe.plan.plans import SequentialMoa
from tests.aggregators.scripted_experts import PROMPT, TERMS, ScriptedExpert, member, request, tell


def sequential(n: int, *, window: int = 6) -> SequentialMoa:
    return SequentialMoa(
        label="self-moa-seq",
        proposer=member("poet", n),
        aggregator=member("judge"),
        prompt=PROMPT,
        terms=TERMS,
        window=window,
    )


def seen(judge: ScriptedExpert) -> list[list[str]]:
    """The texts that each aggregation was shown."""
    found = []
    for asked in judge.asked:
        message = asked.messages[0]
        assert isinstance(message, dict)
        numbered = str(message["content"]).removeprefix("Merge these.\n\n").split("\n\n")
        found.append([text.partition(". ")[2] for text in numbered])
    return found


async def test_half_of_the_window_keeps_what_was_synthesised_and_half_takes_new_samples() -> None:
    poet = ScriptedExpert("poet", tuple(f"s{number}" for number in range(1, 9)))
    judge = ScriptedExpert("judge", ("m1", "m2", "m3"))
    told = await tell(sequential(8), request(), poet, judge)
    assert seen(judge) == [
        ["s1", "s1", "s1", "s2", "s3", "s4"],
        ["m1", "m1", "m1", "s5", "s6", "s7"],
        ["m2", "m2", "m2", "s8"],
    ]
    assert told.text == "m3"
    assert len(poet.asked) == 1
    assert sequential(8).calls == 8 + 3


async def test_the_context_is_constant_for_any_number_of_samples() -> None:
    judge = ScriptedExpert("judge", ("m",))
    await tell(sequential(40, window=4), request(), ScriptedExpert("poet", ("s",)), judge)
    assert max(map(len, seen(judge))) == 4
    assert len(judge.asked) == sequential(40, window=4).merges == 20


async def test_one_sample_is_merged_alone() -> None:
    judge = ScriptedExpert("judge", ("m",))
    assert (await tell(sequential(1), request(), ScriptedExpert("poet", ("s",)), judge)).text == "m"
    assert seen(judge) == [["s"]]


async def test_a_step_that_fails_leaves_its_samples_out() -> None:
    judge = ScriptedExpert("judge", ("m",), error=UnavailableError("x", code="engine_died"), errors_after=1)
    poet = ScriptedExpert("poet", tuple(f"s{number}" for number in range(1, 9)))
    told = await tell(sequential(8), request(), poet, judge)
    assert told.notes == ["left_out=judge:engine_died", "fallback=judge:engine_died"]
    assert told.text == "m"  # what was synthesised so far stands for three


async def test_the_last_step_alone_has_the_clients_own_fields() -> None:
    judge = ScriptedExpert("judge", ("m",))
    poet = ScriptedExpert("poet", tuple(f"s{number}" for number in range(1, 6)))
    await tell(replace(sequential(5)), request(response_format={"type": "json_object"}), poet, judge)
    assert ["response_format" in asked.fields for asked in judge.asked] == [False, True]
