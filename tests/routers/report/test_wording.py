import pytest

from routers.gain import Gain
from routers.report.document import ReportDocument
from routers.report.wording import findings, gain, headline, p_value, percent, shortened
from tests.routers.report.documents import written


def test_the_headline_is_the_gain_with_its_interval() -> None:
    assert headline(written()) == (
        "Routing gains +2.13 [+1.08, +3.19] points over the best single expert, generalist: 56.1 % against 54.0 % on "
        "90 held-out rows (p < 0.001)."
    )


def test_an_objection_is_the_headline() -> None:
    forced = written(objection="it gains nothing")
    assert headline(forced) == "This router was written by force: it gains nothing."
    refused = forced.model_copy(update={"forced": False})
    assert headline(refused) == "This router should not be used: it gains nothing."


def test_where_no_expert_fits_alone_there_is_no_comparison() -> None:
    document = written()
    assert document.outcomes is not None
    policies = tuple(one for one in document.outcomes.policies if one.name != "best single")
    alone = document.outcomes.model_copy(update={"policies": policies, "best_single": None})
    assert "no single expert fits the limits alone" in headline(document.model_copy(update={"outcomes": alone}))


def test_without_outcomes_the_headline_is_the_accuracy(without_outcomes: ReportDocument) -> None:
    assert "It learned no experts, because the data hold no outcomes." in headline(without_outcomes)


def test_who_chooses_is_told_where_it_is_not_the_map() -> None:
    document = written()
    assert document.outcomes is not None
    soft = document.model_copy(update={"outcomes": document.outcomes.model_copy(update={"chosen": "soft"})})
    assert any("prompt by prompt (soft)" in line for line in findings(soft))
    assert not any("prompt by prompt" in line for line in findings(document))


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (percent(0.1234), "12.3 %"),
        (percent(None), "-"),
        (gain(Gain()), "-"),
        (gain(Gain(-0.01, (-0.02, 0.003), 0.1)), "-1.00 [-2.00, +0.30]"),
        (p_value(0.0009), "< 0.001"),
        (p_value(0.04), "0.040"),
        (p_value(0.04, sign=True), "= 0.040"),
        (shortened("a\n\x1b[31m  b", 60), "a [31m b"),
        (shortened("abcdef", 4), "abc…"),
        (shortened("\x00", 4), "?"),
    ],
)
def test_numbers_and_names_as_they_are_read(shown: str, expected: str) -> None:
    assert shown == expected
