"""Run a model's query against a small database: a script and two queries go in, whether they return the same comes out.

The database lives in memory, takes no statement but a reading one, and stops after a bounded number of steps.
"""

import re
import sqlite3
from collections import Counter
from contextlib import closing

from benchmarks.domains.answers import unfenced

_MAX_ROWS = 1_000
_MAX_VALUE_BYTES = 100_000
_STEPS_BETWEEN_CHECKS = 10_000
_MAX_CHECKS = 30
_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})
_START = r"(?:SELECT\b|WITH\s+(?:RECURSIVE\s+)?\w+\s*(?:\(|AS\b))"
_QUERIES = tuple(
    re.compile(rf"{before}({_START}.*?)(?=;|`|\n\s*\n|\Z)", re.IGNORECASE | re.DOTALL | re.MULTILINE)
    for before in (r"^\s*", r"\b")
)
_Value = str | int | float | None
_Rows = list[tuple[_Value, ...]]


def returns_the_same(script: str, reference: str, answer: str) -> bool:
    """Build the database by `script` and compare the rows of `reference` with those of the first query in `answer`.

    The order of rows counts where the reference has an ORDER BY. A query that fails or takes too long is not the same.
    """
    query = _first_query(unfenced(answer))
    if not query:
        return False
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(script)
        _restrict(database)
        expected = _rows(database, reference)
        try:
            actual = _rows(database, query)
        except (sqlite3.Error, sqlite3.Warning, ValueError):
            return False
    if "ORDER BY" in reference:
        return actual == expected
    return Counter(actual) == Counter(expected)


def _first_query(text: str) -> str:
    """The first query that begins a line, or else the first one, without what follows it; empty where there is none."""
    found = (pattern.search(text) for pattern in _QUERIES)
    return next((query.group(1) for query in found if query), "")


def _restrict(database: sqlite3.Connection) -> None:
    """Allow reading only, values of at most 100 kB, and 300,000 steps of SQLite's machine from here on."""
    checks = 0

    def too_long() -> bool:
        nonlocal checks
        checks += 1
        return checks > _MAX_CHECKS

    def authorize(action: int, *_details: str | None) -> int:
        return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY

    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
    database.set_progress_handler(too_long, _STEPS_BETWEEN_CHECKS)
    database.set_authorizer(authorize)


def _rows(database: sqlite3.Connection, query: str) -> _Rows:
    found: _Rows = database.execute(query).fetchmany(_MAX_ROWS)
    return [tuple(round(value, 6) if isinstance(value, float) else value for value in row) for row in found]
