"""A router that reads words alone (`--encoder words`) has empty vectors; outcomes are learned from all the same."""

import numpy as np

from routers.mapping.estimators import KINDS, Inputs, fit_estimator
from routers.mapping.outcomes import Outcomes


def test_every_estimator_does_without_vectors() -> None:
    posterior = np.repeat(np.eye(2), 60, axis=0)
    outcomes = Outcomes(("cook", "jurist"), np.hstack([posterior[:, :1], np.ones((120, 1))]))
    inputs = Inputs(np.zeros((120, 0), dtype=np.float32), posterior)
    for kind in KINDS:
        estimated = fit_estimator(kind, inputs, outcomes, 0).estimate(inputs)
        assert estimated.shape == (120, 2)
        assert (estimated[60:, 1] > estimated[60:, 0]).all()
