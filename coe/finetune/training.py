"""`coe train-expert`, without its terminal: rows and a base go in, a folder with an adapter comes out."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from coe.finetune.adapter import CHECKPOINTS, refuse_foreign, write_adapter
from coe.finetune.card import render_card
from coe.finetune.checkpoints import Checkpoints
from coe.finetune.errors import BaseModelError, CheckpointError, SplitError
from coe.finetune.result import Hooks, Trained
from coe.finetune.rows import ChatRow, fingerprint
from coe.finetune.settings import TrainingSettings
from coe.finetune.tokens import tokenize
from coe.runtime import cache_directory
from workers.sources.resolution import resolve


@dataclass(frozen=True, slots=True)
class Base:
    """A base model: `source` as a person names it, `folder` where its files are."""

    source: str
    folder: Path

    @property
    def hub_name(self) -> str:
        """As model hubs and peft name it; the source itself where no hub has it."""
        return self.source.removeprefix("hf:").partition("@")[0] if self.source.startswith("hf:") else self.source


@dataclass(frozen=True, slots=True)
class Split:
    """Rows to learn from, and rows to measure the held-out loss with."""

    train: Sequence[ChatRow]
    heldout: Sequence[ChatRow]


def resolve_base(source: str, say: Callable[[str], None]) -> Base:
    """Fetch and convert what `source` names, as for a configuration's models. Raises SourceError."""
    return Base(source, resolve(source, cache_directory(), say))


def split_rows(rows: Sequence[ChatRow], share: float, seed: int) -> Split:
    """Hold out `share` of the rows, at least one where the share is above 0. Raises SplitError."""
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)  # noqa: S311 - chance, not secrecy
    count = max(1, round(share * len(rows))) if share else 0
    if count >= len(rows):
        raise SplitError(f"{len(rows)} row(s) are too few to hold {count} out: give more, or --heldout-share 0")
    held = set(order[:count])
    return Split([row for index, row in enumerate(rows) if index not in held], [rows[index] for index in sorted(held)])


def finetune(
    base: Base, split: Split, settings: TrainingSettings, out: Path, hooks: Hooks, *, restart: bool
) -> Trained:
    """Train and write the adapter to `out`; go on from the checkpoints there where an earlier run was ended.

    Raises:
        DataError: a row is too long, or not for the base's chat template.
        BaseModelError: the base cannot be trained.
        CheckpointError: `out` holds other files or the checkpoints of another run, or cannot be written.
        InterruptedTrainingError: `hooks` said to stop; a checkpoint was left.
        DeviceError, DivergedError: see `coe.finetune.trainer.train`.
    """
    refuse_foreign(out)
    run = _describe(base, split, settings)
    checkpoints = Checkpoints(out / CHECKPOINTS, run)
    try:
        resume_from = checkpoints.open(restart=restart)
        trained, completion_tokens = _train(
            base, split, settings, hooks, checkpoints=checkpoints.folder, resume_from=resume_from
        )
        facts = {key: value for key, value in run.items() if key != "base"} | {"completion_tokens": completion_tokens}
        facts |= {"computed_on": trained.device, "computed_in": trained.dtype, "made_with": _versions()}
        card = render_card(base.hub_name, facts, settings.system, trained.losses, trained.heldout_losses)
        write_adapter(out, trained.weights, _adapter_config(base, settings, trained), card)
        checkpoints.remove()
    except OSError as error:
        raise CheckpointError(f"`{out}` cannot be written: {error}") from error
    return trained


def _train(
    base: Base, split: Split, settings: TrainingSettings, hooks: Hooks, *, checkpoints: Path, resume_from: Path | None
) -> tuple[Trained, int]:
    """What was trained, and on how many completion tokens a pass over the rows."""
    from transformers import AutoTokenizer  # noqa: PLC0415 - takes seconds, and bad input is found before

    from coe.finetune.trainer import train  # noqa: PLC0415 - loads torch and transformers, seconds

    try:
        tokenizer = AutoTokenizer.from_pretrained(base.folder)
    except (OSError, ValueError) as error:
        raise BaseModelError(f"no tokenizer can be loaded from `{base.folder}`: {error}") from error
    examples = tokenize(split.train, tokenizer, settings.max_tokens)
    trained = train(
        base.folder,
        examples=examples,
        heldout=tokenize(split.heldout, tokenizer, settings.max_tokens),
        settings=settings,
        checkpoints=checkpoints,
        resume_from=resume_from,
        hooks=hooks,
    )
    return trained, sum(len(example.completion) for example in examples)


def _adapter_config(base: Base, settings: TrainingSettings, trained: Trained) -> dict[str, object]:
    return {
        "base_model_name_or_path": base.hub_name,
        "bias": "none",
        "lora_alpha": settings.alpha or 2 * settings.rank,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": settings.rank,
        "target_modules": trained.targets,
        "task_type": "CAUSAL_LM",
    }


def _describe(base: Base, split: Split, settings: TrainingSettings) -> dict[str, object]:
    """All that decides the weights, but for the machine and for what lies behind the base's source."""
    chosen = dataclasses.asdict(settings) | {"steps": settings.steps_for(len(split.train))}
    return {
        "base": base.source,
        "settings": chosen,
        "data": sorted({row.file.name for row in split.train}),
        "rows": len(split.train),
        "data_sha256": fingerprint(split.train),
        "heldout_rows": len(split.heldout),
        "heldout_sha256": fingerprint(split.heldout),
    }


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in ("coe", "peft", "torch", "transformers")}
