"""A GGUF file goes in, a folder of bfloat16 safetensors that engines load comes out, made once and then reused.

The folder appears by a rename when it is complete, so one that exists is whole, however the maker died. A file lock
beside it makes a second process wait for the first and then find the result.
"""

import fcntl
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from workers.errors import ConversionError, SourceCancelledError
from workers.processes.child import ChildFailedError, run_child
from workers.sources import preparation

_LOCK_POLL_S = 0.2


def converted(
    gguf: Path, target: Path, progress: Callable[[str], None], cancelled: Event, *, verify: Callable[[], None]
) -> Path:
    """Return `target`, converted from `gguf` where it is not there yet. Half a minute for 135M parameters.

    `verify` is called before the file is read and raises where it must not be. Raises `ConversionError`.
    """
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_name(f".{target.name}.lock"), f"waiting for `{target.name}`", progress, cancelled):
            if not target.is_dir():
                verify()
                _convert(gguf, target, progress, cancelled)
    except OSError as error:
        raise ConversionError(f"cannot write `{target}` ({error}): choose another cache folder") from error
    return target


def _convert(gguf: Path, target: Path, progress: Callable[[str], None], cancelled: Event) -> None:
    for abandoned in target.parent.glob(f".{target.name}.partial-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
    partial.chmod(0o755)
    command = [sys.executable, "-P", preparation.__file__, "convert", str(gguf), str(partial)]
    try:
        run_child(command, f"converting `{gguf.name}`, once", progress, cancelled)
        partial.rename(target)
    except ChildFailedError as error:
        raise ConversionError(
            f"`{gguf.name}` could not be converted ({error}): install what is named there, or name the model as "
            "safetensors with `hf:` or `path:`"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _locked(path: Path, what: str, progress: Callable[[str], None], cancelled: Event) -> Iterator[None]:
    with path.open("w") as lock:
        announced = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not announced:
                    progress(f"{what}, which another process is converting")
                    announced = True
                if cancelled.is_set():
                    raise SourceCancelledError(f"{what}: stopped before it was done") from None
                time.sleep(_LOCK_POLL_S)
        yield
