"""The adapters that ship were made from what the generators write today, and are served as they were taught."""

from pathlib import Path

import pytest
import yaml

from benchmarks.domains.catalogue import TRAINED
from coe.config.load import load_config
from coe.finetune.rows import ChatRow, fingerprint
from coe.finetune.training import split_rows
from coe.messages import Message

CONFIG = Path(__file__).parents[3] / "configs" / "local.yaml"
HELDOUT_SHARE = 0.02  # as in scripts/train-adapters


def card_of(domain: str) -> dict[str, object]:
    card = yaml.safe_load((CONFIG.parent / "adapters" / domain / "README.md").read_text().split("---\n")[1])
    assert isinstance(card, dict)
    return card


@pytest.mark.parametrize("domain", TRAINED)
def test_the_generator_still_writes_the_rows_that_the_card_names(domain: str) -> None:
    card = card_of(domain)
    settings = card["settings"]
    assert isinstance(settings, dict)
    assert isinstance(card["rows"], int)
    assert isinstance(card["heldout_rows"], int)
    tasks = TRAINED[domain].generate("train", card["rows"] + card["heldout_rows"], seed=0)
    system = Message("system", settings["system"])
    rows = [
        ChatRow((system, Message("user", task.prompt)), task.completion, Path("rows.jsonl"), line)
        for line, task in enumerate(tasks, start=1)
    ]
    assert fingerprint(split_rows(rows, HELDOUT_SHARE, settings["seed"]).train) == card["data_sha256"]


@pytest.mark.parametrize("domain", TRAINED)
def test_each_adapter_is_served_over_its_base_with_its_system_message(domain: str) -> None:
    config = load_config(CONFIG, {}).config
    (expert,) = (expert for expert in config.experts.values() if expert.adapter == f"path:adapters/{domain}")
    card = card_of(domain)
    settings = card["settings"]
    assert isinstance(settings, dict)
    assert expert.system == settings["system"]
    assert config.models[expert.model].source == card["base_model"]
