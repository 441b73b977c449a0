"""A router in a deployment of its own, as a gateway asks it: a scripted handle, and the ways in which it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest
import ray
from ray import serve

from coe.errors import UnavailableError
from coe.handles import RemoteRouter
from coe.routing import RouterCard
from tests.running_gateway import ROUTER


def remote(ask: Callable[..., Awaitable[RouterCard]]) -> RemoteRouter:
    method = SimpleNamespace(remote=ask)
    return RemoteRouter(SimpleNamespace(card=method, route=method, embed=method))


Ask = Callable[[RemoteRouter], Awaitable[object]]
every_way = pytest.mark.parametrize(
    "ask",
    [RemoteRouter.card, lambda router: router.route(["a poem"]), lambda router: router.embed(["a poem"])],
    ids=["card", "route", "embed"],
)


async def test_the_card_is_that_of_the_deployment() -> None:
    async def answer() -> RouterCard:
        return ROUTER

    assert await remote(answer).card() == ROUTER


@every_way
@pytest.mark.parametrize(
    "error",
    [
        ray.exceptions.ActorDiedError(),
        ray.exceptions.ActorUnavailableError("away", None),
        serve.exceptions.RayServeException("no"),
    ],
)
async def test_a_deployment_that_is_away_is_told_as_such(error: Exception, ask: Ask) -> None:
    async def fail(*_: object) -> RouterCard:
        raise error

    with pytest.raises(UnavailableError) as caught:
        await ask(remote(fail))
    assert (caught.value.code, caught.value.__cause__) == ("router_unavailable", error)


@every_way
async def test_a_deployment_that_hangs_is_waited_for_no_longer_than_the_deadline(
    monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    async def hang(*_: object) -> RouterCard:
        await asyncio.Event().wait()
        return ROUTER

    for deadline in ("CARD", "ROUTE", "EMBED"):
        monkeypatch.setattr(f"coe.handles.{deadline}_TIMEOUT_S", 0.01)
    with pytest.raises(UnavailableError):
        await ask(remote(hang))
