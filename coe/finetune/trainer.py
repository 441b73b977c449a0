"""The loop: a base folder and examples go in, LoRA weights and losses come out. Imports torch; import it late.

transformers' Trainer does accumulation, schedule, clipping and checkpoints. Ours are the loss (over completions alone),
the order of the rows, the held-out loss, and stopping when asked to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from peft.helpers import disable_input_dtype_casting
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from coe.finetune.batches import IGNORED, collate, training_order
from coe.finetune.errors import BaseModelError, DeviceError, DivergedError, InterruptedTrainingError
from coe.finetune.result import Hooks, Loss, Progress, Trained
from coe.finetune.settings import DeviceChoice, TrainingSettings
from coe.finetune.tokens import Example

HELDOUT = "heldout_loss"


def train(
    base: Path,
    *,
    examples: Sequence[Example],
    heldout: Sequence[Example],
    settings: TrainingSettings,
    checkpoints: Path,
    resume_from: Path | None,
    hooks: Hooks,
) -> Trained:
    """Train an adapter over the model in `base`, leaving checkpoints in `checkpoints`.

    The same arguments on the same machine give the same weights, bit for bit on a CPU, resumed or not.

    Raises:
        BaseModelError: no causal language model can be loaded from `base`.
        DeviceError: a GPU is asked for and there is none, or it is too small.
        DivergedError: the loss is no number any more.
        InterruptedTrainingError: `hooks.stopped` said so; a checkpoint was left.
    """
    on_gpu = _chosen_gpu(settings.device)
    bf16 = _computes_bf16(on_gpu=on_gpu)
    set_seed(settings.seed)
    model = _with_adapter(base, settings, torch.bfloat16 if bf16 else torch.float32)
    steps = settings.steps_for(len(examples))
    order = training_order(
        [len(example) for example in examples],
        batch=settings.batch,
        steps=steps * settings.accumulate,
        seed=settings.seed,
    )
    watcher = _Watcher(heldout, settings, hooks)
    trainer = _CompletionTrainer(
        model=model,
        args=_arguments(settings, steps, checkpoints, bf16=bf16, on_gpu=on_gpu),
        train_dataset=[examples[index] for index in order],
        data_collator=collate,
        callbacks=[watcher],
    )
    watcher.trainer = trainer
    trainer.remove_callback(PrinterCallback)
    try:
        with disable_input_dtype_casting(model) if bf16 else nullcontext():
            trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    except torch.OutOfMemoryError as error:
        raise DeviceError("the GPU's memory is full: lower --batch, and raise --accumulate as much") from error
    if trainer.state.global_step < steps:
        raise InterruptedTrainingError(f"stopped after step {trainer.state.global_step} of {steps}")
    return _result(model, trainer.state, "gpu" if on_gpu else "cpu", "bfloat16" if bf16 else "float32")


def _chosen_gpu(choice: DeviceChoice) -> bool:
    available = bool(torch.cuda.is_available())
    if choice == "gpu" and not available:
        raise DeviceError("torch finds no GPU here: train with --device cpu, or install torch for your GPU")
    return available and choice != "cpu"


def _computes_bf16(*, on_gpu: bool) -> bool:
    if on_gpu:
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())  # noqa: SLF001  no public name


def _with_adapter(base: Path, settings: TrainingSettings, dtype: torch.dtype) -> PeftModel:
    try:
        model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, attn_implementation="sdpa")
        model.config.use_cache = False
        alpha = settings.alpha or 2 * settings.rank
        config = LoraConfig(r=settings.rank, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM")
        return get_peft_model(model, config)
    except (OSError, ValueError, SafetensorError) as error:
        raise BaseModelError(f"no causal language model can be trained from `{base}`: {error}") from error


def _arguments(
    settings: TrainingSettings, steps: int, checkpoints: Path, *, bf16: bool, on_gpu: bool
) -> TrainingArguments:
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=steps,
        per_device_train_batch_size=settings.batch,
        gradient_accumulation_steps=settings.accumulate,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=int(settings.warmup * steps),
        max_grad_norm=1.0,
        bf16=bf16,
        use_cpu=not on_gpu,
        seed=settings.seed,
        train_sampling_strategy="sequential",  # the order is in the dataset
        remove_unused_columns=False,
        dataloader_pin_memory=on_gpu,
        save_steps=settings.checkpoint_steps,
        save_total_limit=2,  # where the newest is half written, the one before it still stands
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to=[],
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # noqa: SLF001  else batches are split over all GPUs of the machine
    return arguments


class _CompletionTrainer(Trainer):  # type: ignore[misc]  # transformers is not typed
    """A Trainer whose loss is over completions."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.model_accepts_loss_kwargs = True  # makes it count the labels of accumulated batches, but for the first

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,  # the signature is theirs
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        assert not return_outputs
        tokens = num_items_in_batch if num_items_in_batch is not None else (inputs["labels"] != IGNORED).sum()
        return summed_loss(model, inputs) / tokens


