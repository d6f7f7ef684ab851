"""A new file under construction: the Writer of a Curvine file system.

Small files (up to SMALL bytes) wait in memory and go to the worker in one flight when they are whole; if a worker fails
then, they go to another one, and if the block id is spoiled (a master that lost its last moments gives ids out again),
into another file, without the caller noticing.
Larger ones stream block by block; what a dead worker lost of a block is sent again (``replay``).

Rules
- The block size follows from the length where the caller knows it.  Else a file begins with blocks for a small one
  and is given large ones, while it has none yet, when more comes.
- A closed writer whose file was not renamed deletes it: an unfinished block keeps its whole capacity reserved.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from curvinefs.api import Corrupt, File, FileKind, FileStatus, InvalidPath, RenameFlag, Unavailable
from curvinefs.curvine.blocks import CHUNK, Placement
from curvinefs.curvine.calls import Calls, Commit, Known
from curvinefs.curvine.errors import BlockFailed, ReplyLost
from curvinefs.curvine.kept import Kept
from curvinefs.curvine.master import Life
from curvinefs.curvine.options import MIB
from curvinefs.curvine.paths import join, split
from curvinefs.curvine.replay import LastingBlock
from curvinefs.curvine.workers import Workers
from curvinefs.proto import curvine_pb2 as pb

SMALL = MIB
"""Bytes that wait in memory; no more than CHUNK, so that what waited is one chunk."""
_WORTH_SENDING = 256 * 1024
"""A piece of at least this length is sent as it is, shorter ones are collected."""
_TRIES = 5

NANOSECONDS = 1_000_000
"""Nanoseconds of a millisecond, which is Curvine's unit of time."""


