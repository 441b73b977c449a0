"""Router directories: in come a folder's files, out comes a versioned directory whose every file has a checksum.

`manifest.json` names the format, its version, and the sha256 and size of every other file. A directory appears
whole or not at all. What the files mean: `routers.record`.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from routers.errors import ArtefactChecksumError, ArtefactError, ArtefactVersionError

MANIFEST = "manifest.json"
VERSION = 1


class _FileRecord(BaseModel):
    model_config = ConfigDict(frozen=True)
    sha256: str
    bytes: int


class _Manifest(BaseModel):
    model_config = ConfigDict(frozen=True)
    format: Literal["coe-router"] = "coe-router"
    version: int = VERSION
    files: dict[str, _FileRecord]


def write_artefact(directory: Path, write_files: Callable[[Path], None]) -> None:
    """Make `directory` of the files that `write_files` puts into an empty folder; an older router is replaced.

    Raises ArtefactError where `directory` exists and is neither a router nor empty, or cannot be written.
    """
    refuse_foreign(directory)
    staging: Path | None = None
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
        new = staging / "new"
        new.mkdir()
        write_files(new)
        files = {path.relative_to(new).as_posix(): _describe(path) for path in sorted(new.rglob("*")) if path.is_file()}
        (new / MANIFEST).write_text(_Manifest(files=files).model_dump_json(indent=2) + "\n", encoding="utf-8")
        if directory.exists():
            directory.rename(staging / "old")
        new.rename(directory)
    except OSError as error:
        raise ArtefactError(f"The router cannot be written to {directory}: {error}") from error
    finally:
        if staging is not None:
            _restore(staging / "old", directory)
            shutil.rmtree(staging, ignore_errors=True)


def _restore(old: Path, directory: Path) -> None:
    if old.exists() and not directory.exists():
        old.rename(directory)


def refuse_foreign(directory: Path) -> None:
    """Raises ArtefactError where something stands at `directory` that is neither a router nor an empty folder."""
    if not directory.exists() and not directory.is_symlink():
        return
    if not directory.is_dir() or directory.is_symlink():
        raise ArtefactError(f"{directory} exists and is not a directory: name another place for the router")
    if not any(directory.iterdir()):
        return
    try:
        _read_manifest(directory)
    except ArtefactVersionError:
        return
    except ArtefactError as error:
        raise ArtefactError(
            f"{directory} exists and is not a router: it is left alone, name another directory or remove it"
        ) from error


def verify_artefact(directory: Path) -> dict[str, Path]:
    """Paths of the files by name, after each was found to be the one that was written.

    Raises ArtefactError (missing), ArtefactVersionError (newer format) or ArtefactChecksumError (altered).
    """
    paths: dict[str, Path] = {}
    for name, record in _read_manifest(directory).files.items():
        path = directory / name
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ArtefactError(f"The router's manifest names a file outside of its directory: {name!r}")
        if not path.is_file():
            raise ArtefactError(f"The router {directory} is incomplete: {name!r} is missing. Train it again")
        found = _describe(path)
        if found.bytes != record.bytes:
            raise ArtefactChecksumError(
                f"{path} has {found.bytes} bytes, {record.bytes} were written: copy or train the router again"
            )
        if found.sha256 != record.sha256:
            raise ArtefactChecksumError(f"{path} is not the file that was written: copy or train the router again")
        paths[name] = path
    return paths


def _read_manifest(directory: Path) -> _Manifest:
    path = directory / MANIFEST
    try:
        manifest = _Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ArtefactError(
            f"{directory} is not a router: it has no {MANIFEST}. `coe train-router` makes one"
        ) from error
    except OSError as error:
        raise ArtefactError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise ArtefactError(f"{path} is not the manifest of a router: {error.errors()[0]['msg']}") from error
    if manifest.version > VERSION:
        raise ArtefactVersionError(
            f"The router {directory} has format {manifest.version}, this version reads up to {VERSION}: upgrade coe"
        )
    return manifest


def _describe(path: Path) -> _FileRecord:
    with path.open("rb") as stream:
        return _FileRecord(sha256=hashlib.file_digest(stream, "sha256").hexdigest(), bytes=path.stat().st_size)
