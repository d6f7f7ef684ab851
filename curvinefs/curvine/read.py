"""An opened file: the File of a Curvine file system.

What to read lies in blocks; each comes from a file on this machine if it can, else from one of its workers, else from
the next one, else, for a while, from wherever the master says it is now.

Rules
- One version: blocks belong to the inode that was opened.  When the master names another inode under the path, reading
  breaks off; bytes of two versions are never joined, and what has no worker is never given as zeros.
- The blocks of a replaced file vanish within three seconds.  So files on this machine are opened together, and whoever
  reads more blocks than that first holds the inode by a hard link among our own files.
"""

from __future__ import annotations

import bisect
import os
import time
from collections.abc import Sequence
from typing import Protocol

from curvinefs.api import Corrupt, Extent, FileStatus, FsError, NotServed, Unavailable
from curvinefs.curvine.blockread import Block, BlockStream, open_near
from curvinefs.curvine.errors import ConnectionLost, NoReplica, Refused
from curvinefs.curvine.workers import Workers
from curvinefs.proto import curvine_pb2 as pb

_MOST_FILES = 64
_MOST_AHEAD = 2**30
_UFS = 2


class Source(Protocol):
    """Where a file's blocks are."""

    def locate(self) -> Sequence[Block]:
        """The blocks with their present workers.  Unavailable when another file has the name.  Raises FsError."""

    def hold(self) -> None:
        """Keep the file's blocks from vanishing; best effort."""

    def release(self) -> None: ...


