"""A Curvine cluster as a FileSystem, by Curvine's native protocol; see docs/curvinefs.md.

This module is the interface; the ideas lie in ``curvinefs.curvine``.

Rules
- Nothing is kept beside the cluster and nothing in memory is believed without asking it.  Our own files are below
  ``/.s3~``: ``locks/``, and ``readers/`` (links that hold what is being read).
- Any number of threads; a forked child begins with fresh connections and locks.
- Curvine has no flush: a change is as durable as its master makes it (docs/durability.md).
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from curvinefs.api import (
    AlreadyExists,
    DirectoryNotEmpty,
    FileKind,
    FileStatus,
    FsError,
    IsADirectory,
    NotADirectory,
    NotFound,
    PartRef,
    RenameFlag,
    Unavailable,
)
from curvinefs.curvine.blockread import Block
from curvinefs.curvine.calls import Calls, Known
from curvinefs.curvine.errors import NoReplica
from curvinefs.curvine.locks import CurvineLock, Locks
from curvinefs.curvine.master import Master
from curvinefs.curvine.options import Options
from curvinefs.curvine.parted import CurvinePartWriter, PartedFiles
from curvinefs.curvine.paths import GLOB, is_name, split
from curvinefs.curvine.pool import Address, Pool
from curvinefs.curvine.read import CurvineFile, blocks_of
from curvinefs.curvine.source import FileSource, Readers
from curvinefs.curvine.workers import Workers
from curvinefs.curvine.write import NANOSECONDS, CurvineWriter
from curvinefs.proto import curvine_pb2 as pb

__all__ = ["CurvineFileSystem", "Options"]

_STATE = "/.s3~"
_PAGE = 1000
_DELETING_S = 5.0
_MASTER_IDLE_S, _MASTER_IDLE = 300.0, 16
_WORKER_IDLE_S, _WORKER_IDLE = 60.0, 128

_living: weakref.WeakSet[CurvineFileSystem] = weakref.WeakSet()


class CurvineFileSystem:
    """See FileSystem for every public method."""

    forbidden_in_directories = GLOB

    def __init__(self, masters: Sequence[tuple[str, int]], options: Options | None = None) -> None:
        """Nothing is asked yet; check() tells whether the cluster is there."""
        self._options = options = options or Options()
        self._masters = Pool(options.connect_timeout_s, options.master_timeout_s, _MASTER_IDLE_S, _MASTER_IDLE)
        self._streams = Pool(options.connect_timeout_s, options.worker_timeout_s, _WORKER_IDLE_S, _WORKER_IDLE)
        self._master = Master([Address(*master) for master in masters], self._masters, options.master_patience_s)
        self._calls = Calls(self._master, options)
        self._workers = Workers(options, self._streams, self._calls.info)
        self._locks = Locks(self._calls, f"{_STATE}/locks")
        self._linked = threading.local()
        """The master's life in which this thread linked something last."""
        self._readers = Readers(self._calls, f"{_STATE}/readers")
        self._parted = PartedFiles(self._calls, self._workers)
        _living.add(self)

    # -- reading

    def status(self, path: str) -> FileStatus:
        try:
            return to_status(self._calls.status(path))
        except NotFound as error:
            raise self._missing(error, path) from error

    def _missing(self, error: NotFound, *paths: str) -> FsError:
        """The master says "not found" below a file too: look at the deepest thing above each path that there is."""
        for path in paths:
            names = split(path)[0].split("/")
            there, missing = 1, len(names) + 1  # so many names exist, the root's among them; so many do not
            middle = len(names)  # mostly the directory is there: one question more, however deep it lies
            while missing - there > 1:
                above = self._calls.find("/".join(names[:middle]))
                if above is not None and not above.is_dir:
                    return NotADirectory(str(error))
                there, missing = (middle, missing) if above is not None else (there, middle)
                middle = (there + missing) // 2
        return error

    def open(self, path: str) -> CurvineFile:
        try:
            located, blocks = self._locate(path)
        except NotFound as error:
            raise self._missing(error, path) from error
        status = to_status(located.status)
        if status.kind is FileKind.DIRECTORY:
            raise IsADirectory(path)
        if status.kind is not FileKind.FILE:
            raise NotFound(f"{path}: not a regular file")
        source = FileSource(self._calls, self._readers, path, located.status)
        return CurvineFile(self._workers, source, status, blocks)

    def _locate(self, path: str) -> tuple[pb.FileBlocksProto, Sequence[Block]]:
        """A worker that is starting again is waited for."""
        give_up = time.monotonic() + self._options.worker_patience_s
        pause = 0.05
        while True:
            try:
                located = self._calls.locations(path)
                return located, blocks_of(located)
            except NoReplica:
                if time.monotonic() + pause > give_up:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, 1.0)

    def list(self, path: str, start: str = "") -> Iterator[CurvineEntry]:
        """Statuses are as of the page that named them: entries of one page need no further call."""
        page = self._page(path, _before(start), first=True)
        return self._entries(path, start, page)

    def _entries(self, path: str, start: str, page: Sequence[pb.FileStatusProto]) -> Iterator[CurvineEntry]:
        least = start.encode("utf-8", "surrogatepass")
        while True:
            for status in page:
                name = status.name.encode()
                if name >= least and is_name(name):
                    yield CurvineEntry(status)
            if len(page) < _PAGE:
                return
            try:
                page = self._page(path, page[-1].name)
            except NotFound:
                return  # the directory went meanwhile, and with it all that would follow

    def _page(self, path: str, start_after: str, *, first: bool = False) -> Sequence[pb.FileStatusProto]:
        try:
            page = self._calls.page(path, start_after, _PAGE)
        except NotFound as error:
            raise self._missing(error, path) from error
        if len(page) == 1 and page[0].path == path and path != "/":
            raise NotADirectory(path)
        if first and not page and start_after:
            self._calls.want_directory(path)  # a file may have been left out as coming before the start
        return page

    # -- changing

    def create(self, path: str, size: int | None = None) -> CurvineWriter:
        """``size``: how many bytes will come, where that is known; it decides the size of blocks."""
        try:
            return CurvineWriter(self._calls, self._workers, path, size)
        except NotFound as error:
            raise self._missing(error, path) from error

    def mkdir(self, path: str, x_attr: Mapping[str, bytes] | None = None) -> None:
        try:
            self._calls.mkdir(path, x_attr or {})
        except NotFound as error:
            raise self._missing(error, path) from error

    def rename(self, source: str, destination: str, flags: RenameFlag = RenameFlag.REPLACE) -> None:
        try:
            self._rename(source, destination, flags)
        except NotFound as error:
            raise self._missing(error, source, destination) from error

    def _rename(self, source: str, destination: str, flags: RenameFlag) -> None:
        split(destination)
        here = self._calls.status(source)
        life = self._calls.life
        if not here.is_dir and not here.is_complete:
            raise Unavailable(f"{source}: somebody is writing it, or its master forgot that it was complete")
        if source == destination:
            if flags is RenameFlag.NO_REPLACE:
                raise AlreadyExists(source)
            return
        if flags is RenameFlag.REPLACE and here.nlink > 1 and not here.is_dir:
            there = self._calls.find(destination)
            if there is not None and there.id == here.id:
                # Renaming a link over another of the same file leaks the file's blocks.
                self._calls.delete(source)
                return
        linked, self._linked.life = getattr(self._linked, "life", None), None
        if flags is RenameFlag.EXCHANGE and linked not in (None, life):
            # A directory that holds a link is exchanged for the file, and that is removed: what if the link is lost?
            raise Unavailable(f"{source}: the master began anew after something was linked")
        self._calls.rename(source, destination, flags, Known(here.id, here.len, here.is_complete, life))

    def link(self, source: str, destination: str) -> None:
        try:
            self._calls.link(source, destination)
        except NotFound as error:
            raise self._missing(error, source, destination) from error
        self._linked.life = self._calls.life

    def set_x_attr(self, path: str, x_attr: Mapping[str, bytes | None]) -> None:
        try:
            self._calls.set_attributes(path, x_attr)
        except NotFound as error:
            raise self._missing(error, path) from error

    def delete(self, path: str, inode: int | None = None) -> None:
        try:
            self._calls.delete(path, inode)
        except NotFound as error:
            raise self._missing(error, path) from error

    def delete_directory(self, path: str) -> None:
        """The master deletes a file as willingly: so one of us at a time looks and deletes."""
        self._want_empty(path)
        with self._locks.hold(f"//delete{path}", _DELETING_S) as held:
            inode = self._want_empty(path)
            held.check()
            self._calls.delete(path, inode)

    def _want_empty(self, path: str) -> int:
        """The directory's inode."""
        try:
            status = self._calls.status(path)
        except NotFound as error:
            raise self._missing(error, path) from error
        if not status.is_dir:
            raise NotADirectory(path)
        if status.children_num:
            raise DirectoryNotEmpty(path)
        return int(status.id)

    def delete_many(self, paths: Iterable[str]) -> Sequence[FsError | None]:
        """In order: a directory may follow its last entry."""
        outcomes: list[FsError | None] = []
        for path in paths:
            try:
                self._calls.delete(path)
                outcomes.append(None)
            except FsError as error:
                outcomes.append(error)
        return outcomes

    def flush(self, path: str) -> None:
        return None

    def deferred(self) -> AbstractContextManager[None]:
        return nullcontext()

    def is_abandoned(self, path: str, older_than_s: float) -> bool:
        """By age alone: the cluster does not know whether a writer lives."""
        return self.status(path).mtime_ns / 1e9 < time.time() - older_than_s

    # -- parts

    def create_parted(self, path: str, part_size: int) -> None:
        self._parted.create(path, part_size)

    def open_part(self, path: str, place: int, size: int) -> CurvinePartWriter | None:
        return self._parted.open_part(path, place, size)

    def open_part_file(self, path: str, part: PartRef) -> CurvineFile:
        return self._parted.open_part_file(path, part)

    def join_parts(
        self, path: str, parts: Sequence[PartRef], x_attr: Mapping[str, bytes], mtime_ns: int
    ) -> FileStatus | None:
        return self._parted.join(path, parts, x_attr, mtime_ns)

    def parted_in(self, path: str) -> int | None:
        return self._parted.part_size(path)

    # -- coordination and health

    def lock(self, name: str, timeout_s: float = 5.0, *, lasting: bool = False) -> AbstractContextManager[CurvineLock]:
        return self._locks.hold(name, timeout_s, lasting=lasting)

    def check(self) -> Mapping[str, str]:
        info = self._calls.info()
        if not info.live_workers:
            raise Unavailable(f"{info.active_master} leads, but no worker is alive")
        mounts = self._calls.mounts.closed()
        return {
            "leader": info.active_master,
            "workers": str(len(info.live_workers)),
            "workers_missing": str(len(info.blacklist_workers) + len(info.lost_workers)),
            "total_bytes": str(info.capacity),
            "free_bytes": str(info.allocatable_available if info.HasField("allocatable_available") else info.available),
            "files": str(info.inode_file_num),
            "directories": str(info.inode_dir_num),
            "server": info.compatibility.server.release_version,
        } | ({"mounts_not_served": " ".join(mounts)} if mounts else {})

    def close(self) -> None:
        self._masters.close()
        self._streams.close()
        self._workers.kept.close()


