"""The folder of a run that has not ended: whose it is, and from which checkpoint it can go on."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from coe.finetune.errors import CheckpointError

RUN_FILE = "run.json"
_STATE = "trainer_state.json"  # the Trainer writes it last


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """`run` is what a run is made of: settings, base and data. Another run must not go on from its checkpoints."""

    folder: Path
    run: Mapping[str, object]

    def open(self, *, restart: bool) -> Path | None:
        """The newest whole checkpoint to go on from; None at a beginning.

        Raises:
            CheckpointError: the checkpoints are another run's and `restart` does not allow to drop them.
        """
        record = self.folder / RUN_FILE
        newest = max(filter(_is_whole, self.folder.glob("checkpoint-*")), key=_step, default=None)
        if newest and record.is_file() and not restart:
            if differing := self._differing(record):
                raise CheckpointError(
                    f"`{self.folder}` holds the checkpoints of a run with another {', '.join(differing)}: give the "
                    "same arguments to go on with it, or --restart to drop it"
                )
            return newest
        self.remove()  # nothing that could be gone on with
        self.folder.mkdir(parents=True)
        record.write_bytes(orjson.dumps(self.run, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
        return None

    def remove(self) -> None:
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _differing(self, record: Path) -> list[str]:
        try:
            found = _flat(orjson.loads(record.read_bytes()))
        except ValueError:
            return ["record, which cannot be read"]
        mine = _flat(orjson.loads(orjson.dumps(self.run)))
        return [
            f"{key} ({found.get(key)}, now {mine.get(key)})"
            for key in sorted(mine.keys() | found.keys())
            if mine.get(key) != found.get(key)
        ]


def _flat(record: Mapping[str, object]) -> dict[str, object]:
    settings = record.get("settings")
    return {**record, **(settings if isinstance(settings, dict) else {}), "settings": None}


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _is_whole(checkpoint: Path) -> bool:
    try:
        return bool(orjson.loads((checkpoint / _STATE).read_bytes())["global_step"] == _step(checkpoint))
    except (OSError, ValueError, KeyError, TypeError):
        return False
