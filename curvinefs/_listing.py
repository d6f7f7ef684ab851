"""Directories in UTF-8 byte order, page after page.

The kernel gives names in no useful order, so a directory is read whole and sorted.  A large one is asked for many
times in a row, once per page: its names are kept, and used again while the directory has not changed.  So is what its
files were found to be: one call tells that it holds still, instead of four that read it.

Rules
- "Not changed" is an inode's ctime, which no tool can set back.  A change within the same tick of the clock as the
  reading would not show, so things are only kept when the ctime was older than that (git's racy-timestamp rule).
- What is kept is bounded by the number of names of all directories together, where the least recently used goes first,
  and by the number of files, where the oldest goes.
- Python's order of str is by code points, which is the order of their UTF-8 bytes.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from curvinefs._attributes import bare_status
from curvinefs._linux import NOT_READABLE, READ, Kernel, fs_error
from curvinefs.api import FileKind, FileStatus

_CLOCK_REALTIME_COARSE = 5  # linux/time.h
_TICK_NS = 20_000_000  # two ticks of the slowest kernel clock (HZ=100)
_WORTH_KEEPING = 512  # fewer names than this are read and sorted faster than a page of them is answered
_COLD = 8  # unknown files in a row after which a listing reads all that follow without asking first
_FILE, _DIRECTORY, _OTHER = FileKind.FILE, FileKind.DIRECTORY, FileKind.OTHER


class Names(NamedTuple):
    """What one directory held."""

    sorted: list[str]
    special: dict[str, FileKind]
    """Kinds of those that are not files."""

    @property
    def weight(self) -> int:
        return len(self.sorted) + len(self.special)


def read_names(fd: int) -> Names:
    """Raises OSError."""
    names = []
    special = {}
    with os.scandir(fd) as entries:
        for entry in entries:
            name = entry.name
            if not name.isascii() and not _is_utf8(name):
                continue
            names.append(name)
            if not entry.is_file(follow_symlinks=False):
                special[name] = _DIRECTORY if entry.is_dir(follow_symlinks=False) else _OTHER
    names.sort()
    return Names(names, special)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # the escapes that stand for stray bytes
        return False
    return True


class NameCache:
    def __init__(self, capacity: int) -> None:
        """``capacity``: names kept, of all directories; about 100 bytes each."""
        self._capacity = capacity
        self.reset()

    def reset(self) -> None:
        """In a forked child the mutex may be held by a thread that is not there."""
        self._mutex = threading.Lock()
        self._kept: OrderedDict[tuple[int, int], tuple[int, Names]] = OrderedDict()
        self._weight = 0

    def names(self, fd: int) -> Names:
        """Of the directory open at ``fd``; shared, not to be changed.  Raises OSError."""
        now = time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)  # the clock that stamps inodes
        status = os.fstat(fd)
        directory = (status.st_dev, status.st_ino)
        with self._mutex:
            kept = self._kept.get(directory)
            if kept is not None:
                if kept[0] == status.st_ctime_ns:
                    self._kept.move_to_end(directory)
                    return kept[1]
                self._drop(directory)
        names = read_names(fd)
        if _WORTH_KEEPING <= names.weight <= self._capacity and status.st_ctime_ns < now - _TICK_NS:
            with self._mutex:
                self._drop(directory)
                self._kept[directory] = (status.st_ctime_ns, names)
                self._weight += names.weight
                while self._weight > self._capacity:
                    self._drop(next(iter(self._kept)))
        return names

    def _drop(self, directory: tuple[int, int]) -> None:
        kept = self._kept.pop(directory, None)
        if kept is not None:
            self._weight -= kept[1].weight


class StatusCache:
    """Files as they were found, by inode.  Thread-safe: each step is one of a dict's own."""

    def __init__(self, capacity: int) -> None:
        """``capacity``: files, about 600 bytes each; 0: none, where a change need not show in the ctime."""
        self._capacity = capacity
        self._kept: dict[tuple[int, int], tuple[int, FileStatus]] = {}

    def find(self, found: os.stat_result) -> FileStatus | None:
        kept = self._kept.get((found.st_dev, found.st_ino))
        return kept[1] if kept is not None and kept[0] == found.st_ctime_ns else None

    def keep(self, now: int, found: os.stat_result, status: FileStatus) -> None:
        """``status`` was read after ``found``, and that after ``now``."""
        if self._capacity and status.kind is _FILE and found.st_ctime_ns < now - _TICK_NS:
            self._kept[found.st_dev, found.st_ino] = found.st_ctime_ns, status
            if len(self._kept) > self._capacity:
                try:
                    self._kept.pop(next(iter(self._kept)), None)
                except (StopIteration, RuntimeError):  # another thread was quicker; it has made room
                    pass


class Directory:
    """A descriptor shared by the entries of one listing; closed with the last of them."""

    __slots__ = ("fd", "path", "kernel", "load", "cache", "now", "misses")

    def __init__(
        self,
        kernel: Kernel,
        fd: int,
        path: str,
        load: Callable[[int, os.stat_result], FileStatus],
        cache: StatusCache,
    ) -> None:
        """Takes over ``fd``.  ``load(fd, stat)`` reads a status from what is open; it raises OSError."""
        self.kernel = kernel
        self.fd = fd
        self.path = path
        self.load = load
        self.cache = cache
        self.now = time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)
        self.misses = 0

    def entries(self, names: Names, start: str) -> Iterator[LocalEntry]:
        special = names.special
        for place in range(bisect_left(names.sorted, start), len(names.sorted)):
            name = names.sorted[place]
            yield LocalEntry(self, name, special.get(name, _FILE))

    def __del__(self) -> None:
        os.close(self.fd)


class LocalEntry:
    __slots__ = ("name", "kind", "_directory")

    def __init__(self, directory: Directory, name: str, kind: FileKind) -> None:
        self.name = name
        self.kind = kind
        self._directory = directory

    def status(self) -> FileStatus:
        directory = self._directory
        try:
            if directory.misses < _COLD:
                kept = directory.cache.find(os.stat(self.name, dir_fd=directory.fd, follow_symlinks=False))
                if kept is not None:
                    directory.misses = 0
                    return kept
                directory.misses += 1
            fd = directory.kernel.open(directory.fd, self.name, READ)
            try:
                found = os.fstat(fd)
                status = directory.load(fd, found)
            finally:
                os.close(fd)
            directory.cache.keep(directory.now, found, status)
            return status
        except OSError as error:
            return self._reconsider(error)

    def _reconsider(self, error: OSError) -> FileStatus:
        directory = self._directory
        try:
            if error.errno == errno.ESTALE:
                return self.status()
            if error.errno in NOT_READABLE:
                return bare_status(os.stat(self.name, dir_fd=directory.fd, follow_symlinks=False), {})
        except OSError as another:
            error = another
        raise fs_error(error, f"{directory.path}/{self.name}") from error