def block_size_for(size: int | None, large: int) -> int:
    """Capacity of the blocks of a file of ``size`` bytes (None: not known).

    An open block reserves all of it on its worker, and a worker with less free space gets none: so it fits the file.
    """
    if size is None or size <= MIB:
        return MIB
    return min(-(-size // MIB) * MIB, large)


class CurvineWriter:
    def __init__(self, calls: Calls, workers: Workers, path: str, size: int | None) -> None:
        """Creates the file; the path must be one that nobody else uses.  AlreadyExists, NotFound, NotADirectory."""
        self.size = 0
        self._calls = calls
        self._workers = workers
        self._first_path = path
        self._expected = size
        self._client_name = f"{uuid.uuid4()}"
        self._block_size = block_size_for(size, workers.options.large_block_size)
        self._path, self._inode = self._make(path)
        self._block_size = max(self._block_size, calls.least_block_size)
        self._waiting = bytearray()
        self._block: LastingBlock | None = None
        self._kept = Kept(workers.kept)
        self._last: int | None = None
        self._commits: list[Commit] = []
        self._recorded = 0
        self._status: FileStatus | None = None
        self._completed_in: Life | None = None
        self._published = False
        self._closed = False

    def _make(self, path: str) -> tuple[str, int]:
        """Where a master died over it, under another name; the first one goes when it turns up."""
        try:
            return path, self._calls.create(path, self._block_size, self._client_name).id
        except Unavailable as error:
            if not isinstance(error.__cause__, ReplyLost):
                raise
            self._calls.discard(path, None)
            if self._calls.master.hopeless:
                raise
            other = self._other_path()
            return other, self._calls.create(other, self._block_size, self._client_name).id

    def _other_path(self) -> str:
        return f"{self._first_path}.{uuid.uuid4().hex[:8]}"

    # -- contents

    def write(self, data: memoryview | bytes | bytearray) -> None:
        self._want_open()
        view = memoryview(data).cast("B")
        self.size += len(view)
        if self._streams or self.size > SMALL:
            self._stream(view)
        else:
            self._waiting += view

    def copy_from(self, source: File, first: int, length: int) -> None:
        buffer = memoryview(bytearray(min(length, CHUNK)))
        while length:
            count = source.readinto(first, buffer[:length])
            if not count:
                raise Corrupt(f"{self._path}: {length} bytes less to copy than there were")
            self.write(buffer[:count])
            first, length = first + count, length - count

    @property
    def _streams(self) -> bool:
        return self._last is not None

    def _stream(self, data: memoryview) -> None:
        try:
            if not self._streams and self._expected is None:
                self._grow()
            if self._waiting and len(self._waiting) + len(data) < CHUNK and len(data) < _WORTH_SENDING:
                self._waiting += data
                return
            self._drain()
            while len(data) >= _WORTH_SENDING:
                piece = data[:CHUNK]
                self._send(piece)
                data = data[len(piece) :]
            self._waiting += data
        except BlockFailed as error:
            raise error.fs_error(self._path) from error

    def _grow(self) -> None:
        """More comes than a small file has: have large blocks."""
        self._block_size = max(self._workers.options.large_block_size, self._calls.least_block_size)
        self._calls.create(self._path, self._block_size, self._client_name, again=self._inode)
        self._expected = self.size

    def _drain(self) -> None:
        if self._waiting:
            self._send(memoryview(self._waiting))
            self._waiting = bytearray()

    def _send(self, data: memoryview) -> None:
        while data:
            block = self._block
            if block is not None and block.length == block.capacity:
                self._finish_block(block)
                block = None
            if block is None:
                block = self._block = self._open_block()
            piece = data[: min(CHUNK, block.capacity - block.length)]
            block.write(piece)
            data = data[len(piece) :]

    def _open_block(self) -> LastingBlock:
        length = self._recorded + sum(commit.length for commit in self._commits)
        placement = self._placement()
        located = placement.next_block(self._last, self._commits, length)
        renew = self._begin_stream_again if self._last is None else None
        self._last, self._recorded, self._commits = located.block.id, length, []
        return LastingBlock(placement, located, self._kept, renew)

    def _begin_stream_again(self) -> tuple[Placement, pb.LocatedBlockProto]:
        """The first block, of another file."""
        self._begin_again()
        placement = self._placement()
        located = placement.next_block(None, (), 0)
        self._last = located.block.id
        return placement, located

    def _finish_block(self, block: LastingBlock) -> None:
        self._commits.append(block.finish())
        self._block = None

    def _placement(self) -> Placement:
        return Placement(self._calls, self._workers, self._path, self._inode, self._client_name, self._block_size)

    def _put_small(self) -> None:
        """The whole file in one block.  Raises FsError."""
        data = memoryview(self._waiting)
        for last_try in (False,) * (_TRIES - 1) + (True,):
            placement = self._placement()
            try:
                located = placement.next_block(None, (), 0)
                self._commits = [placement.write_whole(located, data)]
                return
            except BlockFailed as error:
                if last_try:
                    raise error.fs_error(self._path) from error
                self._begin_again()

    def _begin_again(self) -> None:
        """Another file with other block ids; made before the old one goes, so that the directory stays held."""
        old = self._path, self._inode
        self._path, self._inode = self._make(self._other_path())
        self._calls.discard(*old)

    # -- the end

    def complete(self, x_attr: Mapping[str, bytes], mtime_ns: int) -> FileStatus:
        self._want_open()
        try:
            if self._streams:
                self._drain()
                if self._block is not None:
                    self._finish_block(self._block)
            elif self._waiting:
                self._put_small()
        except BlockFailed as error:
            raise error.fs_error(self._path) from error
        mtime_ms = mtime_ns // NANOSECONDS
        self._completed_in = self._calls.complete(
            self._path,
            self._client_name,
            self.size,
            self._commits,
            recorded=self._recorded,
            x_attr=x_attr,
            mtime_ms=mtime_ms,
        )
        self._waiting = bytearray()
        self._status = FileStatus(FileKind.FILE, self._inode, self.size, mtime_ms * NANOSECONDS, dict(x_attr))
        return self._status

    def rename(self, name: str, flags: RenameFlag = RenameFlag.REPLACE) -> None:
        if "/" in name:
            raise InvalidPath(f"{name!r} is not a name")
        self.rename_to(join(split(self._path)[0], name), flags)

    def rename_to(self, path: str, flags: RenameFlag = RenameFlag.REPLACE) -> None:
        if self._status is None:
            raise ValueError(f"{self._path} is not complete")
        self._calls.rename(self._path, path, flags, Known(self._inode, self.size, True, self._completed_in))
        self._published = True

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._block is not None:
            self._block.close()
        self._kept.close()
        if not self._published:
            self._calls.discard(self._path, self._inode)

    def _want_open(self) -> None:
        if self._closed or self._status is not None:
            raise ValueError(f"{self._path} takes nothing more")
