import json
from typing import Any

import pytest

from workers.port.requests import ExpertRequest, RequestFormatError, read_request
from workers.spec import ExpertSpec, Sampling

ASK = {"role": "user", "content": "hello"}


def applied(request: dict[str, Any], system: str | None = None, sampling: Sampling = Sampling()) -> dict[str, Any]:  # noqa: B008 - frozen
    expert = ExpertSpec(name="expert", model="base", system=system, sampling=sampling)
    answer: dict[str, Any] = json.loads(ExpertRequest(expert, "served").apply(request))
    return answer


def test_the_engine_is_asked_by_its_own_name_for_the_same() -> None:
    request = {"model": "expert", "messages": [ASK], "stream": True, "unknown_field": {"a": [1]}}
    assert applied(request) == request | {"model": "served"}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([ASK], [{"role": "system", "content": "Be brief."}, ASK]),
        ([{"role": "system", "content": "Rhyme."}, ASK], [{"role": "system", "content": "Be brief.\n\nRhyme."}, ASK]),
        (
            [{"role": "developer", "content": "Rhyme.", "name": "n"}, ASK],
            [{"role": "developer", "content": "Be brief.\n\nRhyme.", "name": "n"}, ASK],
        ),
        (
            [{"role": "system", "content": [{"type": "text", "text": "Rhyme."}]}],
            [
                {
                    "role": "system",
                    "content": [{"type": "text", "text": "Be brief.\n\n"}, {"type": "text", "text": "Rhyme."}],
                }
            ],
        ),
        ([{"role": "system", "content": ""}], [{"role": "system", "content": "Be brief."}]),
    ],
)
def test_the_experts_prompt_comes_before_the_clients(messages: list[Any], expected: list[Any]) -> None:
    assert applied({"model": "e", "messages": messages}, "Be brief.")["messages"] == expected
    assert applied({"model": "e", "messages": messages})["messages"] == messages


def test_defaults_fill_only_what_the_request_leaves_open() -> None:
    defaults = Sampling(temperature=0.1, max_tokens=7, stop=("x",), seed=3)
    got = applied({"model": "e", "messages": [ASK], "temperature": 0, "seed": None}, sampling=defaults)
    assert (got["temperature"], got["max_tokens"], got["stop"], got["seed"]) == (0, 7, ["x"], 3)
    got = applied({"model": "e", "messages": [ASK], "max_completion_tokens": 9}, sampling=defaults)
    assert "max_tokens" not in got


@pytest.mark.parametrize("messages", ["text", None, [1], {}])
def test_messages_of_the_wrong_shape_are_left_for_the_engine_to_refuse(messages: object) -> None:
    got = applied({"model": "e", "messages": messages}, "Be brief.")["messages"]
    assert got == ([{"role": "system", "content": "Be brief."}, 1] if messages == [1] else messages)


@pytest.mark.parametrize(("body", "param"), [(b"{", None), (b"[]", None), (b"{}", "model"), (b'{"model": 1}', "model")])
def test_what_is_no_request_is_refused(body: bytes, param: str | None) -> None:
    with pytest.raises(RequestFormatError) as caught:
        read_request(body)
    assert caught.value.param == param
