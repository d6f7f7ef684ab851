"""Contents of local files: reading one, and writing a new one that appears whole.

A new file is written under a hidden name in the directory where it will be published.  That name holds the directory:
it can neither be removed nor be exchanged for a file unnoticed.  The writer holds a flock on its file to its end, so
anybody can tell a file in the making from the rest that a killed process left.

Rules
- A Writer keeps its directory open and renames within it, wherever other hands move that directory.
- Nothing of a new file is visible under its own name before attributes, mtime and (if asked) its flush are done.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from curvinefs._attributes import Attributes, bare_status
from curvinefs._flush import Flusher
from curvinefs._linux import DIRECTORY, Kernel, fs_error
from curvinefs._paths import Root, split
from curvinefs.api import Corrupt, Extent, File, FileStatus, InvalidPath, RenameFlag

_COPY_BUFFER = 2**20
# copy_file_range between these two files, or at all, is not to be had.
_CANNOT_COPY = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY)


@dataclass(frozen=True, slots=True)
class Volume:
    """What every part of one local store works on."""

    kernel: Kernel
    root: Root
    attributes: Attributes
    flusher: Flusher


class LocalFile:
    """An opened file, or a stretch of one that looks like a file (a part)."""

    __slots__ = ("status", "_kernel", "_fd", "_base", "_path")

    def __init__(self, kernel: Kernel, fd: int, status: FileStatus, path: str, base: int = 0) -> None:
        """Takes over ``fd``; offset 0 is byte ``base`` of it, and ``status.len`` bytes count."""
        self.status = status
        self._kernel = kernel
        self._fd = fd
        self._base = base
        self._path = path

    def extents(self, first: int, length: int) -> Sequence[Extent]:
        return (Extent(self._fd, self._base + first, max(0, min(length, self.status.len - first))),)

    def readinto(self, first: int, buffer: memoryview) -> int:
        buffer = buffer[: max(0, self.status.len - first)]
        filled = 0
        try:
            while filled < len(buffer):
                count = self._kernel.preadv(self._fd, buffer[filled:], self._base + first + filled)
                if count == 0:
                    break
                filled += count
        except OSError as error:
            raise fs_error(error, self._path) from error
        return filled

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def write_all(kernel: Kernel, fd: int, data: memoryview | bytes | bytearray, offset: int) -> None:
    """Raises OSError."""
    written = kernel.pwrite(fd, data, offset)
    if written < len(data):  # the disk is nearly full: the next call tells
        rest = memoryview(data)
        while written < len(rest):
            written += kernel.pwrite(fd, rest[written:], offset + written)


def copy_all(kernel: Kernel, source: File, first: int, length: int, fd: int, offset: int) -> None:
    """Copy in the kernel where it can, sharing blocks where the file system does.

    Raises OSError; Corrupt when the source ends early.
    """
    for extent in source.extents(first, length) or ():
        end = extent.offset + extent.length
        at = extent.offset
        while at < end:
            try:
                count = kernel.copy(extent.fd, at, fd, offset, end - at)
            except OSError as error:
                if error.errno not in _CANNOT_COPY:
                    raise
                count = 0
            if count == 0:
                break
            at, offset = at + count, offset + count
        first, length = first + at - extent.offset, length - (at - extent.offset)
        if at < end:
            break
    if length:
        _copy_through_memory(kernel, source, first, length, fd, offset)


def _copy_through_memory(kernel: Kernel, source: File, first: int, length: int, fd: int, offset: int) -> None:
    buffer = memoryview(bytearray(min(length, _COPY_BUFFER)))
    while length:
        count = source.readinto(first, buffer[:length])
        if count == 0:
            raise Corrupt(f"{length} bytes less to copy than there were")
        write_all(kernel, fd, buffer[:count], offset)
        first, offset, length = first + count, offset + count, length - count


class LocalWriter:
    __slots__ = ("size", "_volume", "_directory", "_parent", "_name", "_fd", "_published")

    def __init__(self, volume: Volume, path: str) -> None:
        """Create ``path``.  Raises OSError, InvalidPath."""
        self._volume = volume
        self._parent, self._name = split(path)
        self.size = 0
        self._published = False
        self._directory = volume.root.open(self._parent, DIRECTORY)
        try:
            self._fd = self._create()
        except BaseException:
            os.close(self._directory)
            raise

    def _create(self) -> int:
        kernel = self._volume.kernel
        while True:
            fd = kernel.open(self._directory, self._name, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            try:
                # Waits at most for is_abandoned, which lets go at once.
                kernel.flock(fd, fcntl.LOCK_EX)
                if os.fstat(fd).st_nlink:
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)  # swept between the two calls: begin again

    def write(self, data: memoryview | bytes | bytearray) -> None:
        try:
            write_all(self._volume.kernel, self._fd, data, self.size)
        except OSError as error:
            raise fs_error(error, self._path) from error
        self.size += len(data)

    def copy_from(self, source: File, first: int, length: int) -> None:
        try:
            copy_all(self._volume.kernel, source, first, length, self._fd, self.size)
        except OSError as error:
            raise fs_error(error, self._path) from error
        self.size += length

    def complete(self, x_attr: Mapping[str, bytes], mtime_ns: int) -> FileStatus:
        try:
            return seal(self._volume, self._fd, x_attr, mtime_ns)
        except OSError as error:
            raise fs_error(error, self._path) from error

    def rename(self, name: str, flags: RenameFlag = RenameFlag.REPLACE) -> None:
        if "/" in name or "\0" in name or name in ("", ".", ".."):
            raise InvalidPath(f"{name!r} is not a name")
        self._publish(self._directory, self._parent, name, flags)

    def rename_to(self, path: str, flags: RenameFlag = RenameFlag.REPLACE) -> None:
        try:
            with self._volume.root.place(path) as (fd, directory, name):
                self._publish(fd, directory, name, flags)
        except OSError as error:
            raise fs_error(error, path) from error

    def _publish(self, fd: int, directory: str, name: str, flags: RenameFlag) -> None:
        volume = self._volume
        try:
            victim = None if flags else volume.attributes.victim(fd, name)
            volume.kernel.rename(self._directory, self._name, fd, name, flags)
            self._published = True
            volume.attributes.forget(victim)
            volume.flusher.added(fd, directory)
        except OSError as error:
            raise fs_error(error, f"{directory}/{name}") from error

    def close(self) -> None:
        if self._fd < 0:
            return
        try:
            if not self._published:
                self._discard()
        finally:
            os.close(self._fd)
            os.close(self._directory)
            self._fd = -1

    def _discard(self) -> None:
        attributes = self._volume.attributes
        try:
            victim = attributes.victim(self._directory, self._name)
            self._volume.kernel.unlink(self._directory, self._name)
            attributes.forget(victim)
        except FileNotFoundError:
            pass  # somebody swept or moved it
        except OSError as error:
            raise fs_error(error, self._path) from error

    @property
    def _path(self) -> str:
        return f"{self._parent}/{self._name}"


def seal(volume: Volume, fd: int, x_attr: Mapping[str, bytes], mtime_ns: int) -> FileStatus:
    """Give a finished file its attributes and mtime, and flush it.  Raises OSError."""
    volume.kernel.set_mtime(fd, mtime_ns)
    volume.attributes.set(fd, x_attr)
    volume.flusher.file(fd)
    return bare_status(os.fstat(fd), dict(x_attr))
