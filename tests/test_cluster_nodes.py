"""Which worker groups find a machine to run on, and what people are told of it."""

from coe.cluster_nodes import GroupWatch, Node, unplaced


def test_a_group_needs_one_node_with_all_of_its_labels() -> None:
    nodes = [Node("10.0.0.1", {"pool": "gpu"}), Node("10.0.0.2", {"pool": "cpu", "zone": "a", "ray.io/node-id": "x"})]
    groups = {"anywhere": {}, "fits": {"pool": "cpu", "zone": "a"}, "split": {"pool": "gpu", "zone": "a"}}
    assert unplaced(groups, nodes) == ["split"]
    assert unplaced(groups, []) == ["fits", "split"]


def test_what_is_missing_and_what_came_are_told_once() -> None:
    nodes: list[Node] = []
    said: list[str] = []
    watch = GroupWatch({"cpu": {"pool": "cpu"}, "anywhere": {}}, said.append, lambda: nodes)

    assert watch.look() == watch.look() == ["cpu"]
    nodes.append(Node("10.0.0.2", {"pool": "cpu"}))
    assert watch.look() == watch.look() == []
    nodes.clear()
    assert watch.look() == ["cpu"]

    assert [("pool=cpu" in line, "has joined" in line) for line in said] == [(True, False), (True, True), (True, False)]


def test_the_remedy_is_the_command_to_type() -> None:
    watch = GroupWatch({"cpu": {"pool": "cpu", "zone": "a"}}, print, list)
    assert "coe join HEAD --label pool=cpu --label zone=a" in watch.remedy("cpu")
