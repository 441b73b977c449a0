"""The mixed-integer program of a placement: a `Problem` goes in, variables, constraints and aims come out.

After MoETuner (arXiv 2502.06643), which assigns the experts of a layer to GPUs by integer programming, minimising the
largest load and the traffic between GPUs. Here experts are whole models: a hot one may have several copies, between
which its requests are split, and one without room is swapped in. For expert e, spot p (devices of a worker), tier t:

    y[e,p] in {0,1}   a copy is resident          s[e,p,t] in {0,1}   it is off-device, swapped in at p from t
    x[e,p] >= 0       share of its requests       r[e,w] in [0,1]     worker w holds a copy

    sum_p x[e,p] + sum_pt s[e,p,t] = 1            x[e,p] <= y[e,p] <= 1 - sum_pt s[e,p,t]
    sum_e y[e,p] shard_e <= bytes                 of each device d, over the spots p with d; and so that there is room
                                                  for each swap beside what stays, s[e,p,t] shard_e with that sum
    sum_ep s[e,p,host] size_e <= host bytes       of each worker
    sum_e r[e,w] <= 1                             of each exclusive set on w, r[e,w] >= y[e,p] for p on w
    load_d = sum x[e,p] demand_e service_e + s[e,p,t] demand_e (service_e + load_et) <= T     of each device d

Aims: T; then loading, sum s demand_e load_et; split plans, sum_c weight_c (workers that c needs - 1); bytes of copies
that are not present; copies. One load for every request is what swapping costs at most: requests that wait together
share one.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from workers.placement.linear import LinearProgram, Terms
from workers.placement.plan import CriterionName
from workers.placement.problem import Expert, Problem, spots
from workers.reports import Tier

Key = TypeVar("Key", bound=tuple[object, ...])
# Of experts that nobody asks for, too, what has room is resident: each is asked for this part of the mean demand.
LEAST_DEMAND = 1e-3


@dataclass(frozen=True, slots=True)
class Spot:
    """A group of devices of one worker, all by number."""

    worker: int
    devices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Aim:
    """A sum to minimise. `offset` is added to it for people."""

    name: CriterionName
    terms: Terms
    offset: float = 0.0


class Program:
    """The program of `problem`.

    Experts and workers are named by their number. `lacking` are bytes, in `byte_unit`, beyond the budget of a device:
    0, unless someone lifts the bound in search of what is wrong. `largest` is the maximum load in `work_unit`.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.linear = LinearProgram()
        # sums come out near 1, where the solver's tolerances are meant for
        self.work_unit = sum(expert.work for expert in problem.experts) or 1.0
        self.byte_unit = float(max(worker.device_bytes for worker in problem.workers))
        self.largest = self.linear.column(float("inf"))
        self.resident: dict[tuple[int, Spot], int] = {}
        self.share: dict[tuple[int, Spot], int] = {}
        self.swapped: dict[tuple[int, Spot, Tier], int] = {}
        self.held: dict[tuple[int, int], int] = {}
        self.lacking: dict[tuple[int, int], int] = {}
        for e, expert in enumerate(problem.experts):
            self._place(e, expert)
        for w, worker in enumerate(problem.workers):
            for device in range(worker.devices):
                self._bound_device(w, device)
            self._bound_host(w)
            self._exclude(w)
        self._needed, self._certain = self._co_use()
        self._new = self._moves()

    def aims(self) -> list[Aim]:
        """The most important first; those that no plan can fail are left out."""
        experts = self.problem.experts
        floor = LEAST_DEMAND * sum(expert.demand for expert in experts) / len(experts) or 1.0
        loading = {
            column: max(experts[e].demand, floor) * experts[e].load_s[tier]
            for (e, _, tier), column in self.swapped.items()
        }
        aims = [
            Aim("maximum load", {self.largest: self.work_unit}),
            Aim("loading", loading),
            Aim("split plans", self._needed, -self._certain),
            Aim("bytes to load", self._new),
            Aim("copies", dict.fromkeys(self.resident.values(), 1.0)),
        ]
        return [aim for aim in aims if any(aim.terms.values())]

    def _place(self, e: int, expert: Expert) -> None:
        """The expert is answered for, by its copies or by swapping, and has as many copies as it may."""
        linear, copies, shares = self.linear, defaultdict[int, list[int]](list), []
        for w, worker in enumerate(self.problem.workers):
            for devices in spots(expert, worker):
                spot = Spot(w, devices)
                copy, share = linear.column(whole=True), linear.column()
                linear.row({share: 1.0, copy: -1.0}, upper=0)
                self.resident[e, spot], self.share[e, spot] = copy, share
                copies[w].append(copy)
                shares.append(share)
                for tier in () if expert.stays or expert.min_replicas else expert.load_s:
                    if tier != "host" or expert.size <= worker.host_bytes:
                        self.swapped[e, spot, tier] = linear.column(whole=True)
        off = {column: 1.0 for (other, *_), column in self.swapped.items() if other == e}
        linear.row({**dict.fromkeys(shares, 1.0), **off}, lower=1, upper=1)
        for w, columns in copies.items():
            held = self.held[e, w] = linear.column()
            linear.lower[held] = float(self.problem.workers[w].name in expert.pinned)
            linear.row({**dict.fromkeys(columns, 1.0), held: -1.0}, lower=0)
            for copy in columns:
                linear.row({copy: 1.0, held: -1.0}, upper=0)
                if off:
                    linear.row({copy: 1.0, **off}, upper=1)
        every = dict.fromkeys((copy for columns in copies.values() for copy in columns), 1.0)
        most = float("inf") if expert.max_replicas is None else expert.max_replicas
        linear.row(every, lower=expert.min_replicas, upper=most)

    def _bound_device(self, w: int, device: int) -> None:
        """Bytes of what is resident, bytes of what stays beside anything that is swapped in, and load."""
        experts = self.problem.experts
        room = self.problem.workers[w].device_bytes / self.byte_unit
        lacking = self.lacking[w, device] = self.linear.column(0.0)
        copies = {column: e for (e, _), column in _on(self.resident, w, device)}
        load = {column: experts[e].work for (e, _), column in _on(self.share, w, device)}
        swaps = defaultdict[int, dict[int, float]](dict)
        for (e, _, tier), column in _on(self.swapped, w, device):
            swaps[e][column] = experts[e].shard / self.byte_unit
            load[column] = experts[e].work + experts[e].demand * experts[e].load_s[tier]
        held = {column: experts[e].shard / self.byte_unit for column, e in copies.items()}
        stay = {column: size for column, size in held.items() if experts[copies[column]].stays}
        self.linear.row({**held, lacking: -1.0}, upper=room)
        for swap in swaps.values() if stay else ():
            self.linear.row({**stay, **swap, lacking: -1.0}, upper=room)
        shares = {column: work / self.work_unit for column, work in load.items()}
        self.linear.row({**shares, self.largest: -1.0}, upper=0)

    def _bound_host(self, w: int) -> None:
        hosted = {
            column: self.problem.experts[e].size / self.byte_unit
            for (e, spot, tier), column in self.swapped.items()
            if tier == "host" and spot.worker == w
        }
        self.linear.row(hosted, upper=self.problem.workers[w].host_bytes / self.byte_unit)

    def _exclude(self, w: int) -> None:
        for group in self.problem.exclusive:
            rivals = group.on(self.problem.workers[w].name)
            members = [e for e, expert in enumerate(self.problem.experts) if expert.name in rivals]
            self.linear.row({self.held[e, w]: 1.0 for e in members if (e, w) in self.held}, upper=1)

    def _co_use(self) -> tuple[Terms, float]:
        """The workers that plans need, weighted, and how many they need in any case.

        A plan's workers are such that each of its experts is answered for by one of them.
        """
        linear, needed, certain = self.linear, dict[int, float](), 0.0
        number = {expert.name: e for e, expert in enumerate(self.problem.experts)}
        answering = defaultdict[tuple[int, int], list[int]](list)  # one of these must be 1 for w to answer for e
        for (e, w), column in self.held.items():
            answering[e, w].append(column)
        for (e, spot, _), column in self.swapped.items():
            answering[e, spot.worker].append(column)
        for together in self.problem.co_use:
            asked = {w: linear.column(whole=True) for w in range(len(self.problem.workers))}
            needed |= dict.fromkeys(asked.values(), together.weight)
            certain += together.weight
            for e in sorted(number[name] for name in together.experts):
                answers = {w: linear.column() for w in asked if (e, w) in answering}
                linear.row(dict.fromkeys(answers.values(), 1.0), lower=1)
                for w, answer in answers.items():
                    linear.row({answer: 1.0, asked[w]: -1.0}, upper=0)
                    linear.row({answer: 1.0, **dict.fromkeys(answering[e, w], -1.0)}, upper=0)
        return needed, certain

    def _moves(self) -> Terms:
        """Bytes of the copies that a worker has beyond the one that it holds now."""
        new: dict[int, float] = {}
        for (e, w), _ in self.held.items() if self.problem.present is not None else ():
            expert, worker = self.problem.experts[e], self.problem.workers[w]
            copies = [copy for (other, spot), copy in self.resident.items() if (other, spot.worker) == (e, w)]
            more = self.linear.column(float("inf"))
            there = expert.name in (self.problem.present or {}).get(worker.name, ())
            self.linear.row({**dict.fromkeys(copies, 1.0), more: -1.0}, upper=there)
            new[more] = float(expert.size)
        return new


def _on(columns: dict[Key, int], w: int, device: int) -> Iterator[tuple[Key, int]]:
    """The columns whose key has, in second place, a spot with that device."""
    for key, column in columns.items():
        spot = key[1]
        if isinstance(spot, Spot) and spot.worker == w and device in spot.devices:
            yield key, column
