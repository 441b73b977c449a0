"""A router's folder may hold folders, as a tuned encoder's does: every file below it is accounted for."""

from pathlib import Path

import orjson
import pytest

from routers.artefact import MANIFEST, verify_artefact, write_artefact
from routers.errors import ArtefactChecksumError, ArtefactError


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    def write(folder: Path) -> None:
        (folder / "router.json").write_text("{}")
        (folder / "encoder" / "1_Pooling").mkdir(parents=True)
        (folder / "encoder" / "1_Pooling" / "config.json").write_text('{"mode": "mean"}')

    write_artefact(tmp_path / "router", write)
    return tmp_path / "router"


def test_files_in_folders_are_known_by_their_path(directory: Path) -> None:
    assert set(verify_artefact(directory)) == {"router.json", "encoder/1_Pooling/config.json"}


def test_a_file_in_a_folder_that_was_altered_or_lost_is_named(directory: Path) -> None:
    path = directory / "encoder" / "1_Pooling" / "config.json"
    path.write_text('{"mode": "last"}')
    with pytest.raises(ArtefactChecksumError, match="1_Pooling"):
        verify_artefact(directory)
    path.unlink()
    with pytest.raises(ArtefactError, match="missing"):
        verify_artefact(directory)


@pytest.mark.parametrize("name", ["../outside", "/outside", "encoder/../../outside"])
def test_a_manifest_that_leads_out_of_the_folder_is_refused(directory: Path, name: str) -> None:
    manifest = orjson.loads((directory / MANIFEST).read_bytes())
    manifest["files"][name] = manifest["files"]["router.json"]
    (directory / MANIFEST).write_bytes(orjson.dumps(manifest))
    with pytest.raises(ArtefactError, match="outside"):
        verify_artefact(directory)
