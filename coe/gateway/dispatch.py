"""Which worker is asked first: what workers report and what was sent to them since in, their order out. Pure.

A report is up to two seconds old, and a burst is faster. So a gateway counts what it sends itself; what other gateways
send it learns from the next report.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from workers.reports import ExpertReport, WorkerReport

HORIZON_S = 5.0
"""No report is older than this; what was sent before is in it, whatever the clocks of two machines say."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A worker that can answer as the expert, as `held` on it.

    Attributes:
        load: requests of all experts that the worker has.
        sent: requests for the expert that were sent since the report, less those that ended since.
        others_s: seconds of swaps that requests for other experts, sent since the report, will cause.
        at_once: requests of one expert that the worker runs together.
    """

    report: WorkerReport
    held: ExpertReport
    load: int
    sent: int
    others_s: float = 0.0
    at_once: int = 1

    @property
    def has_room(self) -> bool:
        """The expert is on the device, and one more request to it would run at once."""
        return self.held.tier == "device" and self.held.room > self.sent

    @property
    def wait_s(self) -> float:
        """How long a request sent now is expected to wait.

        Requests of one expert share its swap and run together; those beyond wait in turn, each as long as its share of
        the reported queue does.
        """
        held = self.held
        room = held.room if held.tier == "device" else max(0, self.at_once - held.running - held.waiting)
        queued = max(0, self.sent - room)
        return held.wait_s * (1 + queued / (held.waiting + 1)) + self.others_s

    @property
    def joins_swap(self) -> bool:
        """Others wait for the expert to come in already, so that one more costs no swap."""
        return self.held.tier != "device" and self.held.waiting + self.sent > 0


def best_first(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Those with the expert on the device and room first, the least loaded before; then by the expected wait."""

    def badness(candidate: Candidate) -> tuple[bool, float, bool, int]:
        if candidate.has_room:
            return False, 0.0, False, candidate.load
        return True, candidate.wait_s, not candidate.joins_swap, candidate.load

    return sorted(candidates, key=badness)


@dataclass(slots=True)
class _Sent:
    """Of one worker: beginnings (1) and ends (-1) of requests by time, and their sums by expert."""

    changes: deque[tuple[float, str, int]] = field(default_factory=deque)
    net: Counter[str] = field(default_factory=Counter)

    def add(self, at: float, expert: str, change: int) -> None:
        self.changes.append((at, expert, change))
        self._sum(expert, change)

    def forget(self, before: float) -> None:
        while self.changes and self.changes[0][0] <= before:
            _, expert, change = self.changes.popleft()
            self._sum(expert, -change)

    def _sum(self, expert: str, change: int) -> None:
        self.net[expert] += change
        if not self.net[expert]:
            del self.net[expert]


class SentLedger:
    """What one gateway has sent, by worker. Times are in seconds since 1970, as those of reports; they never fall."""

    def __init__(self) -> None:
        self._workers: defaultdict[str, _Sent] = defaultdict(_Sent)

    def began(self, worker_id: str, expert: str, at: float) -> None:
        """A request for the expert was sent to the worker."""
        self._workers[worker_id].add(at, expert, 1)

    def ended(self, worker_id: str, expert: str, at: float) -> None:
        """A request for the expert ended there. One that is never told of is in the report after its beginning."""
        self._workers[worker_id].add(at, expert, -1)

    def since(self, worker_id: str, report_at: float, now: float) -> Counter[str]:
        """Requests by expert that the worker's report of `report_at` does not know: begun less ended. To be read only.

        Amortised constant time, for reports of one worker that come in their order.
        """
        sent = self._workers.get(worker_id)
        if sent is None:
            return Counter()
        sent.forget(max(report_at, now - HORIZON_S))
        return sent.net

    def keep_only(self, worker_ids: Iterable[str]) -> None:
        """Forgets workers that are gone."""
        for gone in self._workers.keys() - set(worker_ids):
            del self._workers[gone]
