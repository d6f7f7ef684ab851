"""Local stores for tests, and processes to share them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
