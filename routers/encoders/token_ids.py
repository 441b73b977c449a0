"""Token ids: in come texts, out come the ids that a tokenizer of the `tokenizers` library gives them.

Where a tokenizer looks at what is between white space on its own, as BERT's does, each such chunk is tokenized once
and remembered: most chunks of a prompt were in an earlier one, and tokenizing is the larger part of a static
encoder's time.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tokenizers import Tokenizer

REMEMBERED = 65_536
REMEMBERED_CHARS = 32  # bounds the memory: longer chunks seldom come back
# Not `\s`: BERT drops some characters that it takes for control characters, and joins what is around them.
_CHUNK = re.compile(r"[^ \t\n\r]+")


class TokenIds:
    """Ids without special tokens, all of a text. Thread-safe."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._by_chunk = splits_at_white_space(tokenizer)
        self._known: dict[str, bytes] = {}

    def of(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        """(tokens,) for each text."""
        if not self._by_chunk:
            return [np.frombuffer(ids, np.uint32) for ids in self._tokenize(texts)]
        return [np.frombuffer(b"".join(map(self._ids, _CHUNK.findall(text))), np.uint32) for text in texts]

    def _ids(self, chunk: str) -> bytes:
        ids = self._known.get(chunk)
        if ids is None:
            (ids,) = self._tokenize([chunk])
            if len(chunk) <= REMEMBERED_CHARS:
                if len(self._known) >= REMEMBERED:
                    self._known.clear()  # the frequent ones are back after one miss each
                self._known[chunk] = ids
        return ids

    def _tokenize(self, texts: Sequence[str]) -> list[bytes]:
        # One at a time: the library's batch call starts a thread pool that costs more than it saves.
        encodings = (self._tokenizer.encode(text, add_special_tokens=False) for text in texts)
        return [np.array(encoding.ids, dtype=np.uint32).tobytes() for encoding in encodings]


def whole_words(tokenizer: "Tokenizer") -> list[str]:
    """The tokens that are words and no pieces, in lower case, by id: vocabularies are mostly ordered by frequency.

    None where the kind of tokenizer does not tell words from pieces.
    """
    from tokenizers.models import WordLevel, WordPiece  # noqa: PLC0415 - only where a tokenizer is loaded

    if not isinstance(tokenizer.model, (WordLevel, WordPiece)):
        return []
    by_id = sorted(tokenizer.get_vocab(with_added_tokens=False).items(), key=lambda item: item[1])
    return list(dict.fromkeys(token.lower() for token, _ in by_id if token.isalpha()))  # pieces begin with `##`


def splits_at_white_space(tokenizer: "Tokenizer") -> bool:
    """Whether the tokens of a text are those of its chunks between white space, one after the other."""
    from tokenizers.normalizers import BertNormalizer, Lowercase  # noqa: PLC0415 - only where a tokenizer is loaded
    from tokenizers.pre_tokenizers import BertPreTokenizer, Whitespace, WhitespaceSplit  # noqa: PLC0415  # only where a tokenizer is read

    added = tokenizer.get_added_tokens_decoder().values()
    return (
        isinstance(tokenizer.normalizer, (BertNormalizer, Lowercase, type(None)))
        and isinstance(tokenizer.pre_tokenizer, (BertPreTokenizer, Whitespace, WhitespaceSplit))
        and not any(set(token.content) & set(" \t\n\r") for token in added)
    )
