"""A YAML file and the environment in, a raw tree with the origin of every key out. Knows nothing of what keys mean.

Precedence: environment over file. `COE_SERVER__PORT=9000` sets `server.port`; names match without regard to case,
and `_` matches `-`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from coe.errors import ConfigError

ENV_PREFIX = "COE_"
Location = tuple[str | int, ...]
Raw = dict[str, object]


@dataclass(slots=True)
class RawConfig:
    """The merged tree, and for each location the place that set it: `FILE:LINE` or an environment variable."""

    path: Path
    data: Raw = field(repr=False)  # may hold secrets
    origins: dict[Location, str] = field(default_factory=dict)

    def origin(self, location: Location) -> str:
        """Where a location was set; for a missing key, where its nearest parent was."""
        for end in range(len(location), 0, -1):
            if place := self.origins.get(location[:end]):
                return place
        return str(self.path)


def read_raw(
    path: Path, environment: Mapping[str, str], keys: Sequence[str] = ("models", "experts", "router", "workers")
) -> RawConfig:
    """Reads the file and lays the environment over it. `keys`: what to ask for where it is no mapping.

    Raises:
        ConfigError: the file is missing, is not YAML, repeats a key, has no end to its depth, or is not a mapping.
    """
    try:
        raw = _read(path, keys)
    except RecursionError as error:
        raise ConfigError(f"{path}: nested too deeply, or an alias stands inside of what it names.") from error
    _apply_environment(raw, environment)
    return raw


def _read(path: Path, keys: Sequence[str]) -> RawConfig:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the configuration: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a UTF-8 text file.") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: not valid YAML: {error.problem}.") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist
        raise ConfigError(f"{path}: not valid YAML: {error}.") from error
    if not isinstance(data, dict) or node is None:
        raise ConfigError(f"{path}: the file must be a mapping with the keys {', '.join(f'`{key}`' for key in keys)}.")
    raw = RawConfig(path, data)
    _note_lines(raw, node, ())
    return raw


def _note_lines(raw: RawConfig, node: yaml.Node, location: Location) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            child = (*location, str(key.value))
            place = f"{raw.path}:{key.start_mark.line + 1}"
            if child in raw.origins:
                first = raw.origins[child].rpartition(":")[2]
                raise ConfigError(f"{place}: `{'.'.join(map(str, child))}` was already set on line {first}; keep one.")
            raw.origins[child] = place
            _note_lines(raw, value, child)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            child = (*location, index)
            raw.origins[child] = f"{raw.path}:{value.start_mark.line + 1}"
            _note_lines(raw, value, child)


def _apply_environment(raw: RawConfig, environment: Mapping[str, str]) -> None:
    for name in sorted(environment):
        if not name.startswith(ENV_PREFIX) or "__" not in name:
            continue
        parts = name.removeprefix(ENV_PREFIX).split("__")
        try:
            value = yaml.safe_load(environment[name])
        except (yaml.YAMLError, ValueError):
            value = environment[name]
        _set(raw, parts, value, f"environment variable {name}")


def _set(raw: RawConfig, parts: list[str], value: object, place: str) -> None:
    tree: Raw = raw.data
    location: Location = ()
    for part in parts[:-1]:
        key = _matching_key(tree, part)
        location = (*location, key)
        child = tree.get(key)
        if not isinstance(child, dict):
            child = {}
            tree[key] = child
            raw.origins[location] = place
        tree = child
    key = _matching_key(tree, parts[-1])
    tree[key] = value
    raw.origins[(*location, key)] = place


def _matching_key(tree: Raw, part: str) -> str:
    wanted = part.lower()
    return next((key for key in tree if str(key).lower().replace("-", "_") == wanted.replace("-", "_")), wanted)
