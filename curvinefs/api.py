"""The file system interface that the object store stands on, in Curvine's own terms.

Two implementations: ``curvinefs.local`` (a directory) and ``curvinefs.client`` (a Curvine cluster).  Nothing here
knows S3, and no caller may ask which of the two it has: what one does better hides behind a method.

Rules
- Paths are absolute, ``/`` separated, without empty, ``.`` or ``..`` components and without a trailing slash;
  ``/`` is the root.  They are str; what cannot be named so (not UTF-8, too long) is never listed.
- Symbolic links are never followed, at no place of a path; links and special files are ``FileKind.OTHER``.
- Every method that changes something returns when the change is as durable as the file system was told to make
  it; it is atomic for every other caller, process and machine, unless its docstring says otherwise.
- Every error is an FsError.  Handles (File, Writer, PartWriter) are used by one thread and closed by their owner.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class FsError(Exception):
    """Base of all errors of a file system; ``str()`` names the path and the cause for the log."""


class NotFound(FsError):
    """The path, or (for creating, renaming, linking) its parent directory, does not exist."""


class AlreadyExists(FsError):
    """Something has this name already."""


class NotADirectory(FsError):
    """A component of the path, other than the last, is a file; or a directory was wanted."""


class IsADirectory(FsError):
    """A file was wanted and the path is a directory."""


class DirectoryNotEmpty(FsError):
    """Only empty directories can be deleted."""


class NoSpace(FsError):
    """No space, quota or inodes left."""


class InvalidPath(FsError):
    """The file system cannot take this name (too long, forbidden character)."""


class NotPermitted(FsError):
    """Others own this and have not allowed it."""


class Unavailable(FsError):
    """The store does not answer now; trying again later may help."""


class NotServed(FsError):
    """What lies there belongs to other storage, which only other programs can reach."""


class LockTimeout(FsError):
    """A lock could not be had in time, or was held for too long to go on safely."""


class LockLost(LockTimeout):
    """The store may have forgotten who holds a lock: others may have it.  Nothing was done: take it again, and look."""


class Corrupt(FsError):
    """The store answered something that cannot be (I/O error, impossible metadata)."""


class FileKind(enum.Enum):
    FILE = "file"
    DIRECTORY = "directory"
    OTHER = "other"


class RenameFlag(enum.IntFlag):
    REPLACE = 0
    """An existing file at the destination is replaced atomically."""
    NO_REPLACE = 1
    """AlreadyExists when anything is at the destination."""
    EXCHANGE = 2
    """Both exist and swap their names (files, directories or one of each)."""


@dataclass(frozen=True, slots=True)
class FileStatus:
    """What is known of one path."""

    kind: FileKind
    id: int
    """Inode id: stays with the file through renames and hard links."""
    len: int
    """Bytes; 0 for directories."""
    mtime_ns: int
    """Last change of the contents, POSIX nanoseconds (Curvine keeps milliseconds)."""
    x_attr: Mapping[str, bytes] = field(default_factory=dict)
    """Extended attributes set through this interface (and, where the file system has them, by others)."""


class DirEntry(Protocol):
    """One name in a directory."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> FileKind: ...
    def status(self) -> FileStatus:
        """The entry's status with attributes.  NotFound when it went meanwhile."""


class Extent(NamedTuple):
    """Bytes that lie in a local file."""

    fd: int
    offset: int
    length: int


class File(Protocol):
    """A file opened for reading; it keeps the contents it was opened with whatever happens to its name."""

    @property
    def status(self) -> FileStatus:
        """Status (with attributes) of exactly the version that is read."""

    def extents(self, first: int, length: int) -> Sequence[Extent] | None:
        """Where these bytes lie in local files (for sendfile), or None: use readinto.  Valid until close."""

    def readinto(self, first: int, buffer: memoryview) -> int:
        """Fill ``buffer`` from offset ``first``; fewer bytes only at the end of the file, 0 past it."""

    def close(self) -> None: ...


class Writer(Protocol):
    """A new file under construction, under a name that readers are expected to ignore.

    write* ... complete, rename; close at any time (before rename: the file is deleted).
    """

    @property
    def size(self) -> int:
        """Bytes written so far."""

    def write(self, data: memoryview | bytes | bytearray) -> None:
        """Append; the buffer may be reused at once."""

    def copy_from(self, source: File, first: int, length: int) -> None:
        """Append bytes of an opened file, in the kernel or the cluster where possible."""

    def complete(self, x_attr: Mapping[str, bytes], mtime_ns: int) -> FileStatus:
        """Set attributes and mtime, make contents durable.  Nothing may be written afterwards."""

    def rename(self, name: str, flags: RenameFlag = RenameFlag.REPLACE) -> None:
        """Publish under ``name`` in the directory where it was created.

        Raises AlreadyExists (NO_REPLACE), IsADirectory (a directory has the name).
        """

    def rename_to(self, path: str, flags: RenameFlag = RenameFlag.REPLACE) -> None:
        """Publish in another directory.  The caller must make sure that the parent directory can neither vanish
        nor become a file meanwhile (WIRE.md 13.6)."""

    def close(self) -> None: ...


