"""Files that are written in places, by any process, in any order: multipart uploads without a copy at the end.

``PATH`` is a sparse file with the part of each ``place`` at ``place * part_size``.  ``PATH.parted`` is its record::

    offset 0   8 bytes   magic
    offset 8   8 bytes   part_size, little endian
    offset 16  1 byte    1: closed for new parts
    offset 24  8 bytes   random: binds the tokens to this file and no later one of its name
    offset 32  1 byte per place: 0 never given out, 1 given out, 2 complete

A writer holds the lock of its place's byte (open file description) while it lives, so a dead writer needs no clean-up.

Rules
- The record appears whole, and after its file: who sees a record, or is told AlreadyExists, can open a part.
- A place is given out once: who finds 0 under the lock writes 1.  Two versions of a part never share a place.
- A writer marks its place *before* it looks whether the file is closed; join_parts closes *before* it looks who is
  writing.  So one of the two sees the other, and nobody writes into a joined file.
- A complete part is never cut off.
- 2 is written after the part's bytes are flushed.
- The record stays beside the file; whoever removes the directory removes both.

Follows fcntl_locking(2), "Open file description locks"; design.md 5.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from curvinefs._content import LocalFile, Volume, copy_all, seal, write_all
from curvinefs._format import temporary_name
from curvinefs._linux import HANDLE, READ, fs_error
from curvinefs.api import Corrupt, File, FileKind, FileStatus, NotFound, PartRef, RenameFlag

_MAGIC = b"parted1\n"
_HEADER = struct.Struct("<8sQB7x8s")
_CLOSED = 16
_PLACES = _HEADER.size
_GIVEN, _COMPLETE = 1, 2
_MOST_PLACES = 1 << 20
_MOST_BYTES = 1 << 62
_READ_WRITE = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LocalPartWriter:
    __slots__ = ("_volume", "_path", "_place", "_size", "_base", "_written", "_data", "_record")

    def __init__(self, volume: Volume, path: str, part: tuple[int, int, int], data: int, record: int) -> None:
        """Takes over both descriptors; ``part`` is place, size and offset."""
        self._volume = volume
        self._path = path
        self._place, self._size, self._base = part
        self._written = 0
        self._data = data
        self._record = record

    def write(self, data: memoryview | bytes | bytearray) -> None:
        offset = self._advance(len(data))
        try:
            write_all(self._volume.kernel, self._data, data, offset)
        except OSError as error:
            raise fs_error(error, self._path) from error

    def copy_from(self, source: File, first: int, length: int) -> None:
        offset = self._advance(length)
        try:
            copy_all(self._volume.kernel, source, first, length, self._data, offset)
        except OSError as error:
            raise fs_error(error, self._path) from error

    def _advance(self, length: int) -> int:
        if self._written + length > self._size:
            raise ValueError(f"part {self._place} has {self._size} bytes, not {self._written + length}")
        offset = self._base + self._written
        self._written += length
        return offset

    def complete(self) -> str:
        if self._written != self._size:
            raise ValueError(f"part {self._place} has {self._size} bytes, not {self._written}")
        volume = self._volume
        try:
            volume.flusher.shared_file(self._data)  # parts of one file that end together share it
            volume.kernel.pwrite(self._record, bytes((_COMPLETE,)), _PLACES + self._place)
            volume.flusher.shared_file(self._record)
            return _header(self._record, self._path).token(self._place)
        except OSError as error:
            raise fs_error(error, self._path) from error

    def close(self) -> None:
        if self._data >= 0:
            os.close(self._data)
            os.close(self._record)  # the lock goes with it
            self._data = -1


class PartedFiles:
    """FileSystem's methods of the same names; paths and errors as there."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume

    def create(self, path: str, part_size: int) -> None:
        if not 0 < part_size < _MOST_BYTES:
            raise ValueError(f"part_size {part_size}")
        kernel, flusher, hidden = self._volume.kernel, self._volume.flusher, temporary_name()
        try:
            with self._volume.root.place(path) as (fd, directory, name):
                record = kernel.open(fd, hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                try:
                    kernel.flock(record, fcntl.LOCK_EX)  # else it looks abandoned
                    write_all(kernel, record, _HEADER.pack(_MAGIC, part_size, 0, os.urandom(8)), 0)
                    flusher.file(record)
                    self._make_data(fd, name)
                    kernel.rename(fd, hidden, fd, name + ".parted", RenameFlag.NO_REPLACE)
                except BaseException:
                    kernel.unlink(fd, hidden)
                    raise
                finally:
                    os.close(record)
                flusher.added(fd, directory)
        except OSError as error:
            raise fs_error(error, path) from error

    def _make_data(self, directory: int, name: str) -> None:
        """Make the file, or take over the empty one of somebody who has not come (or lived) to publish its record."""
        try:
            os.close(self._volume.kernel.open(directory, name, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode) or found.st_size:
                raise

    def open_part(self, path: str, place: int, size: int) -> LocalPartWriter | None:
        kernel, root = self._volume.kernel, self._volume.root
        with ExitStack() as opened:
            try:
                record = root.open(path + ".parted", _READ_WRITE)
                opened.callback(os.close, record)
                part_size = _header(record, path).part_size
                base = place * part_size
                if not (0 <= size <= part_size and 0 <= place < _MOST_PLACES and base + size <= _MOST_BYTES):
                    return None
                if not kernel.lock_byte(record, _PLACES + place):
                    return None
                if os.pread(record, 1, _PLACES + place) not in (b"", b"\0"):
                    return None
                data = root.open(path, _READ_WRITE)
                opened.callback(os.close, data)
                kernel.pwrite(record, bytes((_GIVEN,)), _PLACES + place)
                if _header(record, path).closed:  # see the module's rules: look only now
                    return None
            except OSError as error:
                raise fs_error(error, path) from error
            opened.pop_all()
        return LocalPartWriter(self._volume, path, (place, size, base), data, record)

    def open_part_file(self, path: str, part: PartRef) -> LocalFile:
        kernel = self._volume.kernel
        place, size, token = part
        try:
            data = self._volume.root.open(path, READ)
            try:
                header = self._record_of(path)
                if header is None or token != header.token(place):
                    raise NotFound(f"{path}: part {place} is not of this file")
                status = os.fstat(data)
            except BaseException:
                os.close(data)
                raise
        except OSError as error:
            raise fs_error(error, path) from error
        shown = FileStatus(FileKind.FILE, status.st_ino, size, status.st_mtime_ns)
        return LocalFile(kernel, data, shown, path, place * header.part_size)

    def join(
        self, path: str, parts: Sequence[PartRef], x_attr: Mapping[str, bytes], mtime_ns: int
    ) -> FileStatus | None:
        kernel, root = self._volume.kernel, self._volume.root
        with ExitStack() as opened:
            try:
                record = root.open(path + ".parted", _READ_WRITE)
                opened.callback(os.close, record)
                header = _header(record, path)
                kernel.pwrite(record, b"\1", _CLOSED)
                data = root.open(path, _READ_WRITE)
                opened.callback(os.close, data)
                length = sum(part.size for part in parts)
                if (
                    not _fill_places(parts, header)
                    or os.pread(record, len(parts), _PLACES) != bytes((_COMPLETE,)) * len(parts)
                    or kernel.is_locked_from(record, _PLACES + len(parts))  # someone may write past the end
                    or os.fstat(data).st_size < length
                    # Truncating would lose a part that a later join may name: a file made by this one may not
                    # find its way to a name (a condition fails), and the upload goes on.
                    or _COMPLETE in os.pread(record, _MOST_PLACES, _PLACES + len(parts))
                ):
                    return None
                kernel.truncate(data, length)
                return seal(self._volume, data, x_attr, mtime_ns)
            except OSError as error:
                raise fs_error(error, path) from error

    def part_size(self, path: str) -> int | None:
        try:
            os.close(self._volume.root.open(path, HANDLE))
            header = self._record_of(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise fs_error(error, path) from error
        return header and header.part_size

    def _record_of(self, path: str) -> _Header | None:
        """Raises OSError, Corrupt."""
        try:
            record = self._volume.root.open(path + ".parted", READ)
        except FileNotFoundError:
            return None
        try:
            return _header(record, path)
        finally:
            os.close(record)


class _Header(NamedTuple):
    part_size: int
    closed: bool
    life: str

    def token(self, place: int) -> str:
        return f"{self.life}.{place}"


def _header(record: int, path: str) -> _Header:
    """Raises OSError, Corrupt."""
    header = os.pread(record, _HEADER.size, 0)
    if len(header) != _HEADER.size or not header.startswith(_MAGIC):
        raise Corrupt(f"{path}.parted: not a record of parts")
    _, part_size, closed, life = _HEADER.unpack(header)
    return _Header(part_size, bool(closed), life.hex())


def _fill_places(parts: Sequence[PartRef], header: _Header) -> bool:
    """Whether the parts are places 0..n-1 of this file without gaps."""
    last = len(parts) - 1
    for number, (place, size, token) in enumerate(parts):
        if place != number or token != header.token(number):
            return False
        if size != header.part_size and (number != last or not 0 <= size <= header.part_size):
            return False
    return True
