"""Opened files of ``curvinefs.fsspec``, and how the cluster's errors become OSErrors.

Rules
- A file that is being written is published by close() or commit() and by nothing else; after a failed write, or an
  error in its ``with`` block, it is discarded.
- A forked child owns none of its parent's files: what it inherits for reading is opened again, and must be the same
  version; what it inherits for writing is closed, without effect.
"""

from __future__ import annotations

import errno
import io
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from typing import TYPE_CHECKING, Any

from fsspec.spec import AbstractBufferedFile

from curvinefs.api import (
    AlreadyExists,
    Corrupt,
    DirectoryNotEmpty,
    FileStatus,
    FsError,
    InvalidPath,
    IsADirectory,
    LockTimeout,
    NoSpace,
    NotADirectory,
    NotFound,
    NotServed,
    RenameFlag,
    Unavailable,
)
from curvinefs.curvine.paths import split
from curvinefs.curvine.read import CurvineFile
from curvinefs.curvine.write import CurvineWriter

if TYPE_CHECKING:
    from curvinefs.fsspec import CurvineFS

_ERRNO: dict[type[Exception], int] = {
    NotFound: errno.ENOENT,
    AlreadyExists: errno.EEXIST,
    NotADirectory: errno.ENOTDIR,
    IsADirectory: errno.EISDIR,
    DirectoryNotEmpty: errno.ENOTEMPTY,
    NoSpace: errno.ENOSPC,
    InvalidPath: errno.EINVAL,
    Unavailable: errno.ETIMEDOUT,
    LockTimeout: errno.ETIMEDOUT,
    Corrupt: errno.EIO,
    NotServed: errno.EOPNOTSUPP,
}

_PLAIN = frozenset({errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY})
"""What needs no explanation beyond the path."""


@contextmanager
def os_errors(path: str) -> Iterator[None]:
    """Raise OSError (of the subclass that fits) about ``path`` for an FsError."""
    try:
        yield
    except FsError as error:
        number = next(_ERRNO[kind] for kind in type(error).__mro__ if kind in _ERRNO)
        raise OSError(number, os.strerror(number) if number in _PLAIN else str(error), path) from error


def read_range(file: CurvineFile, first: int, end: int) -> bytes:
    """Bytes ``first`` to ``end`` (exclusive), which lie in the file.  Raises FsError."""
    contents = io.BytesIO(bytes(end - first))  # gives its buffer away as bytes, without the copy of bytes(bytearray)
    with contents.getbuffer() as buffer:
        count = file.readinto(first, buffer)
    contents.truncate(count)
    return contents.getvalue()


class ReadFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """One version of a file, through one of fsspec's caches.  The caches' threads may read at the same time."""

    def __init__(
        self,
        fs: CurvineFS,
        path: str,
        contents: CurvineFile,
        info: dict[str, Any],
        block_size: int | None,
        cache_options: dict[str, Any] | None,
        **kwargs: Any,
    ) -> None:
        """Owns ``contents``.  ``kwargs``: cache_type; "readahead" by default."""
        self._contents: CurvineFile | None = contents
        self._version = contents.status
        self._mutex = threading.Lock()
        super().__init__(
            fs,
            path,
            "rb",
            block_size=block_size or fs.blocksize,
            cache_options=cache_options,
            size=contents.status.len,
            **kwargs,
        )
        self.details = info
        _living[id(self)] = self

    def _fetch_range(self, start: int, end: int) -> bytes:
        with self._mutex, os_errors(self.path):
            return read_range(self._opened(), start, max(start, min(end, self.size)))

    def readinto(self, b: Any) -> int:
        """Large pieces go past the cache, straight into the caller's buffer."""
        buffer = memoryview(b).cast("B")
        if self.closed or len(buffer) < self.blocksize:
            return int(super().readinto(buffer))
        with self._mutex, os_errors(self.path):
            count = self._opened().readinto(self.loc, buffer)
        self.loc += count
        return count

    def _opened(self) -> CurvineFile:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if self._contents is None:
            contents = self.fs.client.open(self.path)
            if not _same(contents.status, self._version):
                contents.close()
                raise OSError(errno.ESTALE, "replaced since it was opened", self.path)
            self._contents = contents
        return self._contents

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        with self._mutex:  # a cache's thread may be reading
            contents, self._contents = self._contents, None
            if contents is not None:
                contents.close()

    def forget(self) -> None:
        """In a forked child: another thread may have held the mutex, and the connections are the parent's."""
        self._mutex = threading.Lock()
        self._contents = None


