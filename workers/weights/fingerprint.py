"""What an engine's weights answer: a fixed prompt's forward pass goes in, a vector that tells weights apart comes out.

Every log-probability depends on all layers, so weights that are not whole, or of another checkpoint, show in it. On a
CPU the same weights give the same bits, also in another process; on a GPU kernels may sum in another order, and a small
distance is allowed. Of a mixture-of-experts model the pass reads only those experts that the prompt is routed to.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import orjson

from workers.engine.control import EngineControl, EngineRefusedError
from workers.errors import WeightsMismatchError
from workers.weights.content import write_record

_TOKENS = 16  # of the prompt: twice as many cost 15 ms more on a core, half of them tell as much
_STRIDE = 7919  # a prime, so that the tokens lie all over the vocabulary
_GPU_TOLERANCE = 0.05  # in nats; two adapters merged into one base were 2.2 apart


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The log-probability of each token of the prompt but the first, in nats."""

    logprobs: tuple[float, ...]

    def distance(self, other: "Fingerprint") -> float:
        """The largest difference of two log-probabilities, in nats; infinite between prompts of other lengths."""
        if len(self.logprobs) != len(other.logprobs):
            return math.inf
        return max((abs(a - b) for a, b in zip(self.logprobs, other.logprobs, strict=True)), default=0.0)


def fingerprint_prompt(vocabulary: int) -> list[int]:
    """Token numbers below `vocabulary`, which no tokenizer has to make."""
    return [(17 + number * _STRIDE) % vocabulary for number in range(_TOKENS)]


async def take_fingerprint(
    control: EngineControl, served_name: str, prompt: Sequence[int], *, timeout_s: float
) -> Fingerprint:
    """Raises `WeightsMismatchError` where the weights give no numbers, else as `EngineControl`."""
    body = {"model": served_name, "prompt": prompt, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}
    try:
        answer = await control.post("/v1/completions", body=body, timeout_s=timeout_s)
        tokens = cast("Any", answer)["choices"][0]["prompt_logprobs"][1:]  # what is not there is caught
        logprobs = tuple(float(next(iter(token.values()))["logprob"]) for token in tokens)
    except EngineRefusedError as error:
        raise WeightsMismatchError(f"the weights cannot answer ({error}): the engine is started again") from error
    except (LookupError, TypeError, ValueError, StopIteration) as error:
        raise WeightsMismatchError("the weights answer with no numbers: the engine is started again") from error
    if len(logprobs) != len(prompt) - 1 or not all(map(math.isfinite, logprobs)):
        raise WeightsMismatchError("the weights answer with NaN: the engine is started again")
    return Fingerprint(logprobs)


class FingerprintRecords:
    """The first fingerprint of every checkpoint, by the digest of its content, in memory and in `folder`.

    `engine` and `prompt` are all else that the numbers depend on; records of others are not met.
    """

    def __init__(self, folder: Path, engine: str, prompt: Sequence[int]) -> None:
        self.folder = folder
        self._engine = hashlib.sha256(f"{engine} {prompt}".encode()).hexdigest()[:16]
        self._tolerance = _GPU_TOLERANCE if engine.startswith("cuda") else 0.0
        self._known: dict[str, Fingerprint] = {}

    def matches(self, first: Fingerprint, second: Fingerprint) -> bool:
        return first.distance(second) <= self._tolerance

    def find(self, digest: str) -> Fingerprint | None:
        if digest not in self._known and (stored := self._read(digest)):
            self._known[digest] = stored
        return self._known.get(digest)

    def add(self, digest: str, fingerprint: Fingerprint) -> None:
        self._known[digest] = fingerprint
        write_record(self._file(digest), orjson.dumps(fingerprint))

    def _file(self, digest: str) -> Path:
        return self.folder / f"{digest}-{self._engine}.json"

    def _read(self, digest: str) -> Fingerprint | None:
        try:
            numbers = orjson.loads(self._file(digest).read_bytes())["logprobs"]
            return Fingerprint(tuple(float(number) for number in numbers))
        except (OSError, ValueError, KeyError, TypeError):
            return None
