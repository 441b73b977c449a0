"""Tensors that a checkpoint shares with what is resident: two sets of digests go in, the names to leave alone come out.

Members of a family often have their embeddings or whole blocks in common. An engine fuses tensors of one block into one
layer, and where it gets only some of them it fills the rest with what happens to lie in memory. So a block is left
alone as a whole or not at all.
"""

from collections import defaultdict
from collections.abc import Mapping


def unchanged_tensors(resident: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """The names of `wanted`, of digests by name, whose whole block is the same in `resident`."""
    blocks: dict[str, list[str]] = defaultdict(list)
    for name in wanted:
        blocks[_block(name)].append(name)
    same = {name for name, digest in wanted.items() if resident.get(name) == digest}
    return [name for names in blocks.values() if same.issuperset(names) for name in names]


def _block(name: str) -> str:
    """`model.layers.3` of all that lies in there; of a name without numbers its layer's parent.

    Experts of a layer are numbered too, and are fused: the first number counts. Layers that are fused stand side by
    side (`q_proj`, `k_proj`), so a parent holds all of them.
    """
    parts = name.split(".")
    numbered = next((place for place, part in enumerate(parts) if part.isdecimal()), None)
    return ".".join(parts[:-2] if numbered is None else parts[: numbered + 1])
