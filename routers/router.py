"""The category router: in comes a prompt's text, out comes its category, or `general` where it will not decide.

text -> clip -> encoder -> vector and prototypes -> linear classifier -> probabilities
             -> lexicon -> words                 ->                   -> in-scope score -> abstain?
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from routers.abstention import GENERAL
from routers.artefact import recover_artefact, verify_artefact, write_artefact
from routers.classifier import Features, in_scope_margin
from routers.encoders.catalogue import open_encoder
from routers.encoders.encoder import Encoder, Resolve, SavedEncoder
from routers.errors import EncoderError
from routers.mapping.expert_map import ExpertMap
from routers.prompts import clip
from routers.prototypes import Prototypes
from routers.record import Provenance, RouterParts, read_parts, write_parts


@dataclass(frozen=True, slots=True)
class Classification:
    """What the router says of one prompt.

    `category`: the likeliest one, or `general` when `abstained`. `probabilities`: calibrated, by category, before
    abstention; they sum to 1. `in_scope` in [0, 1]: the share of in-scope prompts that are less typical.
    `confidence` in [0, 1]: the probability of `category`; when abstained, 1 - `in_scope`.
    """

    category: str
    confidence: float
    abstained: bool
    in_scope: float
    probabilities: dict[str, float]

    @property
    def likeliest(self) -> str:
        """The category that the classifier prefers, abstention or not."""
        return max(self.probabilities, key=self.probabilities.__getitem__)


class CategoryRouter:
    """Immutable and thread-safe. Built by `routers.training.train`, kept by `save`, opened by `load`."""

    def __init__(self, parts: RouterParts, encoder: Encoder) -> None:
        self._parts = parts
        self._encoder = encoder

    @classmethod
    def load(cls, directory: Path, resolve: Resolve) -> "CategoryRouter":
        """Open what `save` wrote. `resolve` makes a folder of the encoder's source, where it has a model.

        Raises ArtefactError (and its kinds) or EncoderError.
        """
        recover_artefact(directory)
        verify_artefact(directory)
        parts = read_parts(directory)
        return cls(parts, open_encoder(parts.encoder, directory, resolve))

    def save(self, directory: Path) -> None:
        """Write a router directory; an older one there becomes `DIRECTORY.previous`. Raises ArtefactError."""
        write_artefact(directory, self._write)

    def _write(self, folder: Path) -> None:
        write_parts(self._parts, folder)
        if isinstance(self._encoder, SavedEncoder):
            self._encoder.save(folder)

    @property
    def categories(self) -> tuple[str, ...]:
        return self._parts.categories

    @property
    def expert_map(self) -> ExpertMap | None:
        """None: learned without outcomes, the map is given elsewhere."""
        return self._parts.expert_map

    @property
    def reject_rate(self) -> float:
        """The share of in-scope prompts, in [0, 1), that the router was made to abstain on."""
        return self._parts.abstention.reject_rate

    @property
    def encoder(self) -> Encoder:
        return self._encoder

    @property
    def prototypes(self) -> Prototypes:
        return self._parts.prototypes

    @property
    def provenance(self) -> Provenance:
        return self._parts.provenance

    def with_map(self, expert_map: ExpertMap | None) -> "CategoryRouter":
        """The same router with another expert map; the encoder is shared."""
        return CategoryRouter(replace(self._parts, expert_map=expert_map), self._encoder)

    def with_encoder(self, encoder: Encoder) -> "CategoryRouter":
        """The same router with its encoder behind a cache, or without one. Raises EncoderError: it is another."""
        if encoder.spec != self._parts.encoder:
            raise EncoderError(f"The router was trained with {self._parts.encoder}, not with {encoder.spec}")
        return CategoryRouter(self._parts, encoder)

    def classify(self, text: str) -> Classification:
        """The category of one prompt. Blocks for the encoder's time; of a long text head and tail are read."""
        return self.classify_batch([text])[0]

    def classify_batch(self, texts: Sequence[str]) -> list[Classification]:
        """The categories of prompts, in order."""
        if not texts:
            return []
        parts = self._parts
        clipped = [clip(text) for text in texts]
        vectors = self._encoder.encode(clipped)
        if vectors.shape != (len(texts), parts.encoder.dim):
            raise EncoderError(f"The encoder gave {vectors.shape}, not {(len(texts), parts.encoder.dim)}")
        features = Features(parts.prototypes.features(vectors), parts.lexicon.features(clipped))
        logits = parts.classifier.logits(features)
        probabilities = parts.classifier.probabilities(logits)
        margin = parts.abstention.signal == "margin"
        signal = in_scope_margin(logits) if margin else parts.prototypes.typicality(vectors)
        scores = parts.abstention.scores(signal)
        rejected = parts.abstention.rejects(scores)
        return [
            self._classification(row, float(score), bool(abstained))
            for row, score, abstained in zip(probabilities.tolist(), scores, rejected, strict=True)
        ]

    def _classification(self, row: list[float], score: float, abstained: bool) -> Classification:
        probabilities = dict(zip(self.categories, row, strict=True))
        best = max(range(len(row)), key=row.__getitem__)
        return Classification(
            category=GENERAL if abstained else self.categories[best],
            confidence=1 - score if abstained else row[best],
            abstained=abstained,
            in_scope=score,
            probabilities=probabilities,
        )
