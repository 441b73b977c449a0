"""Whether an engine answers as it should: the checkpoint that it was given goes in, nothing or an error comes out.

What a checkpoint answered when it was first loaded is recorded, and later loads must answer the same.
"""

import asyncio
from pathlib import Path

from workers.engine.control import EngineControl, EngineRefusedError
from workers.errors import CheckpointRefusedError, WeightsMismatchError
from workers.weights.checkpoint import Checkpoint
from workers.weights.family import Accepted
from workers.weights.fingerprint import Fingerprint, FingerprintRecords, fingerprint_prompt, take_fingerprint

AGAIN = "the engine is started again"
_ENCODERS = frozenset({"vision_config", "audio_config"})  # of models that cache what they made of images and sound


class Verification:
    """Of one engine in one life, whose requests have ended. Calls must not overlap.

    Raises `WeightsMismatchError`, and `EngineAwayError` where the engine has ended or does not answer in time.
    """

    def __init__(
        self, control: EngineControl, *, served_name: str, base: Checkpoint, engine: str, cache_dir: Path
    ) -> None:
        """`engine`: all that answers depend on beside the weights. Raises `CheckpointRefusedError`."""
        self._control = control
        self._served_name = served_name
        self._prompt = fingerprint_prompt(_vocabulary(base))
        self._records = FingerprintRecords(cache_dir / "fingerprints", engine, self._prompt)
        self._encodes = not _ENCODERS.isdisjoint(base.config)
        self._last: tuple[str, Fingerprint] | None = None

    async def knows(self, known: Accepted) -> bool:
        """Whether it is recorded what the checkpoint answers."""
        return await asyncio.to_thread(self._records.find, known.digest) is not None

    async def forget_caches(self, *, timeout_s: float) -> None:
        """Let the engine forget what it keeps of other weights."""
        try:
            done = await self._control.post("/reset_prefix_cache", timeout_s=timeout_s)
            if self._encodes:
                await self._control.post("/reset_encoder_cache", timeout_s=timeout_s)
        except EngineRefusedError as error:
            raise WeightsMismatchError(f"what was cached was not forgotten ({error}): {AGAIN}") from error
        if done.get("success") is not True:
            raise WeightsMismatchError(f"requests ran while the weights were replaced: {AGAIN}")

    async def compare(self, known: Accepted, *, timeout_s: float) -> None:
        """See that it answers as at the checkpoint's first load; at that, that it answers otherwise than before."""
        found = await take_fingerprint(self._control, self._served_name, self._prompt, timeout_s=timeout_s)
        expected = await asyncio.to_thread(self._records.find, known.digest)
        if expected and not self._records.matches(expected, found):
            raise WeightsMismatchError(
                f"the weights of `{known.checkpoint.directory}` answer otherwise than when they were first loaded, by "
                f"{expected.distance(found):.3g} nats: {AGAIN}; where that does not help, delete "
                f"`{self._records.folder}`"
            )
        if not expected:
            if self._last and self._last[0] != known.digest and self._last[1] == found:
                raise WeightsMismatchError(f"the engine still answers as before: {AGAIN}")
            await asyncio.to_thread(self._records.add, known.digest, found)
        self._last = (known.digest, found)


def _vocabulary(checkpoint: Checkpoint) -> int:
    text = checkpoint.config.get("text_config")
    for config in (checkpoint.config, text if isinstance(text, dict) else {}):
        if isinstance(size := config.get("vocab_size"), int) and size > 0:
            return size
    raise CheckpointRefusedError("its `config.json` has no `vocab_size`: an engine of its own cannot be verified")
