"""The bytes of blocks under way, kept on this machine until workers have them.

Rules
- One unnamed file for each file that is being written, used again for each of its blocks: at most a block's capacity
  on the disk, and nothing to sweep.
- That bytes cannot be kept (no space here) fails nothing; it only means that they cannot be sent again.
- Files wait for the next one to be written, SPARE bytes of them: pages that are there already are written to in half
  the time that new ones take.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from typing import BinaryIO, cast

from curvinefs.curvine.options import MIB

SPARE = 128 * MIB
"""Bytes on the disk that the files of a client may have together while nobody uses them."""
LEAST = 4 * MIB
"""Bytes of a file that is worth it."""


class KeptFiles:
    """The unnamed files of a client, each lent to one Kept or spare.  Thread-safe."""

    def __init__(self, directory: str | None, spare: int = SPARE) -> None:
        """``directory``: where they lie; None: there are none.  ``spare``: bytes that spare ones may have together."""
        self._directory = directory
        self._most = self._left = spare
        self._spare: list[tuple[BinaryIO, int]] = []
        """With the size of each."""
        self._mutex = threading.Lock()

    def reset(self) -> None:
        """In a forked child: the files are its parent's, and another thread may have held the lock."""
        self._mutex = threading.Lock()
        self.close()
        self._left = self._most

    def take(self) -> BinaryIO:
        """A file with anything in it.  Raises OSError."""
        with self._mutex:
            if self._spare:
                file, size = self._spare.pop()
                self._left += size
                return file
        if self._directory is None:
            raise FileNotFoundError("no directory to keep bytes in")
        return cast(BinaryIO, tempfile.TemporaryFile(buffering=0, dir=self._directory))

    def give(self, file: BinaryIO) -> None:
        """Take back, and cut off or close what would be too much."""
        try:
            size = os.fstat(file.fileno()).st_size
            with self._mutex:
                kept = min(size, self._left)
                if kept >= LEAST:
                    os.ftruncate(file.fileno(), kept)
                    self._left -= kept
                    self._spare.append((file, kept))
                    return
        except OSError:
            pass  # then it goes
        file.close()

    def close(self) -> None:
        """Close the spare ones, now and as they come."""
        with self._mutex:
            spare, self._spare, self._left = self._spare, [], 0
        for file, _ in spare:
            file.close()


class Kept:
    """The bytes of one block at a time."""

    def __init__(self, files: KeptFiles) -> None:
        """``files`` lends one when there is something to keep."""
        self.length = 0
        self._files = files
        self._whole = True
        self._file: BinaryIO | None = None

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
                self._file = self._files.take()
            while data:
                count = os.pwrite(self._file.fileno(), data, self.length)
                data, self.length = data[count:], self.length + count
        except OSError:
            self._whole = False

    def pieces(self) -> Iterator[memoryview]:
        """All of it, at most MIB bytes at a time, each valid until the next.  OSError where it cannot be read."""
        buffer = memoryview(bytearray(min(MIB, self.length)))
        position = 0
        while position < self.length:
            assert self._file is not None
            count = os.preadv(self._file.fileno(), (buffer[: self.length - position],), position)
            if not count:
                raise OSError("the kept bytes are gone")
            yield buffer[:count]
            position += count

    def close(self) -> None:
        file, self._file, self._whole = self._file, None, False
        if file is not None:
            self._files.give(file)
