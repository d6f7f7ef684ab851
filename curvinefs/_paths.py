"""From a path to a descriptor beneath the root, whatever anybody does to the directories meanwhile.

A path is opened in one openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS), which costs as much as open; where the kernel or
a container's filter refuses that call, and for paths longer than PATH_MAX, it is walked by directory descriptors.

Rules
- No symbolic link is followed at any place and ``..`` never reaches the kernel, so nothing outside the root is ever
  touched, not even while directories are being moved.
- A name is only ever created, renamed or removed in a directory that is held open.

Follows openat2(2), path_resolution(7).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from curvinefs._linux import DIRECTORY, HANDLE, Kernel
from curvinefs.api import InvalidPath

_PATH_MAX = 4095
"""Bytes of a path in one call, without the closing NUL."""
_REFUSED = ("", ".", "..")


def relative(path: str) -> bytes:
    """The path from the root, as the kernel takes it; ``.`` for the root.  InvalidPath."""
    if path == "/":
        return b"."
    # The searches are quicker than a split, and a plain path has none of these.
    if "/." in path or "//" in path or path.endswith("/"):
        if any(part in _REFUSED for part in path[1:].split("/")):
            raise InvalidPath(f"{path!r}: has an empty part, '.' or '..'")
    if "\0" in path or not path.startswith("/"):
        raise InvalidPath(f"{path!r}: not an absolute path")
    try:
        return path[1:].encode()
    except UnicodeEncodeError:
        raise InvalidPath(f"{path!r}: not UTF-8") from None


def above(path: str) -> str:
    """The directory that holds ``path``."""
    return path.rpartition("/")[0] or "/"


def split(path: str) -> tuple[str, str]:
    """Parent directory and name of what is to be made or removed.  InvalidPath; also for the root."""
    if relative(path) == b".":
        raise InvalidPath("the root has no name")
    return above(path), path.rpartition("/")[2]


class Place(NamedTuple):
    """A name in an open directory."""

    fd: int
    directory: str
    """The path of ``fd``."""
    name: str


class Root:
    """The directory that is ``/``.  Its methods raise OSError for what the kernel says, InvalidPath for bad paths."""

    def __init__(self, kernel: Kernel, path: str, *, walk: bool | None = None) -> None:
        """``walk``: never (False) or always (True) go by single directories; None: find out."""
        self._kernel = kernel
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self.walks = self._must_walk() if walk is None else walk

    def _must_walk(self) -> bool:
        try:
            os.close(self._kernel.openat2(self.fd, b".", DIRECTORY))
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EPERM, errno.EACCES, errno.EINVAL, errno.E2BIG):
                raise
            return True
        return False

    def open(self, path: str, flags: int) -> int:
        """The caller owns the descriptor."""
        name = relative(path)
        if self.walks or len(name) > _PATH_MAX:
            return self._open_in_pieces(name, flags)
        return self._kernel.openat2(self.fd, name, flags)

    def _open_in_pieces(self, name: bytes, flags: int) -> int:
        *before, last = _components(name) if self.walks else _pieces(name)
        call = self._kernel.open if self.walks else self._kernel.openat2
        directory = self.fd
        try:
            for piece in before:
                following = call(directory, piece, HANDLE | os.O_DIRECTORY)
                if directory != self.fd:
                    os.close(directory)
                directory = following
            return call(directory, last, flags)
        finally:
            if directory != self.fd:
                os.close(directory)

    @contextmanager
    def place(self, path: str) -> Iterator[Place]:
        """Where ``path`` is or will be; its directory is open for the length of the ``with``."""
        directory, name = split(path)
        fd = self.open(directory, DIRECTORY)
        try:
            yield Place(fd, directory, name)
        finally:
            os.close(fd)

    def close(self) -> None:
        os.close(self.fd)


def _components(name: bytes) -> list[bytes]:
    return name.split(b"/")


def _pieces(name: bytes) -> list[bytes]:
    """``name`` in runs of whole components, each short enough for one call."""
    pieces = []
    while len(name) > _PATH_MAX:
        cut = name.rfind(b"/", 0, _PATH_MAX + 1)
        if cut <= 0:  # a component that no file system takes: the kernel says so
            break
        pieces.append(name[:cut])
        name = name[cut + 1 :]
    return [*pieces, name]
