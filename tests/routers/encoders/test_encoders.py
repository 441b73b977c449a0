import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from routers.encoders.catalogue import build_encoder, open_encoder
from routers.encoders.distil import principal_components, zipf_weights
from routers.encoders.sentence_transformer import MINILM, SentenceTransformerEncoder
from routers.encoders.static import StaticEncoder, StaticTable
from routers.errors import EncoderError

TEXTS = ["a judge", "boil the soup and add salt " * 20, "prime numbers", "the jury of the court"]


@pytest.fixture(scope="module")
def minilm(minilm_folder: Path) -> SentenceTransformerEncoder:
    return SentenceTransformerEncoder.open(MINILM, lambda _: minilm_folder)


def test_minilm_puts_like_beside_like_on_the_unit_sphere(minilm: SentenceTransformerEncoder) -> None:
    seen: list[tuple[int, int]] = []
    vectors = minilm.encode(TEXTS, lambda done, total: seen.append((done, total)))
    assert vectors.shape == (4, minilm.spec.dim) == (4, 384)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert vectors[0] @ vectors[3] > max(vectors[0] @ vectors[1], vectors[0] @ vectors[2])
    assert seen[-1] == (4, 4)


def test_minilm_does_not_depend_on_what_shares_the_batch(minilm: SentenceTransformerEncoder) -> None:
    together = minilm.encode(TEXTS)
    alone = np.concatenate([minilm.encode([text]) for text in TEXTS])
    assert together == pytest.approx(alone, abs=1e-5)
    assert minilm.encode([]).shape == (0, 384)


def test_a_token_is_encoded_as_the_text_that_it_is(minilm: SentenceTransformerEncoder) -> None:
    from tokenizers import Tokenizer

    vocabulary = Tokenizer.from_str(minilm.tokenizer_json()).get_vocab()
    assert minilm.encode_tokens([vocabulary["judge"], vocabulary["soup"]]) == pytest.approx(
        minilm.encode(["judge", "soup"]), abs=1e-4
    )


def test_an_encoder_is_itself_wherever_it_lies_and_another_with_other_weights(
    minilm: SentenceTransformerEncoder, minilm_folder: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(minilm_folder, tmp_path / "copy"))
    assert SentenceTransformerEncoder.open("path:copy", lambda _: copy).identity() == minilm.identity()
    weights = load_file(copy / "model.safetensors")
    weights["embeddings.LayerNorm.bias"][0] += 0.1
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    assert SentenceTransformerEncoder.open("path:copy", lambda _: copy).identity() != minilm.identity()


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"modules\.json"):
        build_encoder("path:nowhere", lambda _: tmp_path)
    (tmp_path / "modules.json").write_text("[]")
    with pytest.raises(EncoderError, match="path:nowhere"):
        build_encoder("path:nowhere", lambda _: tmp_path)


def test_a_static_vector_is_the_scaled_mean_of_its_tokens(word_encoder: StaticEncoder) -> None:
    judge, jury, both, nothing = word_encoder.encode(["judge", "jury", "judge jury", ""])
    assert np.linalg.norm([judge, jury, both], axis=1) == pytest.approx(1, abs=1e-5)
    assert both @ judge > 0.5
    assert not nothing.any()


def test_a_static_encoder_reads_to_its_stated_end_and_no_further(word_encoder: StaticEncoder) -> None:
    end = word_encoder.spec.max_tokens
    within, beyond = word_encoder.encode(["judge " * (end - 1) + "soup", "judge " * end + "soup"])
    judge = word_encoder.encode(["judge"])[0]
    assert within != pytest.approx(judge, abs=1e-5)
    assert beyond == pytest.approx(judge, abs=1e-5)


def test_a_static_encoder_comes_back_as_it_was_saved(
    word_encoder: StaticEncoder, tmp_path: Path, no_resolve: Callable[[str], Path]
) -> None:
    word_encoder.save(tmp_path)
    loaded = open_encoder(word_encoder.spec, tmp_path, no_resolve)
    assert loaded.spec == word_encoder.spec
    assert np.array_equal(loaded.encode(TEXTS), word_encoder.encode(TEXTS))
    with pytest.raises(EncoderError, match="train it again"):
        open_encoder(replace(word_encoder.spec, dim=7), tmp_path, no_resolve)


def test_a_static_encoder_whose_table_is_missing_is_named(
    word_encoder: StaticEncoder, tmp_path: Path, no_resolve: Callable[[str], Path]
) -> None:
    with pytest.raises(EncoderError, match=str(tmp_path)):
        open_encoder(word_encoder.spec, tmp_path, no_resolve)


def test_int8_rows_keep_the_direction_of_vectors() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 64))
    table = StaticTable.quantise(np.vstack([vectors, np.zeros(64)]))
    back = table.rows * table.scales[:, None]
    cosines = (back[:-1] * vectors).sum(1) / np.linalg.norm(back[:-1], axis=1) / np.linalg.norm(vectors, axis=1)
    assert cosines.min() > 0.999
    assert not back[-1].any()


def test_principal_components_keep_what_varies_most() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(200, 3)) * [10, 1, 0.01]).astype(np.float32)
    reduced = principal_components(vectors, 2)
    assert reduced.shape == (200, 2)
    assert reduced.std(axis=0) == pytest.approx(vectors[:, :2].std(axis=0), rel=0.05)


def test_frequent_tokens_weigh_less() -> None:
    assert (np.diff(zipf_weights(1_000)) > 0).all()


def test_a_static_router_needs_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import sys, routers.router, routers.prompts, routers.encoders.static, routers.evaluation, routers.training\n"
        "assert not {'torch', 'sklearn', 'transformers'} & set(sys.modules), 'a heavy import'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
