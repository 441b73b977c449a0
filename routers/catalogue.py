"""Encoders by name: in comes what `--encoder` says, out comes an encoder ready to train with."""

from routers.encoders import MINILM, Encoder, Progress, Resolve, SentenceTransformerEncoder

DEFAULT_ENCODER = "minilm"


def build_encoder(name: str, resolve: Resolve, progress: Progress | None = None) -> Encoder:
    """`minilm`, `static` (distilled from it now, half a minute), or the source of a sentence-transformers model.

    Raises EncoderError, and what `resolve` raises.
    """
    match name:
        case "minilm":
            return SentenceTransformerEncoder.open(MINILM, resolve)
        case "static":
            from routers.distil import distil  # noqa: PLC0415 - only where one is made

            return distil(SentenceTransformerEncoder.open(MINILM, resolve), progress=progress)
        case source:
            return SentenceTransformerEncoder.open(source, resolve)
