"""The configurations that ship: they load, and editors accept them."""

import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]  # it ships no types
import pytest
import yaml

from coe.config.load import load_config
from coe.config.reference import json_schema, markdown

CONFIGS = Path(__file__).parents[2] / "configs"
SHIPPED = sorted(CONFIGS.glob("*.yaml"))


def test_the_schema_that_ships_is_the_codes() -> None:
    assert (CONFIGS / "schema.json").read_text() == json_schema(), "run `make reference`"


def test_the_reference_that_ships_is_the_codes() -> None:
    assert (CONFIGS.parent / "docs" / "configuration.md").read_text() == markdown(), "run `make reference`"


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_a_shipped_configuration_loads_and_follows_the_schema(file: Path) -> None:
    load_config(file, {})
    jsonschema.validate(yaml.safe_load(file.read_text()), json.loads(json_schema()))
    assert file.read_text().startswith("# yaml-language-server: $schema=schema.json\n")


def test_the_schema_refuses_what_the_code_refuses() -> None:
    document = yaml.safe_load((CONFIGS / "local.yaml").read_text())
    for section, key, value in (("server", "port", "many"), ("server", "prot", 1), ("models", "smollm2", {"x": 1})):
        broken = {**document, section: {**document[section], key: value}}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, json.loads(json_schema()))


def test_the_default_configuration_is_there() -> None:
    assert CONFIGS / "local.yaml" in SHIPPED
    assert load_config(CONFIGS / "local.yaml", {}).config.router.general == "generalist"
