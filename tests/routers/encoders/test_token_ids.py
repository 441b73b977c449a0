"""Chunks are tokenized once, and nothing of what a tokenizer would say of the whole text is lost by it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE, WordLevel, WordPiece
from tokenizers.pre_tokenizers import Metaspace, Whitespace

from routers.encoders import token_ids
from routers.encoders.token_ids import TokenIds, splits_at_white_space, whole_words

BERT = Tokenizer.from_file(str(Path(__file__).parents[3] / "configs" / "router" / "tokenizer.json"))
IDS = TokenIds(BERT)


@given(
    st.lists(
        st.text(max_size=80)
        | st.text(alphabet="aé\u0301 \t\n\x00\x1c\x85\u2028漢[SEP],_", max_size=40)
        | st.lists(st.sampled_from(["a judge", "[MASK]", "unfathomable", "x" * 200]), max_size=6).map(" ".join),
        max_size=4,
    )
)
def test_ids_are_those_of_the_tokenizer(texts: list[str]) -> None:
    assert splits_at_white_space(BERT)
    for text, ids in zip(texts, IDS.of(texts), strict=True):
        assert ids.tolist() == BERT.encode(text, add_special_tokens=False).ids


def test_a_tokenizer_that_looks_across_white_space_gets_the_whole_text() -> None:
    tokenizer = Tokenizer(WordLevel({"\u2581a": 0, "\u2581b": 1, "[UNK]": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Metaspace()
    assert not splits_at_white_space(tokenizer)
    assert [ids.tolist() for ids in TokenIds(tokenizer).of(["a b", ""])] == [[0, 1], []]


def test_an_added_token_with_a_space_inside_is_seen_as_a_whole() -> None:
    tokenizer = Tokenizer(WordLevel({"a": 0, "b": 1, "[UNK]": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    assert splits_at_white_space(tokenizer)
    tokenizer.add_tokens(["a b"])
    assert TokenIds(tokenizer).of(["a b"])[0].tolist() == [3]


def test_words_are_told_from_pieces_marks_and_numbers() -> None:
    words = whole_words(BERT)
    assert words.index("with") < words.index("pudding")
    assert not {"##ing", "ing##", "[CLS]", "2004", ",", "fastapi"} & set(words)
    cased = Tokenizer(WordPiece({"The": 0, "the": 1, "##re": 2, "[UNK]": 3}, unk_token="[UNK]"))
    assert whole_words(cased) == ["the"]


def test_pieces_that_do_not_say_whether_they_are_words_are_none() -> None:
    assert whole_words(Tokenizer(BPE({"the": 0, "re": 1}, []))) == []


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_ids, "REMEMBERED", 10)
    ids = TokenIds(BERT)
    for start in range(0, 100, 4):
        text = " ".join(f"word{number}" for number in range(start, start + 4))
        assert ids.of([text])[0].tolist() == BERT.encode(text, add_special_tokens=False).ids
        assert len(ids._known) <= 10
    many = " ".join(str(number) for number in range(50))
    assert ids.of([many])[0].tolist() == BERT.encode(many, add_special_tokens=False).ids
    ids.of(["x" * 1_000])
    assert len(ids._known) <= 10
