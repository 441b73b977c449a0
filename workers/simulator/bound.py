r"""A lower bound on the seconds of loading of every schedule that keeps a maximum wait.

In: requests, experts, budgets and a maximum wait W. Out: seconds that no schedule under the rules of
`workers.simulator.run` goes below, whatever it knows of the future and in whatever order it serves.

Proof. A request that arrives at t starts while its expert is resident, within its window [t, t + W].
1. One expert alone. Its residencies are disjoint intervals of time, each of which costs a load and meets windows, and
   every window is met by one. Let i be the first request whose window the intervals so far do not meet. The next
   interval begins at t_i + W at the latest. Either it ends by then: it meets at most the windows of requests that came
   by then. Or it goes on: when its last window is that of request j, it covers [t_i + W, t_j]. So the cheapest way to
   meet all windows, where residency at time x costs size * price(x) >= 0, is at least
       F(i) = load + min(F(m), min over j >= m of size * integral of price over [t_i + W, t_j] + F(j + 1)),
   where m is the first request after t_i + W and F(n) = 0: an interval that begins earlier or ends later costs more
   and F does not increase in i.
2. All experts. At every time the residents take at most the device's bytes. So for any prices, the sum of F(0) over
   the experts less (bytes of the device) * (integral of the prices) is at most the load seconds of any schedule
   (Lagrangian relaxation). Every set of prices gives a bound; a search by subgradients finds good ones.
3. A load takes at least the seconds from host memory, and the bound above counts it with those. Whatever comes from
   disk costs (disk - host) seconds more: on the device, or beside it, where there is one channel. What reads from disk
   is what is neither on the device nor in host memory, so the bound of 2 with these seconds as costs and both memories
   as room holds for the sum of both. The channel does at most what fits between the first arrival and the last
   deadline; and of the first loads, those due by d get at most d less the first arrival of it. The rest is added.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.policies import Cost
from workers.simulator.trace import Request

_CELLS = 400
ROUNDS = 100
_PATIENCE = 8  # rounds without a better bound before steps get smaller
_ROUNDING = 1e-9

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Windows:
    """One expert's arrivals and last starts, in seconds since the first of all, and the next request after each."""

    cost: float
    size: float
    arrivals: Floats
    last_starts: Floats
    following: list[int]


@dataclass(frozen=True, slots=True)
class _Priced:
    """`seconds`: the bound under some prices; `excess`: bytes, by cell, that the cheapest residencies take too much."""

    seconds: float
    excess: Floats


def load_seconds_bound(
    requests: Sequence[Request],
    experts: Mapping[str, Cost],
    *,
    device_bytes: int,
    host_bytes: int,
    max_wait_s: float,
    rounds: int = ROUNDS,
) -> float:
    """Seconds of loading that no schedule of `requests`, in order of arrival, goes below that keeps `max_wait_s`.

    `rounds` of the search for prices: fewer take less time and give a lower bound.
    """
    asked = {request.expert for request in requests}
    host = {name: experts[name].load_s["host"] for name in asked}
    ahead = {name: experts[name].load_s["disk"] - host[name] for name in asked}
    sizes = {name: float(experts[name].size) for name in asked}
    loads = _covering(requests, host, sizes, room=device_bytes, max_wait_s=max_wait_s, rounds=rounds)
    reads = _covering(requests, ahead, sizes, room=device_bytes + host_bytes, max_wait_s=max_wait_s, rounds=rounds)
    channel = requests[-1].t + max_wait_s - requests[0].t if host_bytes else 0.0
    first = _first_reads(requests, host, ahead, max_wait_s) if host_bytes else 0.0
    return (loads + max(0.0, reads - channel, first)) * (1 - _ROUNDING)


def _first_reads(
    requests: Sequence[Request], host: Mapping[str, float], ahead: Mapping[str, float], max_wait_s: float
) -> float:
    """Seconds of first reads from disk that the channel cannot do in time."""
    due: dict[str, float] = {}
    for request in requests:
        due.setdefault(request.expert, request.t - requests[0].t + max_wait_s - host[request.expert])
    read = late = 0.0
    for name in sorted(due, key=lambda name: due[name]):
        read += ahead[name]
        late = max(late, read - max(0.0, due[name]))
    return late


