"""Extended attributes of files and directories: in the file system, or in records of our own where it has none.

Native: attribute ``x`` is the OS attribute ``user.x`` (one that begins with ``user.`` keeps its name).  Only attributes
named beforehand are read, one call each; so a file with strange attributes costs nothing.

Records: ``/.s3~/attributes/<xx>/<inode>`` holds a JSON object.  An inode number is used again after its file has gone,
so a record counts only for the inode it was written for: same time of birth and, for files, same size and mtime (a
file rewritten by other tools loses its attributes, which for us it does natively too: they describe other bytes).
Where the file system has no time of birth either, a directory's record is trusted by its inode number alone.

Rules
- Attributes are on the inode before a name shows it; a record is written before the rename that publishes.
- Which of the two a store has is decided when it is made (``format.json``) and never mixed.

Follows xattr(7).
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from curvinefs._linux import Kernel
from curvinefs.api import Corrupt, FileKind, FileStatus

_FILE, _DIRECTORY, _OTHER = FileKind.FILE, FileKind.DIRECTORY, FileKind.OTHER


class Victim(NamedTuple):
    """What a name stood for just before it was removed or replaced."""

    status: os.stat_result
    born_ns: int | None


class Attributes(Protocol):
    """All methods raise OSError."""

    in_inode: bool
    """Whether a change of them changes the ctime of what they belong to."""

    def status(self, fd: int, found: os.stat_result | None = None) -> FileStatus:
        """Of what is open at ``fd`` (not O_PATH), and was found to be so.

        ESTALE: it was replaced meanwhile, open the path again.
        """

    def set(self, fd: int, x_attr: Mapping[str, bytes | None]) -> None:
        """Set or (None) remove; size and mtime are final."""

    def victim(self, directory: int, name: str) -> Victim | None:
        """What will have to be forgotten when ``name`` has been removed or replaced."""

    def forget(self, victim: Victim | None) -> None:
        """The removal has happened."""


def bare_status(status: os.stat_result, x_attr: Mapping[str, bytes]) -> FileStatus:
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return FileStatus(_FILE, status.st_ino, status.st_size, status.st_mtime_ns, x_attr)
    return FileStatus(_DIRECTORY if stat.S_ISDIR(mode) else _OTHER, status.st_ino, 0, status.st_mtime_ns, x_attr)


def _os_name(name: str) -> bytes:
    return name.encode() if name.startswith("user.") else b"user." + name.encode()


class NativeAttributes:
    def __init__(self, kernel: Kernel, names: Sequence[str]) -> None:
        """``names``: the attributes to read."""
        self._kernel = kernel
        self._names = [(name, _os_name(name)) for name in names]

    in_inode = True

    def status(self, fd: int, found: os.stat_result | None = None) -> FileStatus:
        x_attr: dict[str, bytes] = {}
        for name, os_name in self._names:
            value = self._kernel.get_attribute(fd, os_name)
            if value is not None:
                x_attr[name] = value
        return bare_status(found or os.fstat(fd), x_attr)

    def set(self, fd: int, x_attr: Mapping[str, bytes | None]) -> None:
        for name, value in x_attr.items():
            if value is not None:
                self._kernel.set_attribute(fd, _os_name(name), value)
                continue
            try:
                self._kernel.remove_attribute(fd, _os_name(name))
            except OSError as error:
                if error.errno != errno.ENODATA:
                    raise

    def victim(self, directory: int, name: str) -> None:
        return None

    def forget(self, victim: Victim | None) -> None:
        return None


class RecordAttributes:
    def __init__(self, kernel: Kernel, names: Sequence[str], directory: int, *, durable: bool) -> None:
        """``directory``: descriptor of ``/.s3~/attributes``, kept."""
        self._kernel = kernel
        self._names = names
        self._directory = directory
        self._durable = durable

    in_inode = False

    def status(self, fd: int, found: os.stat_result | None = None) -> FileStatus:
        status = found or os.fstat(fd)
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            return bare_status(status, {})
        record = self._read(status, self._kernel.identity(fd).born_ns)
        if not record and os.fstat(fd).st_nlink == 0:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))  # its record went with its last name
        return bare_status(status, {name: record[name] for name in self._names if name in record})

    def set(self, fd: int, x_attr: Mapping[str, bytes | None]) -> None:
        status = os.fstat(fd)
        born = self._kernel.identity(fd).born_ns
        folder, name = _place(status)
        try:
            self._kernel.mkdir(self._directory, folder)
        except FileExistsError:
            pass
        else:
            self._flush(self._directory)
        parent = self._kernel.open(self._directory, folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # Two changes of one inode must not undo each other: the folder is locked from reading to writing.
            self._kernel.flock(parent, fcntl.LOCK_EX)
            kept = self._read(status, born)
            for changed, value in x_attr.items():
                if value is None:
                    kept.pop(changed, None)
                else:
                    kept[changed] = value
            self._write(parent, name, status, born, kept)
        finally:
            os.close(parent)

    def victim(self, directory: int, name: str) -> Victim | None:
        try:
            born = self._kernel.identity(directory, name).born_ns
            return Victim(os.stat(name, dir_fd=directory, follow_symlinks=False), born)
        except FileNotFoundError:
            return None

    def forget(self, victim: Victim | None) -> None:
        # A record that stays behind (a crash, two links removed at once) is found out by its time of birth.
        if victim is None or (victim.status.st_nlink > 1 and not stat.S_ISDIR(victim.status.st_mode)):
            return
        folder, name = _place(victim.status)
        try:
            parent = self._kernel.open(self._directory, folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return
        try:
            # The number may have gone to a new file meanwhile: its record stands there now, and must stay.
            self._kernel.flock(parent, fcntl.LOCK_EX)
            if self._read(*victim):
                self._kernel.unlink(parent, name)
        finally:
            os.close(parent)

    def _read(self, status: os.stat_result, born: int | None) -> dict[str, bytes]:
        """The record of one life of an inode; nothing where it is another's."""
        try:
            fd = self._kernel.open(self._directory, "/".join(_place(status)), os.O_RDONLY)
        except FileNotFoundError:
            return {}
        with open(fd, "rb") as file:
            text = file.read()
        try:
            record: Any = json.loads(text)
            if record["for"] != _life(status, born):
                return {}
            return {name: value.encode("latin-1") for name, value in record["x_attr"].items()}
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise Corrupt(f"attribute record of inode {status.st_ino}: {error}") from error

    def _write(
        self, parent: int, name: str, status: os.stat_result, born: int | None, x_attr: Mapping[str, bytes]
    ) -> None:
        values = {key: value.decode("latin-1") for key, value in x_attr.items()}
        text = json.dumps({"for": _life(status, born), "x_attr": values}).encode()
        fresh = f"{name}.new"  # one writer per folder: the lock
        fd = self._kernel.open(parent, fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            written = 0
            while written < len(text):
                written += self._kernel.write(fd, text[written:])
            self._flush(fd)
        finally:
            os.close(fd)
        self._kernel.rename(parent, fresh, parent, name)
        self._flush(parent)

    def _flush(self, fd: int) -> None:
        if self._durable:
            self._kernel.fsync(fd)


def _place(status: os.stat_result) -> tuple[str, str]:
    return f"{status.st_ino & 0xFF:02x}", str(status.st_ino)


def _life(status: os.stat_result, born: int | None) -> list[int | None]:
    if stat.S_ISDIR(status.st_mode):
        return [born, None, None]  # a directory's size and mtime change with every entry
    return [born, status.st_size, status.st_mtime_ns]
