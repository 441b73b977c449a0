"""A configuration file in, a validated `Config` out, or one error that names place and remedy of every mistake."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from coe.config.models import Config
from coe.config.problem import Problem
from coe.config.references import find_broken_references
from coe.config.source import Location, RawConfig, read_raw
from coe.errors import ConfigError


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A valid configuration and the file it came from, against which its relative paths are read."""

    config: Config
    raw: RawConfig

    @property
    def directory(self) -> Path:
        return self.raw.path.resolve().parent

    def path(self, value: str) -> Path:
        """A path of the configuration: `~` expanded, relative ones from the file's folder."""
        path = Path(value)
        with suppress(RuntimeError):  # nobody has that name: what reads the path then says that it is not there
            path = path.expanduser()
        return self.directory / path

    def error(self, problems: list[Problem]) -> ConfigError:
        """One error that lists the problems with the places that set them."""
        return _as_error(self.raw, problems)


def load_config(path: Path, environment: Mapping[str, str] | None = None) -> LoadedConfig:
    """Reads, merges with the environment and validates.

    Raises:
        ConfigError: with one line `PLACE: KEY: what is wrong; what to do` per mistake.
    """
    raw = read_raw(path, os.environ if environment is None else environment)
    try:
        config = Config.model_validate(raw.data)
    except ValidationError as error:
        raise _as_error(raw, [_problem(details) for details in error.errors(include_url=False)]) from error
    if problems := find_broken_references(config):
        raise _as_error(raw, problems)
    return LoadedConfig(config, raw)


def _as_error(raw: RawConfig, problems: list[Problem]) -> ConfigError:
    lines = [f"{raw.origin(problem.location)}: {problem}" for problem in problems]
    return ConfigError("\n".join(lines))


def _problem(details: ErrorDetails) -> Problem:
    location: Location = tuple(part for part in details["loc"] if part != "[key]")
    match details["type"]:
        case "extra_forbidden":
            known = _known_keys(location[:-1])
            close = difflib.get_close_matches(str(location[-1]), known, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"known keys: {', '.join(known)}."
            return Problem(location, f"unknown key; {hint}")
        case "missing":
            return Problem(location, "required key is missing.")
        case "string_pattern_mismatch" if "[key]" in details["loc"]:
            return Problem(location, "not a valid name; use letters, digits, `.`, `_`, `-`, at most 63 of them.")
        case _ if _is_secret(location):
            return Problem(location, f"{details['msg']} (it is not shown); a number needs quotes to be a text.")
        case _:
            given = details["input"]
            shown = f"a {type(given).__name__}" if isinstance(given, dict | list) else repr(given)  # may hold secrets
            return Problem(location, f"{details['msg']} (it is {shown}).")


def _is_secret(location: Location) -> bool:
    field = _section(location[:-1]).model_fields.get(str(location[-1])) if location else None
    return field is not None and SecretStr in getattr(field.annotation, "__args__", (field.annotation,))


def _known_keys(location: Location) -> list[str]:
    return list(_section(location).model_fields)


def _section(location: Location) -> type[BaseModel]:
    """The section at a location, found by walking the model tree."""
    section: type[BaseModel] = Config
    for part in location:
        field = section.model_fields.get(str(part))
        candidate = field.annotation if field else section  # a dict key: the section stays that of the dict's values
        for option in (candidate, *getattr(candidate, "__args__", ())):
            if isinstance(option, type) and issubclass(option, BaseModel):
                section = option
    return section
