"""Which encoders there are: in comes what `--encoder` says or a router's record holds, out comes an encoder."""

from pathlib import Path
from typing import assert_never

from routers.encoders.encoder import Encoder, EncoderSpec, Progress, Resolve
from routers.encoders.sentence_transformer import MINILM, SentenceTransformerEncoder
from routers.encoders.static import StaticEncoder
from routers.errors import EncoderError

DEFAULT_ENCODER = "minilm"


def build_encoder(name: str, resolve: Resolve, progress: Progress | None = None) -> Encoder:
    """`minilm`, `static` (distilled from it now, half a minute), or the source of a sentence-transformers model.

    Raises EncoderError, and what `resolve` raises.
    """
    match name:
        case "minilm":
            return SentenceTransformerEncoder.open(MINILM, resolve)
        case "static":
            from routers.encoders.distil import distil  # noqa: PLC0415 - only where one is made

            return distil(SentenceTransformerEncoder.open(MINILM, resolve), progress=progress)
        case source:
            return SentenceTransformerEncoder.open(source, resolve)


def open_encoder(spec: EncoderSpec, folder: Path, resolve: Resolve) -> Encoder:
    """The encoder that `spec` describes; `folder` is the router's, where a static encoder keeps its table.

    Raises EncoderError where it cannot be opened or is not of the size that the router was trained with.
    """
    encoder: Encoder
    match spec.kind:
        case "sentence-transformers":
            encoder = SentenceTransformerEncoder.open(spec.source, resolve)
        case "static":
            encoder = StaticEncoder.load(folder, spec)
        case _:
            assert_never(spec.kind)
    if encoder.spec.dim != spec.dim:
        raise EncoderError(
            f"The encoder {spec.source!r} gives vectors of {encoder.spec.dim} numbers, the router was trained with "
            f"{spec.dim}: train it again, or name the encoder that it was trained with"
        )
    return encoder
