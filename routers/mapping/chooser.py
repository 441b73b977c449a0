"""The chooser: in come a prompt's vector and probabilities, out comes the expert with the best score for its price.

It stands in for the expert map where validation found it better. Prompts that the classifier will not decide go to the
map's default.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routers.errors import MapError
from routers.mapping.estimators import Estimator, Inputs


@dataclass(frozen=True, slots=True, eq=False)
class Chooser:
    """`experts` in the order of the estimator's columns; `prices` (experts,): what each must be worth to be asked."""

    estimator: Estimator
    experts: tuple[str, ...]
    prices: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.prices.shape != (len(self.experts),):
            raise MapError(f"{len(self.experts)} experts have prices of shape {self.prices.shape}")

    def experts_for(self, inputs: Inputs) -> Sequence[str]:
        """The expert of each row."""
        return self.best(self.estimator.estimate(inputs))

    def best(self, expected: NDArray[np.float64]) -> Sequence[str]:
        """The expert of each row of expected scores (n, experts)."""
        return [self.experts[i] for i in (expected - self.prices).argmax(axis=1)]
