import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest
from safetensors.numpy import load_file, save_file

from routers.artefact import MANIFEST, write_artefact
from routers.encoders.static import StaticEncoder
from routers.errors import ArtefactChecksumError, ArtefactError, ArtefactVersionError
from routers.mapping.expert_map import ExpertMap
from routers.prompts import LabelledPrompt
from routers.record import WEIGHTS_FILE
from routers.router import CategoryRouter
from routers.training import train

MakePrompts = Callable[..., list[LabelledPrompt]]
NoResolve = Callable[[str], Path]


@pytest.fixture(scope="module")
def router(word_encoder: StaticEncoder, make_prompts: MakePrompts) -> CategoryRouter:
    return train(
        make_prompts(80, outcomes=lambda category: {"a": 0.9 if category == "law" else 0.1, "b": 0.5}), word_encoder
    )[0]


@pytest.fixture
def saved(router: CategoryRouter, tmp_path: Path) -> Path:
    router.save(tmp_path / "router")
    return tmp_path / "router"


def test_a_prompt_is_put_into_its_category(router: CategoryRouter) -> None:
    answer = router.classify("please explain what the judge of the court can do to the jury")
    assert (answer.category, answer.abstained) == ("law", False)
    assert answer.confidence == answer.probabilities["law"] == max(answer.probabilities.values())
    assert sum(answer.probabilities.values()) == pytest.approx(1)


def test_what_is_like_nothing_seen_goes_to_general(router: CategoryRouter) -> None:
    answer = router.classify("dolphin glacier meteor tulip yacht")
    assert (answer.category, answer.abstained) == ("general", True)
    assert answer.confidence == 1 - answer.in_scope
    assert answer.likeliest in router.categories


def test_a_batch_answers_in_order_as_one_by_one(router: CategoryRouter, make_prompts: MakePrompts) -> None:
    texts = [row.text for row in make_prompts(10, seed=5)]
    batch = router.classify_batch(texts)
    for text, answer in zip(texts, batch, strict=True):
        alone = router.classify(text)
        assert alone.category == answer.category
        assert alone.probabilities == pytest.approx(answer.probabilities, abs=1e-5)
    assert router.classify_batch([]) == []


def test_threads_share_a_router(router: CategoryRouter, make_prompts: MakePrompts) -> None:
    texts = [row.text for row in make_prompts(60, seed=5)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(router.classify, texts)) == [router.classify(text) for text in texts]


def test_a_loaded_router_answers_as_the_one_saved(
    router: CategoryRouter, saved: Path, no_resolve: NoResolve, make_prompts: MakePrompts
) -> None:
    loaded = CategoryRouter.load(saved, no_resolve)
    texts = [row.text for row in make_prompts(50, out_of_scope=20, seed=9)]
    assert loaded.classify_batch(texts) == router.classify_batch(texts)
    assert loaded.categories == router.categories
    assert loaded.expert_map == router.expert_map
    assert loaded.provenance == router.provenance


def test_another_map_can_be_given(router: CategoryRouter) -> None:
    other = router.with_map(ExpertMap("x", {}, {"x": None}))
    assert other.expert_map is not None
    assert other.expert_map.expert_for("law") == "x"
    assert router.expert_map is not None
    assert router.expert_map.expert_for("law") == "a"


def test_what_is_not_a_router_is_left_alone(router: CategoryRouter, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ArtefactError, match="left alone"):
        router.save(tmp_path)
    with pytest.raises(ArtefactError, match="not a directory"):
        router.save(tmp_path / "notes.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_failed_write_keeps_the_older_router(saved: Path, no_resolve: NoResolve) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("written")
        raise OSError(28, "No space left on device")

    with pytest.raises(ArtefactError, match="No space"):
        write_artefact(saved, fail)
    assert CategoryRouter.load(saved, no_resolve).categories
    assert [path.name for path in saved.parent.iterdir()] == ["router"]


def test_a_missing_router_names_the_command_that_makes_one(tmp_path: Path, no_resolve: NoResolve) -> None:
    with pytest.raises(ArtefactError, match="coe train-router"):
        CategoryRouter.load(tmp_path / "none", no_resolve)


@pytest.mark.parametrize("name", ["router.json", "weights.safetensors", "static.safetensors", "tokenizer.json"])
def test_a_damaged_file_is_named(saved: Path, no_resolve: NoResolve, name: str) -> None:
    path = saved / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(ArtefactChecksumError, match=name):
        CategoryRouter.load(saved, no_resolve)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ArtefactChecksumError, match=name):
        CategoryRouter.load(saved, no_resolve)
    path.unlink()
    with pytest.raises(ArtefactError, match="is missing"):
        CategoryRouter.load(saved, no_resolve)


@pytest.mark.parametrize("text", ["", "{}", '{"format": "other", "version": 1, "files": {}}', "\x00"])
def test_a_damaged_manifest_is_refused(saved: Path, no_resolve: NoResolve, text: str) -> None:
    (saved / MANIFEST).write_text(text)
    with pytest.raises(ArtefactError, match=MANIFEST):
        CategoryRouter.load(saved, no_resolve)


def test_a_newer_format_asks_for_an_upgrade(saved: Path, no_resolve: NoResolve) -> None:
    manifest = orjson.loads((saved / MANIFEST).read_bytes())
    (saved / MANIFEST).write_bytes(orjson.dumps({**manifest, "version": 2}))
    with pytest.raises(ArtefactVersionError, match="upgrade"):
        CategoryRouter.load(saved, no_resolve)


def test_a_manifest_cannot_name_files_elsewhere(saved: Path, no_resolve: NoResolve) -> None:
    manifest = orjson.loads((saved / MANIFEST).read_bytes())
    manifest["files"]["../router/router.json"] = manifest["files"]["router.json"]
    (saved / MANIFEST).write_bytes(orjson.dumps(manifest))
    with pytest.raises(ArtefactError, match="outside"):
        CategoryRouter.load(saved, no_resolve)


def test_arrays_that_do_not_fit_together_are_refused(saved: Path, tmp_path: Path, no_resolve: NoResolve) -> None:
    def tampered(folder: Path) -> None:
        for path in saved.iterdir():
            if path.name != MANIFEST:
                (folder / path.name).write_bytes(path.read_bytes())
        arrays = load_file(folder / WEIGHTS_FILE)
        save_file({**arrays, "dense": arrays["dense"][:-1].copy()}, folder / WEIGHTS_FILE)

    write_artefact(tmp_path / "tampered", tampered)
    with pytest.raises(ArtefactError, match="do not fit together"):
        CategoryRouter.load(tmp_path / "tampered", no_resolve)


def test_no_file_of_a_router_is_a_pickle(saved: Path) -> None:
    for path in saved.iterdir():
        with pytest.raises((pickle.UnpicklingError, ValueError, KeyError, IndexError, EOFError, AttributeError)):
            pickle.loads(path.read_bytes())
