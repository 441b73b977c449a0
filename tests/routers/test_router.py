import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest
from safetensors.numpy import load_file, save_file

from routers.artefact import MANIFEST, VERSION, write_artefact
from routers.encoders.combined import NoEncoder
from routers.encoders.static import StaticEncoder
from routers.errors import ArtefactChecksumError, ArtefactError, ArtefactVersionError, EncoderError
from routers.mapping.chooser import Chooser
from routers.mapping.estimators import Linear
from routers.mapping.expert_map import ExpertMap
from routers.prompts import LabelledPrompt
from routers.record import WEIGHTS_FILE
from routers.router import CategoryRouter
from routers.training import train

MakePrompts = Callable[..., list[LabelledPrompt]]
NoResolve = Callable[[str], Path]


def skilled(category: str) -> dict[str, float]:
    return {"a": 0.9 if category == "law" else 0.1, "b": 0.5}


@pytest.fixture(scope="module")
def router(word_encoder: StaticEncoder, make_prompts: MakePrompts) -> CategoryRouter:
    return train(make_prompts(80, outcomes=skilled), word_encoder)[0]


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


LAW = "please explain what the judge of the court can do to the jury and the defendant"


def test_a_short_follow_up_stays_on_the_subject(router: CategoryRouter) -> None:
    for follow_up in ("and in french?", "why is that?", "tell me", "tell me what to do"):
        found = router.classify_turns([LAW, follow_up])
        assert (found.category, found.expert) == ("law", "a"), follow_up


def test_a_clear_short_message_changes_the_subject(router: CategoryRouter) -> None:
    found = router.classify_turns(["tell me of the court", "boil the soup, bake the bread and fry garlic in butter"])
    assert (found.category, found.expert) == ("cooking", "b")


def test_a_long_message_is_read_alone(router: CategoryRouter) -> None:
    long = "please boil the soup with salt and pepper, and bake the bread in the oven with butter and flour"
    assert router.classify_turns([LAW, LAW, long]) == router.classify(long)
    assert router.classify_turns(["the soup"]) == router.classify("the soup")


def test_after_what_was_not_decided_both_messages_are_read(router: CategoryRouter) -> None:
    strange = "dolphin glacier meteor tulip yacht"
    together, found = router.classify(f"{strange}\nwhy?"), router.classify_turns([strange, "why?"])
    assert (found.category, found.in_scope) == (together.category, together.in_scope)
    assert found.probabilities == pytest.approx(together.probabilities, abs=1e-4)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\x00",
        "把鸡蛋煮熟要多久",
        "كم من الوقت",
        "🥚⏲️",
        "e\u0301\u200b",
        "\ud800",
        "x" * 100_000,
        "court " * 20_000,
    ],
)
def test_any_text_has_a_sound_answer(router: CategoryRouter, text: str) -> None:
    for answer in (router.classify(text), router.classify_turns([LAW, text])):
        assert answer.category in {*router.categories, "general"}
        assert 0 <= answer.confidence <= 1
        assert 0 < answer.in_scope <= 1
        assert sum(answer.probabilities.values()) == pytest.approx(1)
        assert answer.expert in {"a", "b"}


def choosing(router: CategoryRouter) -> CategoryRouter:
    """The same router with a chooser that sends `maths` to `a` and all else to `b`, against the map."""
    worth = np.array([[0, 1], [0, 1], [1, 0]], dtype=np.float32)
    chooser = Chooser(Linear("soft", worth, np.zeros(2, np.float32)), ("a", "b"), np.array([0.1, 0.0]))
    return CategoryRouter(replace(router._parts, chooser=chooser), router.encoder)


def test_a_chooser_goes_before_the_map_but_for_what_is_not_decided(router: CategoryRouter) -> None:
    by_prompt = choosing(router)
    assert by_prompt.chooses_by_prompt
    assert by_prompt.experts_to_choose == ("a", "b")
    assert not router.chooses_by_prompt
    assert router.experts_to_choose == ()
    texts = [
        LAW,
        "please prove that the root of a prime is a sum of vector and matrix",
        "dolphin glacier meteor tulip yacht",
    ]
    found = by_prompt.classify_batch(texts)
    assert [(one.category, one.expert) for one in found] == [("law", "b"), ("maths", "a"), ("general", "b")]
    assert by_prompt.with_map(by_prompt.expert_map).classify(LAW).expert == "a"