class CurvineEntry:
    """An entry of a listed directory."""

    __slots__ = ("_status",)

    def __init__(self, status: pb.FileStatusProto) -> None:
        self._status = status

    @property
    def name(self) -> str:
        return str(self._status.name)

    @property
    def kind(self) -> FileKind:
        return _kind(self._status)

    def status(self) -> FileStatus:
        """As of the listing."""
        return to_status(self._status)


def to_status(status: pb.FileStatusProto) -> FileStatus:
    kind = _kind(status)
    length = status.len if kind is FileKind.FILE else 0
    return FileStatus(kind, status.id, length, status.mtime * NANOSECONDS, dict(status.x_attr))


def _kind(status: pb.FileStatusProto) -> FileKind:
    if status.is_dir:
        return FileKind.DIRECTORY
    return FileKind.FILE if status.file_type in _FILES else FileKind.OTHER


_FILES = frozenset({1, 3, 4, 5})
"""FILE, STREAM, AGG, OBJECT; all others are links and special files."""


def _before(start: str) -> str:
    """A name below ``start`` with next to nothing between: the master lists names above the one that it is given."""
    if not start:
        return ""
    last = ord(start[-1])
    if last == 0:
        return start[:-1]
    below = 0xD7FF if last == 0xE000 else last - 1
    if 0xD800 <= below < 0xE000:
        below = 0xD7FF
    return start[:-1] + chr(below) + "\U0010ffff" * 4


def _after_fork() -> None:
    for file_system in list(_living):
        file_system._locks.reset()
        file_system._workers.reset()


os.register_at_fork(after_in_child=_after_fork)
