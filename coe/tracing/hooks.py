"""What the service's parts know of traces: wrappers, which are the identity where nothing is traced."""

from __future__ import annotations

from typing import Protocol

from starlette.types import ASGIApp

from coe.gateway.decision import PromptRouter
from coe.plan.executor import PlanRunner
from coe.plan.expert import Expert
from workers.port.serving import Serving


class GatewayTracing(Protocol):
    """Wraps the parts of a gateway. None of the wrappers changes an answer or waits for a collector."""

    def app(self, app: ASGIApp) -> ASGIApp:
        """A span for each request, in the trace that the client's `traceparent` names."""
        ...

    def router(self, router: PromptRouter) -> PromptRouter:
        """A span for each decision."""
        ...

    def runner(self, runner: PlanRunner) -> PlanRunner:
        """A span for each plan of several calls."""
        ...

    def expert(self, expert: Expert) -> Expert:
        """A span for each call, which the worker's spans join."""
        ...

    async def close(self, timeout_s: float) -> None:
        """Sends what is waiting to be sent, and nothing after it; what takes longer is given up."""
        ...


class WorkerTracing(Protocol):
    """Told of every request that a worker has served."""

    def served(self, serving: Serving) -> None: ...

    async def close(self, timeout_s: float) -> None:
        """As for gateways."""
        ...


class NoTracing:
    """For a service without a collector."""

    def app(self, app: ASGIApp) -> ASGIApp:
        return app

    def router(self, router: PromptRouter) -> PromptRouter:
        return router

    def runner(self, runner: PlanRunner) -> PlanRunner:
        return runner

    def expert(self, expert: Expert) -> Expert:
        return expert

    def served(self, serving: Serving) -> None:
        pass

    async def close(self, timeout_s: float) -> None:
        pass
