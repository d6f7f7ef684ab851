"""A block that outlives the workers it was sent to.

What is written to a block is also kept on this machine until workers have confirmed all of it.  When the last of them
fails, the kept bytes go to others, or to the same one when it is back, and writing goes on: the caller notices a pause.

Rules
- Without a directory to keep bytes in, a block fails with its last worker.
- A master that died may have forgotten the file, and the next one gives its block ids out again.  So nothing more goes
  to workers before that one was asked for the file: it would be written into another file's block.
- A spoiled block id, see BlockFailed, helps nobody: only a file's first block can be begun again in another file.
"""

from __future__ import annotations

from collections.abc import Callable

from curvinefs.curvine.blocks import BlockWriter, Placement
from curvinefs.curvine.calls import Commit
from curvinefs.curvine.errors import BlockFailed
from curvinefs.curvine.kept import Kept
from curvinefs.proto import curvine_pb2 as pb

_TRIES = 5
"""Block ids that one block may go through."""

Renew = Callable[[], tuple[Placement, pb.LocatedBlockProto]]


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
        self._placement.want_file()
        self._kept.append(data)
        try:
            self._writer.write(data)
        except BlockFailed as error:
            self._move(error, finish=False)

    def finish(self) -> Commit:
        self._placement.want_file()
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
