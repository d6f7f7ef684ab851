"""How an object's name changes: all or nothing, against every other writer, thread, process and machine.

Rules
- A body waits in a temporary file *in the destination's own directory*, which therefore can neither vanish nor
  become an object; its attributes are on it before it is renamed.
- A new name is published with NO_REPLACE and without a lock.  Whoever replaces or deletes an object, or turns the
  file ``a`` into the directory ``a``, holds the lock of that key; conditions are checked under it.
- Below the bucket we make directories one at a time, marked as made by us; the bucket itself never: its absence is
  NoSuchBucket.  Directories that we made go with their last key; a writer that loses its directory to such a cleaning
  makes it again.

docs/architecture.md section 4; WIRE.md 13.6 and 14.9 for what Curvine needs of this.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, Protocol

from curvinefs.api import (
    AlreadyExists,
    DirectoryNotEmpty,
    FileKind,
    FileStatus,
    FileSystem,
    FsError,
    HeldLock,
    IsADirectory,
    LockLost,
    NotADirectory,
    NotFound,
    RenameFlag,
    Unavailable,
    Writer,
)
from s3proto.errors import AccessDenied, NoSuchBucket, NoSuchKey, PreconditionFailed, SlowDown
from s3server.store.keypath import MARKER, SELF, TEMPORARY, Place, key_of, place_of
from s3server.store.record import ATTRIBUTE, MADE_BY_US, Record, of_status

PATIENCE = 5.0
"""Seconds that racing directory changes may send us round again before the client is told to slow down."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold of the object under the key at the moment of the change."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_size: int | None = None
    if_modified: float | None = None

    def __bool__(self) -> bool:
        return any(v is not None for v in (self.if_match, self.if_none_match, self.if_size, self.if_modified))

    def check(self, key: str, record: Record | None) -> None:
        """Raise PreconditionFailed, or NoSuchKey where there is no object to compare with."""
        if self.if_none_match is not None and record is not None:
            raise PreconditionFailed(Condition="If-None-Match")
        if self.if_match is None and self.if_size is None and self.if_modified is None:
            return
        if record is None:
            raise NoSuchKey(Key=key)
        if self.if_match is not None and self.if_match not in ("*", record.etag):
            raise PreconditionFailed(Condition="If-Match")
        if self.if_size is not None and self.if_size != record.size:
            raise PreconditionFailed(Condition="x-amz-if-match-size")
        if self.if_modified is not None and int(self.if_modified) != record.mtime_ms // 1000:
            raise PreconditionFailed(Condition="x-amz-if-match-last-modified-time")


ALWAYS = Condition()


class Staged(Protocol):
    """Complete contents with attributes, waiting in the destination's directory for a name."""

    def rename(self, name: str, flags: RenameFlag = RenameFlag.REPLACE) -> None: ...
    def rename_to(self, path: str, flags: RenameFlag = RenameFlag.REPLACE) -> None: ...


@dataclass(frozen=True, slots=True)
class Spot:
    """One key of one bucket, and where it lies."""

    bucket: str
    key: str
    place: Place

    @property
    def directory(self) -> str:
        return "/".join(("", self.bucket, *self.place.directories))

    @property
    def path(self) -> str:
        return f"{self.directory}/{self.place.name}"

    @property
    def lock(self) -> str:
        return f"{self.bucket}/{self.key}"


def temporary_name() -> str:
    return TEMPORARY + secrets.token_hex(8)


