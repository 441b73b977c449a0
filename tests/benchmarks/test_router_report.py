"""From rounds of classifying to the published figures, and prompts that are as long as they should be."""

from dataclasses import replace
from pathlib import Path

from tokenizers import Tokenizer

from benchmarks.machine import Machine
from benchmarks.router import MakePrompts, heldout_prompts, unseen_prompts
from benchmarks.router_report import BATCH, Speed, as_json, as_markdown, report

MACHINE = Machine("Some CPU", 2, 24.0, "3.11.7", {"coe": "0.1.0"}, 0.02)
TOKENIZER = Tokenizer.from_file(str(Path(__file__).parents[2] / "configs" / "router" / "tokenizer.json"))


def rounds(*p50_ms: float) -> list[dict[int, Speed]]:
    return [{50: Speed(p50, 2 * p50, 2_000 / p50), 200: Speed(4 * p50, 8 * p50, 500 / p50)} for p50 in p50_ms]


def test_figures_are_medians_and_ratios_are_taken_within_a_round() -> None:
    found = report(MACHINE, {"static": rounds(0.4, 0.5, 4.0), "bare minilm": rounds(10, 20, 40)})
    assert found.speeds["static"]["50"] == Speed(0.5, 1.0, 4_000)
    assert found.ratios == {"bare minilm": {"50": 0.04, "200": 0.04}}
    assert [goal.holds for goal in found.goals] == [True] * 3
    assert "| 0.50 | 1.00 | 4,000 | 2.00 | 4.00 | 1,000 | 1 | 1 |" in as_markdown(found)
    assert '"per_s": 4000' in as_json(found)


def test_a_missed_target_and_a_busy_machine_are_said() -> None:
    text = as_markdown(report(replace(MACHINE, busy_before=0.9), {"static": rounds(1.5)}))
    assert text.count("**missed**") == 3
    assert "Others took 90%" in text


def test_prompts_have_the_tokens_asked_for_and_differ_from_round_to_round() -> None:
    texts = [f"the judge of court number {number} read the verdict aloud" for number in range(100)]
    makers: list[MakePrompts] = [heldout_prompts(texts, TOKENIZER), unseen_prompts(TOKENIZER)]
    for make in makers:
        prompts = make(50, 0)
        assert len(prompts) == 5 * BATCH
        assert {len(TOKENIZER.encode(prompt, add_special_tokens=False).ids) for prompt in prompts} == {50}
        assert prompts == make(50, 0) != make(50, 1)


def test_no_word_comes_twice_where_all_should_be_new() -> None:
    words = [word for prompt in unseen_prompts(TOKENIZER)(50, 0) for word in prompt.split()]
    assert len(set(words)) > 0.9 * len(words)  # words of three letters meet by chance
