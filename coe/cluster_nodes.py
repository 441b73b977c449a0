"""The nodes of the cluster beside what worker groups ask for: which groups find no node to run on.

In: the labels that groups want and the nodes that there are. Out: the groups without a node, and sentences about them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Node:
    """A node that is alive."""

    address: str
    labels: Labels


def unplaced(groups: Mapping[str, Labels], nodes: Sequence[Node]) -> list[str]:
    """Names of the groups whose labels no node has; a group that asks for none may run anywhere."""
    return [
        name
        for name, wanted in groups.items()
        if wanted and not any(wanted.items() <= node.labels.items() for node in nodes)
    ]


def alive_nodes() -> list[Node]:
    """Of the Ray that this process is connected to."""
    import ray  # noqa: PLC0415  # reads variables that are set before it is imported

    return [Node(node["NodeManagerAddress"], node["Labels"]) for node in ray.nodes() if node["Alive"]]


class GroupWatch:
    """Tells of groups that have lost or found a node, once each time.

    Args:
        groups: the labels that each group's nodes must have; groups that run anywhere are left out.
        say: told of what changes.
        nodes: where to look.
    """

    def __init__(
        self, groups: Mapping[str, Labels], say: Callable[[str], None], nodes: Callable[[], list[Node]] = alive_nodes
    ) -> None:
        self._groups = {name: labels for name, labels in groups.items() if labels}
        self._say = say
        self._nodes = nodes
        self._missing: list[str] = []

    def look(self) -> list[str]:
        """The groups without a node now."""
        if not self._groups:
            return []
        missing = unplaced(self._groups, self._nodes())
        for name in missing:
            if name not in self._missing:
                self._say(f"workers {name}: no node has {self._asked(name)}; waiting for one")
        for name in self._missing:
            if name not in missing:
                self._say(f"workers {name}: a node with {self._asked(name)} has joined")
        self._missing = missing
        return missing

    def remedy(self, name: str) -> str:
        """What a person does for a group without a node."""
        return f"workers {name}: no node has the labels {self._asked(name)}. Add one: {self._join(name)}"

    def _asked(self, name: str) -> str:
        return ", ".join(f"{key}={value}" for key, value in self._groups[name].items())

    def _join(self, name: str) -> str:
        labels = " ".join(f"--label {key}={value}" for key, value in self._groups[name].items())
        return f"`coe join HEAD {labels}` on its machine."
