from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from coe.finetune.batches import IGNORED, collate, training_order
from coe.finetune.tokens import Example


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=80),
    batch=st.integers(1, 8),
    steps=st.integers(1, 30),
    seed=st.integers(0, 5),
)
def test_every_row_is_seen_as_often_as_any_other_give_or_take_one(
    lengths: list[int], batch: int, steps: int, seed: int
) -> None:
    order = training_order(lengths, batch=batch, steps=steps, seed=seed)
    seen = Counter(order)
    counts = [seen[index] for index in range(len(lengths))]
    assert len(order) == batch * steps
    assert max(counts) - min(counts) <= 1


def test_the_order_is_the_seeds_and_a_longer_run_begins_like_a_shorter_one() -> None:
    lengths = list(range(40))
    short = training_order(lengths, batch=4, steps=5, seed=1)
    assert training_order(lengths, batch=4, steps=30, seed=1)[: len(short)] == short
    assert training_order(lengths, batch=4, steps=5, seed=2) != short


def test_rows_of_like_length_share_a_batch() -> None:
    lengths = [10, 90] * 32
    order = training_order(lengths, batch=8, steps=8, seed=0)
    batches = [{lengths[index] for index in order[start : start + 8]} for start in range(0, 64, 8)]
    assert all(len(found) == 1 for found in batches)


def test_batches_are_padded_on_the_left_and_only_completions_are_labelled() -> None:
    batch = collate([Example((5, 6, 7), (8, 0)), Example((5,), (9, 9, 0))])
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 0], [0, 5, 9, 9, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [0, 1, 1, 1, 1]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 4], [0, 0, 1, 2, 3]]
    assert batch["labels"].tolist() == [[IGNORED, IGNORED, 8, 0], [IGNORED, 9, 9, 0]]


def test_rows_that_fill_no_batch_end_their_epoch() -> None:
    order = training_order([4] * 19, batch=4, steps=19, seed=0)
    epochs = [order[start : start + 19] for start in range(0, 76, 19)]
    assert all(sorted(epoch) == list(range(19)) for epoch in epochs)
