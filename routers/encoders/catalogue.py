"""Which encoders there are: in comes what `--encoder` says or a router's record holds, out comes an encoder."""

from pathlib import Path
from typing import assert_never

from routers.encoders.cached import STORE_FILE, CachedEncoder, IdentifiedEncoder
from routers.encoders.combined import ConcatenatedEncoder, NoEncoder, part_folder
from routers.encoders.encoder import Encoder, EncoderSpec, Progress, Resolve
from routers.encoders.onnx_int8 import OnnxEncoder
from routers.encoders.sentence_transformer import MINILM, TUNED, TUNED_FOLDER, SentenceTransformerEncoder
from routers.encoders.static import StaticEncoder
from routers.encoders.vector_store import VectorStore
from routers.errors import EncoderError

DEFAULT_ENCODER = "minilm"


def build_encoder(
    name: str, resolve: Resolve, progress: Progress | None = None, *, cache: Path | None = None
) -> Encoder:
    """The encoder that `name` means: `minilm`; `minilm-onnx` or `static`, which are made of it now; `words` for none;
    several of these joined by `+`; else the source of a sentence-transformers model.

    `cache`: a folder where distilled tables are kept, or None. Raises EncoderError, and what `resolve` raises.
    """
    match name:
        case "minilm":
            return SentenceTransformerEncoder.open(MINILM, resolve)
        case "static":
            from routers.encoders.distilled import distilled  # noqa: PLC0415 - only where one is made

            return distilled(MINILM, resolve, cache=None if cache is None else cache / "distilled", progress=progress)
        case "words":
            return NoEncoder()
        case names if is_concatenation(names):
            parts = [build_encoder(part.strip(), resolve, progress, cache=cache) for part in names.split("+")]
            return ConcatenatedEncoder(parts)
        case "minilm-onnx":
            from routers.encoders.onnx_export import export_int8  # noqa: PLC0415 - only where one is made

            return export_int8(SentenceTransformerEncoder.open(MINILM, resolve))
        case source:
            return SentenceTransformerEncoder.open(source, resolve)


def is_concatenation(name: str) -> bool:
    """A source may hold a `+` of its own, and is told by its scheme."""
    return "+" in name and ":" not in name


def open_encoder(spec: EncoderSpec, folder: Path, resolve: Resolve) -> Encoder:
    """The encoder that `spec` describes; `folder` is the router's, where a static encoder keeps its table
    and a tuned one its weights.

    Raises EncoderError where it cannot be opened or is not of the size that the router was trained with.
    """
    encoder: Encoder
    match spec.kind:
        case "sentence-transformers" if spec.source.startswith(TUNED):
            encoder = SentenceTransformerEncoder.open(spec.source, lambda _: folder / TUNED_FOLDER)
        case "sentence-transformers":
            encoder = SentenceTransformerEncoder.open(spec.source, resolve)
        case "static":
            encoder = StaticEncoder.load(folder, spec)
        case "onnx-int8":
            encoder = OnnxEncoder.load(folder, spec)
        case "concatenated":
            parts = [open_encoder(part, part_folder(folder, i), resolve) for i, part in enumerate(spec.parts)]
            encoder = ConcatenatedEncoder(parts)
        case "none":
            encoder = NoEncoder()
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
    if cache is not None and isinstance(encoder, ConcatenatedEncoder):
        return ConcatenatedEncoder([with_cache(part, cache) for part in encoder.parts])
    if cache is None or not isinstance(encoder, IdentifiedEncoder):
        return encoder
    return CachedEncoder(encoder, VectorStore(cache / STORE_FILE))


def without_cache(encoder: Encoder) -> Encoder:
    """`encoder` as it runs when the service asks it: the reverse of `with_cache`."""
    if isinstance(encoder, ConcatenatedEncoder):
        return ConcatenatedEncoder([without_cache(part) for part in encoder.parts])
    return encoder.uncached if isinstance(encoder, CachedEncoder) else encoder
