"""Stage one, fitted: in come sorted rows and an encoder, out come classifier and abstention, and predictions.

Of every row that took part, the predictions are those of a model that did not see it, so that what is learned from
them (which expert serves which category) holds for new prompts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routers.abstention import Abstention, fit_abstention
from routers.classifier import Features, LinearClassifier
from routers.encoders.encoder import Encoder, Vectors
from routers.lexicon import Lexicon, fit_lexicon
from routers.mapping.estimators import Inputs
from routers.normalise import normalise
from routers.prompts import LabelledPrompt
from routers.prototypes import Prototypes
from routers.rows import MIN_ROWS, SortedRows
from routers.signals import measure
from routers.spelling import Spelling, fit_spelling
from routers.validation import HeldOut, Rows, cross_validate

Progress = Callable[[int, int], None]
_Key = tuple[str, str | None, bool]


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Of n prompts: `inputs`, and `found` (n,): the category from 0, or the number of categories for `general`."""

    inputs: Inputs
    found: NDArray[np.int64]

    def __getitem__(self, rows: NDArray[np.int64]) -> "Predictions":
        return Predictions(self.inputs[rows], self.found[rows])


@dataclass(frozen=True, slots=True, eq=False)
class StageOne:
    """`rows` took part in the fit; `predictions` are of these and, behind them, of the other prompts of the data.

    `places`: where the prediction of a prompt is, by text, category and whether it is labelled.
    """

    categories: tuple[str, ...]
    rows: Rows
    held_out: HeldOut
    spelling: Spelling
    lexicon: Lexicon
    prototypes: Prototypes
    classifier: LinearClassifier
    abstention: Abstention
    predictions: Predictions
    places: dict[_Key, int]

    def predicted(self, prompts: Sequence[LabelledPrompt]) -> Predictions:
        """Of `prompts` of the data that this was fitted on, in order."""
        return self.predictions[np.array([self.places[_key(prompt)] for prompt in prompts], dtype=np.int64)]

    def labels(self, prompts: Sequence[LabelledPrompt]) -> NDArray[np.int64]:
        """(n,): true categories from 0, the number of categories for out of scope, -1 where there is no label."""
        place = {category: i for i, category in enumerate(self.categories)}
        out_of_scope = len(self.categories)
        return np.array(
            [-1 if not prompt.labelled else place.get(prompt.category or "", out_of_scope) for prompt in prompts],
            dtype=np.int64,
        )


def fit_stage_one(
    rows: SortedRows,
    encoder: Encoder,
    *,
    reject_rate: float,
    seed: int,
    encoding: Progress | None = None,
    validating: Progress | None = None,
) -> StageOne:
    """Fit on `rows`; out-of-scope ones are a class of their own where there are enough for every fold."""
    categories = tuple(rows.by_category())
    labelled, others = _parted(rows)
    prompts = [*labelled, *others]
    requests = [normalise(prompt.text) for prompt in prompts]
    # Of the labelled rows alone, as is the lexicon: what is not known to be of the traffic shall not weigh its words.
    spelling = fit_spelling(requests[: len(labelled)], encoder.words())
    texts = [spelling.correct(request) for request in requests]
    vectors = encoder.encode(texts, encoding)
    lexicon = fit_lexicon(texts[: len(labelled)])
    features = Features(vectors, lexicon.features(texts))
    own, rest = np.arange(len(labelled)), np.arange(len(labelled), len(prompts))
    unlabelled = np.array([i for i in rest if not prompts[i].labelled], dtype=np.int64)
    place = {category: i for i, category in enumerate(categories)}
    labels = np.array([place.get(prompt.category or "", len(categories)) for prompt in labelled], dtype=np.int64)
    fitting = Rows(features[own], labels, len(categories), features[unlabelled] if len(unlabelled) else None)
    held_out = cross_validate(fitting, seed, validating)
    classifier, prototypes = held_out.recipe.fit(fitting, seed), fitting.prototypes(seed)
    signals = held_out.evidence.signals
    inside = measure(signals, held_out.logits, held_out.distances, len(categories))[fitting.inside]
    abstention = fit_abstention(inside, held_out.evidence, reject_rate)
    logits = np.vstack([held_out.logits, classifier.logits(features[rest])])
    distances = np.concatenate([held_out.distances, prototypes.nearest(vectors[rest])])
    return StageOne(
        categories=categories,
        rows=fitting,
        held_out=held_out,
        spelling=spelling,
        lexicon=lexicon,
        prototypes=prototypes,
        classifier=classifier,
        abstention=abstention,
        predictions=_predict(classifier, abstention, vectors, logits, distances),
        places={_key(prompt): i for i, prompt in enumerate(prompts)},
    )


def _parted(rows: SortedRows) -> tuple[list[LabelledPrompt], list[LabelledPrompt]]:
    """Those that the classifier is fitted on, and the others."""
    if len(rows.out_of_scope) >= MIN_ROWS:
        return [*rows.in_scope, *rows.out_of_scope], [*rows.unlabelled]
    return [*rows.in_scope], [*rows.out_of_scope, *rows.unlabelled]


def _predict(
    classifier: LinearClassifier,
    abstention: Abstention,
    vectors: Vectors,
    logits: Vectors,
    distances: NDArray[np.float64],
) -> Predictions:
    posterior = classifier.probabilities(logits)
    categories = posterior.shape[1]
    scores = abstention.scores(measure(abstention.evidence.signals, logits, distances, categories))
    found = np.where(abstention.rejects(scores), categories, posterior.argmax(axis=1))
    return Predictions(Inputs(vectors, posterior), found)


def _key(prompt: LabelledPrompt) -> _Key:
    return (prompt.text, prompt.category, prompt.labelled)
