import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.port.answers import StreamFailedError, StreamNames, named_body

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
# Texts that contain what is searched for, as far as JSON lets them.
tricky = st.lists(
    st.sampled_from(['"model":"base"', "\\", '"', 'data: {"error"', "\n\n", "data: ", "\r", "ü", '{"model": "base"}']),
    max_size=6,
).map("".join)
dumps = st.sampled_from([(",", ":"), (", ", ": ")])


def event(served: str, content: str, separators: tuple[str, str]) -> str:
    chunk = {"id": "c", "model": served, "choices": [{"delta": {"content": content}}]}
    return json.dumps(chunk, separators=separators, ensure_ascii=False)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(
    st.lists(tricky, max_size=5),
    st.tuples(names, names),
    dumps,
    st.lists(st.integers(0), max_size=30),
    st.sampled_from(["\n", "\r\n"]),
)
def test_a_stream_is_renamed_however_it_is_cut(
    contents: list[str], renaming: tuple[str, str], separators: tuple[str, str], places: list[int], end: str
) -> None:
    served, expert = renaming
    frames = [f"data: {event(served, content, separators)}{end}{end}" for content in contents]
    stream = ("".join(frames) + f"data: [DONE]{end}{end}").encode()
    renamer = StreamNames(expert)
    renamed = b"".join([*(renamer.feed(chunk) for chunk in cut(stream, places)), renamer.rest()])
    lines = [line for line in renamed.decode().split(end) if line]
    assert lines.pop() == "data: [DONE]"
    for line, content in zip(lines, contents, strict=True):
        assert json.loads(line.removeprefix("data: ")) == json.loads(event(expert, content, separators))
    # Apart from the name not a byte differs.
    assert StreamNames(served).feed(renamed) == stream


@given(tricky, names, names, dumps)
def test_a_body_is_renamed_and_its_content_is_not(
    content: str, served: str, expert: str, separators: tuple[str, str]
) -> None:
    body = event(served, content, separators).encode()
    assert json.loads(named_body(body, expert)) == json.loads(event(expert, content, separators))


def test_complete_events_are_not_held_back() -> None:
    frame = b'data: {"model":"base","x":1}\n\n'
    assert StreamNames("e").feed(frame) == b'data: {"model":"e","x":1}\n\n'
    assert StreamNames("base").feed(frame + b"data: {") == frame


def test_an_error_event_ends_the_stream_and_keeps_what_came_before() -> None:
    stream = b'data: {"model":"base"}\n\ndata: {"error":{"message":"no","type":"X","code":500}}\n\ndata: [DONE]\n\n'
    with pytest.raises(StreamFailedError) as caught:
        StreamNames("e").feed(stream)
    assert caught.value.before == b'data: {"model":"e"}\n\n'
    assert json.loads(caught.value.failure.body)["error"] == {
        "message": "no",
        "type": "server_error",
        "param": None,
        "code": "engine_error",
    }
