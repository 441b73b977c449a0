import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe.sse import FrameReader, Usage, read_usage

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
END = "data: [DONE]"


def stream(contents: list[str], *, newline: str = "\n", spaced: bool = False) -> bytes:
    """A streamed answer with a usage frame before its end."""
    separators = (", ", ": ") if spaced else (",", ":")
    chunks: list[object] = [{"choices": [{"index": 0, "delta": {"content": content}}]} for content in contents]
    chunks.append({"choices": [], "usage": USAGE})
    events = [f"data: {json.dumps(chunk, separators=separators)}" for chunk in chunks]
    return "".join(f"{event}{newline * 2}" for event in [*events, END]).encode()


def read(reader: FrameReader, data: bytes, cuts: set[int]) -> list[bytes]:
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    return [reader.feed(data[start:end]) for start, end in pairwise(places)] + [reader.rest()]


texts = st.lists(st.text() | st.sampled_from(['"usage":{', '"choices":[]', "data: [DONE]", "\n\n", "\r\n\r\n"]))


@given(contents=texts, cuts=st.sets(st.integers(0, 400)), newline=st.sampled_from(["\n", "\r\n"]), spaced=st.booleans())
def test_how_a_stream_is_cut_makes_no_difference(
    contents: list[str], cuts: set[int], newline: str, spaced: bool
) -> None:
    data = stream(contents, newline=newline, spaced=spaced)
    kept, dropped = FrameReader(keep_usage=True), FrameReader(keep_usage=False)
    assert b"".join(read(kept, data, cuts)) == data
    without = b"".join(read(dropped, data, cuts))
    assert without.count(b"data: ") >= len(contents) + 1
    assert without == b"".join(read(FrameReader(keep_usage=False), data, set()))
    assert b'"total_tokens"' not in without
    assert kept.usage == dropped.usage == Usage(7, 3)


@given(contents=texts, cuts=st.sets(st.integers(0, 400)), newline=st.sampled_from(["\n", "\r\n"]))
def test_only_whole_frames_are_passed_on(contents: list[str], cuts: set[int], newline: str) -> None:
    for piece in read(FrameReader(keep_usage=True), stream(contents, newline=newline), cuts):
        assert piece == b"" or piece.endswith((newline * 2).encode())


def test_usage_beside_text_stays_in_its_frame() -> None:
    frame = b'data: {"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
    reader = FrameReader(keep_usage=False)
    assert reader.feed(frame) == frame
    assert reader.usage == Usage(1, 2)


def test_a_last_frame_without_its_blank_line_is_not_lost() -> None:
    reader = FrameReader(keep_usage=False)
    assert reader.feed(b"data: 1\n\ndata: [DONE]") == b"data: 1\n\n"
    assert reader.rest() == b"data: [DONE]\n\n"
    assert reader.rest() == b""


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"usage":null}', b'{"usage":{"prompt_tokens":"x"}}'])
def test_unreadable_usage_is_no_usage(body: bytes) -> None:
    assert read_usage(body) is None
