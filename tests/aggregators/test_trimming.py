from hypothesis import given
from hypothesis import strategies as st

from coe.aggregators.proposals import Proposal
from coe.aggregators.trimming import CUT, TOKENS_AROUND, fit, room


def proposal(tokens: int, *, word: str = "ab ") -> Proposal:
    return Proposal("poet", word * tokens, tokens)


def test_what_fits_is_left_as_it_is() -> None:
    proposals = [proposal(10), proposal(20)]
    fitted = fit(proposals, 30 + 2 * TOKENS_AROUND, [1.0, 1.0])
    assert fitted.texts == tuple(each.text for each in proposals)
    assert (fitted.cut, fitted.limit) == (0, 0)


def test_the_longest_are_cut_to_one_length_and_short_ones_stay() -> None:
    proposals = [proposal(10), proposal(100), proposal(200)]
    fitted = fit(proposals, 110 + 3 * TOKENS_AROUND, [1.0] * 3)
    assert fitted.texts[0] == proposals[0].text
    assert (fitted.cut, fitted.limit) == (2, 50)
    for text, whole in zip(fitted.texts[1:], proposals[1:], strict=True):
        assert text.endswith(CUT)
        assert whole.text.startswith(text.removesuffix(CUT))
        assert 40 <= len(text.split()) <= 50


def test_another_tokenizer_leaves_less() -> None:
    same = fit([proposal(100)], 60, [1.0])
    other = fit([proposal(100)], 60, [2.0])
    assert len(other.texts[0]) < len(same.texts[0])


@given(st.lists(st.integers(1, 300), min_size=1, max_size=8), st.integers(0, 1000))
def test_all_together_never_take_more_than_there_is(sizes: list[int], tokens: int) -> None:
    fitted = fit([proposal(size) for size in sizes], tokens, [1.0] * len(sizes))
    words = [len(text.removesuffix(CUT).split()) for text in fitted.texts]
    assert sum(words) <= max(0, tokens - TOKENS_AROUND * len(sizes))
    assert all(word <= size for word, size in zip(words, sizes, strict=True))


def test_room_is_what_the_rest_leaves() -> None:
    assert room(context=1000, said=300, answer=200) == 500
    assert room(context=1000, said=900, answer=200) == 0