class CurvineFile:
    def __init__(self, workers: Workers, source: Source, status: FileStatus, blocks: Sequence[Block]) -> None:
        self.status = status
        self._workers = workers
        self._source = source
        self._blocks = blocks
        self._offsets = [block.offset for block in blocks]
        self._files: dict[int, int] = {}
        self._looked = [False] * len(blocks)
        """Whether a block's file was looked for on this machine."""
        self._stream: BlockStream | None = None
        self._streamed = -1
        """Number of the block that the stream reads."""
        self._trying = (-1, -1)
        """Number of a block and the worker that is asked for it."""
        self._failed: set[tuple[int, int]] = set()
        self._planned = 0
        """End (exclusive) of what will certainly be read."""
        self._wanted_end = 0
        self._next = -1
        self._ahead = 0
        self._held = False
        self._closed = False
        end = blocks[-1].offset + blocks[-1].length if blocks else 0
        if end != status.len:
            raise Corrupt(f"inode {status.id}: {status.len} bytes, but blocks of {end}")

    # -- FileSystem.File

    def extents(self, first: int, length: int) -> Sequence[Extent] | None:
        end = min(first + length, self.status.len)
        if first >= end:
            return ()
        self._planned = end
        numbers = self._numbers(first, end)
        if len(numbers) > _MOST_FILES or any(self._blocks[number].hole for number in numbers):
            return None
        self._look_near(numbers)
        found = []
        for number in numbers:
            block = self._blocks[number]
            fd = self._files.get(block.id)
            if fd is None:
                return None
            start = max(first - block.offset, 0)
            found.append(Extent(fd, start, min(end - block.offset, block.length) - start))
        return found

    def readinto(self, first: int, buffer: memoryview) -> int:
        buffer = buffer.cast("B")[: max(0, self.status.len - first)]
        if not buffer:
            return 0
        self._plan(first, len(buffer))
        position, end = first, first + len(buffer)
        while position < end:
            number = bisect.bisect_right(self._offsets, position) - 1
            block = self._blocks[number]
            inside = position - block.offset
            piece = buffer[position - first : min(block.offset + block.length, end) - first]
            self._read(number, inside, piece)
            position += len(piece)
        self._next = end
        return len(buffer)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._drop_stream()
        for fd in self._files.values():
            os.close(fd)
        self._files = {}
        if self._held:
            self._source.release()

    # -- where to read

    def _numbers(self, first: int, end: int) -> range:
        start = bisect.bisect_right(self._offsets, first) - 1
        return range(start, bisect.bisect_left(self._offsets, end, start))

    def _plan(self, first: int, length: int) -> None:
        """Who reads on where he stopped will probably read more, twice as far each time."""
        if first == self._next:
            self._ahead = min(2 * self._ahead + length, _MOST_AHEAD)
        elif first + length > self._planned:
            self._ahead = 0
        end = min(max(self._planned, first + length + self._ahead), self.status.len)
        numbers = self._numbers(first, end)
        if not all(self._looked[number] for number in numbers):
            self._look_near(numbers[:_MOST_FILES])
        if not self._held and len(numbers) > 1 and any(self._blocks[n].id not in self._files for n in numbers):
            self._held = True
            self._source.hold()
        self._wanted_end = end

    def _look_near(self, numbers: range) -> None:
        wanted = [self._blocks[number] for number in numbers if not self._looked[number]]
        for number in numbers:
            self._looked[number] = True
        room = _MOST_FILES - len(self._files)
        if wanted and room > 0:
            self._files |= open_near(self._workers, [block for block in wanted if not block.hole][:room])

    # -- reading one block

    def _read(self, number: int, inside: int, buffer: memoryview) -> None:
        block = self._blocks[number]
        if block.hole:
            buffer[:] = bytes(len(buffer))
            return
        fd = self._files.get(block.id)
        if fd is not None:
            self._read_file(fd, block, inside, buffer)
            return
        give_up: float | None = None
        pause = 0.05
        while buffer:
            try:
                count = self._continue(number, inside, buffer)
                inside, buffer, give_up = inside + count, buffer[count:], None
                continue
            except (Refused, ConnectionLost) as error:
                self._drop_stream()
                self._failed.add(self._trying)
                if isinstance(error, ConnectionLost) and self._trying[0] == number:
                    self._workers.failed(self._trying[1])
                why: Exception = error
            now = time.monotonic()
            give_up = give_up or now + self._workers.options.worker_patience_s
            if self._untried(number):
                continue
            if now + pause > give_up:
                raise Unavailable(f"block {block.id} of inode {self.status.id}: {why}") from why
            time.sleep(pause)
            pause = min(2 * pause, 1.0)
            self._locate_again()

    def _read_file(self, fd: int, block: Block, inside: int, buffer: memoryview) -> None:
        try:
            while buffer:
                count = os.preadv(fd, (buffer,), inside)
                if not count:
                    raise Corrupt(f"the file of block {block.id} is shorter than {block.length} bytes")
                inside, buffer = inside + count, buffer[count:]
        except OSError as error:
            raise Corrupt(f"the file of block {block.id}: {error}") from error

    def _continue(self, number: int, inside: int, buffer: memoryview) -> int:
        stream = self._stream
        if stream is None or self._streamed != number or stream.position != inside or inside == stream.end:
            self._drop_stream()
            stream = self._open_stream(number, inside)
        count = stream.readinto(buffer)
        if stream.position == stream.end:
            self._drop_stream()
        return count

    def _open_stream(self, number: int, inside: int) -> BlockStream:
        block = self._blocks[number]
        location = self._untried(number)
        if location is None:
            self._trying = (-1, -1)
            raise ConnectionLost(f"no worker has block {block.id}", sent=False)
        self._trying = (number, location.worker_id)
        end = min(self._wanted_end - block.offset, block.length)
        self._stream, self._streamed = BlockStream(self._workers, location, block, inside, end), number
        return self._stream

    def _untried(self, number: int) -> pb.WorkerAddressProto | None:
        """The next worker to ask: one on our host first, one that failed lately last, otherwise any."""
        left = [each for each in self._blocks[number].locations if (number, each.worker_id) not in self._failed]
        return min(left, key=self._workers.rank, default=None)

    def _drop_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _locate_again(self) -> None:
        self._failed.clear()
        try:
            blocks = self._source.locate()
        except NoReplica:
            return  # perhaps later
        except Unavailable:
            raise
        except FsError as error:
            raise Unavailable(f"inode {self.status.id}: {error}") from error
        same = [(block.id, block.offset) for block in self._blocks]
        if [(block.id, block.offset) for block in blocks][: len(same)] != same:
            raise Unavailable(f"inode {self.status.id} was changed while it was read")
        self._blocks = [new._replace(length=old.length) for new, old in zip(blocks, self._blocks)]


def blocks_of(located: pb.FileBlocksProto) -> list[Block]:
    """Raises NoReplica for a block whose workers are gone, Corrupt for blocks that do not make up the file.

    NotServed for a file whose bytes are in mounted storage only (WIRE.md section 7).
    """
    found = []
    offset = 0
    for one in located.block_locs:
        length = one.block.block_size
        if length == 0 or offset >= located.status.len:
            continue  # not recorded yet, or beyond what is published
        length = min(length, located.status.len - offset)
        hole = not one.locs and one.block.HasField("alloc_opts")
        if not one.locs and not hole:
            raise NoReplica(f"{located.status.path}: no worker has block {one.block.id}")
        found.append(Block(offset, length, one.block.id, tuple(one.locs), not one.has_spdk, hole))
        offset += length
    if offset != located.status.len:
        policy = located.status.storage_policy
        if policy.state == _UFS or (policy.ufs_mtime and not found):
            raise NotServed(f"{located.status.path}: its bytes are in mounted storage only, until somebody loads them")
        raise Corrupt(f"{located.status.path}: {located.status.len} bytes, but blocks of {offset}")
    return found
