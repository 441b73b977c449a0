"""Made traces: what shall be asked for, and a seed, come in; experts and requests in order of arrival come out.

Popularity follows Zipf's law and requests arrive as a Poisson process, unless a kind of trace says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from workers.policies import Cost
from workers.simulator.trace import GB, Request

Kind: TypeAlias = Literal["zipf", "drift", "bursts", "moa"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Popularity: TypeAlias = NDArray[np.float64]

_DRIFTS = 10  # how often all of the popularity has moved on by the end of a trace
_BURST_S = 60.0
_BURST_SHARE = 0.7
_PLANS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSpec:
    """What a made trace is like.

    Attributes:
        requests: how many; of `moa` about as many.
        rate: arrivals per second, in the mean.
        service_s: mean seconds of service; they vary by a log-normal distribution with sigma 0.5.
        exponent: of Zipf's law; 0: all are as popular.
        fan_out: of `moa`: how many experts answer one prompt.
        merge_after_s: of `moa`: seconds from a prompt until one more expert is asked to merge the answers, which is
            announced with the prompt; None: nobody merges.
    """

    requests: int = 10_000
    rate: float = 1.0
    service_s: float = 0.5
    exponent: float = 1.0
    fan_out: int = 3
    merge_after_s: float | None = None


def make_experts(count: int, seed: int, *, size_gb: float = 14.0, spread: float = 0.4) -> dict[str, Cost]:
    """`count` experts of about `size_gb`, `spread` being the sigma of a log-normal distribution.

    Loads take what 25 GB/s from host memory and 3 GB/s from disk come to, each within a quarter.
    """
    random = np.random.default_rng(seed)
    sizes = size_gb * np.exp(random.normal(0, spread, count) - spread**2 / 2)
    host = sizes / 25 * random.uniform(0.75, 1.25, count)
    disk = host + sizes / 3 * random.uniform(0.75, 1.25, count)
    return {
        f"expert-{index:03}": Cost(
            size=round(float(size) * GB), load_s={"host": round(float(quick), 4), "disk": round(float(slow), 4)}
        )
        for index, (size, quick, slow) in enumerate(zip(sizes, host, disk, strict=True))
    }


def make_trace(kind: Kind, names: Sequence[str], spec: TraceSpec, seed: int) -> list[Request]:
    """A trace over experts called `names`, of which chance says who is popular."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(names))
    weights = np.arange(1, len(names) + 1, dtype=np.float64) ** -spec.exponent
    popularity: Popularity = weights / weights.sum()
    drawn = _DRAWS[kind](random, popularity, spec)
    services = spec.service_s * np.exp(random.normal(0, 0.5, len(drawn)) - 0.125)
    return [
        Request(
            round(float(t), 4),
            names[order[rank]],
            round(float(service_s), 4),
            None if announced is None else round(float(announced), 4),
        )
        for (t, rank, announced), service_s in zip(drawn, services, strict=True)
    ]


class _Drawn(NamedTuple):
    t: float
    rank: int
    announced: float | None = None


_Draw: TypeAlias = list[_Drawn]


def _zipf(random: np.random.Generator, popularity: Popularity, spec: TraceSpec) -> _Draw:
    """The same popularity from the first request to the last."""
    times = np.cumsum(random.exponential(1 / spec.rate, spec.requests))
    return _drawn(times, random.choice(len(popularity), spec.requests, p=popularity))


def _drift(random: np.random.Generator, popularity: Popularity, spec: TraceSpec) -> _Draw:
    """Experts fall in popularity, one after the other, and others take their place."""
    drawn = _zipf(random, popularity, spec)
    step = spec.requests / (_DRIFTS * len(popularity) ** 0.5)
    return [_Drawn(t, (rank + int(number / step)) % len(popularity)) for number, (t, rank, _) in enumerate(drawn)]


def _bursts(random: np.random.Generator, popularity: Popularity, spec: TraceSpec) -> _Draw:
    """A background of 30 % by Zipf's law; the others come in bursts of a minute, each for an expert of any rank."""
    background = round(spec.requests * (1 - _BURST_SHARE))
    end = spec.requests / spec.rate
    times = random.uniform(0, end, background)
    drawn = _drawn(times, random.choice(len(popularity), background, p=popularity))
    while len(drawn) < spec.requests:
        count = min(int(random.geometric(0.05)), spec.requests - len(drawn))
        begin, rank = random.uniform(0, end), int(random.integers(len(popularity)))
        drawn += [_Drawn(t, rank) for t in begin + random.uniform(0, _BURST_S, count)]
    return sorted(drawn)


def _moa(random: np.random.Generator, popularity: Popularity, spec: TraceSpec) -> _Draw:
    """Prompts go to one of 100 plans, popular by Zipf's law; each asks its `fan_out` experts at once, and another one
    to merge what they say.
    """
    members = spec.fan_out + (spec.merge_after_s is not None)
    plans = [random.choice(len(popularity), members, replace=False, p=popularity) for _ in range(_PLANS)]
    weights = np.arange(1, _PLANS + 1) ** -1.0
    prompts = max(1, spec.requests // spec.fan_out)
    times = np.cumsum(random.exponential(spec.fan_out / spec.rate, prompts))
    chosen = random.choice(_PLANS, prompts, p=weights / weights.sum())
    drawn = [
        _Drawn(t, int(rank)) for t, plan in zip(times, chosen, strict=True) for rank in plans[plan][: spec.fan_out]
    ]
    if spec.merge_after_s is None:
        return drawn
    merges = [_Drawn(t + spec.merge_after_s, int(plans[plan][-1]), t) for t, plan in zip(times, chosen, strict=True)]
    return sorted(drawn + merges, key=lambda asked: asked.t)


def _drawn(times: NDArray[np.float64], ranks: NDArray[np.int64]) -> _Draw:
    return [_Drawn(float(t), int(rank)) for t, rank in zip(times, ranks, strict=True)]


_DRAWS: dict[Kind, Callable[[np.random.Generator, Popularity, TraceSpec], _Draw]] = {
    "zipf": _zipf,
    "drift": _drift,
    "bursts": _bursts,
    "moa": _moa,
}
