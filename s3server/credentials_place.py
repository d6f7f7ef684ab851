"""Where the credentials lie: a file of this machine, or a file in the store that all gateways of it share.

Rules
- A place answers bytes and their identity; what they mean is ``credentials_file``'s affair.
- A change is one transaction against every other process and machine: locked, read anew, written aside, renamed.
- Only a definite "there is none" means missing.  A store that does not answer is an error, never an empty place, and no
  other place is ever used instead.
- In the store the file is hidden from S3 clients: ``system`` is no bucket.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from curvinefs.api import AlreadyExists, FileStatus, FileSystem, FsError, NotADirectory, NotFound, RenameFlag

LOCK_SECONDS = 10.0
MAX_BYTES = 16 << 20
"""Of a credentials file: a hundred thousand keys."""


class CredentialError(Exception):
    """What was asked of the credentials cannot be done; ``str()`` is one line without secrets."""


class Kept(NamedTuple):
    """What a place holds at one moment."""

    data: bytes
    identity: tuple[int, ...]
    """Changes whenever the bytes do."""
    modified: float
    """POSIX seconds."""
    mode: int | None = None
    """Permission bits, where the place has some that count."""


Change = Callable[[bytes | None], bytes | None]
"""Takes what is there (None: nothing) and answers what shall be (None: leave it)."""


class Place(Protocol):
    """All methods raise CredentialError when the place cannot be used."""

    @property
    def label(self) -> str:
        """How people call it."""

    def read(self) -> Kept | None:
        """What it holds, None when there is no file."""

    def identity(self) -> tuple[int, ...] | None:
        """As Kept.identity, without reading."""

    def change(self, change: Change) -> None:
        """Change it in one transaction; what ``change`` raises goes through, and nothing is changed."""

    def close(self) -> None:
        """Let go of what is open; the next call opens it again."""


# --------------------------------------------------------------------------------------------- on this machine


class DiskPlace:
    """A file of this machine, 0600.

    Whoever changes it holds ``flock`` on the sibling ``<name>.lock``.  The owner of the file stays its owner: root may
    add a key without locking the gateway's user out.  A symbolic link at ``path`` is followed (mounted secrets are
    links); the lock is never opened through one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def label(self) -> str:
        return str(self.path)

    def read(self) -> Kept | None:
        try:
            # Not blocking: somebody's pipe at this path must not hang the gateway.
            with open(self.path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
                stat = os.fstat(file.fileno())
                return Kept(file.read(), _identity(stat), stat.st_mtime, stat.st_mode & 0o7777)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CredentialError(f"{self.path}: cannot be read: {error.strerror}") from None

    def identity(self) -> tuple[int, ...] | None:
        try:
            return _identity(os.stat(self.path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CredentialError(f"{self.path}: cannot be read: {error.strerror}") from None

    def change(self, change: Change) -> None:
        try:
            path = self.path.resolve()
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(path.with_name(path.name + ".lock")):
                kept = self.read()
                data = change(kept.data if kept else None)
                if data is not None:
                    _write(path, data, os.stat(path) if kept else None)
        except OSError as error:
            raise CredentialError(f"{self.path}: cannot be changed: {error.strerror or error}") from None

    def close(self) -> None:
        return


def _identity(stat: os.stat_result) -> tuple[int, ...]:
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive flock; TimeoutError (an OSError) after LOCK_SECONDS."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _keep_owner(fd, os.stat(path.parent))
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(0, f"{path} has been locked for {LOCK_SECONDS:.0f} s") from None
                time.sleep(0.02)
        yield
    finally:
        os.close(fd)


def _write(path: Path, data: bytes, like: os.stat_result | None) -> None:
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(fd, "wb") as file:
            _keep_owner(fd, like or os.stat(path.parent))
            file.write(data)
            file.flush()
            os.fsync(fd)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _keep_owner(fd: int, like: os.stat_result) -> None:
    """Give a file that root made to the user whose directory or file it belongs to."""
    if os.geteuid() == 0 and (like.st_uid, like.st_gid) != (0, 0):
        os.fchown(fd, like.st_uid, like.st_gid)


# ------------------------------------------------------------------------------------------------ in the store


class StorePlace:
    """A file in a curvinefs file system.  ``opened`` opens it (anew in each process); it is kept open from then on."""

    def __init__(self, opened: Callable[[], FileSystem], path: str, label: str) -> None:
        self._opened = opened
        self._path = path
        self._label = label
        self._fs: tuple[int, FileSystem] | None = None

    @property
    def label(self) -> str:
        return self._label

    def _files(self) -> FileSystem:
        if self._fs is None or self._fs[0] != os.getpid():  # connections and locks are not for children
            self._fs = os.getpid(), self._opened()
        return self._fs[1]

    def read(self) -> Kept | None:
        with self._border("read"):
            return self._read(self._files())

    def _read(self, fs: FileSystem) -> Kept | None:
        try:
            file = fs.open(self._path)
        except (NotFound, NotADirectory):
            return None
        try:
            status = file.status
            if status.len > MAX_BYTES:
                raise CredentialError(f"{self._label}: is longer than {MAX_BYTES >> 20} MiB")
            data = memoryview(bytearray(status.len))
            done = 0
            while done < len(data) and (count := file.readinto(done, data[done:])):
                done += count
            if done < len(data):
                raise CredentialError(f"{self._label}: ends early")
            return Kept(bytes(data), _identity_of(status), status.mtime_ns / 1e9)
        finally:
            file.close()

    def identity(self) -> tuple[int, ...] | None:
        with self._border("read"):
            try:
                return _identity_of(self._files().status(self._path))
            except (NotFound, NotADirectory):
                return None

    def change(self, change: Change) -> None:
        with self._border("changed"):
            fs = self._files()
            with fs.lock("//credentials", LOCK_SECONDS) as held:
                kept = self._read(fs)
                data = change(kept.data if kept else None)
                if data is None:
                    return
                directory, _, name = self._path.rpartition("/")
                self._make(fs, directory)
                writer = fs.create(f"{directory}/.s3~tmp.{os.urandom(8).hex()}", len(data))
                try:
                    writer.write(data)
                    writer.complete({}, time.time_ns())
                    held.check()
                    writer.rename(name, RenameFlag.REPLACE)
                finally:
                    writer.close()

    @staticmethod
    def _make(fs: FileSystem, directory: str) -> None:
        parts = directory.split("/")
        for depth in range(2, len(parts) + 1):
            try:
                fs.mkdir("/".join(parts[:depth]))
            except AlreadyExists:
                continue

    @contextmanager
    def _border(self, done: str) -> Iterator[None]:
        try:
            yield
        except FsError as error:
            raise CredentialError(f"{self._label}: cannot be {done}: {error}") from None

    def close(self) -> None:
        if self._fs is not None and self._fs[0] == os.getpid():
            self._fs[1].close()
        self._fs = None


def _identity_of(status: FileStatus) -> tuple[int, ...]:
    return status.id, status.len, status.mtime_ns
