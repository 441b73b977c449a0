"""What rows are good for, and what is wrong with them as a whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routers.errors import DataError
from routers.prompts import LabelledPrompt
from routers.rows import MIN_ROWS, fingerprint, sort_rows


def of(category: str | None, *texts: str) -> list[LabelledPrompt]:
    return [LabelledPrompt(text, category, labelled=True) for text in texts]


ENOUGH = [*of("a", "1", "2", "3", "4"), *of("b", "5", "6", "7", "8")]


def test_rows_are_sorted_by_what_is_known_of_them() -> None:
    rows = sort_rows([*ENOUGH, *of(None, "strange"), LabelledPrompt("unknown")])
    assert rows.by_category() == {"a": 4, "b": 4}
    assert [prompt.text for prompt in rows.out_of_scope] == ["strange"]
    assert [prompt.text for prompt in rows.unlabelled] == ["unknown"]
    assert (rows.repeats, rows.conflicts) == (0, ())


def test_repeats_count_once_and_conflicts_are_told() -> None:
    rows = sort_rows([*ENOUGH, *of("a", "1", "1"), *of("b", "1"), *of(None, "2", "2"), *[LabelledPrompt("new")] * 3])
    assert rows.by_category() == {"a": 4, "b": 5}
    assert rows.repeats == 3
    assert rows.conflicts == ("1", "2")
    assert len(rows.unlabelled) == 1


def test_an_unlabelled_row_whose_text_is_labelled_elsewhere_tells_nothing_new() -> None:
    assert sort_rows([*ENOUGH, LabelledPrompt("1")]).unlabelled == ()


def test_categories_are_in_one_order_whatever_the_order_of_the_rows() -> None:
    assert list(sort_rows(ENOUGH[::-1]).by_category()) == ["a", "b"]


@pytest.mark.parametrize(
    ("prompts", "reason"),
    [
        ([], "the data holds none: label more rows"),
        ([LabelledPrompt("x")], "the data holds none"),
        (of(None, "x", "y"), "the data holds none"),
        (of("law", "1", "2", "3", "4"), "the data holds only 'law'"),
        (
            [*of("a", "1", "2", "3", "4"), *of("b", "5", "5", "5", "6")],
            rf"needs {MIN_ROWS} different .*: 'b' \(2\)\. Add",
        ),
    ],
)
def test_too_little_is_refused_with_a_remedy(prompts: list[LabelledPrompt], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        sort_rows(prompts)


def test_the_fingerprint_is_of_what_is_learned_from() -> None:
    row = LabelledPrompt("x", "a", labelled=True, outcomes={"m": 1.0, "n": 0.0})
    same = LabelledPrompt("x", "a", labelled=True, outcomes={"n": 0.0, "m": 1.0}, id="7", answers={"m": "42"})
    assert fingerprint([row]) == fingerprint([same])
    others = [
        LabelledPrompt("y", "a", labelled=True, outcomes=row.outcomes),
        LabelledPrompt("x", None, labelled=True, outcomes=row.outcomes),
        LabelledPrompt("x", "a", labelled=True, outcomes={"m": 1.0}),
    ]
    assert len({fingerprint([one]) for one in (row, *others)}) == 4
    assert fingerprint([LabelledPrompt("x")]) != fingerprint([LabelledPrompt("x", None, labelled=True)])
    assert fingerprint([row, others[0]]) != fingerprint([others[0], row])


@given(st.lists(st.tuples(st.text(min_size=1, max_size=3), st.sampled_from([None, "a", "b"]), st.booleans())))
def test_no_labelled_row_is_lost_or_counted_twice(given_rows: list[tuple[str, str | None, bool]]) -> None:
    prompts = [
        LabelledPrompt(text, category if labelled else None, labelled) for text, category, labelled in given_rows
    ]
    rows = sort_rows([*[LabelledPrompt(f"base {p.text}", p.category, labelled=True) for p in ENOUGH], *prompts])
    labelled = sum(prompt.labelled for prompt in prompts) + len(ENOUGH)
    assert len(rows.in_scope) + len(rows.out_of_scope) + rows.repeats == labelled
    assert not {p.text for p in rows.unlabelled} & {p.text for p in (*rows.in_scope, *rows.out_of_scope)}
