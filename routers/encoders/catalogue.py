"""Which encoders there are: in comes what `--encoder` says or a router's record holds, out comes an encoder."""

from pathlib import Path
from typing import assert_never

from routers.encoders.cached import STORE_FILE, CachedEncoder, IdentifiedEncoder
from routers.encoders.encoder import Encoder, EncoderSpec, Progress, Resolve
from routers.encoders.sentence_transformer import MINILM, SentenceTransformerEncoder
from routers.encoders.static import StaticEncoder
from routers.encoders.vector_store import VectorStore
from routers.errors import EncoderError

DEFAULT_ENCODER = "minilm"


def build_encoder(
    name: str, resolve: Resolve, progress: Progress | None = None, *, cache: Path | None = None
) -> Encoder:
    """`minilm`, `static` (distilled from it, half a minute), or the source of a sentence-transformers model.

    `cache`: a folder where distilled tables are kept, or None. Raises EncoderError, and what `resolve` raises.
    """
    match name:
        case "minilm":
            return SentenceTransformerEncoder.open(MINILM, resolve)
        case "static":
            from routers.encoders.distilled import distilled  # noqa: PLC0415 - only where one is made

            return distilled(MINILM, resolve, cache=None if cache is None else cache / "distilled", progress=progress)
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


def with_cache(encoder: Encoder, cache: Path | None) -> Encoder:
    """`encoder`, its vectors kept in the folder `cache`; itself where that is None or would gain nothing."""
    if cache is None or not isinstance(encoder, IdentifiedEncoder):
        return encoder
    return CachedEncoder(encoder, VectorStore(cache / STORE_FILE))
