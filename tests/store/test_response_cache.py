import asyncio

from redis.asyncio import Redis

from coe.store.response_cache import ResponseCache, cache_key


def test_the_order_of_fields_makes_no_difference_and_their_values_do() -> None:
    assert cache_key("f", {"a": 1, "b": {"c": 2, "d": 3}}) == cache_key("f", {"b": {"d": 3, "c": 2}, "a": 1})
    assert cache_key("f", {"a": 1}) != cache_key("f", {"a": 2})
    assert cache_key("f", {"a": 1}) != cache_key("g", {"a": 1})
    assert cache_key("f", {"stream": True}) != cache_key("f", {"stream": False})


async def test_an_answer_is_kept_for_its_time(redis: Redis, namespace: str) -> None:
    cache = ResponseCache(redis, namespace, ttl_s=1, max_bytes=10)
    await cache.put("key", b"\x00\xff")
    assert await cache.get("key") == b"\x00\xff"
    assert await cache.get("other") is None
    await asyncio.sleep(1.1)
    assert await cache.get("key") is None


async def test_an_answer_over_the_limit_is_not_kept(redis: Redis, namespace: str) -> None:
    cache = ResponseCache(redis, namespace, ttl_s=60, max_bytes=10)
    await cache.put("fits", b"x" * 10)
    await cache.put("large", b"x" * 11)
    assert await cache.get("fits") is not None
    assert await cache.get("large") is None
