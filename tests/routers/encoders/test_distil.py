from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from routers.encoders.distil import distil
from routers.encoders.encoder import Progress, Vectors
from routers.encoders.sentence_transformer import MINILM, SentenceTransformerEncoder


class FewTokens:
    """The real model for the tokens asked for below, zeros for the other thirty thousand."""

    def __init__(self, model: SentenceTransformerEncoder, ids: Sequence[int]) -> None:
        self.spec = model.spec
        self._model = model
        self._known = dict(zip(ids, model.encode_tokens(ids), strict=True))

    def tokenizer_json(self) -> str:
        return self._model.tokenizer_json()

    def encode_tokens(self, ids: Sequence[int], progress: Progress | None = None) -> Vectors:
        return np.stack([self._known.get(i, np.zeros(self.spec.dim, dtype=np.float32)) for i in ids])


def test_a_distilled_encoder_puts_like_beside_like(minilm_folder: Path, no_resolve: Callable[[str], Path]) -> None:
    from tokenizers import Tokenizer

    model = SentenceTransformerEncoder.open(MINILM, lambda _: minilm_folder)
    words = ["judge", "court", "jury", "soup", "butter", "oven"]
    vocabulary = Tokenizer.from_str(model.tokenizer_json()).get_vocab()
    student = distil(FewTokens(model, [vocabulary[word] for word in words]))
    assert (student.spec.kind, student.spec.source, student.spec.dim) == ("static", MINILM, 256)
    law, courts, food = student.encode(["judge court", "jury", "soup butter oven"])
    assert law @ courts > law @ food