def test_outcomes_and_chooser_come_back_as_they_were_saved(
    router: CategoryRouter, tmp_path: Path, no_resolve: NoResolve, make_prompts: MakePrompts
) -> None:
    by_prompt = choosing(router)
    by_prompt.save(tmp_path / "router")
    loaded = CategoryRouter.load(tmp_path / "router", no_resolve)
    texts = [row.text for row in make_prompts(30, out_of_scope=20, seed=9)]
    assert loaded.classify_batch(texts) == by_prompt.classify_batch(texts)
    before, after = by_prompt.paired, loaded.paired
    assert before is not None
    assert after is not None
    assert after.experts == before.experts == ("a", "b")
    for name in ("counts", "sums", "squares", "products", "traffic"):
        assert np.array_equal(getattr(after, name), getattr(before, name))
    assert after.traffic.sum() == 240


def test_what_votes_go_by_comes_back_as_it_was_saved(
    word_encoder: StaticEncoder, tmp_path: Path, no_resolve: NoResolve, make_prompts: MakePrompts
) -> None:
    told = make_prompts(40, outcomes=skilled)
    silent = [replace(row, answers={"a": "yes"} if i % 2 else {"a": "yes", "b": "no"}) for i, row in enumerate(told)]
    trained = train(silent, word_encoder)[0]
    trained.save(tmp_path / "router")
    loaded = CategoryRouter.load(tmp_path / "router", no_resolve)
    for router in (trained, loaded):
        assert router.answered is not None
        assert router.paired is not None
        assert router.answered.rows().sum(axis=0).tolist() == [120, 60]
        assert router.paired.rows().sum(axis=0).tolist() == [120, 120]
    unanswered = train(told, word_encoder)[0]
    assert unanswered.answered is unanswered.paired


def test_a_chooser_of_experts_outside_of_the_pool_is_refused(
    router: CategoryRouter, tmp_path: Path, no_resolve: NoResolve
) -> None:
    by_prompt = choosing(router)
    assert by_prompt._parts.chooser is not None
    stranger = replace(by_prompt._parts.chooser, experts=("a", "stranger"))
    CategoryRouter(replace(by_prompt._parts, chooser=stranger), router.encoder).save(tmp_path / "router")
    with pytest.raises(ArtefactError, match="do not fit together"):
        CategoryRouter.load(tmp_path / "router", no_resolve)


def test_a_router_knows_the_prompts_that_it_was_trained_on(
    router: CategoryRouter, saved: Path, no_resolve: NoResolve, make_prompts: MakePrompts
) -> None:
    seen, new = make_prompts(80, outcomes=skilled)[70].text, "a prompt that nobody sent"
    loaded = CategoryRouter.load(saved, no_resolve)
    for one in (router, loaded):
        assert one.knows([seen, f"  {seen.upper()} ", new]).tolist() == [True, True, False]
    assert router.knows([]).tolist() == []


def test_a_forced_router_says_why_for_good(router: CategoryRouter, tmp_path: Path, no_resolve: NoResolve) -> None:
    assert router.provenance.forced is None
    router.forced("it gains nothing").save(tmp_path / "router")
    assert CategoryRouter.load(tmp_path / "router", no_resolve).provenance.forced == "it gains nothing"


def test_attachments_are_part_of_the_directory(router: CategoryRouter, tmp_path: Path, no_resolve: NoResolve) -> None:
    router.save(tmp_path / "router", {"report.md": "gain: 3 points µ"})
    assert (tmp_path / "router" / "report.md").read_text("utf-8") == "gain: 3 points µ"
    (tmp_path / "router" / "report.md").write_text("gain: 9 points", "utf-8")
    with pytest.raises(ArtefactChecksumError, match=r"report\.md"):
        CategoryRouter.load(tmp_path / "router", no_resolve)


def test_only_the_encoder_of_the_training_can_be_put_in(router: CategoryRouter) -> None:
    assert router.with_encoder(router.encoder).classify(LAW) == router.classify(LAW)
    with pytest.raises(EncoderError, match="trained with"):
        router.with_encoder(NoEncoder())


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


@pytest.mark.parametrize(("version", "remedy"), [(VERSION + 1, "upgrade coe"), (VERSION - 1, "train it again")])
def test_another_format_is_refused_with_its_remedy(
    saved: Path, no_resolve: NoResolve, version: int, remedy: str
) -> None:
    manifest = orjson.loads((saved / MANIFEST).read_bytes())
    (saved / MANIFEST).write_bytes(orjson.dumps({**manifest, "version": version}))
    with pytest.raises(ArtefactVersionError, match=f"has format {version}, .*{remedy}"):
        CategoryRouter.load(saved, no_resolve)


def test_a_router_of_an_older_format_is_replaced_by_a_new_one(
    router: CategoryRouter, saved: Path, no_resolve: NoResolve
) -> None:
    manifest = orjson.loads((saved / MANIFEST).read_bytes())
    (saved / MANIFEST).write_bytes(orjson.dumps({**manifest, "version": VERSION - 1}))
    router.save(saved)
    assert CategoryRouter.load(saved, no_resolve).categories == router.categories


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
