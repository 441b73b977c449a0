"""A process that is killed: from some step on, nothing that it does to the file system happens any more."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch


class Killed(BaseException):
    """No handler for errors may catch it, as none runs in a process that is gone."""


@contextmanager
def killed_after(steps: int) -> Iterator[None]:
    """Lets `steps` changes of the file system happen; leaves the block where the next one was tried."""
    left = steps
    rename, mkdir, write_text = Path.rename, Path.mkdir, Path.write_text

    def step() -> None:
        nonlocal left
        if left <= 0:
            raise Killed
        left -= 1

    def dying_rename(path: Path, target: Path) -> Path:
        step()
        return rename(path, target)

    def dying_mkdir(path: Path, *arguments: Any, **options: Any) -> None:
        step()
        mkdir(path, *arguments, **options)

    def dying_write(path: Path, *arguments: Any, **options: Any) -> int:
        step()
        return write_text(path, *arguments, **options)

    def dying_rmtree(path: Path, *, ignore_errors: bool) -> None:
        """One file a step, as the real one goes through a tree."""
        assert ignore_errors
        if not path.exists():
            return
        for found in sorted(path.rglob("*"), reverse=True):
            step()
            found.rmdir() if found.is_dir() else found.unlink()
        step()
        path.rmdir()

    with (
        patch.object(Path, "rename", dying_rename),
        patch.object(Path, "mkdir", dying_mkdir),
        patch.object(Path, "write_text", dying_write),
        patch.object(shutil, "rmtree", dying_rmtree),
        suppress(Killed),
    ):
        yield