def summed_loss(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Negative log-likelihood of the batch's labels, summed over tokens, in nats; a scalar in float32."""
    given = {name: tensor for name, tensor in batch.items() if name != "labels"}
    labels = batch["labels"]
    logits = model(**given, logits_to_keep=labels.shape[1]).logits[:, :-1].float()
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum"
    )


class _Watcher(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Measures the held-out loss with each checkpoint, tells of progress, and stops between two steps."""

    trainer: _CompletionTrainer

    def __init__(self, heldout: Sequence[Example], settings: TrainingSettings, hooks: Hooks) -> None:
        self._heldout = sorted(heldout, key=len)
        self._batch = settings.batch
        self._every = settings.checkpoint_steps
        self._hooks = hooks

    def on_train_begin(self, _: TrainingArguments, state: TrainerState, __: TrainerControl, **___: object) -> None:
        if state.global_step == 0:
            self._measure()
        self._hooks.progress(Progress(state.global_step, state.max_steps))

    def on_log(
        self,
        _: TrainingArguments,
        state: TrainerState,
        __: TrainerControl,
        logs: dict[str, float] | None = None,
        **___: object,
    ) -> None:
        found = logs or {}
        if not all(math.isfinite(found.get(name, 0.0)) for name in ("loss", HELDOUT)):
            raise DivergedError(
                f"the loss is no number any more at step {state.global_step}: lower --lr, and --restart"
            )
        self._hooks.progress(Progress(state.global_step, state.max_steps, found.get("loss"), found.get(HELDOUT)))

    def on_step_end(self, _: TrainingArguments, state: TrainerState, control: TrainerControl, **__: object) -> None:
        if state.global_step % self._every == 0 or state.global_step == state.max_steps:
            self._measure()
            control.should_log = True  # the log of the held-out loss has put it off
        if self._hooks.stopped() and state.global_step < state.max_steps:
            control.should_save = True
            control.should_training_stop = True

    def _measure(self) -> None:
        if not self._heldout:
            return
        model = self.trainer.model
        model.eval()
        total, tokens = 0.0, 0
        with torch.no_grad():
            for start in range(0, len(self._heldout), self._batch):
                batch = collate(self._heldout[start : start + self._batch])
                total += float(summed_loss(model, {name: tensor.to(model.device) for name, tensor in batch.items()}))
                tokens += int((batch["labels"] != IGNORED).sum())
        model.train()
        self.trainer.log({HELDOUT: total / tokens})


def _result(model: PeftModel, state: TrainerState, device: str, dtype: str) -> Trained:
    weights = {
        name: tensor.detach().to("cpu", torch.bfloat16).contiguous()
        for name, tensor in sorted(get_peft_model_state_dict(model).items())
    }
    targets = tuple(sorted({name.rpartition(".")[2] for name in model.targeted_module_names}))
    return Trained(
        weights, targets, _history(state, "loss"), _history(state, HELDOUT), device=device, dtype=dtype
    )  # fmt: skip


def _history(state: TrainerState, name: str) -> tuple[Loss, ...]:
    return tuple(Loss(int(entry["step"]), float(entry[name])) for entry in state.log_history if name in entry)
