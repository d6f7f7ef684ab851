"""When a change is on the disk: one flush for many waiting threads, and the way to a new name.

A name survives a power cut only when its directory was flushed, and that directory's name in the directory above, and
so on: somebody else may have made them a moment ago and not have flushed them yet.  Whoever adds a name therefore
flushes the chain up to the root, but each directory only once in its life: what is known to be flushed is remembered.

Rules
- A flush serves those who asked before it *began*: one who asks while it runs waits for the next.
- A directory is remembered by path *and* identity (inode and time of birth, read before the flush): one that was
  removed and made again, by us or by another process, even with the same inode number, is a stranger.

Follows fsync(2).
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import partial

from curvinefs._linux import DIRECTORY, Identity, Kernel
from curvinefs._paths import Root, split

_REMEMBERED = 65536
_DEFERRED = 64
"""Directories (each an open descriptor) that one thread may have waiting for their flush."""


class _Round:
    """One run of an action: led by one thread, waited for by any number."""

    __slots__ = ("running", "next", "error")

    def __init__(self) -> None:
        self.running = threading.Lock()
        self.running.acquire()
        self.next: _Round | None = None
        self.error: OSError | None = OSError(errno.EINTR, "the flush was broken off")  # until it has succeeded


class SharedFlush:
    """Run an idempotent action on behalf of every thread that asks for it."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._rounds: dict[Hashable, _Round] = {}  # the running round of each key

    def run(self, key: Hashable, action: Callable[[], None]) -> None:
        """Return when some run of the action of ``key`` has ended that began after this call.

        ``action`` must do the same for all who use the key; only one of theirs is run.  An OSError that it
        raises is raised to all whom that run served.
        """
        with self._mutex:
            before = self._rounds.get(key)
            if before is None:
                mine = self._rounds[key] = _Round()
                leads = True
            else:
                leads = before.next is None
                mine = before.next = before.next or _Round()
        if not leads:
            with mine.running:
                pass
            if mine.error is not None:
                raise OSError(mine.error.errno, mine.error.strerror) from mine.error
            return
        if before is not None:
            with before.running:
                pass
            with self._mutex:  # from here on, who comes is too late for this round
                self._rounds[key] = mine
        try:
            action()
            mine.error = None
        except OSError as error:
            mine.error = error
            raise
        finally:
            with self._mutex:
                if mine.next is None:
                    del self._rounds[key]
            mine.running.release()


class _Deferred(threading.local):
    """What a thread's deferred() block has to flush: directory -> (descriptor of ours, path for names added)."""

    pending: dict[Identity, tuple[int, str | None]] | None = None


class Flusher:
    """Durability of one store; with ``enabled`` False every method returns at once."""

    def __init__(self, kernel: Kernel, root: Root, *, enabled: bool) -> None:
        self._kernel = kernel
        self._root = root
        self._enabled = enabled
        self.reset()

    def reset(self) -> None:
        """Forget all rounds: in a forked child nobody runs them."""
        self._shared = SharedFlush()
        self._thread = _Deferred()
        self._known: dict[str, Identity] = {}

    def file(self, fd: int) -> None:
        """Contents and attributes of a file that only the caller writes."""
        if self._enabled:
            self._kernel.fsync(fd)

    def shared(self, fd: int) -> None:
        """What is open at ``fd`` and may be written or flushed by other threads too: for a directory its entries."""
        if self._enabled:
            identity = self._kernel.identity(fd)
            if self._thread.pending is None:
                self._flush(fd, identity)
            else:
                self._defer(identity, fd, None)

    def added(self, fd: int, directory: str) -> None:
        """A name was added to the directory open at ``fd``: flush it and what of the way to it is not known to be."""
        if not self._enabled:
            return
        identity = self._kernel.identity(fd)
        if self._thread.pending is not None:
            return self._defer(identity, fd, directory)
        self._flush_way(fd, directory, identity)

    def _flush_way(self, fd: int, directory: str, identity: Identity) -> None:
        self._flush(fd, identity)
        flushed = {}
        while directory != "/" and (identity.born_ns is None or self._known.get(directory) != identity):
            above, _ = split(directory)
            try:
                parent = self._root.open(above, DIRECTORY)
            except (FileNotFoundError, NotADirectoryError):
                return  # the whole tree went meanwhile, and the name with it
            try:
                identity_above = self._kernel.identity(parent)
                self._flush(parent, identity_above)
            finally:
                os.close(parent)
            flushed[directory] = identity
            directory, identity = above, identity_above
        if flushed:
            if len(self._known) > _REMEMBERED:
                self._known.clear()
            self._known.update(flushed)

    def made(self, fd: int, directory: str, name: str) -> None:
        """The directory ``name`` was made in the one open at ``fd``."""
        if not self._enabled:
            return
        try:
            identity = self._kernel.identity(fd, name)
        except FileNotFoundError:  # removed or renamed by another already
            return self.added(fd, directory)
        self.added(fd, directory)
        if self._thread.pending is None:
            self._known[directory.rstrip("/") + "/" + name] = identity

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Collect what this thread has to flush of directories, and flush each once when the block ends well."""
        thread = self._thread
        if not self._enabled or thread.pending is not None:
            yield
            return
        thread.pending = {}
        try:
            yield
            self._settle()
        finally:
            for fd, _ in thread.pending.values():
                os.close(fd)
            thread.pending = None

    def _defer(self, identity: Identity, fd: int, directory: str | None) -> None:
        pending = self._thread.pending
        assert pending is not None
        if identity in pending:
            if directory is not None:
                pending[identity] = (pending[identity][0], directory)
            return
        if len(pending) == _DEFERRED:
            self._settle()
        pending[identity] = (os.dup(fd), directory)

    def _settle(self) -> None:
        """Flush what was collected, deepest first: the way up from one directory covers those above it."""
        pending = self._thread.pending
        assert pending is not None
        for identity in sorted(pending, key=lambda i: -(pending[i][1] or "").count("/")):
            fd, directory = pending[identity]
            if directory is None:
                self._flush(fd, identity)
            else:
                self._flush_way(fd, directory, identity)
        for fd, _ in pending.values():
            os.close(fd)
        pending.clear()

    def _flush(self, fd: int, identity: Identity) -> None:
        self._shared.run(identity, partial(self._kernel.fsync, fd))
