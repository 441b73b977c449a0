"""Signals: in come a classifier's logits and distances to prototypes, out come scores that fall on strange prompts.

Each is higher the better a prompt belongs to one of the categories:

- `max_probability`: log-odds of the likeliest category (Hendrycks and Gimpel, arXiv 1610.02136);
- `entropy`: minus the entropy of the probabilities, in nats; low, too, where several categories are likely;
- `energy`: log of the summed exponentials of the categories' logits (Liu et al., arXiv 2010.03759);
- `distance`: minus the squared distance to the nearest prototype: nearest neighbours (Sun et al., arXiv 2204.06507)
  among k-means centres, which are fewer than the rows and told out of scope better;
- `margin`: log-odds against the class of out-of-scope prompts, where the classifier has one.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias, assert_never

import numpy as np
from numpy.typing import NDArray

from routers.classifier import softmax
from routers.encoders.encoder import Vectors

Signal: TypeAlias = Literal["max_probability", "entropy", "energy", "distance", "margin"]
ALONE: tuple[Signal, ...] = ("max_probability", "entropy", "energy", "distance")
_LEAST = 1e-12


def measure(
    signals: Sequence[Signal], logits: Vectors, distances: NDArray[np.float64], categories: int
) -> NDArray[np.float64]:
    """(n, signals) from `logits` (n, classes), of which the first `categories` are categories, and `distances` (n,).

    `distances` are squared, to the nearest prototype.
    """
    inside = logits[:, :categories].astype(np.float64)
    return np.column_stack([_signal(name, inside, logits, distances) for name in signals])


def _signal(
    name: Signal, inside: NDArray[np.float64], logits: Vectors, distances: NDArray[np.float64]
) -> NDArray[np.float64]:
    match name:
        case "max_probability":
            highest = softmax(inside.astype(np.float32)).max(axis=1)
            odds: NDArray[np.float64] = np.log(highest + _LEAST) - np.log(1 - highest + _LEAST)
            return odds
        case "entropy":
            shares = softmax(inside.astype(np.float32))
            certainty: NDArray[np.float64] = (shares * np.log(shares + _LEAST)).sum(axis=1)
            return certainty
        case "energy":
            return _energy(inside)
        case "distance":
            return -distances
        case "margin":
            return _energy(inside) - logits[:, -1]
        case _:
            assert_never(name)


def _energy(inside: NDArray[np.float64]) -> NDArray[np.float64]:
    highest = inside.max(axis=1)
    energy: NDArray[np.float64] = highest + np.log(np.exp(inside - highest[:, None]).sum(axis=1))
    return energy
