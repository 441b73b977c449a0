"""What a span tells of an answer."""

import orjson
import pytest

from coe.tracing.replies import ReplyFacts


def frame(*choices: dict[str, object], **more: object) -> bytes:
    return b"data: " + orjson.dumps({"id": "chatcmpl-7", "choices": choices, **more}) + b"\n\n"


def usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion}


STREAM = [
    frame({"index": 0, "delta": {"content": 'a "finish_reason":"stop" in a text'}, "finish_reason": None}),
    frame({"index": 1, "delta": {"content": "b"}, "finish_reason": "length"}, usage=usage(7, 1)),
    frame({"index": 0, "delta": {}, "finish_reason": "stop"}, usage=usage(7, 2)),
    frame(usage=usage(7, 3)),
    b"data: [DONE]\n\n",
]
WHOLE = {
    "gen_ai.usage.input_tokens": 7,
    "gen_ai.usage.output_tokens": 3,
    "gen_ai.response.finish_reasons": ["length", "stop"],
    "gen_ai.response.id": "chatcmpl-7",
}


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_a_stream_tells_the_same_wherever_it_is_cut(size: int) -> None:
    facts, stream = ReplyFacts(streamed=True), b"".join(STREAM)
    for start in range(0, len(stream), size):
        facts.feed(stream[start : start + size])
    assert facts.attributes() == WHOLE
    assert facts.error is None


def test_a_stream_that_was_broken_off_tells_what_it_had_told() -> None:
    facts = ReplyFacts(streamed=True)
    facts.feed(STREAM[0] + STREAM[1])
    assert facts.attributes() == {
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 1,
        "gen_ai.response.finish_reasons": ["length"],
        "gen_ai.response.id": "chatcmpl-7",
    }


def test_a_whole_answer_is_read_in_pieces() -> None:
    body = orjson.dumps({"id": "chatcmpl-7", "choices": [{"index": 0, "finish_reason": "stop"}], "usage": usage(7, 3)})
    facts = ReplyFacts(streamed=False)
    facts.feed(body[:20])
    facts.feed(body[20:])
    assert facts.attributes() == {**WHOLE, "gen_ai.response.finish_reasons": ["stop"]}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"message": "m", "type": "server_error", "code": "engine_died"}, "engine_died"),
        ({"message": "m", "type": "server_error", "code": None}, "server_error"),
    ],
)
def test_an_error_inside_a_stream_is_found(error: dict[str, object], code: str) -> None:
    facts = ReplyFacts(streamed=True)
    facts.feed(STREAM[0] + b"data: " + orjson.dumps({"error": error}) + b"\n\n")
    facts.attributes()
    assert facts.error == code


@pytest.mark.parametrize("streamed", [False, True])
def test_what_is_no_answer_tells_nothing(streamed: bool) -> None:
    facts = ReplyFacts(streamed=streamed)
    facts.feed(b"no json at all")
    assert facts.attributes() == {}
