"""Where an opened file's blocks are, and links that keep them while they are read.

A link lies in our own directory under ``<seconds since the epoch in hex>.<random>``; what a dead reader left there is
removed when it is a day old, by whoever makes a link.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence

from curvinefs.api import AlreadyExists, FsError, NotFound, Unavailable
from curvinefs.curvine.blockread import Block
from curvinefs.curvine.calls import Calls
from curvinefs.curvine.read import blocks_of
from curvinefs.proto import curvine_pb2 as pb

_DAY_S, _HOUR_S = 86400, 3600.0
_PAGE = 1000


class Readers:
    """The directory of links, made when it is first wanted."""

    def __init__(self, calls: Calls, directory: str) -> None:
        self._calls = calls
        self._directory = directory
        self._sweep_at = 0.0

    def hold(self, path: str, inode: int) -> str | None:
        """A link to that inode; None when another one is at ``path`` by now.  Raises FsError."""
        link = f"{self._directory}/{int(time.time()):x}.{uuid.uuid4().hex}"
        try:
            try:
                self._calls.link(path, link)
            except NotFound:
                self._make_directory()
                self._calls.link(path, link)
            held = self._calls.status(link).id
        except FsError:
            self.release(link, inode)  # it may be there: an answer was lost
            raise
        if held != inode:
            self.release(link, held)
            return None
        self._sweep()
        return link

    def release(self, link: str, inode: int) -> None:
        """Where no master answers it goes later: blocks that nobody else wants would stay for its sake."""
        self._calls.discard(link, inode)

    def _make_directory(self) -> None:
        names = self._directory.split("/")[1:]
        for depth in range(1, len(names) + 1):
            try:
                self._calls.mkdir("/" + "/".join(names[:depth]), {})
            except AlreadyExists:
                pass

    def _sweep(self) -> None:
        now = time.monotonic()
        if now < self._sweep_at:
            return
        self._sweep_at = now + _HOUR_S
        oldest = int(time.time()) - _DAY_S
        try:
            entries = self._calls.page(self._directory, "", _PAGE)  # the oldest come first
        except FsError:
            return
        for entry in entries:
            try:
                made = int(entry.name.partition(".")[0], 16)
            except ValueError:
                continue
            if made < oldest:
                self.release(f"{self._directory}/{entry.name}", entry.id)


class FileSource:
    """The blocks of a file that has a path; see read.Source."""

    def __init__(self, calls: Calls, readers: Readers, path: str, opened: pb.FileStatusProto) -> None:
        self._calls = calls
        self._readers = readers
        self._path = path
        self._inode, self._mtime = opened.id, opened.mtime
        self._link: str | None = None

    def locate(self) -> Sequence[Block]:
        path = self._link or self._path
        located = self._calls.locations(path)
        if (located.status.id, located.status.mtime) != (self._inode, self._mtime):
            raise Unavailable(f"{path}: replaced or rewritten while it was read")
        return blocks_of(located)

    def hold(self) -> None:
        try:
            self._link = self._readers.hold(self._path, self._inode)
        except FsError:
            pass  # then reading depends on the file staying where it is

    def release(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            self._readers.release(link, self._inode)
