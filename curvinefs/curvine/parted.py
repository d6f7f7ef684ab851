"""Files that are written in places, by any process, in any order: one block of the file for each place.

``PATH`` is an unfinished file whose block size is the part size; its block n is place n.  ``PATH.parted`` is a
directory: its attributes say part size, writer's name and inode of ``PATH``, and ``closed`` once somebody joins.  In it
the file ``NNNNNNNN`` is the claim of place N: unfinished while its writer lives (or died), finished without a token
when the place is lost, finished with a token when the part is whole.

Rules
- A place is given out once: creating its claim is exclusive.
- A writer claims *before* it looks whether the file is closed; join closes *before* it looks at the claims.  So one of
  the two sees the other, and nobody writes into a joined file.
- Joining records all blocks with one call and copies nothing.  Blocks beyond the last part stay unrecorded: they have
  no length for readers and go with the file.
- A part size that cannot be a block size, or is none that the cluster takes, gives out no place.

A token is ``block id : length : worker/storage type, ...``: enough to read the part and to record it.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from curvinefs.api import (
    AlreadyExists,
    Corrupt,
    File,
    FileKind,
    FileStatus,
    FsError,
    NotFound,
    PartRef,
    Unavailable,
)
from curvinefs.curvine.blockread import Block
from curvinefs.curvine.blocks import CHUNK, Placement
from curvinefs.curvine.calls import MAX_BLOCK_SIZE, Calls, Commit, block_id, inode_of
from curvinefs.curvine.errors import NOT_SUM_OF_BLOCKS, BlockFailed, BlocksForgotten, least_block_size
from curvinefs.curvine.kept import Kept
from curvinefs.curvine.options import MIB
from curvinefs.curvine.paths import join, split
from curvinefs.curvine.read import CurvineFile
from curvinefs.curvine.replay import LastingBlock
from curvinefs.curvine.workers import Workers
from curvinefs.curvine.write import NANOSECONDS
from curvinefs.proto import curvine_pb2 as pb

_PARTED, _INODE, _CLOSED, _TOKEN = "user.parted", "user.inode", "user.closed", "user.token"
_ALLOCATED = "user.allocated"
_MOST_PLACES = 100_000
_MOST_STEPS = 1000
"""Blocks that one part may have to allocate on its way; a part further off is a file of its own."""
_NOTE_EVERY = 8
"""New blocks; each that is not noted costs every later part a call, a note costs one."""
_PAGE = 1000
_PATIENCE_S = 2.0
_IMPOSSIBLE = MAX_BLOCK_SIZE


class _Record(NamedTuple):
    """What PATH.parted says."""

    part_size: int
    client_name: str
    inode: int
    """0 while the file is being made."""
    closed: bool
    allocated: int
    """So many blocks exist, perhaps more."""


class CurvinePartWriter:
    def __init__(self, parted: PartedFiles, claim: _Claim, block: LastingBlock, kept: Kept, size: int) -> None:
        """``block`` is open; it and its ``kept`` are closed here."""
        self._parted = parted
        self._claim = claim
        self._block = block
        self._kept = kept
        self._size = size
        self._waiting = bytearray()
        self._written = 0
        self._completed = False
        self._closed = False

    def write(self, data: memoryview | bytes | bytearray) -> None:
        view = memoryview(data).cast("B")
        self._written += len(view)
        if self._written > self._size:
            raise ValueError(f"a part of {self._size} bytes, not {self._written}")
        while view:
            if not self._waiting and len(view) >= CHUNK:
                self._send(view[:CHUNK])
                view = view[CHUNK:]
                continue
            room = CHUNK - len(self._waiting)
            self._waiting += view[:room]
            view = view[room:]
            if len(self._waiting) == CHUNK:
                self._flush()

    def copy_from(self, source: File, first: int, length: int) -> None:
        buffer = memoryview(bytearray(min(length, CHUNK)))
        while length:
            count = source.readinto(first, buffer[:length])
            if not count:
                raise Corrupt(f"{length} bytes less to copy than there were")
            self.write(buffer[:count])
            first, length = first + count, length - count

    def complete(self) -> str:
        if self._written != self._size:
            raise ValueError(f"a part of {self._size} bytes, not {self._written}")
        self._flush()
        try:
            token = _encode(self._block.finish())
        except BlockFailed as error:
            raise error.fs_error(self._claim.path) from error
        self._parted.settle(self._claim, token)
        self._completed = True
        return token

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._block.close()
        self._kept.close()
        if not self._completed:
            try:
                self._parted.settle(self._claim, None)
            except FsError:
                pass  # it counts as a writer for ever: the parts are copied then

    def _flush(self) -> None:
        if self._waiting:
            self._send(memoryview(self._waiting))
            self._waiting = bytearray()

    def _send(self, data: memoryview) -> None:
        try:
            self._block.write(data)
        except BlockFailed as error:
            raise error.fs_error(self._claim.path) from error


class _Claim(NamedTuple):
    path: str
    client_name: str


class PartedFiles:
    """FileSystem's methods of the same names; paths and errors as there."""

    def __init__(self, calls: Calls, workers: Workers) -> None:
        self._calls = calls
        self._workers = workers

    def create(self, path: str, part_size: int) -> None:
        if part_size <= 0:
            raise ValueError(f"part_size {part_size}")
        client_name = str(uuid.uuid4())
        about = json.dumps({"size": part_size, "client": client_name}).encode()
        self._calls.mkdir(_beside(path), {_PARTED: about})
        settled: dict[str, bytes] = {}
        try:
            try:
                inode = self._calls.create(path, min(part_size, _IMPOSSIBLE), client_name, exact=True).id
            except Corrupt as error:
                if not least_block_size(error):
                    raise
                inode = self._calls.create(path, MIB, client_name).id
                settled[_CLOSED] = b"1"
        except Unavailable:  # it may have been made, and nobody could make it again: no place is given out
            with suppress(FsError):
                self._calls.set_attributes(_beside(path), {_CLOSED: b"1"})
            raise
        except FsError:
            self._calls.delete(_beside(path))
            raise
        self._calls.set_attributes(_beside(path), settled | {_INODE: b"%d" % inode})

    def part_size(self, path: str) -> int | None:
        try:
            return self._record(path).part_size
        except NotFound:
            return None

    def open_part(self, path: str, place: int, size: int) -> CurvinePartWriter | None:
        record = self._record(path)
        possible = record.part_size < _IMPOSSIBLE and 0 <= place < _MOST_PLACES and 0 < size <= record.part_size
        if record.closed or not possible or place - record.allocated > _MOST_STEPS:
            return None
        claim_path = join(_beside(path), f"{place:08d}")
        client_name = str(uuid.uuid4())
        try:
            self._calls.create(claim_path, 2**20, client_name)
        except AlreadyExists:
            return None
        claim = _Claim(claim_path, client_name)
        try:
            settled = self._settled(path)
            if settled is None or settled.closed:
                self.settle(claim, None)
                return None
            placement = Placement(
                self._calls, self._workers, path, settled.inode, settled.client_name, settled.part_size
            )
            kept = Kept(self._workers.kept)
            block = LastingBlock(placement, self._allocate(path, placement, settled, place), kept)
        except (BlockFailed, BlocksForgotten):
            self.settle(claim, None)
            return None
        except BaseException:
            self.settle(claim, None)
            raise
        return CurvinePartWriter(self, claim, block, kept, size)

    def settle(self, claim: _Claim, token: str | None) -> None:
        """The writer is done; ``token`` None: and its place is lost."""
        x_attr = {} if token is None else {_TOKEN: token.encode()}
        self._calls.complete(claim.path, claim.client_name, 0, (), x_attr=x_attr)

    def _settled(self, path: str) -> _Record | None:
        """The record, when the file has been made; None when its maker seems to have died."""
        give_up = time.monotonic() + _PATIENCE_S
        while not (record := self._record(path)).inode:
            if time.monotonic() > give_up:
                return None
            time.sleep(0.01)
        return record

    def _allocate(self, path: str, placement: Placement, record: _Record, place: int) -> pb.LocatedBlockProto:
        """The block of a place; those before it come into being on the way, for whoever writes them."""
        known = min(record.allocated, place)
        number = known
        while True:
            last = block_id(record.inode, number - 1) if number else None
            located = placement.next_block(last, (), 0)
            if number == place:
                break
            number += 1
        if number + 1 - record.allocated >= _NOTE_EVERY:
            # Never wrong, whoever writes last: blocks do not go away.
            self._calls.set_attributes(_beside(path), {_ALLOCATED: b"%d" % (number + 1)})
        return located

    def open_part_file(self, path: str, part: PartRef) -> CurvineFile:
        commit = _decode(part.token)
        status = self._calls.status(path)
        if commit is None or inode_of(commit.block_id) != status.id or commit.length != part.size:
            raise NotFound(f"{path}: part {part.place} was written to another file")
        source = _PartSource(self._workers, commit)
        shown = FileStatus(FileKind.FILE, status.id, part.size, status.mtime * NANOSECONDS)
        return CurvineFile(self._workers, source, shown, source.locate())

    def join(
        self, path: str, parts: Sequence[PartRef], x_attr: Mapping[str, bytes], mtime_ns: int
    ) -> FileStatus | None:
        if self._record(path).part_size >= _IMPOSSIBLE:
            return None
        record = self._settled(path)
        if record is None:
            return None
        self._calls.set_attributes(_beside(path), {_CLOSED: b"1"})
        commits = self._commits(path, record, parts)
        if commits is None:
            return None
        length, mtime_ms = sum(part.size for part in parts), mtime_ns // NANOSECONDS
        if self._calls.status(path).len > length:
            return None  # joined before, with more parts: a file never shrinks
        try:
            self._calls.complete(path, record.client_name, length, commits, x_attr=x_attr, mtime_ms=mtime_ms)
        except Corrupt as error:
            if NOT_SUM_OF_BLOCKS not in str(error):
                raise
            return None
        return FileStatus(FileKind.FILE, record.inode, length, mtime_ms * NANOSECONDS, dict(x_attr))

    def _commits(self, path: str, record: _Record, parts: Sequence[PartRef]) -> list[Commit] | None:
        """What to record so that the file consists of these parts; None when that cannot be."""
        tokens: list[str] = []
        beyond = False
        after = ""
        while True:
            page = self._calls.page(_beside(path), after, _PAGE)
            for claim in page:
                if not claim.is_complete or not claim.name.isdecimal():
                    return None  # somebody is writing, or died; or it is none of ours
                token = claim.x_attr[_TOKEN].decode("ascii", "replace") if _TOKEN in claim.x_attr else ""
                if int(claim.name) < len(parts):
                    tokens.append(token)
                elif token:
                    return None  # a later join, after this one was refused, may want it too
                else:
                    beyond = True
            if len(page) < _PAGE:
                break
            after = page[-1].name
        if len(tokens) != len(parts):
            return None
        commits = []
        for number, (part, token) in enumerate(zip(parts, tokens)):
            commit = _decode(token)
            if commit is None or (part.place, part.size, part.token) != (number, commit.length, token):
                return None
            # A short block is whole only as the very last: nothing may have been allocated after it.
            if part.size != record.part_size and (number != len(parts) - 1 or beyond):
                return None
            if commit.block_id != block_id(record.inode, number):
                return None
            commits.append(commit)
        return commits

    def _record(self, path: str) -> _Record:
        """NotFound: no parted file."""
        x_attr = self._calls.status(_beside(path)).x_attr
        try:
            about = json.loads(x_attr[_PARTED]) if _PARTED in x_attr else {}
            return _Record(
                int(about["size"]),
                str(about["client"]),
                int(x_attr[_INODE]) if _INODE in x_attr else 0,
                _CLOSED in x_attr,
                int(x_attr[_ALLOCATED]) if _ALLOCATED in x_attr else 0,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise NotFound(f"{path}: not a parted file") from error


class _PartSource:
    """The one block of a part, wherever its workers are now; see read.Source."""

    def __init__(self, workers: Workers, commit: Commit) -> None:
        self._workers = workers
        self._commit = commit

    def locate(self) -> Sequence[Block]:
        commit = self._commit
        locations = self._workers.by_id(worker for worker, _ in commit.locations)
        return (Block(0, commit.length, commit.block_id, tuple(locations), True, False),)

    def hold(self) -> None:
        return None

    def release(self) -> None:
        return None


def _beside(path: str) -> str:
    split(path)
    return f"{path}.parted"


def _encode(commit: Commit) -> str:
    return f"{commit.block_id}:{commit.length}:" + ",".join(f"{worker}/{kind}" for worker, kind in commit.locations)


def _decode(token: str) -> Commit | None:
    try:
        block, length, locations = token.split(":")
        pairs = (one.split("/") for one in locations.split(","))
        return Commit(int(block), int(length), tuple((int(worker), int(kind)) for worker, kind in pairs))
    except ValueError:
        return None
