from collections.abc import Callable
from pathlib import Path

import pytest

from coe.config.load import LoadedConfig, load_config
from coe.errors import ConfigError

Load = Callable[..., LoadedConfig]
Mistakes = Callable[..., list[str]]


def error(file: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(file, {})
    return str(caught.value)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert error(tmp_path / "none.yaml").endswith(
        "none.yaml: cannot read the configuration: No such file or directory."
    )
    assert "Is a directory" in error(tmp_path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"a: [1\nb: 2\n", "service.yaml:2: not valid YAML: "),
        (b"a: b\n\tc: d\n", "service.yaml:2: not valid YAML: "),
        (b"a: *nobody\n", "service.yaml:1: not valid YAML: found undefined alias"),
        (b"a: !!python/object:os.system {}\n", "service.yaml:1: not valid YAML: could not determine a constructor"),
        (b"a: 2026-13-45\n", "service.yaml: not valid YAML: month must be in 1..12"),
        (b"a: 1\n---\nb: 2\n", "service.yaml:2: not valid YAML: but found another document"),
        (b"a: \x00\n", "service.yaml: not valid YAML: "),
        (b"\xff\xfe\x00", "service.yaml: not a UTF-8 text file."),
        (b"", "service.yaml: the file must be a mapping with the keys `models`"),
        (b"a: &a [*a]\n", "service.yaml: nested too deeply, or an alias stands inside of what it names."),
        (b"a: " + b"[" * 3000, "service.yaml: nested too deeply"),
        (b"- a\n", "service.yaml: the file must be a mapping with the keys `models`"),
    ],
)
def test_what_is_no_mapping_in_yaml_is_told(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "service.yaml").write_bytes(content)
    assert error(tmp_path / "service.yaml").removeprefix(f"{tmp_path}/").startswith(found)


def test_a_key_that_is_set_twice_is_told_with_both_lines(mistakes: Mistakes) -> None:
    assert mistakes("    system: Rhyme.", "    model: base") == [
        "service.yaml:14: `experts.poet.model` was already set on line 13; keep one."
    ]
    assert "`experts.poet` was already set on line 12" in mistakes("workers:", "  poet: {}\nworkers:")[0]


def test_the_environment_goes_over_the_file(load: Load) -> None:
    config = load(COE_SERVER__PORT="9000", COE_ROUTER__GENERAL="poet", coe_server__host="ignored").config
    assert (config.server.port, config.router.general, config.server.host) == (9000, "poet", "127.0.0.1")


def test_underscores_in_the_environment_match_dashes(load: Load) -> None:
    config = load(COE_WORKERS__LOCAL_1__MAX_RUNNING="3", COE_EXPERTS__POET__SYSTEM="Sing.").config
    assert config.workers["local-1"].max_running == 3
    assert config.experts["poet"].system == "Sing."


def test_values_of_the_environment_are_yaml(load: Load) -> None:
    config = load(COE_WORKERS__LOCAL_1__EXPERTS="[generalist, poet]", COE_MODELS__NEW="{source: 'path:x'}").config
    assert config.workers["local-1"].experts == ["generalist", "poet"]
    assert config.models["new"].source == "path:x"


def test_a_section_that_the_file_lacks_can_be_made_by_the_environment(load: Load) -> None:
    assert load(COE_CACHE__MODE="greedy").config.cache.mode == "greedy"


def test_other_variables_are_left_alone(load: Load) -> None:
    assert load(COE_HOME="/x", COE_URL="http://x", OTHER__THING="1", COE="2").config == load().config


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("COE_SERVER__PORT", "many", "server.port: Input should be a valid integer"),
        ("COE_SERVER__PORT", "70000", "server.port: Input should be less than or equal to 65535"),
        ("COE_SERVER__PORT", "", "server.port: Input should be a valid integer"),
        ("COE_SERVER__PROT", "1", "server.prot: unknown key; did you mean `port`?"),
        ("COE_SERVRE__PORT", "1", "servre: unknown key; did you mean `server`?"),
        ("COE_SERVER__PORT__MORE", "1", "server.port: Input should be a valid integer"),
        ("COE_ROUTER__GENERAL", "nobody", "router.general: there is no expert `nobody`"),
        ("COE_LOGS__LEVEL", "[oops", "logs.level: Input should be 'debug'"),
        ("COE_LOGS__LEVEL", "2026-13-45", "logs.level: Input should be 'debug'"),
    ],
)
def test_a_wrong_variable_is_named(mistakes: Mistakes, name: str, value: str, found: str) -> None:
    assert mistakes(**{name: value})[0].startswith(f"environment variable {name}: {found}")


def test_keys_that_are_no_text_do_not_confuse_the_environment(mistakes: Mistakes) -> None:
    assert "experts.7" in mistakes("  poet:", "  7:", COE_EXPERTS__GENERALIST__SYSTEM="x")[0]
