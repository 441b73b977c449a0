"""Who may change what workers hold."""

import pytest
from pydantic import SecretStr
from starlette.datastructures import Headers

from coe.errors import InvalidRequestError
from coe.gateway.admin import AdminGuard
from coe.gateway.loading import Verb
from tests.running_gateway import RunningGateway, StartGateway
from tests.scripted_worker import ScriptedWorker
from workers.reports import LoadReport

KEY = "a-key-of-the-tests"
VERBS: tuple[Verb, ...] = ("load", "unload", "pin", "unpin")


def status(guard: AdminGuard, **headers: str) -> int:
    """200 where the guard lets a request in."""
    try:
        guard.check(Headers({"host": "127.0.0.1:8000", **headers}))
    except InvalidRequestError as error:
        return error.http_status
    return 200


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_on_this_machine_alone_it_is_open(host: str) -> None:
    assert status(AdminGuard(host, None)) == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "example.org", "", "127.0.0.1.example.org"])
def test_on_any_other_host_it_is_closed_without_a_key(host: str) -> None:
    guard = AdminGuard(host, None)
    assert status(guard) == 403
    assert status(guard, authorization=f"Bearer {KEY}") == 403
    with pytest.raises(InvalidRequestError, match=r"`server.admin_key` \(or COE_SERVER__ADMIN_KEY\)"):
        guard.check(Headers({}))


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "example.org:8000"},  # a name that was made to lead here, or a proxy on this machine
        {"host": ""},
        {"host": "["},
        {"origin": "https://example.org"},  # a page of another site
        {"origin": "null"},
        {"origin": "http://127.0.0.1.example.org"},
    ],
)
def test_other_sites_reach_nothing_through_a_browser_on_this_machine(headers: dict[str, str]) -> None:
    assert status(AdminGuard("127.0.0.1", None), **headers) == 403


@pytest.mark.parametrize(
    "headers", [{"host": "localhost:8000"}, {"host": "[::1]:8000", "origin": "http://localhost:3000"}]
)
def test_pages_of_this_machine_do(headers: dict[str, str]) -> None:
    assert status(AdminGuard("127.0.0.1", None), **headers) == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_where_there_is_a_key_it_must_be_sent(host: str) -> None:
    guard = AdminGuard(host, SecretStr(KEY))
    assert status(guard, authorization=f"Bearer {KEY}", host="example.org") == 200
    assert status(guard, authorization=f"bearer  {KEY} ") == 200
    wrong = ["", KEY, f"Basic {KEY}", "Bearer", "Bearer ", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", "Bearer ü"]
    assert {status(guard, authorization=sent) for sent in wrong} == {401}
    assert status(guard) == 401


def test_a_key_may_hold_any_letters() -> None:
    guard = AdminGuard("127.0.0.1", SecretStr("schlüssel-der-prüfung"))
    assert status(guard, authorization="Bearer schlüssel-der-prüfung".encode().decode("latin-1")) == 200


@pytest.mark.parametrize("verb", VERBS)
async def test_every_verb_is_guarded_and_asks_nobody_before(
    start_gateway: StartGateway, worker: ScriptedWorker, verb: Verb
) -> None:
    gateway = await start_gateway(host="0.0.0.0", admin_key=KEY)
    path = f"/v1/experts/poet/{verb}"
    refused = await gateway.post(path, None, authorization="Bearer wrong")
    assert (refused.status, refused.error["code"]) == (401, "invalid_admin_key")
    assert refused.headers["www-authenticate"] == "Bearer"
    assert KEY not in refused.error["message"]
    assert gateway.control.asked == []
    gateway.control.reports = [LoadReport(worker_id="w-0", expert="poet", state="ready", changed=True)]
    assert (await gateway.post(path, None, authorization=f"Bearer {KEY}")).status == 200
    assert gateway.control.asked == [(verb, "poet")]


async def test_who_may_not_change_experts_learns_no_names(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(host="0.0.0.0")
    for name in ("poet", "bard", "generalist"):
        reply = await gateway.post(f"/v1/experts/{name}/unload", None)
        assert (reply.status, reply.error["code"]) == (403, "admin_closed")


async def test_what_only_reads_stays_open(start_gateway: StartGateway, gateway: RunningGateway) -> None:
    public = await start_gateway(host="0.0.0.0", admin_key=KEY)
    for path in ("/v1/workers", "/v1/models", "/health", "/metrics"):
        assert (await public.get(path)).status == 200
