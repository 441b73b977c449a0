"""LoRA adapters on their way into an engine: the room it keeps for them, a copy of each, and the engine's endpoints.

Adapters are loaded one by one after the engine has started, not on its command line: there a single broken one would
keep the engine, and with it every other expert on the same model, from starting.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson

from workers.adapters.check import CONFIG_FILE, RANKS, WEIGHTS_FILE, AdapterConfig, highest_rank
from workers.errors import AdapterRefusedError, EngineAwayError
from workers.openai_errors import engine_is_dead
from workers.spec import ModelSpec

_DEFAULT_RANK = 16
_MAX_LORAS = 8  # in one batch, where the model does not say: every one costs memory
_LOAD_TIMEOUT_S = 120.0
_COPIED_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class LoraRoom:
    """What an engine keeps ready for adapters, from its start to its end.

    How many, of which rank at most, in how many slots (so many may be in one batch), and in which layers, by the last
    part of their names; `layers` empty: in all.
    """

    adapters: int
    max_rank: int
    slots: int
    layers: frozenset[str] = frozenset()

    @property
    def contended(self) -> bool:
        """Whether adapters take turns in the slots."""
        return self.adapters > self.slots


@dataclass(frozen=True, slots=True)
class AdapterCopy:
    """An adapter as it was when it was copied. `digest` is the SHA-256 of its two files."""

    directory: Path
    digest: str


def lora_room(model: ModelSpec, configs: Sequence[AdapterConfig | None], usual: frozenset[str]) -> LoraRoom:
    """Room for adapters with these `configs` (at least one), None for one that cannot be read yet.

    Their highest rank is only a guess where the model does not say. Room is in the `usual` layers alone where all
    adapters keep to them. With the output layer among them vLLM computes a zero for every token of the vocabulary, and
    ends when a request with `prompt_logprobs` runs beside another (vllm-project/vllm#16668).
    """
    read = [config for config in configs if config is not None]
    highest = max((_rank(config) for config in read), default=0) or _DEFAULT_RANK
    rank = model.max_lora_rank or next((rank for rank in RANKS if rank >= highest), RANKS[-1])
    layers = usual if all(_targets(config) <= usual for config in read) else frozenset()
    return LoraRoom(len(configs), rank, model.max_loras or min(len(configs), _MAX_LORAS), layers)


def _rank(config: AdapterConfig) -> int:
    try:
        return highest_rank(config)
    except AdapterRefusedError:  # told when it is loaded
        return 0


def _targets(config: AdapterConfig) -> frozenset[str]:
    """The layers that the adapter says it changes; a pattern stands for itself."""
    given = config.get("target_modules") or []
    return frozenset(str(name) for name in (given if isinstance(given, list) else [given]))


def lora_arguments(room: LoraRoom) -> list[str]:
    """The engine's command-line arguments. One adapter more is kept, for the time that one takes another's place."""
    kept = max(room.slots, room.adapters + 1)
    sizes = {"--max-loras": room.slots, "--max-cpu-loras": kept, "--max-lora-rank": room.max_rank}
    layers = ["--lora-target-modules", *sorted(room.layers)] if room.layers else []
    return ["--enable-lora", *(text for option, size in sizes.items() for text in (option, f"{size}")), *layers]


def copy_adapter(source: Path, target: Path) -> AdapterCopy:
    """Copy the adapter's files into the new folder `target`. Blocks. Raises `AdapterRefusedError`.

    What was checked is then what is served: an engine may read an adapter again at any time, and one that finds half
    of a new version in its place ends with every request in it.
    """
    digest = hashlib.sha256()
    try:
        target.mkdir(parents=True)
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            with (source / name).open("rb") as original, (target / name).open("wb") as copy:
                while piece := original.read(_COPIED_BYTES):
                    digest.update(piece)
                    copy.write(piece)
            digest.update(b"\0")
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise AdapterRefusedError(
            f"there is no `{missing}`: save the adapter as safetensors, with PEFT's `save_pretrained`"
        ) from error
    except OSError as error:
        raise AdapterRefusedError(
            f"it cannot be copied to `{target}` ({error}): make its files readable, or make room"
        ) from error
    return AdapterCopy(target, digest.hexdigest())


async def load_adapter(session: aiohttp.ClientSession, base_url: str, served_name: str, directory: Path) -> None:
    """Load the adapter into the engine. Raises `AdapterRefusedError`, or `EngineAwayError` where the engine ended."""
    refusal = await _post(
        session, f"{base_url}/v1/load_lora_adapter", {"lora_name": served_name, "lora_path": str(directory)}
    )
    if refusal:
        if engine_is_dead(refusal):
            raise EngineAwayError(f"the engine ended while it loaded an adapter ({refusal}): it is started again")
        raise AdapterRefusedError(f"the engine said: {refusal}; train it for this model, or see the engine's log lines")


async def unload_adapter(session: aiohttp.ClientSession, base_url: str, served_name: str) -> str | None:
    """Let the engine forget the adapter. Returns None, or why it would not. Raises `EngineAwayError`."""
    return await _post(session, f"{base_url}/v1/unload_lora_adapter", {"lora_name": served_name})


async def _post(session: aiohttp.ClientSession, url: str, body: dict[str, str]) -> str | None:
    timeout = aiohttp.ClientTimeout(total=_LOAD_TIMEOUT_S)
    try:
        async with session.post(url, data=orjson.dumps(body), timeout=timeout) as response:
            return None if response.status == 200 else " ".join((await response.text()).split())[:400]
    except TimeoutError:
        return f"no answer within {_LOAD_TIMEOUT_S:.0f} s"
    except aiohttp.ClientError as error:
        raise EngineAwayError(
            f"the engine ended while it was asked about an adapter ({type(error).__name__}: {error}): it is started "
            "again, try then"
        ) from error
