"""System calls of the local file system, and what their errors mean.

Every call that touches the store and can fail goes through one ``Kernel`` object, so that a test can break a disk (no
space, an I/O error, a call the kernel does not know) without touching any code above.  Nothing here knows paths
of the store: callers give a directory's descriptor and a name beneath it.

Rules
- Names are bytes or str without NUL (ctypes would cut them there); ``_paths`` sees to it.
- Every call raises OSError; ``fs_error`` is the only place that turns an errno into an FsError.

Follows openat2(2), renameat2(2), statx(2), copy_file_range(2), and fcntl_locking(2) "Open file description locks".
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
import threading
from typing import NamedTuple

from curvinefs.api import (
    AlreadyExists,
    Corrupt,
    DirectoryNotEmpty,
    FsError,
    InvalidPath,
    IsADirectory,
    NoSpace,
    NotADirectory,
    NotFound,
    NotPermitted,
    Unavailable,
)

READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
"""To look at or read a file, a directory, or (without waiting for its writer) a FIFO."""
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
HANDLE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
"""To name anything, a symbolic link or a file without permission included; nothing can be read through it."""

NOT_READABLE = (errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EACCES, errno.EPERM)
"""What READ says of symbolic links, sockets, devices and files without permission."""

# Missing here: Unavailable (read-only, no descriptors or memory left, stale network handle, ...).
_ERRORS: dict[int, type[FsError]] = {
    errno.ENOENT: NotFound,
    errno.ENOTDIR: NotADirectory,
    errno.ELOOP: NotADirectory,  # a symbolic link in the middle
    errno.EISDIR: IsADirectory,
    errno.EEXIST: AlreadyExists,
    errno.ENOTEMPTY: DirectoryNotEmpty,
    errno.ENOSPC: NoSpace,
    errno.EDQUOT: NoSpace,
    errno.EFBIG: NoSpace,
    errno.EMLINK: NoSpace,
    errno.E2BIG: NoSpace,  # an attribute past the kernel's 64 KiB
    errno.ENAMETOOLONG: InvalidPath,
    errno.EILSEQ: InvalidPath,
    errno.EINVAL: InvalidPath,  # a name the file system refuses, a directory moved into itself
    errno.EBUSY: InvalidPath,  # the root, or a mount point
    errno.EACCES: NotPermitted,
    errno.EPERM: NotPermitted,
    errno.EIO: Corrupt,
    errno.EUCLEAN: Corrupt,
    errno.EBADMSG: Corrupt,
    errno.EOVERFLOW: Corrupt,
}


def fs_error(error: OSError, path: str) -> FsError:
    """The FsError for a failed system call on ``path``; ``raise fs_error(e, path) from e``."""
    return _ERRORS.get(error.errno or 0, Unavailable)(f"{path}: {error.strerror}")


class Identity(NamedTuple):
    """One life of an inode: the number is used again, with another time of birth (if not in one tick of the clock)."""

    device: int
    inode: int
    born_ns: int | None
    """POSIX nanoseconds; None where the file system does not know: then two lives cannot be told apart."""


_RESOLVE = 0x02 | 0x04 | 0x08  # NO_MAGICLINKS | NO_SYMLINKS | BENEATH
_AT_EMPTY_PATH = 0x1000
_STATX_BTIME = 0x800
_COPY = 2**30  # bytes per copy_file_range: a thread that must stop waits for no more

_UNKNOWN = (-1, -1)  # syscall(-1) is ENOSYS
_RENAMEAT2, _STATX = {
    "x86_64": (316, 332),
    "aarch64": (276, 291),
    "riscv64": (276, 291),
    "ppc64le": (357, 383),
    "s390x": (347, 379),
}.get(os.uname().machine, _UNKNOWN)
_OPENAT2 = 437  # the same everywhere

_libc = ctypes.CDLL(None, use_errno=True)
_long, _int, _uint, _str, _size = ctypes.c_long, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p, ctypes.c_size_t
_openat2 = ctypes.CFUNCTYPE(_long, _long, _int, _str, _str, _size, use_errno=True)(("syscall", _libc))
_renameat2 = ctypes.CFUNCTYPE(_long, _long, _int, _str, _int, _str, _uint, use_errno=True)(("syscall", _libc))
_statx = ctypes.CFUNCTYPE(_long, _long, _int, _str, _int, _uint, ctypes.c_void_p, use_errno=True)(("syscall", _libc))
_fgetxattr = ctypes.CFUNCTYPE(ctypes.c_ssize_t, _int, _str, ctypes.c_void_p, _size, use_errno=True)(
    ("fgetxattr", _libc)
)
_open_how = struct.Struct("QQQ").pack
_flock = struct.Struct("hhqqi4x")
_statx_fields = struct.Struct("=I28xQ40xqI44xII").unpack_from  # mask; inode; seconds, ns of birth; device


_ATTRIBUTE = 4096
"""Bytes of an attribute as a rule.  The kernel clears as many as are asked for: 64 KiB take twice as long."""


class _Buffers(threading.local):
    """Where the kernel answers; one per thread, because the calls release the GIL."""

    def __init__(self) -> None:
        self.attribute = ctypes.create_string_buffer(_ATTRIBUTE)
        self.statx = ctypes.create_string_buffer(256)


def _failed(name: object = None) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), name)


class Kernel:
    """The calls as they are.  Descriptors that it opens are the caller's and are closed on exec."""

    def __init__(self) -> None:
        self._buffers = _Buffers()
        self._hows: dict[int, bytes] = {}

    # -- names

    def open(self, directory: int, name: bytes | str, flags: int, mode: int = 0o644) -> int:
        return os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=directory)

    def openat2(self, directory: int, path: bytes, flags: int) -> int:
        """Open a path of several names beneath ``directory``; ELOOP for a symbolic link anywhere on it."""
        how = self._hows.get(flags)
        if how is None:
            how = self._hows[flags] = _open_how(flags, 0, _RESOLVE)
        fd: int = _openat2(_OPENAT2, directory, path, how, len(how))
        if fd < 0:
            if ctypes.get_errno() == errno.EXDEV:  # the directory was moved out of the store during the walk
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            raise _failed(path)
        return fd

    def mkdir(self, directory: int, name: str) -> None:
        os.mkdir(name, 0o755, dir_fd=directory)

    def rename(self, source: int, name: str, destination: int, new_name: str, flags: int = 0) -> None:
        """``flags`` as in RenameFlag, which are renameat2's."""
        if _renameat2(_RENAMEAT2, source, name.encode(), destination, new_name.encode(), flags) < 0:
            raise _failed(name)

    def link(self, source: int, name: str, destination: int, new_name: str) -> None:
        os.link(name, new_name, src_dir_fd=source, dst_dir_fd=destination, follow_symlinks=False)

    def unlink(self, directory: int, name: str) -> None:
        os.unlink(name, dir_fd=directory)

    def rmdir(self, directory: int, name: str) -> None:
        os.rmdir(name, dir_fd=directory)

    def identity(self, fd: int, name: str = "") -> Identity:
        """Of what is open, or of a name in an open directory (links not followed)."""
        answer = self._buffers.statx
        flags = 0x100 if name else _AT_EMPTY_PATH  # AT_SYMLINK_NOFOLLOW
        if _statx(_STATX, fd, name.encode(), flags, _STATX_BTIME, answer) < 0:
            if ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM):
                raise _failed(name)
            status = os.stat(name, dir_fd=fd, follow_symlinks=False) if name else os.fstat(fd)
            return Identity(status.st_dev, status.st_ino, None)
        mask, inode, seconds, nanoseconds, major, minor = _statx_fields(answer)
        born = seconds * 10**9 + nanoseconds if mask & _STATX_BTIME else None
        return Identity(os.makedev(major, minor), inode, born)

    # -- contents

    def write(self, fd: int, data: memoryview | bytes | bytearray) -> int:
        return os.write(fd, data)

    def pwrite(self, fd: int, data: memoryview | bytes | bytearray, offset: int) -> int:
        return os.pwrite(fd, data, offset)

    def preadv(self, fd: int, buffer: memoryview, offset: int) -> int:
        return os.preadv(fd, (buffer,), offset)

    def copy(self, source: int, first: int, destination: int, offset: int, length: int) -> int:
        """copy_file_range; answers bytes copied, 0 at the end of the source."""
        return os.copy_file_range(source, destination, min(length, _COPY), first, offset)

    def truncate(self, fd: int, length: int) -> None:
        os.ftruncate(fd, length)

    def set_mtime(self, fd: int, mtime_ns: int) -> None:
        os.utime(fd, ns=(mtime_ns, mtime_ns))

    def fsync(self, fd: int) -> None:
        os.fsync(fd)

    # -- attributes

    def get_attribute(self, fd: int, name: bytes) -> bytes | None:
        """One extended attribute; None when it is not there.  Half of what os.getxattr takes."""
        answer = self._buffers.attribute
        length: int = _fgetxattr(fd, name, answer, _ATTRIBUTE)
        if length >= 0:
            value: bytes = answer[:length]  # type: ignore[assignment]  # typeshed: a list
            return value
        number = ctypes.get_errno()
        if number in (errno.ENODATA, errno.EOPNOTSUPP, errno.EPERM):
            return None  # not set; of a kind that carries none (FIFO); /proc and the like
        if number == errno.ERANGE:
            return os.getxattr(fd, name)
        raise _failed(name)

    def set_attribute(self, fd: int, name: bytes, value: bytes) -> None:
        os.setxattr(fd, name, value)

    def remove_attribute(self, fd: int, name: bytes) -> None:
        os.removexattr(fd, name)

    # -- locks

    def flock(self, fd: int, operation: int) -> bool:
        """False when someone else holds it (only with LOCK_NB)."""
        try:
            fcntl.flock(fd, operation)
        except BlockingIOError:
            return False
        return True

    def lock_byte(self, fd: int, offset: int) -> bool:
        """Take one byte's write lock for this open file description (not process); False when another has it."""
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock.pack(fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0))
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

    def unlock_byte(self, fd: int, offset: int) -> None:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock.pack(fcntl.F_UNLCK, os.SEEK_SET, offset, 1, 0))

    def is_locked_from(self, fd: int, offset: int) -> bool:
        """Whether another description holds the lock of any byte at or after ``offset``."""
        asked = _flock.pack(fcntl.F_WRLCK, os.SEEK_SET, offset, 0, 0)
        kind: int = _flock.unpack(fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked))[0]
        return kind != fcntl.F_UNLCK
