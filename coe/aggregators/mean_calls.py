"""A budget on the mean number of calls a request: requests earn, calls spend, and what is saved is bounded."""

from __future__ import annotations

_SAVED_REQUESTS = 20  # requests' worth of calls that may be spent later


class MeanCalls:
    """Over any `n` requests at most `n * target` calls and what was saved before; one process counts for itself.

    The idea of null experts (AdaMoE, arXiv 2406.13233): where the budget is used up, a place is taken by an expert
    that costs nothing.

    Args:
        target: calls that a request may take on average, above 0.
    """

    def __init__(self, target: float) -> None:
        self._target = target
        self._most = max(1.0, target * _SAVED_REQUESTS)
        self._saved = 0.0

    def arrive(self) -> None:
        """A request comes and earns its mean."""
        self._saved = min(self._most, self._saved + self._target)

    def take(self, calls: int) -> bool:
        """Spends, if as much is there."""
        if calls > self._saved + 1e-9:
            return False
        self._saved -= calls
        return True
