from typing import Any

import pytest

from coe.aggregators.asking import for_answer, for_proposal, tools_of, wants_exact_form, with_instructions
from coe.plan.request import JsonValue
from tests.aggregators.scripted_experts import member, request

TOOL: JsonValue = {"type": "function", "function": {"name": "look"}}
SCHEMA: JsonValue = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
ALL: dict[str, Any] = {
    "tools": [TOOL],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "response_format": SCHEMA,
    "logprobs": True,
    "top_logprobs": 3,
    "stream": True,
    "stream_options": {"include_usage": True},
    "seed": 7,
    "stop": ["END"],
    "min_p": 0.1,
}


def test_proposals_run_without_what_shapes_the_final_answer() -> None:
    asked = for_proposal(request(**ALL), member("poet", 6), "r-1", temperature=0.7)
    assert set(asked.fields) == {
        "messages", "seed", "stop", "min_p", "n", "temperature", "max_tokens", "stream", "stream_options",
    }  # fmt: skip
    assert (asked.fields["n"], asked.fields["temperature"], asked.fields["max_tokens"]) == (6, 0.7, 64)
    assert (asked.stream, asked.request_id) == (True, "r-1")


def test_a_proposal_that_may_become_the_answer_keeps_its_format_and_no_tools() -> None:
    asked = for_proposal(request(**ALL), member("poet"), "r-1", temperature=0.7, keeps_format=True)
    assert asked.fields["response_format"] == SCHEMA
    assert "tools" not in asked.fields


def test_the_last_call_has_everything_and_temperature_zero() -> None:
    asked = for_answer(request(**ALL, temperature=0.9), member("poet"), [{"role": "user", "content": "x"}])
    own = {"messages": [{"role": "user", "content": "x"}], "temperature": 0, "max_tokens": 64}
    assert asked.fields == {**ALL, **own}
    assert (asked.stream, asked.request_id) == (True, "r")


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_clients_limit_goes_before_the_plans(name: str) -> None:
    asked = for_proposal(request(**dict[str, Any]({name: 9})), member("poet"), "r-1", temperature=0.7)
    limits = {key: value for key, value in asked.fields.items() if key.startswith("max_")}
    assert limits == {name: 9}


def test_instructions_join_the_clients_system_message() -> None:
    user: JsonValue = {"role": "user", "content": "x"}
    assert with_instructions([user], "Merge.") == [{"role": "system", "content": "Merge."}, user]
    own: JsonValue = {"role": "system", "content": "Be kind."}
    assert with_instructions([own, user], "Merge.")[0] == {"role": "system", "content": "Be kind.\n\nMerge."}
    parts: JsonValue = {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]}
    (first, second) = with_instructions([parts, user], "Merge.")
    assert first["content"][-1] == {"type": "text", "text": "\n\nMerge."}  # type: ignore[index,call-overload]  # JSON
    assert second == user


@pytest.mark.parametrize(
    ("fields", "exact"),
    [
        ({}, False),
        ({"response_format": SCHEMA}, True),
        ({"structured_outputs": {"regex": "a"}}, True),
        ({"tools": [TOOL]}, False),
        ({"tools": [TOOL], "tool_choice": "auto"}, False),
        ({"tools": [TOOL], "tool_choice": "required"}, True),
        ({"tools": [], "tool_choice": "required"}, False),
    ],
)
def test_what_a_free_text_would_break(fields: dict[str, Any], exact: bool) -> None:
    assert wants_exact_form(request(**fields)) is exact
    assert bool(tools_of(request(**fields))) is bool(fields.get("tools"))
