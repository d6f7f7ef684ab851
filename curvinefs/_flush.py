"""When a change is on the disk: one flush for many waiting threads, and the way to a new name.

A name survives a power cut only when its directory was flushed, and that directory's name in the directory above, and
so on: somebody else may have made them a moment ago and not have flushed them yet.  Whoever adds a name therefore
flushes the chain up to the root, but each directory only once in its life: what is known to be flushed is remembered.

Rules
- A flush serves those who asked before it *began*: one who asks while it runs waits for the next.
- A directory is remembered by path *and* identity (inode and time of birth, read before the flush): one that was
  removed and made again, by us or by another process, even with the same inode number, is a stranger.  (Two
  lives within one tick of the clock look alike.  ext4, XFS and btrfs then still keep it: a flush of a new directory
  includes its own name.)

Follows fsync(2).
"""

from __future__ import annotations

import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import partial

from curvinefs._linux import DIRECTORY, Identity, Kernel
from curvinefs._paths import Root, above

_REMEMBERED = 65536
_PUT_OFF = 64
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


_Pending = OrderedDict[Identity, tuple[int, str | None]]
"""A descriptor of our own, and the directory's path when a name was added to it."""


class _Deferred(threading.local):
    """What the current thread has put off: directories by identity, in the order of their first change."""

    pending: _Pending | None = None


class Flusher:
    """Durability of one store; with ``enabled`` False every method returns at once.  All raise OSError."""

    def __init__(self, kernel: Kernel, root: Root, *, enabled: bool) -> None:
        self._kernel = kernel
        self._root = root
        self._enabled = enabled
        self.reset()

    def reset(self) -> None:
        """Forget all rounds: in a forked child nobody runs them."""
        self._shared = SharedFlush()
        self._known: dict[str, Identity] = {}
        self._deferred = _Deferred()

    def file(self, fd: int) -> None:
        """Contents and attributes of a file that only the caller writes."""
        if self._enabled:
            self._kernel.fsync(fd)

    def shared_file(self, fd: int) -> None:
        """Contents of a file that other threads write and flush too."""
        if self._enabled:
            self._flush(fd, self._kernel.identity(fd), set())

    def removed(self, fd: int) -> None:
        """A name was taken from the directory open at ``fd``."""
        if self._enabled:
            identity = self._kernel.identity(fd)
            if not self._put_off(fd, identity, None):
                self._flush(fd, identity, set())

    def added(self, fd: int, directory: str) -> None:
        """A name was added to the directory open at ``fd``: flush it and what of the way to it is not known to be."""
        if self._enabled:
            identity = self._kernel.identity(fd)
            if not self._put_off(fd, identity, directory):
                self._flush_way(fd, identity, directory, set())

    def made(self, fd: int, directory: str, name: str) -> None:
        """The directory ``name`` was made in the one open at ``fd``."""
        if not self._enabled:
            return
        if self._deferred.pending is not None:
            return self.added(fd, directory)
        try:
            identity = self._kernel.identity(fd, name)
        except FileNotFoundError:  # removed or renamed by another already
            return self.added(fd, directory)
        self.added(fd, directory)
        self._known[directory.rstrip("/") + "/" + name] = identity

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Put off ``removed``, ``added`` and ``made`` of this thread to the end of the outermost block."""
        if self._deferred.pending is not None:
            yield
            return
        pending = self._deferred.pending = OrderedDict()
        try:
            yield
            flushed: set[Identity] = set()  # since the end of the block: good for all that happened in it
            while pending:
                self._settle(pending, flushed)
        finally:
            self._deferred.pending = None
            for fd, _ in pending.values():
                os.close(fd)

    def _put_off(self, fd: int, identity: Identity, directory: str | None) -> bool:
        pending = self._deferred.pending
        if pending is None:
            return False
        known = pending.get(identity)
        if known is None:
            if len(pending) >= _PUT_OFF:
                self._settle(pending, set())
            pending[identity] = (os.dup(fd), directory)
        elif directory is not None:
            pending[identity] = (known[0], directory)
        return True

    def _settle(self, pending: _Pending, flushed: set[Identity]) -> None:
        """Flush what was put off first, but not again what is in ``flushed``."""
        identity, (fd, directory) = pending.popitem(last=False)
        try:
            if directory is None:
                self._flush(fd, identity, flushed)
            else:
                self._flush_way(fd, identity, directory, flushed)
        finally:
            os.close(fd)

    def _flush_way(self, fd: int, identity: Identity, directory: str, flushed: set[Identity]) -> None:
        self._flush(fd, identity, flushed)
        learned = {}
        while directory != "/" and (identity.born_ns is None or self._known.get(directory) != identity):
            parent_path = above(directory)
            try:
                parent = self._root.open(parent_path, DIRECTORY)
            except (FileNotFoundError, NotADirectoryError):
                return  # the whole tree went meanwhile, and the name with it
            try:
                identity_above = self._kernel.identity(parent)
                self._flush(parent, identity_above, flushed)
            finally:
                os.close(parent)
            learned[directory] = identity
            directory, identity = parent_path, identity_above
        if learned:
            if len(self._known) > _REMEMBERED:
                self._known.clear()
            self._known.update(learned)

    def _flush(self, fd: int, identity: Identity, flushed: set[Identity]) -> None:
        if identity not in flushed:
            self._shared.run(identity, partial(self._kernel.fsync, fd))
            flushed.add(identity)
