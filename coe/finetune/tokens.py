"""Rows as token ids: a chat template renders them, and the completion's tokens are told apart from the given ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from coe.finetune.errors import BaseModelError
from coe.finetune.rows import ChatRow
from routers.errors import DataError


class Tokenizer(Protocol):
    """What is used of a transformers tokenizer."""

    chat_template: str | None
    eos_token_id: int | None

    def apply_chat_template(
        self, conversation: list[dict[str, str]], *, add_generation_prompt: bool, return_dict: bool
    ) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of one row. `completion` ends with the token that ends a turn."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


def tokenize(rows: Sequence[ChatRow], tokenizer: Tokenizer, max_tokens: int) -> list[Example]:
    """One example a row.

    Raises:
        BaseModelError: the model has no chat template, or one that renders a completion apart from its prompt.
        DataError: names every row of more than `max_tokens` tokens.
    """
    if not tokenizer.chat_template or tokenizer.eos_token_id is None:
        raise BaseModelError("the base has no chat template, so nobody could chat with it: take its instruct variant")
    examples = [_example(row, tokenizer, tokenizer.eos_token_id) for row in rows]
    long = [
        row.bad(f"{len(example)} tokens, above --max-tokens {max_tokens}: shorten it, leave it out, or raise the limit")
        for row, example in zip(rows, examples, strict=True)
        if len(example) > max_tokens
    ]
    if long:
        raise DataError.in_rows(long)
    return examples


def _example(row: ChatRow, tokenizer: Tokenizer, end: int) -> Example:
    given = [{"role": message.role, "content": message.content} for message in row.messages]
    said = [*given, {"role": "assistant", "content": row.completion}]
    prompt = tokenizer.apply_chat_template(given, add_generation_prompt=True, return_dict=False)
    whole = tokenizer.apply_chat_template(said, add_generation_prompt=False, return_dict=False)
    if whole[: len(prompt)] != prompt:
        raise BaseModelError("the base's chat template does not render a reply after its prompt: it cannot be learnt")
    completion = whole[len(prompt) :]
    while completion and completion[-1] != end:  # a line feed after the end of the turn is never generated
        completion.pop()
    if not completion:
        completion = [*whole[len(prompt) :], end]
    return Example(tuple(prompt), tuple(completion))
