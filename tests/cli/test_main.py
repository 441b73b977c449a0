import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from coe import __version__
from coe.cli import main as main_module
from coe.errors import ConfigError
from tests.cli.commands import Coe
from workers.errors import SourceError, WorkerError

REPOSITORY = Path(__file__).parents[2]
COMMANDS = (
    "serve",
    "check",
    "prepare",
    "ps",
    "load",
    "unload",
    "pin",
    "unpin",
    "chat",
    "schema",
    "route",
    "train-router",
    "eval-plan",
    "eval-router",
    "discover",
    "feedback",
    "rollback-router",
    "plan-placement",
)
HEAVY = ("ray", "torch", "vllm", "transformers", "sklearn", "sentence_transformers", "numpy", "aiohttp", "starlette")


def test_help_shows_every_command(coe: Coe) -> None:
    shown = coe("--help")
    assert shown.code == 0
    for command in COMMANDS:
        assert command in shown.out
        assert coe(command, "--help").code == 0


def test_help_is_quick_because_it_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['coe', '--help']\n"
        "from coe.cli.main import main\n"
        "try: main()\n"
        f"finally: sys.stderr.write(' '.join(sorted({set(HEAVY)!r} & set(sys.modules))))"
    )
    started = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert ended.stderr == ""
    assert "Usage" in ended.stdout
    assert time.monotonic() - started < 5  # 0.5 s where nothing else runs


def test_version(coe: Coe) -> None:
    assert coe("--version").out == f"{__version__}\n"


@pytest.mark.parametrize("arguments", [["nonsense"], ["check", "--nonsense"], ["route"]])
def test_a_wrong_command_line_is_bad_input(coe: Coe, arguments: list[str]) -> None:
    ended = coe(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "Usage" in ended.err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ConfigError("wrong key"), 2, "error: wrong key\n"),
        (SourceError("no such model"), 2, "error: no such model\n"),
        (WorkerError("it broke"), 1, "error: it broke\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_are_one_message_and_an_exit_code(
    coe: Coe, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, message: str
) -> None:
    app = typer.Typer()

    @app.command()
    def fail() -> None:
        raise error

    # as the real application does, which tells expected errors without a traceback
    app.pretty_exceptions_enable = False
    monkeypatch.setattr(main_module, "app", app)
    ended = coe()
    assert (ended.code, ended.out, ended.err) == (code, "", message)
