"""The domains by name, in the order in which they are reported."""

from collections.abc import Mapping
from types import MappingProxyType

from benchmarks.domains.arithmetic import Arithmetic
from benchmarks.domains.extraction import Extraction
from benchmarks.domains.general import General
from benchmarks.domains.python_function import PythonFunction
from benchmarks.domains.sql import Sql
from benchmarks.domains.task import Domain, TrainedDomain

_TRAINED: tuple[TrainedDomain, ...] = (Arithmetic(), Sql(), PythonFunction(), Extraction())
TRAINED: Mapping[str, TrainedDomain] = MappingProxyType({domain.name: domain for domain in _TRAINED})
DOMAINS: Mapping[str, Domain] = MappingProxyType({**TRAINED, "general": General()})
