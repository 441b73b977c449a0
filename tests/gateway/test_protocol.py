from collections.abc import Mapping

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe.errors import InvalidRequestError
from coe.gateway.protocol import parse_chat, parse_route
from coe.plan.request import JsonValue

HELLO: list[JsonValue] = [{"role": "user", "content": "hello"}]


def refused(fields: Mapping[str, object]) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        parse_chat(orjson.dumps({"model": "coe", "messages": HELLO, **fields}), "r")
    return caught.value


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"content": "hello"}]}, "messages.0.role"),
        ({"messages": [{"role": "wizard", "content": "hello"}]}, "messages.0.role"),
        ({"messages": [{"role": "system", "content": "a"}, {"role": "user", "content": 5}]}, "messages.1.content"),
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": 7}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"n": 0}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"seed": "x"}, "seed"),
        ({"stop": 5}, "stop"),
        ({"stop": ["a", 5]}, "stop"),
        ({"tools": {}}, "tools"),
        ({"tools": ["search"]}, "tools.0"),
        ({"response_format": "json"}, "response_format"),
        ({"coe": {"cache": "sometimes"}}, "coe.cache"),
        ({"coe": {"cash": "off"}}, "coe.cash"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, object], param: str) -> None:
    error = refused(fields)
    assert error.http_status == 400
    assert error.body.type == "invalid_request_error"
    assert error.body.param == param
    assert f"`{param}`" in error.body.message


def test_missing_messages_are_named() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_chat(b'{"model": "coe"}', "r")
    assert caught.value.param == "messages"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"[]", b'"text"', b'{"a": NaN}', b"\xff\xfe", b'{"a": "\\ud800"}']
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_chat(body, "r")
    assert caught.value.code == "invalid_json"


def test_the_message_says_where_json_breaks() -> None:
    with pytest.raises(InvalidRequestError, match="line 2, column 1"):
        parse_chat(b'{"model": "coe",\n]', "r")


@pytest.mark.parametrize("depth", [300, 5000])
def test_a_body_nested_too_deeply_is_refused(depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    with pytest.raises(InvalidRequestError):
        parse_chat(b'{"model": "coe", "messages": [{"role": "user", "content": "x"}], "deep": ' + nested + b"}", "r")


def test_many_brackets_side_by_side_are_fine() -> None:
    tools = [{"type": "function", "function": {"name": str(number)}} for number in range(500)]
    fields = {"model": "coe", "messages": HELLO, "tools": tools}
    assert parse_chat(orjson.dumps(fields), "r").fields == fields


@given(
    extra=st.dictionaries(
        st.text(min_size=1).map(lambda name: f"x_{name}"),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
            lambda value: st.lists(value, max_size=3) | st.dictionaries(st.text(), value, max_size=3),
            max_leaves=8,
        ),
        max_size=4,
    )
)
def test_fields_that_the_service_does_not_know_reach_the_worker_as_they_are(extra: dict[str, JsonValue]) -> None:
    fields = {"model": "coe", "messages": HELLO, "seed": 5, **extra}
    request = parse_chat(orjson.dumps({**fields, "coe": {"cache": "off"}}), "r")
    assert orjson.loads(request.body_for("poet")) == {**fields, "model": "poet"}


@pytest.mark.parametrize("asked", [None, {"include_usage": False}, {"include_usage": True, "more": 1}])
def test_streams_always_ask_the_worker_for_usage(asked: dict[str, JsonValue] | None) -> None:
    fields = {"model": "coe", "messages": HELLO, "stream": True, "stream_options": asked}
    request = parse_chat(orjson.dumps(fields), "r")
    assert request.include_usage is bool(asked and asked["include_usage"])
    assert orjson.loads(request.body_for("poet"))["stream_options"] == {**(asked or {}), "include_usage": True}


def test_a_request_to_route_has_a_prompt_or_messages() -> None:
    assert parse_route(b'{"prompt": "hello"}') == HELLO
    assert parse_route(orjson.dumps({"messages": HELLO})) == HELLO
    for body in (b"{}", orjson.dumps({"prompt": "hello", "messages": HELLO})):
        with pytest.raises(InvalidRequestError, match="exactly one"):
            parse_route(body)
    with pytest.raises(InvalidRequestError) as caught:
        parse_route(b'{"promt": "hello"}')
    assert caught.value.param == "promt"
