"""Local stores for tests, processes to share them, a disk that fails."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from curvinefs._linux import Kernel
from curvinefs.local import LocalFileSystem
from tests.fs_conformance import ATTRIBUTES


def make(root: Path, **options: Any) -> LocalFileSystem:
    return LocalFileSystem(str(root), attributes=ATTRIBUTES, **options)


def in_child(work: Callable[[], None]) -> int:
    """Run in a forked process; answers its exit status once it has ended."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Broken(Kernel):
    """A disk that refuses the calls named in ``refused`` with their errno."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: dict[str, int] = {}

    def __getattribute__(self, name: str) -> Any:
        refused = object.__getattribute__(self, "__dict__").get("refused", {})
        if name in refused:

            def fail(*_: object) -> None:
                raise OSError(refused[name], os.strerror(refused[name]))

            return fail
        return super().__getattribute__(name)
