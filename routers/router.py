"""The category router: in comes what a user said, out come its category and the expert to ask, or `general`.

text -> read -> encoder -> vector -> linear classifier -> probabilities -> category -> expert map, or chooser -> expert
             -> lexicon -> words ->                    -> signals, distance to prototypes -> abstain?
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from routers.abstention import GENERAL
from routers.artefact import recover_artefact, verify_artefact, write_artefact
from routers.classifier import Features
from routers.encoders.catalogue import open_encoder
from routers.encoders.encoder import Encoder, Resolve, SavedEncoder, Vectors
from routers.errors import EncoderError
from routers.mapping.estimators import Inputs
from routers.mapping.expert_map import ExpertMap
from routers.mapping.paired import PairedScores
from routers.marks import text_marks
from routers.normalise import normalise
from routers.prompts import SHORT_CHARS, clip, last_words
from routers.prototypes import Prototypes
from routers.record import Provenance, RouterParts, read_parts, write_parts
from routers.signals import measure

# A short message changes the subject of a conversation where it is this clear on its own.
CHANGES_SUBJECT = 0.8


@dataclass(frozen=True, slots=True)
class Classification:
    """What the router says of one prompt.

    `category`: the likeliest one, or `general` when `abstained`. `probabilities`: calibrated, by category, before
    abstention; they sum to 1. `in_scope` in (0, 1]: the share of in-scope prompts that are no more at home.
    `confidence` in [0, 1]: the probability of `category`; when abstained, 1 - `in_scope`. `expert`: whom the learned
    map or chooser would ask; None where the router learned none. `scores`: what the chooser expects of each of
    `CategoryRouter.experts_to_choose`; empty without a chooser.
    """

    category: str
    confidence: float
    abstained: bool
    in_scope: float
    probabilities: dict[str, float]
    expert: str | None = None
    scores: tuple[float, ...] = ()

    @property
    def likeliest(self) -> str:
        """The category that the classifier prefers, abstention or not."""
        return max(self.probabilities, key=self.probabilities.__getitem__)


class _Choice(NamedTuple):
    expert: str | None
    scores: tuple[float, ...] = ()


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

    def save(self, directory: Path, attachments: Mapping[str, str] | None = None) -> None:
        """Write a router directory; an older one there becomes `DIRECTORY.previous`. Raises ArtefactError.

        `attachments`: texts by file name that go with it, such as the report on its training.
        """

        def write(folder: Path) -> None:
            write_parts(self._parts, folder)
            if isinstance(self._encoder, SavedEncoder):
                self._encoder.save(folder)
            for name, text in (attachments or {}).items():
                (folder / name).write_text(text, encoding="utf-8")

        write_artefact(directory, write)

    @property
    def categories(self) -> tuple[str, ...]:
        return self._parts.categories

    @property
    def expert_map(self) -> ExpertMap | None:
        """None: learned without outcomes, the map is given elsewhere."""
        return self._parts.expert_map

    @property
    def paired(self) -> PairedScores | None:
        """The outcomes that the map was learned from, by category and `general`; None where it was not learned."""
        return self._parts.paired

    @property
    def answered(self) -> PairedScores | None:
        """As `paired`, without outcomes of experts that gave no answer, as far as the data told; votes go by these."""
        return self._parts.paired if self._parts.answered is None else self._parts.answered

    @property
    def chooses_by_prompt(self) -> bool:
        """Whether experts are chosen prompt by prompt, and not by category alone."""
        return self._parts.chooser is not None

    @property
    def experts_to_choose(self) -> tuple[str, ...]:
        """Whom it may ask prompt by prompt; none where it asks by category."""
        return () if self._parts.chooser is None else self._parts.chooser.experts

    @property
    def prototypes(self) -> Prototypes:
        return self._parts.prototypes

    @property
    def reject_rate(self) -> float:
        """The share of in-scope prompts, in [0, 1), that goes to `general`."""
        return self._parts.abstention.reject_rate

    def knows(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """(n,): which texts were among those that it was trained on; case and white space do not count."""
        known: NDArray[np.bool_] = np.isin(text_marks(texts), self._parts.seen)
        return known

    @property
    def encoder(self) -> Encoder:
        return self._encoder

    @property
    def provenance(self) -> Provenance:
        return self._parts.provenance

    def with_map(
        self,
        expert_map: ExpertMap | None,
        paired: PairedScores | None = None,
        answered: PairedScores | None = None,
    ) -> "CategoryRouter":
        """The same router with another expert map and its outcomes, and no chooser; the encoder is shared."""
        parts = replace(self._parts, expert_map=expert_map, paired=paired, answered=answered, chooser=None)
        return CategoryRouter(parts, self._encoder)

    def with_provenance(self, provenance: Provenance) -> "CategoryRouter":
        """The same router that says of itself what only its trainer's caller knows."""
        return CategoryRouter(replace(self._parts, provenance=provenance), self._encoder)

    def knowing(self, texts: Sequence[str], outcomes_until: float | None = None) -> "CategoryRouter":
        """The same router, to which `texts` are known, and scores of answers up to `outcomes_until` (unix seconds)."""
        until = self.provenance.outcomes_until if outcomes_until is None else outcomes_until
        provenance = replace(self.provenance, outcomes_until=until)
        seen = np.union1d(self._parts.seen, text_marks(texts))
        return CategoryRouter(replace(self._parts, seen=seen, provenance=provenance), self._encoder)

    def with_outcomes_of(self, other: "CategoryRouter") -> "CategoryRouter":
        """The same router with the map and the outcomes of `other`, trained on all that `other` was trained on."""
        mine, its = self._parts, other._parts  # noqa: SLF001 - of the same class
        provenance = replace(its.provenance, metrics={**its.provenance.metrics, **mine.provenance.metrics})
        parts = replace(
            mine,
            expert_map=its.expert_map,
            paired=its.paired,
            answered=its.answered,
            chooser=None,
            seen=its.seen,
            provenance=provenance,
        )
        return CategoryRouter(parts, self._encoder)

    def with_encoder(self, encoder: Encoder) -> "CategoryRouter":
        """The same router with its encoder behind a cache, or without one. Raises EncoderError: it is another."""
        if encoder.spec != self._parts.encoder:
            raise EncoderError(f"The router was trained with {self._parts.encoder}, not with {encoder.spec}")
        return CategoryRouter(self._parts, encoder)

    def forced(self, reason: str) -> "CategoryRouter":
        """The same router, marked as written although `reason` spoke against it."""
        provenance = replace(self._parts.provenance, forced=reason)
        return CategoryRouter(replace(self._parts, provenance=provenance), self._encoder)

    def read(self, text: str) -> str:
        """What of `text` is classified: the request without what stands around it, clipped, slips corrected."""
        return self._parts.spelling.correct(clip(normalise(_readable(text))))

    def classify(self, text: str) -> Classification:
        """The category of one prompt. Blocks for the encoder's time; of a long text head and tail are read."""
        return self.classify_batch([text])[0]

    def classify_turns(self, turns: Sequence[str]) -> Classification:
        """The category of what a user said last; `turns` are what the user said so far, one or more.

        A short message ("and in French?") stays on the category of what was said before, unless it is clear on its
        own and does not read otherwise after it.
        """
        last = turns[-1]
        if len(turns) == 1 or len(last) >= SHORT_CHARS:
            return self.classify(last)
        alone, together, before = self.classify_batch([last, last_words(turns), last_words(turns[:-1])])
        if alone.confidence >= CHANGES_SUBJECT and not alone.abstained and together.likeliest == alone.category:
            return alone
        return together if before.abstained else before

    def classify_batch(self, texts: Sequence[str]) -> list[Classification]:
        """The categories of prompts, in order."""
        if not texts:
            return []
        parts = self._parts
        read = [self.read(text) for text in texts]
        vectors = self._encoder.encode(read)
        if vectors.shape != (len(texts), parts.encoder.dim):
            raise EncoderError(f"The encoder gave {vectors.shape}, not {(len(texts), parts.encoder.dim)}")
        logits = self._logits(read, vectors)
        probabilities = parts.classifier.probabilities(logits)
        signals = parts.abstention.evidence.signals
        distances = parts.prototypes.nearest(vectors) if "distance" in signals else np.zeros(len(texts))
        scores = parts.abstention.scores(measure(signals, logits, distances, len(self.categories)))
        abstained = parts.abstention.rejects(scores)
        found = np.where(abstained, len(self.categories), probabilities.argmax(axis=1))
        experts = self._experts(found, vectors, probabilities)
        return [
            self._classification(*row)
            for row in zip(found.tolist(), probabilities.tolist(), scores.tolist(), experts, strict=True)
        ]

    def _logits(self, read: Sequence[str], vectors: Vectors) -> Vectors:
        classifier, lexicon = self._parts.classifier, self._parts.lexicon
        if len(read) == 1:
            return classifier.logits_of_one(vectors, *lexicon.row(read[0]))
        return classifier.logits(Features(vectors, lexicon.features(read)))

    def _experts(
        self, found: NDArray[np.int64], vectors: Vectors, probabilities: NDArray[np.float64]
    ) -> Sequence[_Choice]:
        expert_map, chooser = self._parts.expert_map, self._parts.chooser
        if expert_map is None:
            return [_Choice(None)] * len(found)
        names = (*self.categories, GENERAL)
        mapped = [expert_map.expert_for(names[i]) for i in found.tolist()]
        if chooser is None:
            return [_Choice(expert) for expert in mapped]
        expected = chooser.estimator.estimate(Inputs(vectors, probabilities))
        undecided = len(self.categories)
        return [
            _Choice(of_map if i == undecided else own, tuple(scores))
            for i, of_map, own, scores in zip(found, mapped, chooser.best(expected), expected.tolist(), strict=True)
        ]

    def _classification(self, found: int, row: list[float], score: float, choice: _Choice) -> Classification:
        abstained = found == len(self.categories)
        return Classification(
            category=GENERAL if abstained else self.categories[found],
            confidence=1 - score if abstained else row[found],
            abstained=abstained,
            in_scope=score,
            probabilities=dict(zip(self.categories, row, strict=True)),
            expert=choice.expert,
            scores=choice.scores,
        )


def _readable(text: str) -> str:
    """With `?` for halves of surrogate pairs: a shell makes them of bytes that are no text; no encoder takes them."""
    return text.encode(errors="replace").decode()
