"""Two generations of a directory: in comes a folder's new content, the replaced one stays beside it and can come back.

NAME is the current generation, NAME.previous the one before; whoever reads NAME finds one of the two, whole. While
they change, `.NAME.staging` lies beside them. It is the journal: from what a killed process left in it, `recover`
knows where it was, and both generations come out as they were before the change or as they are after it. Writers take
turns by a lock on the parent folder, which the kernel releases when its holder dies.

Knows nothing of what the files are: the caller identifies a generation.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

WRITING, NEW, OLDER, DAMAGED = "writing", "new", "older", "damaged"


class Generations:
    """The two generations of `current`.

    Args:
        current: the directory that readers open; it may be missing or empty.
        identify: names the content of a whole generation; None where a folder is not one.
    """

    def __init__(self, current: Path, identify: Callable[[Path], str | None]) -> None:
        self.current = current
        self.previous = current.with_name(f"{current.name}.previous")
        self._staging = current.with_name(f".{current.name}.staging")
        self._identify = identify

    def replace(self, write: Callable[[Path], None]) -> None:
        """Makes `current` of what `write` puts into an empty folder; what was there becomes `previous`.

        A damaged `current` does not push a whole `previous` out, and content that is there already changes nothing.
        Raises OSError, and what `write` raises; the generations are then as before.
        """
        with self._alone():
            writing, new = self._staging / WRITING, self._staging / NEW
            writing.mkdir(parents=True)
            write(writing)
            _sync(writing)
            writing.rename(new)
            standing = self._identify(self.current)
            if standing is not None and standing == self._identify(new):
                return
            if standing is not None:
                self._retire()
            elif _is_occupied(self.current):
                self.current.rename(self._staging / DAMAGED)
            new.rename(self.current)

    def swap(self, check: Callable[[Path], None]) -> None:
        """`previous` becomes `current`, and the other way round; it may be done again.

        Raises OSError, and what `check` raises of `previous`, which may be missing; nothing is changed then.
        """
        with self._alone():
            check(self.previous)
            self._staging.mkdir()
            if _is_occupied(self.current):
                self._retire()
            else:
                self.previous.rename(self._staging / OLDER)
            (self._staging / OLDER).rename(self.current)

    def recover(self) -> None:
        """Ends a change in which a process was killed, where `current` is missing for it. Raises OSError.

        While another process is in the middle of one, waits for its end.
        """
        if self._staging.exists() and not self.current.exists():
            with self._alone():
                pass

    def _retire(self) -> None:
        if self.previous.exists():
            self.previous.rename(self._staging / OLDER)
        self.current.rename(self.previous)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.current.parent.mkdir(parents=True, exist_ok=True)
        parent = os.open(self.current.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(parent, fcntl.LOCK_EX)
            self._mend()
            try:
                yield
            finally:
                self._mend()
            os.fsync(parent)
        finally:
            os.close(parent)

    def _mend(self) -> None:
        """What must be done after each step at which a change can have ended.

        `current` missing: it was moved away, and the one to take its place is complete, `new` of `replace` or `older`
        of `swap`. `previous` missing: it was moved away, and nothing has taken its place.
        """
        new, older = self._staging / NEW, self._staging / OLDER
        if not self.current.exists():
            for incoming in (new, older):
                if self._identify(incoming) is not None:
                    incoming.rename(self.current)
                    break
        if not self.previous.exists() and self._identify(older) is not None:
            older.rename(self.previous)
        shutil.rmtree(self._staging, ignore_errors=True)


def _is_occupied(directory: Path) -> bool:
    """An empty folder is no generation, and a rename replaces it."""
    return directory.exists() and any(directory.iterdir())


def _sync(folder: Path) -> None:
    """Puts the files on disk, so that a power cut after the renames does not leave empty ones under final names."""
    for path in (*folder.iterdir(), folder):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
