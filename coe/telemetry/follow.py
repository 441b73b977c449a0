"""Follows the service's log file and prints it: coloured lines for people, or the JSON as it is."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Literal, TextIO

import orjson
from rich.console import Console
from rich.text import Text

POLL_S = 0.2
_COLOURS = {"debug": "dim", "info": "green", "warning": "yellow", "error": "red", "critical": "bold red"}
_SHOWN_FIRST = ("timestamp", "level", "component", "event")
_HIDDEN = frozenset({"module", *_SHOWN_FIRST})


class LogFollower:
    """Prints what is appended to a file, in a thread of its own, until closed."""

    def __init__(self, path: Path, style: Literal["auto", "console", "json"], stream: TextIO) -> None:
        self._path = path
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._json = style == "json" or (style == "auto" and not self._console.is_terminal)
        self._stopped = threading.Event()
        self._offset = 0
        self._thread = threading.Thread(target=self._run, name="log-follower", daemon=True)

    def start(self) -> None:
        self._path.touch(mode=0o600)
        self._offset = self._path.stat().st_size  # here, so that nothing written from now on is missed
        self._thread.start()

    def close(self) -> None:
        """Prints what is left and ends."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        with self._path.open("rb") as file:
            file.seek(self._offset)
            tail = b""
            while True:
                last_round = self._stopped.wait(POLL_S)
                *lines, tail = (tail + file.read()).split(b"\n")
                for line in lines:
                    self._print(line)
                if last_round:
                    return

    def _print(self, line: bytes) -> None:
        if self._json:
            self._console.file.write(line.decode(errors="replace") + "\n")
            self._console.file.flush()
            return
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError:
            event = None
        if not isinstance(event, dict):
            self._console.print(Text(line.decode(errors="replace")))
            return
        level = str(event.get("level", "info"))
        text = Text(f"{str(event.get('timestamp', ''))[11:19]} ", style="dim")
        text.append(f"{level:<8}", style=_COLOURS.get(level, ""))
        text.append(f"{event.get('component', ''):<8} {event.get('event', '')}")
        for key, value in event.items():
            if key not in _HIDDEN and value is not None:
                text.append(f" {key}=", style="dim").append(str(value))
        self._console.print(text)
