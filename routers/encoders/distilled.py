"""Static encoders that were made before: in comes a model's source, out comes the encoder distilled from it.

A table takes half a minute to make and 8 MB to keep. Its folder is named by the checksum of the model's files, so a
changed model is distilled again, as is a table that is not what was written.
"""

import hashlib
import shutil
from pathlib import Path

from routers.artefact import verify_artefact, write_artefact
from routers.encoders.distil import COMPONENTS, distil
from routers.encoders.encoder import EncoderSpec, Progress, Resolve
from routers.encoders.sentence_transformer import SentenceTransformerEncoder
from routers.encoders.static import MAX_TOKENS, StaticEncoder
from routers.errors import ArtefactError, EncoderError

KEPT = 8
_RECIPE = 1  # another number for another way of distilling


def distilled(
    source: str, resolve: Resolve, *, cache: Path | None = None, progress: Progress | None = None
) -> StaticEncoder:
    """The static encoder of the model that `source` names, from `cache` where it was made before.

    Raises EncoderError, and what `resolve` raises.
    """
    if cache is None:
        return distil(SentenceTransformerEncoder.open(source, resolve), progress=progress)
    place = cache / f"{_RECIPE}-{COMPONENTS}-{folder_sha256(resolve(source))}"
    try:
        verify_artefact(place)
        return StaticEncoder.load(place, EncoderSpec("static", source, COMPONENTS, MAX_TOKENS))
    except (ArtefactError, EncoderError):
        encoder = distil(SentenceTransformerEncoder.open(source, resolve), progress=progress)
    _keep(encoder, place)
    return encoder


def folder_sha256(folder: Path) -> str:
    """Of the names and contents of all files below `folder`. Raises EncoderError where it cannot be read."""
    digest = hashlib.sha256()
    try:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            with path.open("rb") as stream:
                digest.update(
                    f"{path.relative_to(folder)}\0{hashlib.file_digest(stream, 'sha256').hexdigest()}\0".encode()
                )
    except OSError as error:
        raise EncoderError(f"The model in {folder} cannot be read: {error}") from error
    return digest.hexdigest()


def _keep(encoder: StaticEncoder, place: Path) -> None:
    try:
        shutil.rmtree(place, ignore_errors=True)  # a damaged one
        write_artefact(place, encoder.save)
        kept = sorted(place.parent.iterdir(), key=lambda path: path.stat().st_mtime)
    except (ArtefactError, OSError):
        return  # a disk that is full or read-only: it is distilled again the next time
    for old in kept[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