def _covering(
    requests: Sequence[Request],
    costs: Mapping[str, float],
    sizes: Mapping[str, float],
    *,
    room: int,
    max_wait_s: float,
    rounds: int,
) -> float:
    """The bound of steps 1 and 2 of the proof for any costs of a load."""
    if sum(sizes.values()) <= room:
        return math.fsum(costs.values())
    experts = _windows(requests, costs, sizes, max_wait_s)
    span = requests[-1].t - requests[0].t
    if span <= 0:
        return math.fsum(costs.values())
    edges = np.linspace(0, span, _CELLS + 1)
    best, prices = _best_constant(experts, edges, room, max_wait_s)
    scale = float(prices.mean())
    step, stalled, tried = 0.3, 0, prices
    for _ in range(rounds if scale > 0 else 0):
        priced = _under(experts, edges, tried, room)
        if priced.seconds > best:
            best, prices, stalled = priced.seconds, tried, 0
        else:
            stalled += 1
        if stalled == _PATIENCE:
            step, stalled, tried = step * 0.6, 0, prices
            continue
        norm = float(np.sqrt(np.mean(priced.excess**2)))
        if norm == 0:
            break
        tried = np.maximum(0.0, tried + step * scale / norm * priced.excess)
    return best


def _windows(
    requests: Sequence[Request], costs: Mapping[str, float], sizes: Mapping[str, float], max_wait_s: float
) -> list[_Windows]:
    times: dict[str, list[float]] = {}
    for request in requests:
        times.setdefault(request.expert, []).append(request.t - requests[0].t)
    found = []
    for name, arrived in times.items():
        arrivals = np.array(arrived)
        last_starts = arrivals + max_wait_s
        following = np.searchsorted(arrivals, last_starts, side="right").tolist()
        found.append(_Windows(costs[name], sizes[name], arrivals, last_starts, following))
    return found


def _best_constant(experts: list[_Windows], edges: Floats, room: int, max_wait_s: float) -> tuple[float, Floats]:
    """The best bound of those with the same price at all times, and its prices."""
    cells = len(edges) - 1
    unit = float(np.mean([expert.cost / expert.size for expert in experts])) / max(max_wait_s, edges[-1] / cells)
    tried = [np.full(cells, unit * factor) for factor in (0.0, *2.0 ** np.arange(-10, 6))]
    bounds = [_under(experts, edges, prices, room).seconds for prices in tried]
    best = int(np.argmax(bounds))
    return bounds[best], tried[best]


def _under(experts: list[_Windows], edges: Floats, prices: Floats, room: int) -> _Priced:
    """The bound under `prices`, seconds per byte and second in each cell between `edges`."""
    widths = np.diff(edges)
    paid = np.concatenate([[0.0], np.cumsum(prices * widths)])
    seconds, taken = -room * float(paid[-1]), np.zeros(len(prices))
    for expert in experts:
        cheapest, starts, ends = _cheapest(expert, edges, paid)
        seconds += cheapest
        if starts:
            taken += expert.size * (_covered(edges, np.array(starts)) - _covered(edges, np.array(ends)))
    return _Priced(seconds, taken / widths - room)


def _cheapest(expert: _Windows, edges: Floats, paid: Floats) -> tuple[float, list[float], list[float]]:
    """F(0) of the proof, and the starts and ends of the residencies that are longer than an instant."""
    count = len(expert.arrivals)
    until_arrival = (expert.size * np.interp(expert.arrivals, edges, paid)).tolist()
    until_last_start = (expert.size * np.interp(expert.last_starts, edges, paid)).tolist()
    cost, following = expert.cost, expert.following
    total = [0.0] * (count + 1)  # F
    kept = [math.inf] * (count + 1)  # the least price until t_j, plus F(j + 1), over all j from here on
    kept_to = [count] * (count + 1)
    keeps = [False] * count
    for i in range(count - 1, -1, -1):
        after = following[i]
        keep = kept[after] - until_last_start[i]
        keeps[i] = keep < total[after]
        total[i] = cost + (keep if keeps[i] else total[after])
        here = until_arrival[i] + total[i + 1]
        better = here < kept[i + 1]
        kept[i], kept_to[i] = (here, i) if better else (kept[i + 1], kept_to[i + 1])
    starts: list[float] = []
    ends: list[float] = []
    i = 0
    while i < count:
        if keeps[i]:
            last = kept_to[following[i]]
            starts.append(float(expert.last_starts[i]))
            ends.append(float(expert.arrivals[last]))
            i = last + 1
        else:
            i = following[i]
    return total[0], starts, ends


def _covered(edges: Floats, starts: Floats) -> Floats:
    """Seconds in each cell, summed over intervals from each of `starts`, which are in order, to the end."""
    before = np.searchsorted(starts, edges)
    sums = np.concatenate([[0.0], np.cumsum(starts)])
    return np.diff(before * edges - sums[before])
