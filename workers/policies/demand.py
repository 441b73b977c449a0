"""How much each expert is asked for, and how dear it is to lose it: arrivals come in, rates and keep values go out."""

from __future__ import annotations

import math


class Demand:
    """Arrivals per second of each expert, counted with weights that halve every `half_life_s` seconds.

    A rate is no higher than one arrival in the time since the last one, so that an expert whose burst is over does
    not look popular for half-lives more.
    """

    def __init__(self, half_life_s: float) -> None:
        self._decay = math.log(2) / half_life_s
        self._counts: dict[str, tuple[float, float]] = {}  # the count as it was at the last arrival, and its time
        self._total = 0.0
        self._since = self._last = math.inf

    def arrived(self, name: str, now: float) -> None:
        """A request for `name` came."""
        if self._since == math.inf:
            self._since = self._last = now
        count, then = self._counts.get(name, (0.0, now))
        self._counts[name] = (count * math.exp((then - now) * self._decay) + 1, now)
        self._total = self._total * math.exp((self._last - now) * self._decay) + 1
        self._last = now

    def rate(self, name: str, now: float) -> float:
        """Arrivals for `name` per second; 0 where there was none."""
        if name not in self._counts:
            return 0.0
        count, then = self._counts[name]
        rate = count * math.exp((then - now) * self._decay) / self._weight(now)
        return min(rate, 1 / (now - then)) if now > then else rate

    def total_rate(self, now: float) -> float:
        """Arrivals per second; 0 before the first."""
        if self._since == math.inf:
            return 0.0
        return self._total * math.exp((self._last - now) * self._decay) / self._weight(now)

    def _weight(self, now: float) -> float:
        """Seconds that count, each by its weight: those since the first arrival, old ones for less."""
        seen = (1 - math.exp((self._since - now) * self._decay)) / self._decay
        return max(seen, 1e-3)
