"""The gateway's ASGI application: which path leads where."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp

from coe.gateway.chat import ChatEndpoint
from coe.gateway.decisions_page import DecisionsPage
from coe.gateway.envelope import Envelope
from coe.gateway.feedback import FeedbackPage
from coe.gateway.loading import LoadPages
from coe.gateway.memory_pages import MemoryPages
from coe.gateway.observer import DecisionObserver
from coe.gateway.pages import Pages
from coe.gateway.router_page import RouterPage
from coe.ui.page import UiPage


def build_app(
    chat: ChatEndpoint,
    pages: Pages,
    loading: LoadPages,
    timeout_s: float,
    *,
    feedback: FeedbackPage,
    router: RouterPage,
    memory: MemoryPages,
    decisions: DecisionsPage,
    observer: DecisionObserver,
    repeats_id: bool = True,
) -> ASGIApp:
    """Everything under one envelope, so that every reply has an id and every error the same shape.

    Args:
        chat: the chat endpoint.
        pages: the endpoints beside it.
        loading: the endpoints that load, unload and pin experts.
        timeout_s: deadline of every exchange.
        feedback: the endpoint that takes scores.
        router: the endpoint that shows the router and its drift.
        memory: the endpoints that show swaps and demand.
        decisions: the endpoint that shows what was decided lately.
        observer: sees every exchange when it is over.
        repeats_id: add `x-request-id` to replies; off under Ray Serve, which adds it.
    """
    endpoints = routes(chat, pages, loading, feedback=feedback, router=router, memory=memory, decisions=decisions)
    return Envelope(_Inner(endpoints), timeout_s, observer.note, repeats_id=repeats_id)


def routes(
    chat: ChatEndpoint,
    pages: Pages,
    loading: LoadPages,
    *,
    feedback: FeedbackPage,
    router: RouterPage,
    memory: MemoryPages,
    decisions: DecisionsPage,
) -> list[Route]:
    """Every path with its methods; docs/api.md lists the same. Arguments as those of `build_app`."""
    ui = UiPage()
    return [
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/models", pages.models, methods=["GET"]),
        Route("/v1/models/{name:path}", pages.model, methods=["GET"]),
        Route("/v1/route", pages.route, methods=["POST"]),
        Route("/v1/router", router.router, methods=["GET"]),
        Route("/v1/feedback", feedback.feedback, methods=["POST"]),
        Route("/v1/experts/{name}/load", loading.load, methods=["POST"]),
        Route("/v1/experts/{name}/unload", loading.unload, methods=["POST"]),
        Route("/v1/experts/{name}/pin", loading.pin, methods=["POST"]),
        Route("/v1/experts/{name}/unpin", loading.unpin, methods=["POST"]),
        Route("/v1/swaps", memory.swaps, methods=["GET"]),
        Route("/v1/demand", memory.demand, methods=["GET"]),
        Route("/v1/decisions", decisions.decisions, methods=["GET"]),
        Route("/v1/workers", pages.workers, methods=["GET"]),
        Route("/health", pages.health, methods=["GET"]),
        Route("/ready", pages.ready, methods=["GET"]),
        Route("/metrics", pages.metrics, methods=["GET"]),
        Route("/ui", ui.folder, methods=["GET"]),
        Route("/ui/{name:path}", ui.file, methods=["GET"]),
    ]


class _Inner(Starlette):
    """Starlette without its own error pages: errors reach the envelope, which gives them one shape."""

    def __init__(self, routes: list[Route]) -> None:
        super().__init__(routes=routes)
        self.router.redirect_slashes = False

    def build_middleware_stack(self) -> ASGIApp:
        return self.router
