"""How `coe join` reads where its head is and what it offers. Nodes that really join: tests/service/test_cluster.py."""

import socket

import pytest

from coe.errors import InputError
from coe.join import Head
from coe.ray_node import Offer


@pytest.mark.parametrize(("text", "head"), [("10.0.0.5", Head("10.0.0.5", 6379)), ("head:7000", Head("head", 7000))])
def test_a_head_is_a_host_and_perhaps_a_port(text: str, head: Head) -> None:
    assert Head.parse(text) == head


@pytest.mark.parametrize("text", ["", ":6379", "head:", "head:many", "head:70000", "head:6379:1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="HOST:PORT"):
        Head.parse(text)


def test_a_head_answers_once_it_listens() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        head = Head(*server.getsockname())
        assert not head.answers()
        server.listen()
        assert head.answers()


def test_what_is_not_given_is_left_to_ray() -> None:
    assert Offer().arguments() == []
    offer = Offer(labels={"pool": "gpu", "zone": "a"}, cpus=0, gpus=2, host="10.0.0.6")
    assert offer.arguments() == [
        "--labels=pool=gpu,zone=a",
        "--num-cpus=0",
        "--num-gpus=2",
        "--node-ip-address=10.0.0.6",
    ]
