"""Left-overs of crashes and of time: found, reported, removed.

Rules: never touches an object.  What a live writer may still need stays: unfinished files go when their writer is
certainly gone, side files and answers of uploads when they are older than a day, uploads when they are older than
``upload_max_age``.  Removing is idempotent, so several processes may sweep at once; one is enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from curvinefs.api import FileKind, FileSystem, FsError, NotADirectory, NotFound
from s3server.store.buckets import ObjectStore
from s3server.store.keypath import TEMPORARY, key_of
from s3server.store.listing import MAX_KEY
from s3server.store.record import decode_side
from s3server.store.state import KINDS, ROOT, entries, read_file, remove_tree

DAY = 86400.0


class Finding(NamedTuple):
    """Something that ``check`` tells its user."""

    what: str
    path: str
    repaired: bool


class Sweeper:
    """``upload_max_age`` in seconds, None: uploads stay for ever."""

    def __init__(
        self,
        store: ObjectStore,
        upload_max_age: float | None = 7 * DAY,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._fs = store.fs
        self._max_age = upload_max_age
        self._now = now

    def maintain(self) -> None:
        """Remove what listings came across and what has become too old in our state; walks no bucket."""
        met = self._store.met
        for _ in range(len(met)):
            self._remove_temporary(self._fs, met.popleft())
        for _ in self._state(remove=True):
            pass

    def inspect(self, repair: bool) -> list[Finding]:
        """Walk everything; with ``repair`` remove what may go."""
        found = list(self._state(remove=repair))
        for bucket in self._store.buckets.all():
            found += self._tree(bucket.info.name, (), repair)
        return found

    # ------------------------------------------------------------------------------------------ buckets

    def _tree(self, bucket: str, names: tuple[str, ...], repair: bool) -> Iterator[Finding]:
        path = "/".join(("", bucket, *names))
        try:
            listed = list(self._fs.list(path))
        except (NotFound, NotADirectory):
            return
        for entry in listed:
            below = f"{path}/{entry.name}"
            if entry.name.startswith(TEMPORARY):
                yield from self._left_over(self._fs, below, repair)
            elif entry.kind is FileKind.DIRECTORY:
                yield from self._tree(bucket, (*names, entry.name), repair)
            elif entry.kind is FileKind.FILE:
                key = key_of((*names, entry.name), self._fs.forbidden_in_directories)
                if key is None:
                    yield Finding("a name of our own form that no key gives: it is hidden", below, False)
                elif len(key.encode()) > MAX_KEY:
                    yield Finding("a name longer than any key: it is hidden", below, False)

    def _left_over(self, fs: FileSystem, path: str, remove: bool) -> Iterator[Finding]:
        if self._remove_temporary(fs, path) if remove else self._may_go(fs, path):
            yield Finding("left-over of an unfinished write", path, remove)

    def _may_go(self, fs: FileSystem, path: str) -> bool:
        try:
            status = fs.status(path)
            if status.kind is FileKind.DIRECTORY:  # a file being turned into a directory holds no lock that shows
                return status.mtime_ns / 1e9 < self._now() - DAY
            return fs.is_abandoned(path, DAY)
        except (NotFound, NotADirectory):
            return False

    def _remove_temporary(self, fs: FileSystem, path: str) -> bool:
        if not self._may_go(fs, path):
            return False
        try:
            if fs.status(path).kind is FileKind.DIRECTORY:
                remove_tree(fs, path)
            else:
                fs.delete(path)
        except FsError:
            return False
        return True

    # -------------------------------------------------------------------------------------------- state

    def _state(self, remove: bool) -> Iterator[Finding]:
        live, documents = self._store.buckets.ids(), self._store.buckets.documents()
        for fs in {id(f): f for f in (self._fs, self._store.uploads.fs)}.values():
            for directory in ("", ROOT):  # a bucket being made; probes of the file system
                for entry in list(entries(fs, directory or "/", TEMPORARY)):
                    path = f"{directory}/{entry.name}"
                    if entry.name.startswith(TEMPORARY) and self._old(fs, path, DAY):
                        yield self._drop(fs, "left-over of an unfinished change", path, remove)
            for entry in list(entries(fs, f"{ROOT}/b")):
                path = f"{ROOT}/b/{entry.name}"
                if entry.name not in live:
                    if self._old(fs, path, DAY):
                        yield self._drop(fs, "state of a bucket that is gone", path, remove)
                    continue
                yield from self._uploads(fs, f"{path}/uploads", remove)
                for old in list(entries(fs, f"{path}/done")):
                    if self._old(fs, f"{path}/done/{old.name}", DAY):
                        self._drop(fs, "answer of a finished upload", f"{path}/done/{old.name}", remove)
                for kind in KINDS:
                    for old in list(entries(fs, f"{path}/{kind}")):
                        below = f"{path}/{kind}/{old.name}"
                        if old.name not in documents and self._old(fs, below, DAY):
                            yield self._drop(fs, f"setting ({kind}) that no bucket has", below, remove)
                yield from self._sides(fs, f"{path}/side", live[entry.name], remove)

    def _uploads(self, fs: FileSystem, path: str, remove: bool) -> Iterator[Finding]:
        for entry in list(entries(fs, path)):
            below = f"{path}/{entry.name}"
            if entry.name.startswith(TEMPORARY):
                yield self._drop(
                    fs, "left-over of an upload", below, remove
                )  # forgotten already, whoever still removes it
                continue
            for part in list(entries(fs, below, TEMPORARY)):
                if not part.name.startswith(TEMPORARY):
                    break
                yield from self._left_over(fs, f"{below}/{part.name}", remove)
            try:
                began = int(entry.name[:12], 16) / 1000
            except ValueError:
                continue
            if self._max_age is not None and began < self._now() - self._max_age:
                yield self._expire(path, entry.name, remove)

    def _expire(self, base: str, upload_id: str, remove: bool) -> Finding:
        repaired = False
        if remove:
            with suppress(FsError):
                self._store.uploads.expire(base, upload_id)
                repaired = True
        return Finding("unfinished upload, too old", f"{base}/{upload_id}", repaired)

    def _sides(self, fs: FileSystem, path: str, bucket: str, remove: bool) -> Iterator[Finding]:
        for entry in list(entries(fs, path)):
            below = f"{path}/{entry.name}"
            if entry.name.startswith(TEMPORARY):
                yield from self._left_over(fs, below, remove)
                continue
            try:
                if not self._old(fs, below, DAY):
                    continue
                decoded = decode_side(read_file(fs, below))
            except (FsError, ValueError):
                continue
            if decoded is None or not any(
                self._store.sides.is_referred(each, decoded[1], decoded[2]) for each in {decoded[0], bucket}
            ):
                yield self._drop(fs, "side file that no object refers to", below, remove)

    def _old(self, fs: FileSystem, path: str, age: float) -> bool:
        try:
            return fs.status(path).mtime_ns / 1e9 < self._now() - age
        except (NotFound, NotADirectory):
            return False

    def _drop(self, fs: FileSystem, what: str, path: str, remove: bool) -> Finding:
        if remove:
            try:
                if fs.status(path).kind is FileKind.DIRECTORY:
                    remove_tree(fs, path)
                else:
                    fs.delete(path)
            except FsError:
                return Finding(what, path, False)
        return Finding(what, path, remove)
