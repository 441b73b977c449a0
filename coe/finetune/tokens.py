"""Rows as token ids: a chat template renders them, and the completion's tokens are told apart from the given ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from jinja2 import TemplateError

from coe.finetune.errors import BaseModelError
from coe.finetune.rows import ChatRow
from routers.errors import BadRow, DataError


class Tokenizer(Protocol):
    """What is used of a transformers tokenizer."""

    chat_template: str | None
    eos_token: str | None

    def apply_chat_template(
        self, conversation: list[dict[str, str]], *, add_generation_prompt: bool, tokenize: Literal[False]
    ) -> str: ...

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of one row. `completion` ends with the token that ends a turn."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


def tokenize(rows: Sequence[ChatRow], tokenizer: Tokenizer, max_tokens: int) -> list[Example]:
    """One example a row. Prompt and completion are encoded apart, as they are when the model is served.

    Raises:
        BaseModelError: the model has no chat template.
        DataError: names every row that the template refuses, or of more than `max_tokens` tokens.
    """
    if not tokenizer.chat_template or tokenizer.eos_token is None:
        raise BaseModelError("the base has no chat template, so nobody could chat with it: take its instruct variant")
    examples: list[Example] = []
    bad: list[BadRow] = []
    for row in rows:
        try:
            example = _example(row, tokenizer, tokenizer.eos_token)
        except (TemplateError, ValueError) as error:
            bad.append(row.bad(f"the base's chat template refuses it: {error}"))
            continue
        if len(example) > max_tokens:
            told = f"{len(example)} tokens, above --max-tokens {max_tokens}"
            bad.append(row.bad(f"{told}: shorten it, leave it out, or raise the limit"))
        examples.append(example)
    if bad:
        raise DataError.in_rows(bad)
    return examples


def _example(row: ChatRow, tokenizer: Tokenizer, end: str) -> Example:
    given = [{"role": message.role, "content": message.content} for message in row.messages]
    said = [*given, {"role": "assistant", "content": row.completion}]
    prompt = tokenizer.apply_chat_template(given, add_generation_prompt=True, tokenize=False)
    whole = tokenizer.apply_chat_template(said, add_generation_prompt=False, tokenize=False)
    if not whole.startswith(prompt):
        raise ValueError("it does not render a reply after its prompt")
    # What follows the end of the turn, such as a line feed, is never generated.
    completion = whole[len(prompt) :].rpartition(end)[0] or whole[len(prompt) :]
    return Example(
        tuple(tokenizer.encode(prompt, add_special_tokens=False)),
        tuple(tokenizer.encode(completion + end, add_special_tokens=False)),
    )
