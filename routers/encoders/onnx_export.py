"""From PyTorch to ONNX: in comes a sentence-transformers model, out comes the same with int8 weights, for onnxruntime.

Weights are quantised per channel and to 7 bits: on processors without int8 dot products the sums of 8-bit ones
overflow, and results would differ from machine to machine. Activations are scaled as they come (dynamic quantisation).
"""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from routers.encoders.encoder import EncoderSpec
from routers.encoders.onnx_int8 import MODEL_FILE, OnnxEncoder
from routers.encoders.sentence_transformer import SentenceTransformerEncoder
from routers.errors import EncoderError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_OPSET = 17


def export_int8(encoder: SentenceTransformerEncoder) -> OnnxEncoder:
    """`encoder` with int8 weights, in about five seconds; its vectors have a cosine of 0.99 to the original's.

    Raises EncoderError where the model does more than a transformer, the mean of its token vectors and normalising.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415 - only where a model is made
    from tokenizers import Tokenizer  # noqa: PLC0415 - only for an export

    _check_modules(encoder.model, encoder.spec.source)
    with tempfile.TemporaryDirectory(prefix="coe-onnx-") as folder:
        exported, quantised = Path(folder) / "float.onnx", Path(folder) / MODEL_FILE
        _export(encoder.model, exported)
        with _quiet():  # it advises a preparation that makes no difference to a transformer
            quantize_dynamic(exported, quantised, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True)
        model = quantised.read_bytes()
    spec = EncoderSpec("onnx-int8", encoder.spec.source, encoder.spec.dim, encoder.spec.max_tokens)
    return OnnxEncoder(model, Tokenizer.from_str(encoder.tokenizer_json()), spec)


@contextmanager
def _quiet() -> Iterator[None]:
    disabled = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(disabled)


def _check_modules(model: "SentenceTransformer", source: str) -> None:
    kinds = [type(module).__name__ for module in model]
    means = kinds[1:2] == ["Pooling"] and model[1].pooling_mode == "mean"
    if kinds[:1] != ["Transformer"] or not means or kinds[2:] not in ([], ["Normalize"]):
        raise EncoderError(
            f"The encoder {source!r} is made of {', '.join(kinds)}: only a transformer with mean pooling can be "
            "exported to ONNX; use it as it is"
        )


def _export(model: "SentenceTransformer", path: Path) -> None:
    import torch  # noqa: PLC0415 - only where a model is made

    example = model.preprocess(["an example"])
    names = [name for name in INPUTS if name in example]

    class TokenVectors(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
        def __init__(self) -> None:
            super().__init__()
            self.transformer = model.transformers_model

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            return self.transformer(**dict(zip(names, inputs, strict=True))).last_hidden_state

    # The newer exporter needs two more packages and six times as long, for a graph that runs no faster.
    with _quiet(), torch.inference_mode():
        torch.onnx.export(
            TokenVectors().eval(),
            tuple(example[name] for name in names),
            str(path),
            input_names=names,
            output_names=["token_vectors"],
            dynamic_axes={name: {1: "tokens"} for name in (*names, "token_vectors")},
            opset_version=_OPSET,
            dynamo=False,
        )
