"""The model hub: a repository's name goes in, the folder of its snapshot in the hub's own cache comes out."""

import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event

from workers.errors import SourceNotFoundError
from workers.processes.child import ChildFailedError, run_child
from workers.sources import preparation

_REMEDIES = (
    ("GatedRepoError", "accept its licence on the hub and set `HF_TOKEN` to a token of that account"),
    ("RepositoryNotFoundError", "check the name; for a private repository set `HF_TOKEN`"),
    ("RevisionNotFoundError", "check the revision after the `@`"),
    ("No space left", "free some disk, or set `HF_HOME` to a folder with more of it"),
    ("OfflineModeIsEnabled", "it is not on this machine and `HF_HUB_OFFLINE` forbids fetching it: unset that"),
)
_UNREACHABLE = (
    "the hub could not be reached: check the network, set `HF_ENDPOINT` to a mirror, or fetch the repository "
    "elsewhere and name its folder with `path:DIR`"
)


def snapshot(repository: str, revision: str | None, progress: Callable[[str], None], cancelled: Event) -> Path:
    """The folder of the repository's snapshot. The network is used only where the snapshot is not here already.

    Raises `SourceNotFoundError` with the remedy where it cannot be had.
    """
    named = f"{repository}@{revision}" if revision else repository
    command = [sys.executable, "-P", preparation.__file__, "download", repository, *([revision] if revision else [])]
    try:
        output = run_child(command, f"fetching `{named}` from the model hub", progress, cancelled)
    except ChildFailedError as error:
        reason = str(error)
        remedy = next((remedy for mark, remedy in _REMEDIES if mark in reason), _UNREACHABLE)
        raise SourceNotFoundError(f"cannot fetch `hf:{named}`: {remedy} ({reason})") from error
    return Path(output.splitlines()[-1])
