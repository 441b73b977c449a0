"""docker-compose.yml as Compose reads it, without Compose: an environment goes in, the services come out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import yaml

Service: TypeAlias = dict[str, Any]
"""One service as YAML has it, for assertions alone."""
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}")
_PASSED_ON = re.compile(r"^ +(?P<name>[A-Z][A-Z0-9_]+):$", re.MULTILINE)


def defaults(path: Path) -> dict[str, str]:
    """Every variable that the file reads, with what holds without it; empty for those that are only passed on."""
    text = path.read_text(encoding="utf-8")
    replaced = {match["name"]: match["default"] or "" for match in _VARIABLE.finditer(text)}
    return replaced | {match["name"]: "" for match in _PASSED_ON.finditer(text)}


def read_services(path: Path, environment: Mapping[str, str]) -> dict[str, Service]:
    """The file's services, with variables replaced and anchors resolved."""
    text = path.read_text(encoding="utf-8")
    filled = _VARIABLE.sub(lambda match: environment.get(match["name"], match["default"] or ""), text)
    services: dict[str, Service] = yaml.safe_load(filled)["services"]
    return services
