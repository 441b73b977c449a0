"""LoRA adapters: a folder goes in, what an engine must know of it comes out, and the adapter goes into the engine.

Adapters are loaded one by one after the engine has started, not on its command line: there a single broken one would
keep the engine, and with it every other expert on the same model, from starting.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson

from workers.errors import SourceNotFoundError
from workers.spec import ModelSpec

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # those that vLLM takes for --max-lora-rank
_MAX_LORAS = 8  # in one batch, where the model does not say: every one costs memory
_LOAD_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter under the name that the engine shall serve it by."""

    name: str
    directory: Path
    rank: int


def read_adapter(name: str, directory: Path) -> Adapter:
    """Look into an adapter's folder. Raises `SourceNotFoundError` where it is not a LoRA adapter."""
    config = directory / "adapter_config.json"
    try:
        rank = orjson.loads(config.read_bytes())["r"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceNotFoundError(f"`{directory}` holds no LoRA adapter: `{config.name}` has no rank `r`") from error
    if not isinstance(rank, int) or rank < 1:
        raise SourceNotFoundError(f"`{config}` has the rank {rank!r}: it must be a whole number above 0")
    if not (directory / "adapter_model.safetensors").is_file():
        raise SourceNotFoundError(f"`{directory}` has no `adapter_model.safetensors`: save the adapter as safetensors")
    return Adapter(name, directory, rank)


def adapter_arguments(model: ModelSpec, adapters: Sequence[Adapter]) -> list[str]:
    """The command-line arguments that make room for `adapters`; none where there are none."""
    if not adapters:
        return []
    highest = max(adapter.rank for adapter in adapters)
    rank = model.max_lora_rank or next((allowed for allowed in RANKS if allowed >= highest), RANKS[-1])
    batch = model.max_loras or min(len(adapters), _MAX_LORAS)
    kept = max(batch, len(adapters))
    return ["--enable-lora", "--max-loras", f"{batch}", "--max-cpu-loras", f"{kept}", "--max-lora-rank", f"{rank}"]


async def load_adapter(session: aiohttp.ClientSession, base_url: str, adapter: Adapter) -> str | None:
    """Load `adapter` into the engine. Returns None, or why the engine refuses it."""
    body = orjson.dumps({"lora_name": adapter.name, "lora_path": str(adapter.directory)})
    timeout = aiohttp.ClientTimeout(total=_LOAD_TIMEOUT_S)
    try:
        async with session.post(f"{base_url}/v1/load_lora_adapter", data=body, timeout=timeout) as response:
            if response.status == 200:
                return None
            reason = " ".join((await response.text()).split())[:400]
    except (aiohttp.ClientError, TimeoutError) as error:
        reason = f"{type(error).__name__}: {error}"
    return f"the engine refused the adapter in `{adapter.directory}`: {reason}"
