"""Router directories: in come a folder's files, out comes a versioned directory whose every file has a checksum.

`manifest.json` names the format, its version, and the sha256 and size of every other file. A directory appears
whole or not at all, and the one that it replaces is kept beside it (`routers.generations`). What the files mean:
`routers.record`.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from routers.errors import ArtefactChecksumError, ArtefactError, ArtefactVersionError
from routers.generations import Generations

MANIFEST = "manifest.json"
VERSION = 3
VERSION_DIGITS = 12
# They hold what was timed: no two trainings write the same.
REPORTS = ("report.json", "report.html")

FileIdentities = frozenset[tuple[str, int, int, int]]
"""Name, inode, size in bytes and time of change in nanoseconds of every file of a directory."""


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
    """Make `directory` of the files that `write_files` puts into an empty folder.

    A whole router that was there is kept as `DIRECTORY.previous`; writing the same one again changes nothing. A
    process that is killed leaves both as they were or as they are to be, once anything opens or writes them again.
    Raises ArtefactError where `directory` exists and is neither a router nor empty, or cannot be written.
    """
    refuse_foreign(directory)

    def write(folder: Path) -> None:
        write_files(folder)
        files = {
            path.relative_to(folder).as_posix(): _describe(path) for path in sorted(folder.rglob("*")) if path.is_file()
        }
        (folder / MANIFEST).write_text(_Manifest(files=files).model_dump_json(indent=2) + "\n", encoding="utf-8")

    try:
        _generations(directory).replace(write)
    except OSError as error:
        raise ArtefactError(f"The router cannot be written to {directory}: {error}") from error


def roll_back(directory: Path) -> str:
    """Swap `directory` and the router that it replaced, and return the version that now stands there.

    Rolling back twice returns. Raises ArtefactError or its kinds where there is no previous router, where it is damaged
    or of a newer format, or where the folders cannot be renamed; `directory` is then as it was.
    """
    _refuse_foreign(directory)

    def check(previous: Path) -> None:
        if not previous.exists():
            raise ArtefactError(
                f"{directory} has no previous router: none was replaced yet, or {previous} was removed. Train or copy "
                "the router that you want"
            )
        try:
            verify_artefact(previous)
        except ArtefactError as error:
            raise type(error)(f"{directory} is kept: {error}") from error

    try:
        _generations(directory).swap(check)
    except OSError as error:
        raise ArtefactError(f"{directory} cannot be rolled back: {error}") from error
    return version_of(directory)


def recover_artefact(directory: Path) -> None:
    """End a write or a rollback that was killed halfway, where `directory` is missing for it. Raises ArtefactError."""
    try:
        _generations(directory).recover()
    except OSError as error:
        raise ArtefactError(
            f"A change of the router {directory} was cut off, and ending it failed: {error}. Open it once as a user "
            f"who may write to {directory.parent}"
        ) from error


def version_of(directory: Path) -> str:
    """The version of the router in `directory`: 12 hex digits over all that decides, and so not over its report.

    The files themselves are not read. Raises ArtefactError where there is no manifest that this version reads.
    """
    files = _read_manifest(directory).files
    deciding = [f"{name} {record.sha256}" for name, record in sorted(files.items()) if name not in REPORTS]
    return hashlib.sha256("\n".join(deciding).encode()).hexdigest()[:VERSION_DIGITS]


def file_identities(directory: Path) -> FileIdentities:
    """What tells cheaply whether files of `directory` were changed; empty where it is missing or cannot be read."""
    try:
        stats = [(path.relative_to(directory).as_posix(), path.stat()) for path in directory.rglob("*")]
    except OSError:
        return frozenset()
    return frozenset((name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def _generations(directory: Path) -> Generations:
    return Generations(directory.resolve(), _whole_version)


def _whole_version(directory: Path) -> str | None:
    try:
        verify_artefact(directory)
        return version_of(directory)
    except ArtefactError:
        return None


def refuse_foreign(directory: Path) -> None:
    """Raises ArtefactError where what stands at `directory`, or where it would be kept, is no router nor empty."""
    _refuse_foreign(directory)
    _refuse_foreign(_generations(directory).previous)


def _refuse_foreign(directory: Path) -> None:
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
    try:
        manifest = _Manifest.model_validate_json(_read_manifest_bytes(directory))
    except ValidationError as error:
        path = directory / MANIFEST
        raise ArtefactError(f"{path} is not the manifest of a router: {error.errors()[0]['msg']}") from error
    if manifest.version < VERSION:
        raise ArtefactVersionError(
            f"The router {directory} has format {manifest.version}, this version reads {VERSION}: train it again"
        )
    if manifest.version > VERSION:
        raise ArtefactVersionError(
            f"The router {directory} has format {manifest.version}, this version reads up to {VERSION}: upgrade coe"
        )
    return manifest


def _read_manifest_bytes(directory: Path) -> bytes:
    path = directory / MANIFEST
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ArtefactError(
            f"{directory} is not a router: it has no {MANIFEST}. `coe train-router` makes one"
        ) from error
    except OSError as error:
        raise ArtefactError(f"{path} cannot be read: {error.strerror}") from error


def _describe(path: Path) -> _FileRecord:
    with path.open("rb") as stream:
        return _FileRecord(sha256=hashlib.file_digest(stream, "sha256").hexdigest(), bytes=path.stat().st_size)
