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


def remote(ask: Callable[[], Awaitable[RouterCard]]) -> RemoteRouter:
    return RemoteRouter(SimpleNamespace(card=SimpleNamespace(remote=ask)))


async def test_the_card_is_that_of_the_deployment() -> None:
    async def answer() -> RouterCard:
        return ROUTER

    assert await remote(answer).card() == ROUTER


@pytest.mark.parametrize(
    "error",
    [
        ray.exceptions.ActorDiedError(),
        ray.exceptions.ActorUnavailableError("away", None),
        serve.exceptions.RayServeException("no"),
    ],
)
async def test_a_deployment_that_is_away_is_told_as_such(error: Exception) -> None:
    async def fail() -> RouterCard:
        raise error

    with pytest.raises(UnavailableError) as caught:
        await remote(fail).card()
    assert (caught.value.code, caught.value.__cause__) == ("router_unavailable", error)


async def test_a_deployment_that_hangs_is_waited_for_no_longer_than_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def hang() -> RouterCard:
        await asyncio.Event().wait()
        return ROUTER

    monkeypatch.setattr("coe.handles.CARD_TIMEOUT_S", 0.01)
    with pytest.raises(UnavailableError):
        await remote(hang).card()
