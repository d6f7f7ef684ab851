"""A directory of a Linux file system as a FileSystem: the embedded store.

This module is the interface and the small operations; the ideas lie beside it: ``_paths`` (never out of the root),
``_content`` (files that appear whole), ``_attributes``, ``_flush`` (durability, group commit), ``_listing`` (order,
page after page), ``_locks``, ``_parted`` (multipart without copying), ``_format`` (what a root must be), ``_linux``.

Rules
- Any number of threads and processes use one root; nothing in memory is believed without asking the kernel whether it
  still holds.  A forked child begins with fresh locks and caches.
- Our own state is below ``/.s3~``: ``format.json``, ``locks/``, ``attributes/`` (only without extended attributes).

Needs renameat2 with NOREPLACE and EXCHANGE (ext4, XFS, btrfs, tmpfs, ...; not NFS): tried when the store is opened.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Literal

from curvinefs._attributes import Attributes, NativeAttributes, RecordAttributes, bare_status
from curvinefs._content import LocalFile, LocalWriter, Volume
from curvinefs._flush import Flusher
from curvinefs._format import AttributeKind, make_directory, make_root, open_state, temporary_name
from curvinefs._linux import DIRECTORY, HANDLE, NOT_READABLE, READ, Kernel, fs_error
from curvinefs._listing import Directory, LocalEntry, NameCache, StatusCache
from curvinefs._locks import LocalLock, Locks
from curvinefs._parted import LocalPartWriter, PartedFiles
from curvinefs._paths import Place, Root, above
from curvinefs.api import FileKind, FileStatus, FsError, IsADirectory, NotFound, PartRef, RenameFlag, Unavailable

_YOUNG_S = 10.0
"""An empty unlocked file may be one whose writer is between creating and locking it; not any more at this age."""
_SETTLED_S = 60.0
"""A directory that was not changed for so long has been written back by the kernel, whoever changed it."""

_CACHED_FILES = 20_000
"""Files that listings remember, in each process: some 12 MiB."""

_living: weakref.WeakSet[LocalFileSystem] = weakref.WeakSet()


class LocalFileSystem:
    """See FileSystem for every public method."""

    forbidden_in_directories: frozenset[str] = frozenset()

    def __init__(
        self,
        root: str,
        *,
        durability: Literal["full", "none"] = "full",
        attributes: Sequence[str] = ("user.s3",),
        attribute_kind: AttributeKind | None = None,
        walk: bool | None = None,
        cached_names: int = 1_000_000,
        kernel: Kernel | None = None,
    ) -> None:
        """Open or (missing) make the store in directory ``root``; Unavailable, in one line, when that cannot be.

        ``durability``: ``full`` flushes every change before its method returns, ``none`` leaves that to the kernel.
        ``attributes``: names of the attributes that statuses carry; others can be set but are not read.
        ``attribute_kind``: where attributes live; None: as the store was made, for a new one what the file system has.
        ``walk``: go by single directories (True), by openat2 (False), or find out what works (None).
        ``cached_names``: names of large directories kept in memory for listing, about 100 bytes each.
        """
        if sys.getfilesystemencoding() != "utf-8":
            raise Unavailable(f"{root}: file names are {sys.getfilesystemencoding()} in this locale; set PYTHONUTF8=1")
        self._kernel = kernel = kernel or Kernel()
        durable = durability == "full"
        with ExitStack() as opened:
            try:
                make_root(kernel, root, durable=durable)
                self._root = Root(kernel, root, walk=walk)
                opened.callback(self._root.close)
                state = open_state(kernel, self._root.fd, root, attribute_kind)
                opened.callback(os.close, state.fd)
                os.close(make_directory(kernel, state.fd, "locks"))
                if state.attribute_kind == "native":
                    self._attributes: Attributes = NativeAttributes(kernel, attributes)
                else:
                    records = make_directory(kernel, state.fd, "attributes")
                    opened.callback(os.close, records)
                    self._attributes = RecordAttributes(kernel, attributes, records, durable=durable)
                if durable:
                    kernel.fsync(state.fd)
                    kernel.fsync(self._root.fd)
            except OSError as error:
                raise Unavailable(f"{root}: {error.strerror}") from error
            self._flusher = Flusher(kernel, self._root, enabled=durable)
            self._volume = Volume(kernel, self._root, self._attributes, self._flusher)
            self._parted = PartedFiles(self._volume)
            self._names = NameCache(cached_names)
            self._statuses = StatusCache(_CACHED_FILES if self._attributes.in_inode else 0)
            self._state = state.fd
            self._locks = Locks(kernel, lambda: kernel.open(state.fd, "locks/names", os.O_RDWR | os.O_CREAT, 0o600))
            self._facts = {
                "type": state.type,
                "attributes": state.attribute_kind,
                "paths": "walk" if self._root.walks else "openat2",
                "durability": durability,
            }
            _living.add(self)
            self._opened = opened.pop_all()

    # -- reading

    def status(self, path: str) -> FileStatus:
        try:
            fd = self._root.open(path, READ)
        except OSError as error:
            if error.errno in NOT_READABLE:
                return self._status_of_unreadable(path)
            raise fs_error(error, path) from error
        try:
            return self._attributes.status(fd)
        except OSError as error:
            if error.errno == errno.ESTALE:
                return self.status(path)
            raise fs_error(error, path) from error
        finally:
            os.close(fd)

    def _status_of_unreadable(self, path: str) -> FileStatus:
        try:
            fd = self._root.open(path, HANDLE)
        except OSError as error:
            raise fs_error(error, path) from error
        try:
            return bare_status(os.fstat(fd), {})
        finally:
            os.close(fd)

    def open(self, path: str) -> LocalFile:
        try:
            fd = self._root.open(path, READ)
        except OSError as error:
            raise self._refusal(path, error) from error
        try:
            status = self._attributes.status(fd)
            if status.kind is FileKind.FILE:
                return LocalFile(self._kernel, fd, status, path)
        except OSError as error:
            os.close(fd)
            if error.errno == errno.ESTALE:
                return self.open(path)
            raise fs_error(error, path) from error
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        if status.kind is FileKind.DIRECTORY:
            raise IsADirectory(path)
        raise NotFound(f"{path}: not a regular file")

    def _refusal(self, path: str, error: OSError) -> FsError:
        """Why ``path`` could not be opened for reading."""
        if error.errno in NOT_READABLE and self._status_of_unreadable(path).kind is FileKind.OTHER:
            return NotFound(f"{path}: not a regular file")
        return fs_error(error, path)

    def list(self, path: str, start: str = "") -> Iterator[LocalEntry]:
        try:
            fd = self._root.open(path, DIRECTORY)
            directory = Directory(self._kernel, fd, path.rstrip("/"), self._attributes.status, self._statuses)
            return directory.entries(self._names.names(fd), start)
        except OSError as error:
            raise fs_error(error, path) from error

    # -- changing

    def create(self, path: str, size: int | None = None) -> LocalWriter:
        try:
            return LocalWriter(self._volume, path)
        except OSError as error:
            raise fs_error(error, path) from error

    def mkdir(self, path: str, x_attr: Mapping[str, bytes] | None = None) -> None:
        try:
            with self._root.place(path) as (fd, directory, name):
                if x_attr:
                    self._make_dressed(fd, name, x_attr)
                else:
                    self._kernel.mkdir(fd, name)
                self._flusher.made(fd, directory, name)
        except OSError as error:
            raise fs_error(error, path) from error

    def _make_dressed(self, parent: int, name: str, x_attr: Mapping[str, bytes]) -> None:
        """Make a directory that appears with its attributes."""
        kernel, hidden = self._kernel, temporary_name()
        kernel.mkdir(parent, hidden)
        try:
            fd = kernel.open(parent, hidden, DIRECTORY)
            try:
                self._attributes.set(fd, x_attr)
                self._flusher.file(fd)
            finally:
                os.close(fd)
            kernel.rename(parent, hidden, parent, name, RenameFlag.NO_REPLACE)
        except BaseException:
            self._remove(parent, hidden, self._kernel.rmdir)
            raise

    def rename(self, source: str, destination: str, flags: RenameFlag = RenameFlag.REPLACE) -> None:
        try:
            with self._root.place(source) as old, self._root.place(destination) as new:
                victim = None if flags else self._attributes.victim(new.fd, new.name)
                self._kernel.rename(old.fd, old.name, new.fd, new.name, flags)
                if source == destination:
                    return
                if not flags:
                    self._drop_same_file(old, new)
                    self._attributes.forget(victim)
                self._flusher.added(new.fd, new.directory)
                if old.directory != new.directory:
                    self._flusher.removed(old.fd)
        except OSError as error:
            raise fs_error(error, f"{source} -> {destination}") from error

    def _drop_same_file(self, old: Place, new: Place) -> None:
        """rename(2) leaves both names when they are links of one file; a rename must take the source away."""
        try:
            left = os.stat(old.name, dir_fd=old.fd, follow_symlinks=False)
            there = os.stat(new.name, dir_fd=new.fd, follow_symlinks=False)
            if os.path.samestat(left, there) and not stat.S_ISDIR(left.st_mode):
                self._kernel.unlink(old.fd, old.name)
        except FileNotFoundError:
            pass

    def link(self, source: str, destination: str) -> None:
        try:
            with self._root.place(source) as old, self._root.place(destination) as new:
                self._kernel.link(old.fd, old.name, new.fd, new.name)
                self._flusher.added(new.fd, new.directory)
        except PermissionError as error:
            if self.status(source).kind is FileKind.DIRECTORY:
                raise IsADirectory(source) from error
            raise fs_error(error, source) from error
        except OSError as error:
            raise fs_error(error, f"{source} -> {destination}") from error

    def set_x_attr(self, path: str, x_attr: Mapping[str, bytes | None]) -> None:
        try:
            fd = self._root.open(path, READ)
            try:
                if stat.S_IFMT(os.fstat(fd).st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
                    raise NotFound(f"{path}: not a regular file")
                self._attributes.set(fd, x_attr)
                self._flusher.file(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise self._refusal(path, error) from error

    def delete(self, path: str, inode: int | None = None) -> None:
        self._delete(path, self._unlink)

    def delete_directory(self, path: str) -> None:
        self._delete(path, self._kernel.rmdir)

    def _delete(self, path: str, call: Callable[[int, str], None]) -> None:
        try:
            with self._root.place(path) as (fd, _, name):
                self._remove(fd, name, call)
                self._flusher.removed(fd)
        except OSError as error:
            raise fs_error(error, path) from error

    def flush(self, path: str) -> None:
        here, more = path, True
        try:
            while more:
                try:
                    fd = self._root.open(here, DIRECTORY)
                except OSError as error:
                    if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                        raise
                else:
                    more = here == path and path != "/"  # it is a directory: its name lies in the one above
                    try:
                        if os.fstat(fd).st_ctime > time.time() - _SETTLED_S:
                            self._flusher.removed(fd)
                    finally:
                        os.close(fd)
                here = above(here)
        except OSError as error:
            raise fs_error(error, path) from error

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """May be nested: the outermost block flushes."""
        try:
            with self._flusher.deferred():
                yield
        except OSError as error:
            raise fs_error(error, "flush") from error

    def _remove(self, directory: int, name: str, call: Callable[[int, str], None]) -> None:
        victim = self._attributes.victim(directory, name)
        call(directory, name)
        self._attributes.forget(victim)

    def _unlink(self, directory: int, name: str) -> None:
        try:
            self._kernel.unlink(directory, name)
        except IsADirectoryError:
            self._kernel.rmdir(directory, name)

    def is_abandoned(self, path: str, older_than_s: float) -> bool:
        try:
            fd = self._root.open(path, READ)
        except OSError as error:
            raise fs_error(error, path) from error
        try:
            status = os.fstat(fd)
            age_s = time.time() - status.st_ctime
            if not stat.S_ISREG(status.st_mode):
                return age_s > older_than_s
            # Shared, so that two who ask do not take each other for the writer.
            if not self._kernel.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB):
                return False
            return status.st_size > 0 or age_s > min(_YOUNG_S, older_than_s)
        except OSError as error:
            raise fs_error(error, path) from error
        finally:
            os.close(fd)

    # -- parts

    def create_parted(self, path: str, part_size: int) -> None:
        self._parted.create(path, part_size)

    def open_part(self, path: str, place: int, size: int) -> LocalPartWriter | None:
        return self._parted.open_part(path, place, size)

    def open_part_file(self, path: str, part: PartRef) -> LocalFile:
        return self._parted.open_part_file(path, part)

    def join_parts(
        self, path: str, parts: Sequence[PartRef], x_attr: Mapping[str, bytes], mtime_ns: int
    ) -> FileStatus | None:
        return self._parted.join(path, parts, x_attr, mtime_ns)

    def parted_in(self, path: str) -> int | None:
        return self._parted.part_size(path)

    # -- coordination and health

    def lock(self, name: str, timeout_s: float = 5.0, *, lasting: bool = False) -> AbstractContextManager[LocalLock]:
        """Nobody breaks a lock: the kernel knows whether its holder lives."""
        return self._locks.hold(name, timeout_s)

    def check(self) -> Mapping[str, str]:
        """Writes and removes a file; ``space`` says ``full`` when there is no room for it."""
        probe, space = temporary_name(), "free"
        try:
            try:
                fd = self._kernel.open(self._state, probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                try:
                    self._kernel.write(fd, b"probe")
                    self._flusher.file(fd)
                finally:
                    os.close(fd)
                    self._kernel.unlink(self._state, probe)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                space = "full"
            room = os.fstatvfs(self._root.fd)
        except OSError as error:
            raise Unavailable(f"the store cannot be written: {error.strerror}") from error
        return {
            **self._facts,
            "space": space,
            "free_bytes": str(room.f_bavail * room.f_frsize),
            "total_bytes": str(room.f_blocks * room.f_frsize),
            "free_inodes": str(room.f_favail),
        }

    def close(self) -> None:
        self._locks.close()
        self._opened.close()

    def _start_again(self) -> None:
        self._locks.reset()
        self._flusher.reset()
        self._names.reset()


def _after_fork() -> None:
    for file_system in list(_living):
        file_system._start_again()


os.register_at_fork(after_in_child=_after_fork)
