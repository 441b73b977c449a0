"""Bodies and replies as HTTP clients of any manners see them: sizes, media types, and leaving early."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from tests.running_gateway import RunningGateway
from tests.scripted_worker import ScriptedWorker, chunk, until

CHAT = "/v1/chat/completions"
LIMIT = 100_000
JSON = {"content-type": "application/json"}
BODY = b'{"model":"coe","messages":[{"role":"user","content":"a poem"}],"stream":%s}'


async def pieces(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 1000):
        yield b" " * 1000


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", [CHAT, "/v1/route"])
async def test_a_body_over_the_limit_is_refused(gateway: RunningGateway, path: str, chunked: bool) -> None:
    size = LIMIT + 1000
    data = pieces(size) if chunked else b" " * size
    reply = await gateway.send("POST", path, data=data, headers=JSON)
    assert (reply.status, reply.error["code"]) == (413, "request_too_large")
    assert "server.max_body_mb" in reply.error["message"]


async def test_a_chunked_body_under_the_limit_is_read(gateway: RunningGateway) -> None:
    async def body() -> AsyncIterator[bytes]:
        whole = BODY % b"false"
        for start in range(0, len(whole), 10):
            yield whole[start : start + 10]

    assert (await gateway.send("POST", CHAT, data=body(), headers=JSON)).status == 200


@pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data; boundary=x", "application/xml"])
async def test_another_media_type_is_refused(gateway: RunningGateway, content_type: str) -> None:
    reply = await gateway.send("POST", CHAT, data=BODY % b"false", headers={"content-type": content_type})
    assert (reply.status, reply.error["code"]) == (415, "unsupported_media_type")


async def test_json_with_a_charset_is_accepted(gateway: RunningGateway) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert (await gateway.send("POST", CHAT, data=BODY % b"false", headers=headers)).status == 200


async def connect(gateway: RunningGateway, body: bytes, *, send: int | None = None) -> asyncio.StreamWriter:
    """A client on a bare socket that has sent a chat request, or its first `send` bytes."""
    address = urlsplit(gateway.url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    head = b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    writer.write(head % (CHAT.encode(), len(body)) + body[:send])
    await writer.drain()
    return writer


@pytest.mark.parametrize("stream", [b"false", b"true"])
async def test_a_client_that_leaves_before_the_first_byte_ends_the_workers_request(
    gateway: RunningGateway, worker: ScriptedWorker, stream: bytes
) -> None:
    worker.stalls()
    writer = await connect(gateway, BODY % stream)
    await until(lambda: worker.running == 1)
    writer.transport.abort()
    await until(lambda: worker.aborted == 1)


@pytest.mark.parametrize("stream", [b"false", b"true"])
async def test_a_client_that_leaves_in_the_answer_ends_the_workers_request(
    gateway: RunningGateway, worker: ScriptedWorker, stream: bytes
) -> None:
    worker.stalls(chunk("poet", "Hello "))
    writer = await connect(gateway, BODY % stream)
    await until(lambda: worker.running == 1)
    await asyncio.sleep(0.05)  # the first frame is on its way
    writer.transport.abort()
    await until(lambda: worker.aborted == 1)
    assert await gateway.chat.drain(5.0)


async def test_a_client_that_leaves_while_sending_asks_nobody(gateway: RunningGateway, worker: ScriptedWorker) -> None:
    writer = await connect(gateway, BODY % b"false", send=20)
    await asyncio.sleep(0.05)
    writer.transport.abort()
    assert await gateway.chat.drain(5.0)
    assert worker.asked == []
