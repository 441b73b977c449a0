from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from redis.asyncio import Redis

from coe.errors import UnavailableError
from coe.plan.cached_expert import CachedExpert
from coe.plan.expert import Answer
from coe.plan.request import CacheMode, ChatRequest, JsonValue
from coe.store.response_cache import ResponseCache

WHOLE_STREAM = (b'data: {"choices":[]}\n\n', b"data: [DONE]\n\n")


class CountingExpert:
    """Answers with its count, and counts; or with the pieces that it is given, and then an error."""

    name = "poet"

    def __init__(self, *pieces: bytes, error: Exception | None = None) -> None:
        self.pieces = pieces
        self.error = error
        self.answered = 0
        self.closed = 0

    async def answer(self, request: ChatRequest) -> Answer:
        self.answered += 1
        return Answer(self.name, request.stream, self._chunks(self.answered))

    async def _chunks(self, number: int) -> AsyncGenerator[bytes, None]:
        try:
            for piece in self.pieces or (b"answer %d" % number,):
                yield piece
            if self.error:
                raise self.error
        finally:
            self.closed += 1


def request(
    text: str = "hello", *, cache: CacheMode | None = None, temperature: float | None = None, **more: JsonValue
) -> ChatRequest:
    fields: dict[str, JsonValue] = {"model": "coe", "messages": [{"role": "user", "content": text}], **more}
    if temperature is not None:
        fields["temperature"] = temperature
    return ChatRequest(
        request_id="r",
        model="coe",
        stream=bool(more.get("stream")),
        include_usage=False,
        temperature=temperature,
        cache=cache,
        fields=fields,
    )


class Cached:
    """A cached expert, asked and read to the end."""

    def __init__(
        self,
        redis: Redis,
        namespace: str,
        inner: CountingExpert | None = None,
        *,
        mode: CacheMode = "always",
        fingerprint: str = "f",
        temperature: float | None = None,
        max_bytes: int = 1000,
    ) -> None:
        self.inner = inner or CountingExpert()
        cache = ResponseCache(redis, namespace, 60, max_bytes)
        self.expert = CachedExpert(self.inner, cache, mode, fingerprint, temperature)

    async def ask(self, asked: ChatRequest) -> tuple[bytes, str | None]:
        """The answer, and whether it was a hit or a miss."""
        answer = await self.expert.answer(asked)
        async with aclosing(answer.chunks) as chunks:
            return b"".join([chunk async for chunk in chunks]), answer.cache


async def test_nothing_is_kept_unless_asked(redis: Redis, namespace: str) -> None:
    cached = Cached(redis, namespace, mode="off")
    assert await cached.ask(request(temperature=0)) == (b"answer 1", None)
    assert await cached.ask(request(temperature=0)) == (b"answer 2", None)


async def test_the_same_question_gets_the_same_answer(redis: Redis, namespace: str) -> None:
    cached = Cached(redis, namespace)
    assert await cached.ask(request()) == (b"answer 1", "miss")
    assert await cached.ask(request()) == (b"answer 1", "hit")
    assert await cached.ask(request("another")) == (b"answer 2", "miss")
    assert await cached.ask(request(seed=1)) == (b"answer 3", "miss")


@pytest.mark.parametrize(
    ("expert_default", "asked", "kept"), [(None, 0, True), (None, None, False), (0, None, True), (0, 0.7, False)]
)
async def test_greedy_keeps_only_what_is_asked_with_temperature_zero(
    redis: Redis, namespace: str, expert_default: float | None, asked: float | None, kept: bool
) -> None:
    cached = Cached(redis, namespace, mode="greedy", temperature=expert_default)
    await cached.ask(request(temperature=asked))
    assert (await cached.ask(request(temperature=asked)))[1] == ("hit" if kept else None)


async def test_a_request_chooses_for_itself(redis: Redis, namespace: str) -> None:
    off, always = Cached(redis, namespace, mode="off"), Cached(redis, namespace, mode="always")
    await off.ask(request(cache="always"))
    assert (await off.ask(request(cache="always")))[1] == "hit"
    assert (await always.ask(request(cache="off")))[1] is None


async def test_who_asks_and_under_which_name_makes_no_difference(redis: Redis, namespace: str) -> None:
    cached = Cached(redis, namespace)
    await cached.ask(request(user="ann", model="coe"))
    assert (await cached.ask(request(user="bob", model="poet", metadata={"a": "b"})))[1] == "hit"


async def test_another_definition_of_the_expert_does_not_get_the_answers(redis: Redis, namespace: str) -> None:
    await Cached(redis, namespace, fingerprint="before").ask(request())
    assert (await Cached(redis, namespace, fingerprint="after").ask(request()))[1] == "miss"


async def test_an_adapter_that_was_replaced_does_not_answer_from_the_cache(redis: Redis, namespace: str) -> None:
    versions = iter(("one", "one", "two"))
    cache = ResponseCache(redis, namespace, 60, 1000)
    expert = CachedExpert(CountingExpert(), cache, "always", "f", None, version=lambda: next(versions))
    outcomes = []
    for _ in range(3):
        answer = await expert.answer(request())
        async with aclosing(answer.chunks) as chunks:
            assert [chunk async for chunk in chunks]
        outcomes.append(answer.cache)
    assert outcomes == ["miss", "hit", "miss"]


async def test_a_whole_stream_is_kept(redis: Redis, namespace: str) -> None:
    cached = Cached(redis, namespace, CountingExpert(*WHOLE_STREAM))
    await cached.ask(request(stream=True))
    assert await cached.ask(request(stream=True)) == (b"".join(WHOLE_STREAM), "hit")


async def test_a_stream_without_its_end_is_not_kept(redis: Redis, namespace: str) -> None:
    cached = Cached(redis, namespace, CountingExpert(WHOLE_STREAM[0]))
    await cached.ask(request(stream=True))
    assert (await cached.ask(request(stream=True)))[1] == "miss"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_broke_is_not_kept(redis: Redis, namespace: str, stream: bool) -> None:
    cached = Cached(redis, namespace, CountingExpert(*WHOLE_STREAM, error=UnavailableError("lost")))
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await cached.ask(request(stream=stream))
    assert cached.inner.answered == 2


async def test_an_answer_that_nobody_read_to_its_end_is_closed_and_not_kept(redis: Redis, namespace: str) -> None:
    cached = Cached(redis, namespace, CountingExpert(*WHOLE_STREAM))
    answer = await cached.expert.answer(request(stream=True))
    await anext(answer.chunks)
    await answer.chunks.aclose()
    assert cached.inner.closed == 1
    assert (await cached.ask(request(stream=True)))[1] == "miss"


async def test_a_long_answer_is_passed_on_and_not_kept(redis: Redis, namespace: str) -> None:
    cached = Cached(redis, namespace, CountingExpert(b"x" * 600, b"y" * 600))
    for _ in range(2):
        assert await cached.ask(request()) == (b"x" * 600 + b"y" * 600, "miss")


async def test_answers_go_on_while_redis_is_away(absent_redis: Redis, namespace: str) -> None:
    cached = Cached(absent_redis, namespace)
    assert await cached.ask(request()) == (b"answer 1", "miss")
    assert await cached.ask(request()) == (b"answer 2", "miss")
