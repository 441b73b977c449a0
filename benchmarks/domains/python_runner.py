"""The process that runs one answer: `[code, function, inputs]` comes in as JSON, the JSON array of results goes out.

Started by `python_judge` as a script, isolated: it imports the standard library alone.
"""

import collections
import functools
import itertools
import json
import math
import operator
import re
import resource
import string
import sys
import typing

_MEMORY_BYTES = 256 * 2**20
_CPU_SECONDS = 2
_RESULT_BYTES = 200_000
_OFFERED = (collections, functools, itertools, math, operator, re, string, typing)
_FORBIDDEN = ("os.", "subprocess.", "socket.", "ctypes.", "shutil.", "signal.", "fcntl.", "mmap.", "open", "import")


class _Nowhere:
    """A stream that forgets what is printed."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_RESULT_BYTES, _RESULT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _forbid(event: str, _details: tuple[object, ...]) -> None:
    if event.startswith(_FORBIDDEN):
        raise PermissionError(f"a tested function may not use {event}")


def main() -> None:
    code, name, inputs = json.load(sys.stdin)
    out, sys.stdout = sys.stdout, typing.cast("typing.TextIO", _Nowhere())
    _limit()
    sys.addaudithook(_forbid)
    scope: dict[str, object] = {module.__name__: module for module in _OFFERED}
    exec(code, scope)  # running what the model wrote is what this process is for
    function = scope[name]
    assert callable(function)
    out.write(json.dumps([function(value) for value in inputs], sort_keys=True))
    out.flush()


if __name__ == "__main__":
    main()
