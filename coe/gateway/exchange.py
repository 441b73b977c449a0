"""What the gateway knows of one HTTP exchange while it runs: identity, time, decision, outcome."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.types import Scope

from coe.gateway.decision import Decision
from coe.plan.expert import PlanRecord
from coe.plan.plans import Single
from coe.plan.request import JsonValue

_SAFE_ID = re.compile(rb"[\x21-\x7e]{1,256}")
SCOPE_KEY = "coe.exchange"


@dataclass(slots=True)
class Exchange:
    """Filled in as the request proceeds; read for headers, metrics and the log line at its end."""

    request_id: str
    repeats_id: bool = True
    endpoint: str = ""
    started: float = field(default_factory=time.perf_counter)
    status: int = 0
    messages: Sequence[JsonValue] = ()
    decision: Decision | None = None
    expert: str = ""
    answered: bool = False
    swap_ms: float = 0.0
    cache: str | None = None
    first_byte_s: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str | None = None
    run: PlanRecord | None = None

    @classmethod
    def begin(cls, scope: Scope, *, repeats_id: bool) -> Exchange:
        """Takes the client's `x-request-id` where it is safe to repeat, else makes one.

        Args:
            scope: the ASGI scope, which keeps the exchange.
            repeats_id: put the id into the reply; off where the server below does.
        """
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = given.decode() if _SAFE_ID.fullmatch(given) else uuid.uuid4().hex
        exchange = cls(request_id, repeats_id)
        scope[SCOPE_KEY] = exchange
        return exchange

    @staticmethod
    def of(scope: Scope) -> Exchange:
        exchange = scope[SCOPE_KEY]
        assert isinstance(exchange, Exchange)
        return exchange

    def seconds(self) -> float:
        """Since the request arrived."""
        return time.perf_counter() - self.started

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The service's own response headers, as far as they are known."""
        headers = [(b"x-request-id", self.request_id.encode())] if self.repeats_id else []
        if decision := self.decision:
            headers += [
                (b"x-coe-expert", (self.expert or decision.expert).encode()),
                (b"x-coe-category", decision.category.encode()),
                (b"x-coe-confidence", b"%.4f" % decision.confidence),
                (b"x-coe-plan", decision.plan.label.encode()),
                (b"x-coe-swap-ms", b"%.1f" % self.swap_ms),
                (b"x-coe-router-ms", b"%.3f" % decision.router_ms),
            ]
            if decision.instead_of:
                headers.append((b"x-coe-instead-of", decision.instead_of.encode()))
        if self.cache:
            headers.append((b"x-coe-cache", self.cache.encode()))
        if notes := self._plan_notes():
            headers.append((b"x-coe-plan-notes", notes.encode()))
        return headers

    def _plan_notes(self) -> str:
        """What was not done as planned, as far as it is known."""
        plan = self.decision.plan if self.decision else None
        skipped = [f"skipped={plan.skipped}"] if isinstance(plan, Single) and plan.skipped else []
        return "; ".join((*skipped, *map(str, self.run.notes if self.run else ())))
