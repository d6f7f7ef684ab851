"""Refusals in the words of the real servers."""

from __future__ import annotations

from curvinefs.curvine.errors import Kind, Refused

_MASTER, _WORKER = "curvine-master", "curvine-worker"


def common(text: str, thread: str = _MASTER, kind: int = Kind.COMMON) -> Refused:
    """An error without a kind of its own; the real text ends in a source line, which differs between versions."""
    return Refused(kind, f"[{thread}] ERROR: {text}(sim.rs:1)")


def worker_error(text: str, kind: int = Kind.COMMON) -> Refused:
    return common(text, _WORKER, kind)


def not_found(path: str) -> Refused:
    return Refused(Kind.FILE_NOT_FOUND, f"File {path} not found")


def exists(path: str) -> Refused:
    return Refused(Kind.FILE_ALREADY_EXISTS, f"{path}  already exists")


def not_empty(path: str) -> Refused:
    return Refused(Kind.DIR_NOT_EMPTY, f"{path} is not empty")
