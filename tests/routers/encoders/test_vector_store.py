"""What a store promises: a vector comes back as it was or not at all, whatever happens to the file."""

import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routers.encoders.encoder import Vectors
from routers.encoders.vector_store import VectorStore


def vectors(start: int, count: int, dim: int = 8) -> dict[bytes, Vectors]:
    """Each vector can be told from its key."""
    return {number.to_bytes(32): np.full(dim, number, dtype=np.float32) for number in range(start, start + count)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "not" / "there" / "vectors.sqlite"


def same(found: dict[bytes, Vectors], expected: dict[bytes, Vectors]) -> bool:
    return found.keys() == expected.keys() and all(np.array_equal(found[key], expected[key]) for key in expected)


def test_a_later_process_finds_what_was_kept_and_nothing_else(path: Path) -> None:
    kept = vectors(0, 1_200)
    VectorStore(path).put(kept)
    assert same(VectorStore(path).get([*kept, b"unknown"]), kept)
    assert VectorStore(path).get([]) == {}


def test_a_vector_is_replaced_by_a_later_one_of_its_key(path: Path) -> None:
    store = VectorStore(path)
    store.put({b"key": np.zeros(8, np.float32)})
    store.put({b"key": np.ones(8, np.float32)})
    assert same(store.get([b"key"]), {b"key": np.ones(8, np.float32)})


def test_the_first_written_make_room_and_the_file_keeps_its_bound(path: Path) -> None:
    limit = 400_000
    store = VectorStore(path, limit)
    for start in range(0, 2_000, 100):
        store.put(vectors(start, 100, dim=256))
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        assert path.stat().st_size <= limit + 100_000  # pages half full
    assert same(store.get(list(vectors(1_900, 100))), vectors(1_900, 100, dim=256))
    assert not store.get(list(vectors(0, 100)))


def test_a_batch_above_the_limit_is_still_kept(path: Path) -> None:
    store = VectorStore(path, 1_000)
    store.put(vectors(0, 100))
    assert same(store.get(list(vectors(0, 100))), vectors(0, 100))


@settings(max_examples=40, deadline=None)
@given(place=st.floats(0, 0.999), junk=st.binary(min_size=1, max_size=3_000))
def test_of_a_damaged_file_no_wrong_vector_comes(
    tmp_path_factory: pytest.TempPathFactory, place: float, junk: bytes
) -> None:
    path = tmp_path_factory.mktemp("store") / "vectors.sqlite"
    kept = vectors(0, 60, dim=64)
    store = VectorStore(path)
    store.put(kept)
    content = bytearray(path.read_bytes())
    start = int(place * len(content))
    content[start : start + len(junk)] = junk
    path.write_bytes(content)

    for key, vector in store.get(list(kept)).items():
        assert np.array_equal(vector, kept[key])
    for _ in range(4):  # whoever meets the damage removes the file, a writer or a reader
        store.put(kept)
        found = store.get(list(kept))
    assert same(found, kept)


@pytest.mark.parametrize("value", ["'text'", "NULL", "7"])
def test_damage_that_makes_something_else_of_a_vector_is_noticed(path: Path, value: str) -> None:
    store = VectorStore(path)
    store.put(vectors(0, 2))
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_master SET sql = replace(sql, 'vector BLOB NOT NULL', 'vector BLOB')")
    database.close()
    with sqlite3.connect(path) as database:
        database.execute(f"UPDATE vectors SET vector = {value} WHERE key = ?", (next(iter(vectors(0, 1))),))
    database.close()
    assert same(store.get(list(vectors(0, 2))), vectors(1, 1))


def test_a_file_that_is_something_else_is_started_anew(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a database" * 1_000)
    store = VectorStore(path)
    assert store.get([b"key"]) == {}
    store.put(vectors(0, 3))
    assert same(store.get(list(vectors(0, 3))), vectors(0, 3))


def test_a_place_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = VectorStore(tmp_path / "file" / "vectors.sqlite")
    store.put(vectors(0, 3))
    assert store.get(list(vectors(0, 3))) == {}
    (tmp_path / "folder.sqlite").mkdir()
    assert VectorStore(tmp_path / "folder.sqlite").get([b"key"]) == {}


def test_threads_share_a_store(path: Path) -> None:
    store = VectorStore(path)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda start: store.put(vectors(start, 50)), range(0, 800, 50)))
    assert same(store.get(list(vectors(0, 800))), vectors(0, 800))


def test_a_process_killed_while_it_writes_leaves_whole_batches(path: Path) -> None:
    code = (
        "import sys, itertools\n"
        "from pathlib import Path\n"
        "from tests.routers.encoders.test_vector_store import VectorStore, vectors\n"
        "store = VectorStore(Path(sys.argv[1]))\n"
        "for start in itertools.count(0, 100):\n"
        "    store.put(vectors(start, 100, dim=256))\n"
        "    print(start, flush=True)\n"
    )
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, cwd=root, text=True
    ) as writer:
        assert writer.stdout is not None
        written = [int(writer.stdout.readline()) for _ in range(5)][-1] + 100
        writer.send_signal(signal.SIGKILL)
    store = VectorStore(path)
    assert same(store.get(list(vectors(0, written))), vectors(0, written, dim=256))
    later = store.get(list(vectors(written, 100)))
    assert len(later) in {0, 100}
    store.put(vectors(10_000, 3))
    assert store.get(list(vectors(10_000, 3)))