class Publisher:
    """Changes names in one file system; see the module's rules."""

    def __init__(self, fs: FileSystem, clock: Callable[[], float] = time.monotonic) -> None:
        self._fs = fs
        self._clock = clock

    def spot(self, bucket: str, key: str) -> Spot:
        return Spot(bucket, key, place_of(key, self._fs.forbidden_in_directories))

    # ------------------------------------------------------------------------------------------- staging

    def stage(self, spot: Spot, size: int | None = None) -> Writer:
        """Begin a temporary file of ``size`` bytes (None: not known yet) in the key's directory, made if it is missing.

        Raises NoSuchBucket, SlowDown.
        """
        try:
            return self._stage(spot, size)
        except BaseException:
            self.clean(spot)
            raise

    def _stage(self, spot: Spot, size: int | None) -> Writer:
        deadline = self._clock() + PATIENCE
        while True:
            try:
                return self._fs.create(f"{spot.directory}/{temporary_name()}", size)
            except (NotFound, NotADirectory) as error:
                if self._clock() > deadline:
                    raise SlowDown() from error
                if isinstance(error, NotFound):
                    self._make_directories(spot)
                else:
                    self._turn_ancestors(spot)

    def _make_directories(self, spot: Spot) -> None:
        """Make what is missing above the key; gives up silently where somebody interferes (the caller goes round)."""
        names = spot.place.directories
        paths = ["/".join(("", spot.bucket, *names[: i + 1])) for i in range(len(names))]
        first, step = len(paths), 1
        while first > 0:  # upwards in growing steps: mostly only the last one is missing, but there may be hundreds
            try:
                self._fs.mkdir(paths[first - 1], MADE_BY_US)
            except NotFound:
                first, step = max(0, first - step), 2 * step
                continue
            except (AlreadyExists, NotADirectory):
                pass
            break
        if first == 0:
            self._fs_bucket(spot.bucket)
        for path in paths[first:]:
            try:
                self._fs.mkdir(path, MADE_BY_US)
            except AlreadyExists:
                continue
            except (NotFound, NotADirectory):
                return

    def _fs_bucket(self, bucket: str) -> None:
        try:
            self._fs.status(f"/{bucket}")
        except NotFound:
            raise NoSuchBucket(BucketName=bucket) from None

    def _turn_ancestors(self, spot: Spot) -> None:
        """Turn the object that stands where a directory is wanted into a directory that holds it."""
        names = spot.place.directories
        for i in range(len(names)):
            path = "/".join(("", spot.bucket, *names[: i + 1]))
            try:
                kind = self._fs.status(path).kind
            except (NotFound, NotADirectory):
                return
            if kind is FileKind.OTHER:
                raise AccessDenied("A link or special file stands where this key needs a directory.")
            if kind is FileKind.FILE:
                self._turn(path, f"{spot.bucket}/{key_of(names[: i + 1], self._fs.forbidden_in_directories)}")
                return

    def _turn(self, path: str, lock: str) -> None:
        """Exchange file ``a`` for a directory with ``a`` in it: readers see one or the other, at every moment."""
        aside = f"{path.rpartition('/')[0]}/{temporary_name()}"
        try:
            with self._fs.lock(lock) as held:
                if self._fs.status(path).kind is not FileKind.FILE:
                    return
                self._fs.mkdir(aside, MADE_BY_US)
                self._fs.link(path, f"{aside}/{SELF}")
                held.check()
                self._fs.rename(aside, path, RenameFlag.EXCHANGE)
        except FsError as error:
            self._discard(f"{aside}/{SELF}")
            self._discard(aside)
            if isinstance(error, (NotFound, NotADirectory, LockLost)):
                return  # DeleteBucket took it away, or nothing was done: the caller looks again
            raise
        self._discard(aside)  # the file's old name: the contents live on in the directory

    def _discard(self, path: str) -> None:
        try:
            self._fs.delete(path)
        except FsError:
            pass  # hidden by its name; swept later

    # ----------------------------------------------------------------------------------------- looking

    def where(self, spot: Spot) -> tuple[str, FileStatus] | None:
        """The path and status of the object's file, None when there is no such object."""
        try:
            status = self._fs.status(spot.path)
            if status.kind is FileKind.FILE:
                return spot.path, status
            if status.kind is FileKind.DIRECTORY and spot.place.name != MARKER:
                own = f"{spot.path}/{SELF}"
                status = self._fs.status(own)
                if status.kind is FileKind.FILE:
                    return own, status
        except (NotFound, NotADirectory):
            pass
        return None

    # ---------------------------------------------------------------------------------------- changing

    def publish(self, spot: Spot, staged: Staged, condition: Condition = ALWAYS) -> None:
        """Give complete contents their key.

        Raises PreconditionFailed, NoSuchKey, NoSuchBucket, AccessDenied (something else has the key's place),
        SlowDown; the old object is then untouched.
        """
        deadline = self._clock() + PATIENCE
        if condition.if_match is None:
            try:
                staged.rename(spot.place.name, RenameFlag.NO_REPLACE)
                return
            except AlreadyExists:
                pass
            except NotFound:
                self.lost(spot)
        while not self._replace(spot, staged, condition):
            if self._clock() > deadline:
                raise SlowDown()

    def _replace(self, spot: Spot, staged: Staged, condition: Condition) -> bool:
        """Publish under the key's lock; False: nothing was done, look again."""
        try:
            with self._fs.lock(spot.lock) as held:
                found = self.where(spot)
                condition.check(spot.key, of_status(found[1], spot.key) if found else None)
                if found is not None and found[0] == spot.path:
                    held.check()
                    staged.rename(spot.place.name, RenameFlag.REPLACE)
                elif found is None and not self._is_directory(spot.path):
                    held.check()
                    staged.rename(spot.place.name, RenameFlag.NO_REPLACE)
                else:
                    self._publish_inside(spot, staged, held, replace=found is not None)
                return True
        except (AlreadyExists, IsADirectory):
            # Somebody made a directory or a first object there meanwhile: look again, unless it will not go.
            self._refuse_obstacle(spot)
        except LockLost:
            pass
        except NotFound:
            self.lost(spot)
        return False

    def _publish_inside(self, spot: Spot, staged: Staged, held: HeldLock, *, replace: bool) -> None:
        """Put the object ``a`` into the directory ``a``, held by a file of ours so that it stays a directory."""
        if spot.place.name == MARKER:
            raise AlreadyExists(spot.path)  # a directory of this name is nobody's
        try:
            hold = self._fs.create(f"{spot.path}/{temporary_name()}")
        except (NotFound, NotADirectory):
            raise AlreadyExists(spot.path) from None
        try:
            flags = RenameFlag.REPLACE if replace else RenameFlag.NO_REPLACE
            held.check()
            staged.rename_to(f"{spot.path}/{SELF}", flags)
        finally:
            hold.close()

    def _is_directory(self, path: str) -> bool:
        try:
            return self._fs.status(path).kind is not FileKind.FILE
        except (NotFound, NotADirectory):
            return False

    def _refuse_obstacle(self, spot: Spot) -> None:
        """Raise AccessDenied where other tools left what can be neither replaced nor entered: it stays for ever."""
        try:
            kind = self._fs.status(spot.path).kind
            if kind is FileKind.DIRECTORY and spot.place.name != MARKER:
                kind = self._fs.status(f"{spot.path}/{SELF}").kind
            if kind is not FileKind.FILE:
                raise AccessDenied("A link, special file or directory stands where this object belongs.")
        except (NotFound, NotADirectory):
            pass

    def lost(self, spot: Spot) -> NoReturn:
        """Our temporary file or its directory went: raise NoSuchBucket, or SlowDown when the bucket stayed."""
        self._fs_bucket(spot.bucket)
        raise SlowDown()

    def remove(self, spot: Spot, condition: Condition = ALWAYS) -> bool:
        """Delete the object, then the directories that were only made for it; False when there was none."""
        deadline = self._clock() + PATIENCE
        while True:
            try:
                path = self._remove(spot, condition)
                break
            except LockLost:
                if self._clock() > deadline:
                    raise
        if path is not None:
            self.clean(spot, inside=path != spot.path)
        return path is not None

    def _remove(self, spot: Spot, condition: Condition) -> str | None:
        """Delete under the key's lock; the path that it had."""
        with self._fs.lock(spot.lock) as held:
            found = self.where(spot)
            condition.check(spot.key, of_status(found[1], spot.key) if found else None)
            if found is None:
                self._fs.flush(spot.path)  # who removed it may not have come to that
                return None
            held.check()
            try:
                self._fs.delete(found[0], found[1].id)
            except NotFound:
                return None
            return found[0]

    def clean(self, spot: Spot, *, inside: bool = False) -> None:
        """Remove emptied directories that we made, from the key's upwards, never the bucket.

        ``inside``: begin with the directory that has the key's own name.
        """
        names = (*spot.place.directories, spot.place.name) if inside else spot.place.directories
        for depth in range(len(names), 0, -1):
            path = "/".join(("", spot.bucket, *names[:depth]))
            try:
                if ATTRIBUTE not in self._fs.status(path).x_attr:
                    return  # made by somebody else: it stays
                self._fs.delete_directory(path)  # an object may have come in its place
            except (DirectoryNotEmpty, NotADirectory, Unavailable):
                return
            except FsError:
                continue  # gone already; or it stays, hidden, until the next who cleans here


class Moved:
    """Contents that were completed elsewhere in the same file system (a joined upload), as Staged.

    Owns ``hold``, an empty temporary file that keeps the destination's directory in being.
    """

    def __init__(self, fs: FileSystem, path: str, directory: str, hold: Writer) -> None:
        self._fs, self._path, self._directory, self._hold = fs, path, directory, hold

    def rename(self, name: str, flags: RenameFlag = RenameFlag.REPLACE) -> None:
        self._fs.rename(self._path, f"{self._directory}/{name}", flags)

    def rename_to(self, path: str, flags: RenameFlag = RenameFlag.REPLACE) -> None:
        self._fs.rename(self._path, path, flags)

    def close(self) -> None:
        self._hold.close()
