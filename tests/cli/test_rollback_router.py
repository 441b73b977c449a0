from pathlib import Path

import orjson

from routers.artefact import version_of, write_artefact
from tests.cli.commands import Coe


def write(directory: Path, content: str) -> str:
    def write_files(folder: Path) -> None:
        (folder / "a.json").write_text(content)

    write_artefact(directory, write_files)
    return version_of(directory)


def test_the_router_before_comes_back_and_goes_again(coe: Coe, tmp_path: Path) -> None:
    directory = tmp_path / "router"
    first, second = write(directory, "one"), write(directory, "two")
    back = coe("rollback-router", str(directory))
    assert (back.code, back.out) == (0, f"{directory} holds the router {first} again\n")
    again = coe("rollback-router", str(directory), "--json")
    assert orjson.loads(again.out) == {"router_version": second}
    assert version_of(directory) == second


def test_what_cannot_be_rolled_back_is_bad_input_with_a_remedy(coe: Coe, tmp_path: Path) -> None:
    write(tmp_path / "router", "one")
    ended = coe("rollback-router", str(tmp_path / "router"))
    assert (ended.code, ended.out) == (2, "")
    assert "has no previous router" in ended.err
