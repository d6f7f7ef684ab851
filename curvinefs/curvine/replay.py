"""A block that outlives the workers it was sent to.

What is written to a block is also kept on this machine until workers have confirmed all of it.  When the last of them
fails, the kept bytes go to others, or to the same one when it is back, and writing goes on: the caller notices a pause.

Rules
- One unnamed file for each file that is being written, used again for each of its blocks: at most a block's capacity
  on the disk, and nothing to sweep.  Without a directory to keep bytes in, a block fails with its last worker.
- That bytes cannot be kept (no space here) fails nothing; it only means that they cannot be sent again.
- A spoiled block id, see BlockFailed, helps nobody: only a file's first block can be begun again in another file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from curvinefs.curvine.blocks import CHUNK, BlockWriter, Placement
from curvinefs.curvine.calls import Commit
from curvinefs.curvine.errors import BlockFailed
from curvinefs.proto import curvine_pb2 as pb

_TRIES = 5
"""Block ids that one block may go through."""

Renew = Callable[[], tuple[Placement, pb.LocatedBlockProto]]


class Kept:
    """The bytes of one block at a time."""

    def __init__(self, directory: str | None) -> None:
        """``directory``: where the file lies; None: nothing is kept.  The file is made when there is something."""
        self.length = 0
        self._directory = directory
        self._whole = True
        self._file: int | None = None
        self._opened = ExitStack()

    @property
    def whole(self) -> bool:
        """Whether all that was appended can be read again."""
        return self._whole

    def clear(self) -> None:
        """Begin with another block; the file keeps its size, so that its pages are used again."""
        self.length, self._whole = 0, True

    def append(self, data: memoryview) -> None:
        try:
            if not self._whole:
                return
            if self._file is None:
                if self._directory is None:
                    self._whole = False
                    return
                file = self._opened.enter_context(tempfile.TemporaryFile(buffering=0, dir=self._directory))
                self._file = file.fileno()
            while data:
                count = os.pwrite(self._file, data, self.length)
                data, self.length = data[count:], self.length + count
        except OSError:
            self._whole = False

    def pieces(self) -> Iterator[memoryview]:
        """All of it, at most CHUNK bytes at a time, each valid until the next.  OSError where it cannot be read."""
        buffer = memoryview(bytearray(min(CHUNK, self.length)))
        position = 0
        while position < self.length:
            assert self._file is not None
            count = os.preadv(self._file, (buffer[: self.length - position],), position)
            if not count:
                raise OSError("the kept bytes are gone")
            yield buffer[:count]
            position += count

    def close(self) -> None:
        self._file, self._whole = None, False
        self._opened.close()


class LastingBlock:
    """A block under way, as BlockWriter; every method raises BlockFailed when nothing more can be done, or FsError."""

    def __init__(
        self, placement: Placement, located: pb.LocatedBlockProto, kept: Kept, renew: Renew | None = None
    ) -> None:
        """``kept`` is this block's until it is closed; ``renew`` gives a block of another id in place of this one."""
        self._placement = placement
        self._located = located
        self._kept = kept
        self._renew = renew
        kept.clear()
        self._writer: BlockWriter
        try:
            self._writer = placement.open(located)
        except BlockFailed as error:
            self._move(error, finish=False)

    @property
    def length(self) -> int:
        return self._writer.length

    @property
    def capacity(self) -> int:
        return self._writer.capacity

    def write(self, data: memoryview) -> None:
        """At most CHUNK bytes, within the capacity."""
        self._kept.append(data)
        try:
            self._writer.write(data)
        except BlockFailed as error:
            self._move(error, finish=False)

    def finish(self) -> Commit:
        try:
            return self._writer.finish()
        except BlockFailed as error:
            commit = self._move(error, finish=True)
            assert commit is not None
            return commit

    def close(self) -> None:
        """Give up what is still under way."""
        self._writer.close()

    def _move(self, error: BlockFailed, *, finish: bool) -> Commit | None:
        """Send all that was written to other workers."""
        for _ in range(_TRIES):
            if not self._kept.whole or (error.new_ids and self._renew is None):
                break
            try:
                if error.new_ids:
                    assert self._renew is not None
                    self._placement, self._located = self._renew()
                self._writer, commit = self._placement.send_again(
                    self._located, self._kept.pieces, finish=finish, anew=error.new_ids
                )
                return commit
            except BlockFailed as another:
                error = another
            except OSError as failed:
                raise error from failed
        raise error
