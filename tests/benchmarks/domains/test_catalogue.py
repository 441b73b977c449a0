"""What holds of every domain: repeatable draws, a held-out split of its own, references that are right."""

from pathlib import Path
from statistics import mean

import pytest

from benchmarks.domains.catalogue import DOMAINS, TRAINED
from benchmarks.domains.task import Domain, Split, Task, TrainedDomain
from coe.config.load import load_config
from coe.runtime import cache_directory
from workers.sources.resolution import resolve

CONFIG = Path(__file__).parents[3] / "configs" / "local.yaml"
SPLITS: tuple[Split, ...] = ("train", "heldout")
GARBAGE = (
    "",
    " ",
    "I do not know.",
    "\x00",
    "{",
    "```",
    "Answer:",
    "{" * 5_000,
    "[" * 7_000,
    "x" * 100_000,
    "9" * 7_000,
)

every_domain = pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)
every_trained = pytest.mark.parametrize("domain", TRAINED.values(), ids=TRAINED)
every_split = pytest.mark.parametrize("split", SPLITS)


@every_domain
def test_the_same_seed_draws_the_same_tasks_and_another_seed_others(domain: Domain) -> None:
    drawn = domain.generate("heldout", 40, seed=3)
    assert drawn == domain.generate("heldout", 40, seed=3)
    assert [task.prompt for task in drawn] != [task.prompt for task in domain.generate("heldout", 40, seed=4)]


@every_domain
def test_no_prompt_and_no_id_repeats_in_a_split(domain: Domain) -> None:
    drawn = domain.generate("heldout", 100, seed=0)
    assert len({task.prompt for task in drawn}) == len({task.id for task in drawn}) == 100


@every_trained
def test_a_train_split_of_four_thousand_rows_shares_no_prompt_with_the_heldout_split(domain: TrainedDomain) -> None:
    train = {task.prompt for task in domain.generate("train", 4_000, seed=0)}
    assert len(train) == 4_000
    assert train.isdisjoint(task.prompt for task in domain.generate("heldout", 500, seed=0))


@every_trained
def test_the_heldout_split_has_wordings_and_vocabulary_of_its_own(domain: TrainedDomain) -> None:
    assert domain.wordings("train").isdisjoint(domain.wordings("heldout"))
    assert domain.vocabulary("train").isdisjoint(domain.vocabulary("heldout"))
    assert len(domain.wordings("train")) >= 25
    assert len(domain.wordings("heldout")) >= 12


@every_trained
@every_split
def test_every_reference_completion_is_right(domain: TrainedDomain, split: Split) -> None:
    assert [task for task in domain.generate(split, 60, seed=1) if not domain.score(task, task.completion)] == []


@every_trained
def test_the_completion_of_another_task_is_hardly_ever_right(domain: TrainedDomain) -> None:
    tasks = domain.generate("heldout", 60, seed=2)
    shifted = [*tasks[1:], tasks[0]]
    right = sum(domain.score(task, other.completion) for task, other in zip(tasks, shifted, strict=True))
    assert right <= 3


@every_domain
@pytest.mark.timeout(20)
def test_garbage_is_wrong_and_raises_nothing(domain: Domain) -> None:
    for task in domain.generate("heldout", 3, seed=0):
        assert not any(domain.score(task, garbage) for garbage in GARBAGE)


@every_domain
def test_a_right_answer_in_too_long_a_text_is_wrong(domain: Domain) -> None:
    (task,) = domain.generate("heldout", 1, seed=0)
    assert not domain.score(task, task.completion + " " * 100_000)


@every_trained
@every_split
def test_rows_fit_the_budget_of_training_on_a_cpu(domain: TrainedDomain, split: Split, base_folder: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(base_folder / "tokenizer.json"))
    tasks: list[Task] = domain.generate(split, 200, seed=0)
    prompts = [len(tokenizer.encode(task.prompt).ids) for task in tasks]
    completions = [len(tokenizer.encode(task.completion).ids) for task in tasks]
    assert max(prompts) <= 90
    assert max(completions) <= 45
    assert mean(prompts) + mean(completions) <= 85


@pytest.fixture(scope="module")
def base_folder() -> Path:
    """The base of the adapters that ship, converted where no test has needed it yet."""
    source = load_config(CONFIG, {}).config.models["smollm2"].source
    assert source is not None
    return resolve(source, cache_directory(), lambda _: None)
