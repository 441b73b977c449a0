"""`coe train-expert`: in come a base model and chat rows, out comes a LoRA adapter that an expert can name."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coe.cli.arguments import MoreDataArgument
from coe.finetune.settings import DeviceChoice

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from coe.finetune.result import Progress, Trained


def train_expert(  # noqa: PLR0917 - typer fills them by name
    base: Annotated[
        str, typer.Option("--base", help="Model to adapt: hf:ORG/NAME, path:DIR or wheel:…, as in a configuration.")
    ],
    data: Annotated[
        list[Path],
        typer.Option("--data", help='JSONL (or .gz): {"prompt", "completion"} or {"messages"} ending with the answer.'),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the adapter; an older adapter is replaced.")],
    heldout: Annotated[
        list[Path] | None, typer.Option("--heldout", help="Rows for the held-out loss, instead of a share of --data.")
    ] = None,
    heldout_share: Annotated[
        float, typer.Option("--heldout-share", min=0, max=0.5, help="Share of --data that is held out.")
    ] = 0.05,
    system: Annotated[
        str | None, typer.Option("--system", help="System message of rows without one; serve the expert with the same.")
    ] = None,
    rank: Annotated[int, typer.Option("--rank", min=1, max=512, help="Rank of the adapter.")] = 16,
    alpha: Annotated[int | None, typer.Option("--alpha", min=1, help="Scale; twice the rank where absent.")] = None,
    learning_rate: Annotated[
        float, typer.Option("--lr", min=0, help="Highest learning rate; about 2e-4 for bases of several billions.")
    ] = 1e-3,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Rows computed together.")] = 16,
    accumulate: Annotated[int, typer.Option("--accumulate", min=1, help="Batches whose gradients make a step.")] = 1,
    epochs: Annotated[float, typer.Option("--epochs", min=0, help="Passes over the rows.")] = 2.0,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Steps, instead of --epochs.")] = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=8, help="Longest row; a longer one is named.")] = 1024,
    checkpoint_steps: Annotated[
        int, typer.Option("--checkpoint-steps", min=1, help="Steps between checkpoints and held-out losses.")
    ] = 50,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=2**32 - 1, help="The same seed and data give the same adapter.")
    ] = 0,
    device: Annotated[DeviceChoice, typer.Option("--device", help="Where to train.")] = "auto",
    restart: Annotated[bool, typer.Option("--restart", help="Drop the checkpoints that OUT holds.")] = False,
    more_data: MoreDataArgument = None,
) -> None:
    """Train a LoRA adapter on chat rows; run the same command again to go on after an interruption."""
    from coe.finetune.errors import InterruptedTrainingError
    from coe.finetune.result import Hooks
    from coe.finetune.rows import read_rows
    from coe.finetune.settings import TrainingSettings
    from coe.finetune.training import Split, finetune, resolve_base, split_rows

    settings = TrainingSettings(
        system=system,
        rank=rank,
        alpha=alpha,
        learning_rate=learning_rate,
        batch=batch,
        accumulate=accumulate,
        epochs=epochs,
        steps=steps,
        max_tokens=max_tokens,
        checkpoint_steps=checkpoint_steps,
        seed=seed,
        device=device,
    )
    rows = read_rows([*data, *(more_data or ())], system)
    split = Split(rows, read_rows(heldout, system)) if heldout else split_rows(rows, heldout_share, seed)
    found = resolve_base(base, _say)
    _say(f"{len(split.train)} rows to learn from, {len(split.heldout)} held out; loading {base}")
    with _bar() as bar, _stop_asked() as stopped:
        try:
            trained = finetune(found, split, settings, out, Hooks(_shown_on(bar), stopped), restart=restart)
        except InterruptedTrainingError as error:
            _say(f"{error}: run the same command again to go on")
            raise typer.Exit(130) from error
    typer.echo(_summary(trained, out))


def _say(message: str) -> None:
    typer.echo(message, err=True)


def _bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Columns

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    return Columns(*columns, console=Console(stderr=True), speed_estimate_period=3600)  # steps may take minutes


def _shown_on(bar: Bar) -> Callable[[Progress], None]:
    """What the training tells, as one bar; the time left counts from the step it began with."""
    task = bar.add_task("", total=None, start=False)
    losses: dict[str, float] = {}

    def show(progress: Progress) -> None:
        losses.update({"loss": progress.loss} if progress.loss is not None else {})
        losses.update({"held-out": progress.heldout_loss} if progress.heldout_loss is not None else {})
        described = "  ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
        if not bar.tasks[task].started:
            bar.start_task(task)
        bar.update(task, completed=progress.step, total=progress.steps, description=described)
        if progress.heldout_loss is not None and not bar.console.is_terminal:
            _say(f"step {progress.step} of {progress.steps}: {described}")

    return show


@contextmanager
def _stop_asked() -> Iterator[Callable[[], bool]]:
    """True after the first Ctrl-C or SIGTERM; a second one ends the process as ever."""
    asked = threading.Event()
    before: dict[signal.Signals, object] = {}

    def ask(_: int, __: object) -> None:
        asked.set()
        # Straight to the file: the stream may be in the middle of a line, and does not let itself be entered again.
        os.write(2, b"\nfinishing this step and saving; once more to leave at once\n")
        for asked_by, handler in before.items():
            signal.signal(asked_by, handler)  # type: ignore[arg-type]  # what `signal` gave

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what `signal` gave


def _summary(trained: Trained, out: Path) -> str:
    first, last = trained.heldout_losses[:1], trained.heldout_losses[-1:]
    heldout = f", held-out loss {first[0].value:.4f} to {last[0].value:.4f}" if last else ""
    return f"{out}: {trained.losses[-1].step} steps, loss {trained.losses[-1].value:.4f}{heldout}"
