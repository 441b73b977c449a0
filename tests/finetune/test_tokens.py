from collections.abc import Callable
from pathlib import Path

import pytest

from coe.finetune.errors import BaseModelError
from coe.finetune.rows import read_rows
from coe.finetune.tokens import tokenize
from routers.errors import DataError

WriteRows = Callable[..., Path]


def test_the_completion_ends_with_the_end_of_its_turn(tiny_base: Path, write_rows: WriteRows) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    rows = read_rows([write_rows({"prompt": "hi", "completion": "ho"})], system="be kind")
    (example,) = tokenize(rows, tokenizer, 100)
    assert (
        tokenizer.decode(example.prompt).replace(" ", "")
        == "<|start|>systembekind<|end|>\n<|start|>userhi<|end|>\n<|start|>assistant"
    )
    assert tokenizer.decode(example.completion).replace(" ", "") == "ho<|end|>"


def test_a_row_that_is_too_long_is_named(tiny_base: Path, write_rows: WriteRows) -> None:
    from transformers import AutoTokenizer

    path = write_rows({"prompt": "hi", "completion": "ho"}, {"prompt": "long " * 20, "completion": "ho"})
    with pytest.raises(DataError) as caught:
        tokenize(read_rows([path]), AutoTokenizer.from_pretrained(tiny_base), 60)
    assert f"{path}:2: " in str(caught.value)
    assert "above --max-tokens 60" in str(caught.value)
    assert f"{path}:1: " not in str(caught.value)


def test_blanks_before_a_completion_are_its_own(tiny_base: Path, write_rows: WriteRows) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    rows = read_rows([write_rows({"prompt": "hi", "completion": "  ho"}, {"prompt": "hi", "completion": "ho"})])
    indented, plain = tokenize(rows, tokenizer, 100)
    assert indented.prompt == plain.prompt
    assert len(indented.completion) == len(plain.completion) + 2


def test_a_row_that_the_chat_template_refuses_is_named(tiny_base: Path, write_rows: WriteRows) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    tokenizer.chat_template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    path = write_rows({"prompt": "hi", "completion": "ho"})
    with pytest.raises(DataError) as caught:
        tokenize(read_rows([path], system="be kind"), tokenizer, 100)
    assert f"{path}:1: the base's chat template refuses it: no system" in str(caught.value)


def test_a_base_without_a_chat_template_is_refused(tiny_base: Path, write_rows: WriteRows) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    tokenizer.chat_template = None
    with pytest.raises(BaseModelError, match="instruct variant"):
        tokenize(read_rows([write_rows({"prompt": "hi", "completion": "ho"})]), tokenizer, 100)
