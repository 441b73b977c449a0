"""An encoder by onnxruntime on one thread, with int8 weights: two times as fast as PyTorch, and without it.

Flows in: `encoder.onnx` (token ids to token vectors) and `tokenizer.json`. How they are made:
`routers.encoders.onnx_export`.
"""

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from routers.encoders.encoder import EncoderSpec, Progress, Vectors
from routers.encoders.static import TOKENIZER_FILE
from routers.encoders.token_ids import whole_words
from routers.errors import EncoderError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MODEL_FILE = "encoder.onnx"


class OnnxEncoder:
    """Mean of the token vectors, scaled to length 1. Immutable and thread-safe.

    Each text runs on its own: activations are scaled by what runs together, and a vector must not depend on that.
    """

    def __init__(self, model: bytes, tokenizer: "Tokenizer", spec: EncoderSpec) -> None:
        """`model`: from `input_ids`, `attention_mask` and maybe `token_type_ids` (1, tokens) to (1, tokens, dim).

        Raises EncoderError where it is no such model.
        """
        from onnxruntime import InferenceSession, SessionOptions  # noqa: PLC0415 - only where a model is loaded
        from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, InvalidGraph, InvalidProtobuf  # noqa: PLC0415 - loads onnxruntime

        options = SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors
        try:
            self._session = InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf) as error:
            raise EncoderError(f"The ONNX model of {spec.source!r} cannot be loaded: {error}") from error
        self._inputs = [each.name for each in self._session.get_inputs()]
        dim = self._session.get_outputs()[0].shape[-1]
        if dim != spec.dim:
            raise EncoderError(f"The ONNX model of {spec.source!r} gives vectors of {dim} numbers, not of {spec.dim}")
        self._model = model
        tokenizer.no_padding()
        tokenizer.enable_truncation(spec.max_tokens)
        self._tokenizer = tokenizer
        self.spec = spec

    @classmethod
    def load(cls, folder: Path, spec: EncoderSpec) -> "OnnxEncoder":
        """Read the two files of `save`. Raises EncoderError where they are not such files."""
        from tokenizers import Tokenizer  # noqa: PLC0415 - only where a model is loaded

        try:
            model = (folder / MODEL_FILE).read_bytes()
            tokenizer = Tokenizer.from_str((folder / TOKENIZER_FILE).read_text(encoding="utf-8"))
        except OSError as error:
            raise EncoderError(f"The ONNX encoder in {folder} cannot be read: {error}") from error
        return cls(model, tokenizer, spec)

    def save(self, folder: Path) -> None:
        (folder / MODEL_FILE).write_bytes(self._model)
        (folder / TOKENIZER_FILE).write_text(self._tokenizer.to_str(), encoding="utf-8")

    def identity(self) -> str:
        """sha256 of the model, the tokenizer, and the library that runs them."""
        digest = hashlib.sha256(self._model)
        digest.update(f"\0{self._tokenizer.to_str()}\0{version('onnxruntime')}".encode())
        return digest.hexdigest()

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        vectors = np.zeros((len(texts), self.spec.dim), dtype=np.float32)
        for row, text in enumerate(texts):
            mean = self._token_vectors(text).mean(axis=0)
            vectors[row] = mean / np.linalg.norm(mean)
            if progress is not None:
                progress(row + 1, len(texts))
        return vectors

    def words(self) -> Sequence[str]:
        return whole_words(self._tokenizer)

    def _token_vectors(self, text: str) -> Vectors:
        """(tokens, dim)."""
        ids = np.array([self._tokenizer.encode(text).ids], dtype=np.int64)
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        (found,) = self._session.run(None, {name: given[name] for name in self._inputs})
        vectors: Vectors = found[0]
        return vectors