class PartWriter(Protocol):
    """One part on its way to its place inside a parted file."""

    def write(self, data: memoryview | bytes | bytearray) -> None: ...

    def copy_from(self, source: File, first: int, length: int) -> None: ...

    def complete(self) -> str:
        """Make the part durable; answers a token for join_parts and open_part_file.

        The writer keeps counting as active until close: record the token before.
        """

    def close(self) -> None:
        """Without complete: the part's place is lost, a later attempt is told to use a file of its own."""


class PartRef(NamedTuple):
    place: int
    """0-based place in the parted file."""
    size: int
    token: str
    """What PartWriter.complete answered."""


class HeldLock(Protocol):
    def check(self) -> None:
        """LockTimeout when the lock has been held for so long that others may have broken it.

        To be called before each change that the lock is for: it also sees to it that this is refused (LockTimeout,
        LockLost) when it could only be made later, or after the store may have forgotten the lock.
        """


class FileSystem(Protocol):
    """See the module's rules; every method may raise Unavailable, Corrupt and InvalidPath besides what it says."""

    forbidden_in_directories: frozenset[str]
    """Characters that names of directories must not have (Curvine's listing takes them as glob patterns)."""

    # -- reading
    def status(self, path: str) -> FileStatus:
        """NotFound, NotADirectory."""

    def open(self, path: str) -> File:
        """NotFound, NotADirectory, IsADirectory (also for FileKind.OTHER: NotFound)."""

    def list(self, path: str, start: str = "") -> Iterator[DirEntry]:
        """Entries with names >= ``start``, in UTF-8 byte order of names.

        NotFound and NotADirectory are raised by the call itself or at the first entry.  An entry that exists during
        the whole walk is given exactly once; one that comes or goes meanwhile may be missed or given.
        """

    # -- changing
    def create(self, path: str, size: int | None = None) -> Writer:
        """Begin a new file; ``size``: bytes to come, where known.  AlreadyExists, NotFound (parent), NotADirectory,
        NoSpace."""

    def mkdir(self, path: str, x_attr: Mapping[str, bytes] | None = None) -> None:
        """Make one directory, visible only together with its attributes.  AlreadyExists, NotFound, NotADirectory."""

    def rename(self, source: str, destination: str, flags: RenameFlag = RenameFlag.REPLACE) -> None:
        """NotFound, AlreadyExists, IsADirectory, NotADirectory, DirectoryNotEmpty.  See Writer.rename_to."""

    def link(self, source: str, destination: str) -> None:
        """Make a hard link to a file in an existing directory.  NotFound, AlreadyExists."""

    def set_x_attr(self, path: str, x_attr: Mapping[str, bytes | None]) -> None:
        """Set attributes (None removes), each atomically.  NotFound."""

    def delete(self, path: str, inode: int | None = None) -> None:
        """Remove a file or an empty directory.  NotFound, DirectoryNotEmpty.

        ``inode``: what the caller found there.  It must be given where others may put something else there as soon as
        it has gone: a file system that does not know whether it was removed removes nothing else.
        """

    def delete_directory(self, path: str) -> None:
        """Remove an empty directory, but never the file that somebody puts in its place after all others who call
        this have removed it.  NotFound, NotADirectory, DirectoryNotEmpty."""

    def flush(self, path: str) -> None:
        """Make durable what has become of the name ``path``, by whoever: also what others have not flushed yet."""

    def deferred(self) -> AbstractContextManager[None]:
        """Inside the block, changes made by this thread are not flushed one by one; when it ends without an error they
        are all durable, with one flush for each directory.  (Writer.complete is not deferred.)"""

    def is_abandoned(self, path: str, older_than_s: float) -> bool:
        """True when a file made by create() and never published has certainly no writer any more: its writer's
        process is gone where that can be told, else it is older than ``older_than_s``."""

    # -- parts of one size, written by anybody in any order (multipart uploads)
    def create_parted(self, path: str, part_size: int) -> None:
        """Make a file that consists of places of ``part_size`` bytes.  AlreadyExists, NotFound."""

    def open_part(self, path: str, place: int, size: int) -> PartWriter | None:
        """Begin to write ``place`` with ``size`` bytes (``part_size`` or, for the last part, fewer).

        None: this place was given out before, the size does not fit, or the file is closed for new parts: write a
        file of its own.  A place is given out once ever.
        """

    def open_part_file(self, path: str, part: PartRef) -> File:
        """Read one completed part (offsets relative to the part)."""

    def join_parts(
        self, path: str, parts: Sequence[PartRef], x_attr: Mapping[str, bytes], mtime_ns: int
    ) -> FileStatus | None:
        """Close the file for new parts and, if ``parts`` are its places 0..n-1, no other place holds a complete part
        and nobody is still writing to any, make it a complete file with exactly these parts, ready for rename.

        None: the parts must be copied into a new file instead (read them by open_part_file).
        """

    def parted_in(self, path: str) -> int | None:
        """The ``part_size`` of a parted file, None when there is none at ``path``."""

    # -- coordination and health
    def lock(self, name: str, timeout_s: float = 5.0, *, lasting: bool = False) -> AbstractContextManager[HeldLock]:
        """Exclusive lock on an arbitrary name against all users of the store.  LockTimeout.

        ``lasting``: the holder may need it for longer than a few seconds; else others may break it then.
        """

    def check(self) -> Mapping[str, str]:
        """Facts about the store for /healthz and ``check``; Unavailable when it cannot serve."""

    def close(self) -> None: ...
