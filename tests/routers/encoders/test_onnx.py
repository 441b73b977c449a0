"""The int8 encoder says what the original says, on its own."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from routers.encoders.catalogue import open_encoder
from routers.encoders.onnx_export import export_int8
from routers.encoders.onnx_int8 import MODEL_FILE, OnnxEncoder
from routers.encoders.sentence_transformer import MINILM, SentenceTransformerEncoder
from routers.errors import EncoderError

TEXTS = ["a judge", "boil the soup and add salt " * 60, "prime numbers", "the jury of the court", "", "日本語"]


@pytest.fixture(scope="module")
def minilm(minilm_folder: Path) -> SentenceTransformerEncoder:
    return SentenceTransformerEncoder.open(MINILM, lambda _: minilm_folder)


@pytest.fixture(scope="module")
def int8(minilm: SentenceTransformerEncoder) -> OnnxEncoder:
    return export_int8(minilm)


def test_vectors_lie_beside_those_of_the_original(minilm: SentenceTransformerEncoder, int8: OnnxEncoder) -> None:
    seen: list[tuple[int, int]] = []
    vectors = int8.encode(TEXTS, lambda done, of: seen.append((done, of)))
    assert vectors.dtype == np.float32
    assert (vectors * minilm.encode(TEXTS)).sum(axis=1).min() > 0.97
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert seen[-1] == (len(TEXTS), len(TEXTS))
    assert int8.spec == replace(minilm.spec, kind="onnx-int8")


def test_a_vector_does_not_depend_on_what_shares_the_batch(int8: OnnxEncoder) -> None:
    assert np.array_equal(int8.encode(TEXTS), np.concatenate([int8.encode([text]) for text in TEXTS]))


def test_it_comes_back_as_it_was_saved(int8: OnnxEncoder, tmp_path: Path, no_resolve: Callable[[str], Path]) -> None:
    int8.save(tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 25_000_000
    loaded = open_encoder(int8.spec, tmp_path, no_resolve)
    assert isinstance(loaded, OnnxEncoder)
    assert loaded.identity() == int8.identity()
    assert np.array_equal(loaded.encode(TEXTS), int8.encode(TEXTS))
    with pytest.raises(EncoderError, match="384"):
        open_encoder(replace(int8.spec, dim=7), tmp_path, no_resolve)


@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_a_damaged_or_missing_model_is_named(
    int8: OnnxEncoder, tmp_path: Path, no_resolve: Callable[[str], Path], content: bytes | None
) -> None:
    int8.save(tmp_path)
    (tmp_path / MODEL_FILE).unlink()
    if content is not None:
        (tmp_path / MODEL_FILE).write_bytes(content)
    with pytest.raises(EncoderError, match="ONNX"):
        open_encoder(int8.spec, tmp_path, no_resolve)


def test_a_model_that_does_more_is_refused(minilm: SentenceTransformerEncoder) -> None:
    other, model = minilm.trainable_copy()
    model[1].pooling_mode = "cls"
    with pytest.raises(EncoderError, match="mean pooling"):
        export_int8(other)


def test_it_is_loaded_and_run_without_torch(int8: OnnxEncoder, tmp_path: Path) -> None:
    int8.save(tmp_path)
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from routers.encoders.catalogue import open_encoder\nfrom routers.encoders.encoder import EncoderSpec\n"
        "spec = EncoderSpec('onnx-int8', 'test', 384, 256)\n"
        "open_encoder(spec, Path(sys.argv[1]), Path).encode(['a judge'])\n"
        "assert not {'torch', 'transformers', 'onnx'} & set(sys.modules), 'a heavy import'"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=Path(__file__).parents[3])
