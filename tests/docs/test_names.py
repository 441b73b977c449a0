"""What the pages name exists: commands and their options, targets of the Makefile, scripts, benchmarks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from coe.cli.main import app
from tests.docs.pages import REPOSITORY, Page, pages
from tests.docs.shell import coe_calls, commands_of

GROUP = typer.main.get_command(app)
MAKEFILE = (REPOSITORY / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
VARIABLES = set(re.findall(r"^([A-Z]+) [?:]?=", MAKEFILE, re.MULTILINE))
OF_OTHERS = {"--worker-extension-cls": "vLLM's own", "--otlp-traces-endpoint": "vLLM's own"}
PAGES = pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)


def options_of(command: str) -> set[str]:
    found = {"--help", "-h"}
    for parameter in GROUP.commands[command].params:  # type: ignore[attr-defined]  # typer gives a group here
        found |= {*parameter.opts, *parameter.secondary_opts}
    return found


def named_in(page: Page) -> list[str]:
    """Commands in blocks, and what stands between backticks."""
    return [command.text for block in page.blocks("sh") for command in commands_of(block)] + page.code_spans()


def own_sources() -> str:
    """The text of the project's scripts and benchmarks, which take options too."""
    files = [*(REPOSITORY / "benchmarks").rglob("*.py"), *(REPOSITORY / "scripts").iterdir()]
    return "\n".join(_with_what_it_runs(file) for file in files if file.is_file())


@PAGES
def test_commands_and_options_of_coe_exist(page: Page) -> None:
    for text in named_in(page):
        for command, *words in coe_calls(text):
            if command.startswith("-"):
                continue
            assert command in GROUP.commands, f"{page.name}: {text}"  # type: ignore[attr-defined]  # a group
            given = {word.partition("=")[0] for word in words if word.startswith("-") and not _is_number(word)}
            assert given <= options_of(command), f"{page.name}: {text}"


@PAGES
def test_targets_and_variables_of_make_exist(page: Page) -> None:
    for text in named_in(page):
        match = re.match(r"(?:[A-Z_]+=\S+ )*make (?P<words>[^#]*)", text)
        if match is None:
            continue
        for word in match["words"].split():
            name, is_variable, _ = word.partition("=")
            assert name in (VARIABLES if is_variable else TARGETS), f"{page.name}: {text}"


@PAGES
def test_scripts_and_modules_exist_with_their_options(page: Page) -> None:
    for text in named_in(page):
        words = text.removeprefix(".venv/bin/").split()
        if words[:2] == ["python", "-m"] and words[2].startswith("benchmarks."):
            source = _module(words[2])
        elif words and words[0].startswith("scripts/"):
            source = REPOSITORY / words[0]
        else:
            continue
        assert source.is_file(), f"{page.name}: {text}"
        for option in (word for word in words if word.startswith("--")):
            assert f'"{option}"' in _with_what_it_runs(source), f"{page.name}: {text}"


@PAGES
def test_an_option_that_is_named_alone_is_one_of_some_command(page: Page) -> None:
    commands = set().union(*map(options_of, GROUP.commands))  # type: ignore[attr-defined]  # a group
    for span in page.code_spans():
        if span.startswith("--"):
            option = re.split(r"[ =]", span)[0]
            known = option in commands or option in OF_OTHERS or f'"{option}"' in own_sources()
            assert known, f"{page.name}: {span}"


def test_the_options_of_others_are_still_named() -> None:
    spans = {span for page in pages() for span in page.code_spans()}
    assert set(OF_OTHERS) <= spans


def _module(name: str) -> Path:
    file = REPOSITORY / name.replace(".", "/")
    return file / "__main__.py" if file.is_dir() else file.with_suffix(".py")


def _with_what_it_runs(source: Path) -> str:
    """The text of a script, and of the module of the project that it hands its options to."""
    text = source.read_text()
    run = re.search(r"python -m ((?:tests|benchmarks|coe)[\w.]+) .*\$@", text)
    return text + (_module(run[1]).read_text() if run else "")


def _is_number(word: str) -> bool:
    return re.fullmatch(r"-?[\d.]+", word) is not None
