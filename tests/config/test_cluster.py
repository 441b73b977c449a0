"""What a cluster asks of the configuration."""

from collections.abc import Callable

import pytest

from coe.config.load import LoadedConfig
from coe.errors import ConfigError

Load = Callable[..., LoadedConfig]
REDIS = {"COE_REDIS__URL": "redis://10.0.0.5:6380/0"}


def test_it_needs_a_redis_that_other_machines_reach(load: Load) -> None:
    for redis in ({}, {"COE_REDIS__URL": "unix:///run/redis.sock"}):
        with pytest.raises(ConfigError, match=r"redis\.url: a cluster needs a Redis that all its machines reach"):
            load(COE_CLUSTER__PORT="6379", **redis)
    cluster = load(COE_CLUSTER__PORT="6379", **REDIS).config.cluster
    assert cluster is not None
    assert (cluster.port, cluster.host, cluster.labels) == (6379, None, {})


def test_there_is_none_where_none_is_asked_for(load: Load) -> None:
    assert load().config.cluster is None


def test_the_heads_labels_say_which_groups_may_run_on_it(load: Load) -> None:
    def groups(labels: str, nodes: str) -> list[str]:
        given = {"COE_CLUSTER__LABELS": labels, "COE_WORKERS__LOCAL-1__NODES": nodes}
        return load(**given, **REDIS).config.groups_on_head()

    assert load().config.groups_on_head() == ["local-1"]
    assert groups("{}", "{pool: cpu}") == []
    assert groups("{pool: cpu, zone: a}", "{pool: cpu}") == ["local-1"]
    assert groups("{zone: a}", "{}") == ["local-1"]


@pytest.mark.parametrize("labels", ["{pool: ''}", "{'': cpu}", "{pool: 'a b'}", "{pool: '!cpu'}", "[pool]"])
def test_labels_are_words(load: Load, labels: str) -> None:
    with pytest.raises(ConfigError, match=r"workers\.local-1\.nodes"):
        load("device: cpu", f"nodes: {labels}")
