"""Vectors on disk: in come keys and vectors, out come the vectors of known keys, in this process or a later one.

One SQLite file with a write-ahead log: several processes may share it, and one that is killed loses no more than what
it was writing. What is kept can be worked out again, so trouble with the file costs time and is never an error.
Knows nothing of encoders.
"""

import sqlite3
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import numpy as np

from routers.encoders.encoder import Vectors

LIMIT_BYTES = 2_000_000_000
_PATIENCE_S = 10.0
_AGAIN_S = 0.01  # where SQLite does not wait by itself: while another connection opens the log or closes it
_PER_QUERY = 500  # every SQLite takes 999 parameters
_CHECKSUM_BYTES = 4
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}  # the last: of a damaged schema
_SCHEMA = "CREATE TABLE IF NOT EXISTS vectors (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, vector BLOB NOT NULL)"
_EVICT_A_TENTH = (
    "DELETE FROM vectors WHERE id IN (SELECT id FROM vectors ORDER BY id LIMIT 1 + (SELECT count(*) FROM vectors) / 10)"
)

T = TypeVar("T")


class VectorStore:
    """float32 vectors by key. Safe among threads and among processes.

    What is kept does not grow above `limit_bytes`: the vectors that were written first make room.
    """

    def __init__(self, path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._path = path
        self._limit_bytes = limit_bytes

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        """The vectors of those `keys` that are known and undamaged; they are read-only."""

        def read(database: sqlite3.Connection) -> dict[bytes, Vectors]:
            found: dict[bytes, Vectors] = {}
            for start in range(0, len(keys), _PER_QUERY):
                part = keys[start : start + _PER_QUERY]
                query = f"SELECT key, vector FROM vectors WHERE key IN ({','.join('?' * len(part))})"  # noqa: S608 - question marks only
                rows = database.execute(query, part).fetchall()
                found.update((key, vector) for key, blob in rows if (vector := _unpacked(key, blob)) is not None)
            return found

        return self._attempt(read) or {}

    def put(self, vectors: Mapping[bytes, Vectors]) -> None:
        """Keep `vectors`, all of them or none; what stood under their keys is replaced."""
        rows = [(key, _packed(key, vector)) for key, vector in vectors.items()]

        def write(database: sqlite3.Connection) -> None:
            with database:
                database.execute("BEGIN IMMEDIATE")
                self._make_room(database, sum(len(key) + len(blob) for key, blob in rows))
                database.executemany("INSERT OR REPLACE INTO vectors (key, vector) VALUES (?, ?)", rows)

        self._attempt(write)

    def _make_room(self, database: sqlite3.Connection, wanted: int) -> None:
        """Deleted rows leave pages that new ones fill, so the file keeps its size."""
        while _used_bytes(database) + wanted > self._limit_bytes:
            if database.execute(_EVICT_A_TENTH).rowcount == 0:
                return

    def _attempt(self, action: Callable[[sqlite3.Connection], T]) -> T | None:
        """What `action` gives; None where the disk is full or read-only, or others keep the file locked.

        A damaged file is removed: the next call starts a new one.
        """
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return self._with_database(action)
            except OSError:
                return None
            except UnicodeDecodeError:  # of a message in which SQLite quotes the damage
                self._remove()
                return None
            except sqlite3.DatabaseError as error:
                if _code(error) == sqlite3.SQLITE_BUSY and time.monotonic() < until:
                    time.sleep(_AGAIN_S)
                    continue
                if _code(error) in _DAMAGED:
                    self._remove()
                elif not isinstance(error, sqlite3.OperationalError):
                    raise
                return None

    def _with_database(self, action: Callable[[sqlite3.Connection], T]) -> T:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._path, timeout=_PATIENCE_S)) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=NORMAL")
            database.execute(_SCHEMA)
            return action(database)

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


def _code(error: sqlite3.DatabaseError) -> int:
    """SQLite's primary code; 0 where Python found the fault itself."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)) & 0xFF


def _used_bytes(database: sqlite3.Connection) -> int:
    pages, free, size = (
        int(database.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _packed(key: bytes, vector: Vectors) -> bytes:
    numbers = np.ascontiguousarray(vector, dtype="<f4").tobytes()
    return _checksum(key, numbers) + numbers


def _unpacked(key: object, blob: object) -> Vectors | None:
    """None: SQLite notices a damaged page only where its structure suffers. Damage may turn bytes into text or NULL."""
    if not isinstance(key, bytes) or not isinstance(blob, bytes):
        return None
    checksum, numbers = blob[:_CHECKSUM_BYTES], blob[_CHECKSUM_BYTES:]
    if _checksum(key, numbers) != checksum or len(numbers) % 4:
        return None
    return np.frombuffer(numbers, dtype="<f4").astype(np.float32, copy=False)


def _checksum(key: bytes, numbers: bytes) -> bytes:
    return zlib.crc32(numbers, zlib.crc32(key)).to_bytes(_CHECKSUM_BYTES, "little")
