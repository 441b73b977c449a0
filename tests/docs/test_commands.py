"""Every command of README.md and docs/ that needs no running service runs as it is printed there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.conftest import WriteExamples
from tests.docs.execution import ENDS_WITH, LEFT_OUT, WITH_SERVICE, assert_runs, beginning, how, prepare_folder
from tests.docs.pages import LANGUAGES, pages
from tests.docs.shell import documented_commands

COMMANDS = documented_commands()
ALONE = [command for command in COMMANDS if how(command) == "alone"]
PROGRAMS = ("coe ", ".venv/bin/", "make ", "curl ", "$ ", "python -m ", "docker ", "kubectl ", "helm ", "redis-cli ")


@pytest.mark.docs
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", sorted({command.page for command in ALONE}))
def test_the_commands_of_a_page_run_in_their_order(
    name: str, write_examples: WriteExamples, tiny_base: Path, tmp_path: Path
) -> None:
    prepare_folder(tmp_path)
    write_examples(tmp_path)
    commands = [command for command in ALONE if command.page == name]
    if any("coe make-trace" in command.text for command in commands):
        (tmp_path / "experts.json").unlink()  # that command makes it, of another form
    values = {"path:DIR": f"path:{tiny_base}", "hf:ORG/NAME": f"path:{tiny_base}"}
    for command in commands:
        assert_runs(command, tmp_path, values)


@pytest.mark.parametrize("table", [LEFT_OUT, WITH_SERVICE, ENDS_WITH], ids=["left out", "with service", "refused"])
def test_no_entry_of_a_table_is_about_a_command_that_is_gone(table: dict[str, object]) -> None:
    used = {beginning(command.text, table) for command in COMMANDS}
    assert set(table) <= used


def test_commands_stand_in_blocks_of_sh() -> None:
    """Elsewhere these tests would not see them."""
    for page in pages():
        for block in page.blocks():
            assert block.language in LANGUAGES, f"{block.place}: write sh, python, yaml, json, text or nothing"
            if block.language in {"", "text"}:
                hidden = [line for line in block.text.splitlines() if line.startswith(PROGRAMS)]
                assert not hidden, f"{block.place}: {hidden[0]}"