def _same(one: FileStatus, other: FileStatus) -> bool:
    return (one.id, one.len, one.mtime_ns) == (other.id, other.len, other.mtime_ns)


class _State(Enum):
    WRITING = "takes more"
    BROKEN = "a write failed: bytes may be missing"
    WHOLE = "closed in a transaction, waits for its end"
    GONE = "published or discarded"


class WriteFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """A new file.  Nothing is buffered here: CurvineWriter collects what is small."""

    closed: bool

    def __init__(self, fs: CurvineFS, path: str, contents: CurvineWriter, mode: str, autocommit: bool) -> None:
        """Owns ``contents``.  mode: "wb", or "xb" for a name that must still be free in the end."""
        super().__init__(fs, path, mode, autocommit=autocommit)
        self._contents = contents
        self._state = _State.WRITING
        _living[id(self)] = self

    def write(self, data: Any) -> int:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        self._want(_State.WRITING)
        self._state = _State.BROKEN
        with os_errors(self.path):
            self._contents.write(data)
        self._state = _State.WRITING
        count = memoryview(data).nbytes
        self.loc += count
        return count

    def flush(self, force: bool = False) -> None:
        """Nothing is seen of a file before it is published."""
        if self.closed:
            raise ValueError("flush of closed file")

    def close(self) -> None:
        """Publish, or in a transaction (autocommit=False) make ready.  OSError when a write failed before."""
        if self.closed:
            return
        self.closed = True
        if self.autocommit:
            self.commit()
        else:
            self._finish(self._complete)

    def commit(self) -> None:
        """Publish now.  What was discarded stays so."""
        if self._state is not _State.GONE:
            self.closed = True
            self._finish(self._publish)

    def discard(self) -> None:
        """The file will never be there."""
        self.closed = True
        if self._state is not _State.GONE:
            self._state = _State.GONE
            self._contents.close()

    def _finish(self, step: Callable[[], None]) -> None:
        try:
            with os_errors(self.path):
                step()
        except BaseException:
            self.discard()
            raise

    def _complete(self) -> None:
        self._want(_State.WRITING)
        self._contents.complete({}, time.time_ns())
        self._state = _State.WHOLE

    def _publish(self) -> None:
        if self._state is not _State.WHOLE:
            self._complete()
        flag = RenameFlag.NO_REPLACE if "x" in self.mode else RenameFlag.REPLACE
        self._contents.rename(split(self.path)[1], flag)
        self._state = _State.GONE
        self._contents.close()
        self.fs.invalidate_cache(self.path)

    def _want(self, state: _State) -> None:
        if self._state is not state:
            raise OSError(errno.EIO, f"not written: {self._state.value}", self.path)

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def forget(self) -> None:
        """In a forked child: the file is the parent's."""
        self.closed = True
        self._state = _State.GONE


class TextWriter(io.TextIOWrapper):
    """Text into a WriteFile or CompressedWriter, discarded when the ``with`` block ends in an error."""

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None:
            self.buffer.discard()  # type: ignore[attr-defined]
        super().__exit__(kind, error, trace)


class CompressedWriter(io.BufferedWriter):
    """Bytes into a codec into a WriteFile: codecs do not close what they write to."""

    def __init__(self, codec: Any, target: WriteFile) -> None:
        self._target = target
        super().__init__(codec)

    def close(self) -> None:
        try:
            super().close()
        except BaseException:
            self._target.discard()
            raise
        self._target.close()

    def discard(self) -> None:
        self._target.discard()
        with suppress(ValueError):  # the codec wants to write its end
            super().close()

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if kind is not None:
            self.discard()
        self.close()


_living: weakref.WeakValueDictionary[int, ReadFile | WriteFile] = weakref.WeakValueDictionary()


def _after_fork() -> None:
    for file in list(_living.values()):
        file.forget()


os.register_at_fork(after_in_child=_after_fork)
