"""The prompts that a service would not decide: a configuration in, the texts that it keeps in its Redis out."""

from __future__ import annotations

import asyncio

from coe.config.load import LoadedConfig
from coe.config.problem import Problem
from coe.errors import ConfigError, StartupError
from coe.store.client import STORE_ERRORS, open_redis
from coe.store.decision_log import DecisionLog


def read_rejected_prompts(service: LoadedConfig) -> list[str]:
    """The latest of them, the oldest first; empty where the service has rejected none.

    Raises:
        ConfigError: the configuration names no Redis, or keeps no texts and has none of before.
        StartupError: Redis does not answer.
    """
    config = service.config
    if config.redis.url is None:
        raise _problem(
            service,
            ("redis", "url"),
            "without it the service has an embedded Redis of its own, which no other process can read: set it to one "
            "that you run and restart the service, or give prompts with `--data`.",
        )
    try:
        texts = asyncio.run(_read(config.redis.url, service))
    except STORE_ERRORS as error:
        place = service.raw.origin(("redis", "url"))
        raise StartupError(f"{place}: the Redis of `redis.url` cannot be read: {error}. Is it up?") from error
    if not texts and config.router.log.prompts == "none":
        raise _problem(
            service,
            ("router", "log", "prompts"),
            "it is `none`, so that the service keeps no texts of prompts: set it to `abstained` and restart the "
            "service, or give prompts with `--data`.",
        )
    return texts


async def _read(url: str, service: LoadedConfig) -> list[str]:
    kept = service.config.router.log
    async with open_redis(url) as redis:
        log = DecisionLog(redis, service.config.redis.namespace, kept.keep_h * 3600, kept.max_prompts)
        return await log.rejected_prompts(kept.max_prompts)


def _problem(service: LoadedConfig, location: tuple[str, ...], message: str) -> ConfigError:
    return service.error([Problem(location, message)])
