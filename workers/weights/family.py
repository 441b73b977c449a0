"""The checkpoints that one engine can take: a folder goes in, the checkpoint in it comes out, judged, or an error."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workers.errors import CheckpointRefusedError
from workers.weights.checkpoint import Checkpoint, read_checkpoint, refuse_unlike
from workers.weights.content import read_content, version_of


@dataclass(frozen=True, slots=True)
class Accepted:
    """A checkpoint that fits.

    `digest` is of all its tensors, `tensors` of each by name, `version` of all files that were judged.
    """

    checkpoint: Checkpoint
    digest: str
    tensors: Mapping[str, str]
    version: str


class Family:
    """Those that fit the engine that was started with the folder `base`. What was found out is kept in `cache_dir`."""

    def __init__(self, base: Path, cache_dir: Path) -> None:
        self._base_dir = base
        self._cache_dir = cache_dir
        self._base: Checkpoint | None = None
        self._accepted: dict[Path, Accepted] = {}

    async def base(self) -> Accepted:
        """The engine's own checkpoint. Raises `CheckpointRefusedError`."""
        return await self.accept(self._base_dir)

    async def accept(self, folder: Path) -> Accepted:
        """Raises `CheckpointRefusedError`. Reads all of it the first time, and looks at its files' times after that."""
        known = self._accepted.get(folder)
        if known and await self.unchanged(known):
            return known
        try:
            known = self._accepted[folder] = await asyncio.to_thread(self._judge, folder)
        except OSError as error:
            raise CheckpointRefusedError(f"the checkpoint in `{folder}` cannot be read ({error})") from error
        except CheckpointRefusedError as error:
            raise CheckpointRefusedError(f"the checkpoint in `{folder}` is refused: {error}") from error
        return known

    async def unchanged(self, accepted: Accepted) -> bool:
        """Whether its files are still those that were judged."""
        try:
            return await asyncio.to_thread(version_of, accepted.checkpoint.read_files) == accepted.version
        except OSError:
            return False

    def _judge(self, folder: Path) -> Accepted:
        if self._base is None:
            self._base = read_checkpoint(self._base_dir)
        checkpoint = read_checkpoint(folder)
        if folder != self._base_dir:
            refuse_unlike(self._base, checkpoint)
        version = version_of(checkpoint.read_files)
        content = read_content(checkpoint.files, self._cache_dir)
        if content.not_finite:
            raise CheckpointRefusedError(
                f"`{content.not_finite}` holds NaN or infinity: its training failed, take an earlier checkpoint"
            )
        return Accepted(checkpoint, content.digest, content.tensors, version)
