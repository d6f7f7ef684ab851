"""Writing one block to the workers that shall hold it.

``Open, Running..., Complete`` on each worker, on a connection of its own, all with the stream's request id; the client
replicates.  A block is as good as the workers that answered Complete.

Rules
- Frames are sent ahead of their answers, at most WINDOW bytes.
- Cancel deletes a finished block.  So it is sent only right after the worker has said, on the same connection, that it
  holds an unfinished one from before it was started again ("recovering").  A stream that fails loses its connection;
  what it left on the worker goes with the file, which the caller deletes.
- Nothing of a stream is sent again on another connection; another attempt is another stream.
- A block file that the worker grants is written directly, in order, never beyond the capacity.
"""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from curvinefs.api import NoSpace, Unavailable
from curvinefs.curvine.calls import Calls, Commit
from curvinefs.curvine.errors import LENGTHS_DIFFER, RECOVERING, BlockFailed, ConnectionLost, NoWorker, Refused
from curvinefs.curvine.frames import Request, encode
from curvinefs.curvine.master import Life, receive_message
from curvinefs.curvine.options import MIB
from curvinefs.curvine.pool import Connection
from curvinefs.curvine.retry import Code, new_id
from curvinefs.curvine.workers import Workers, address_of
from curvinefs.proto import curvine_pb2 as pb

CHUNK = MIB
"""Bytes of one Running frame."""
WINDOW = 4 * MIB
"""Bytes sent and not yet answered."""

T = TypeVar("T")
Failure = Refused | ConnectionLost | OSError


class _Replica:
    """The stream to one worker.  Every method raises Failure; then it is closed."""

    def __init__(self, workers: Workers, location: pb.WorkerAddressProto, request: pb.BlockWriteRequest) -> None:
        self.worker_id = location.worker_id
        self.storage_type = 4
        self._workers = workers
        self._location = location
        self._request = request
        self._req_id = new_id()
        self._seq_id = 0
        self._asked: deque[tuple[Request, int, int]] = deque()
        self._unanswered = 0
        self._file: int | None = None
        self._connection: Connection | None = workers.pool.take(address_of(location))

    def open(self, *, near: bool) -> None:
        """Wait for the worker's consent; ``near``: write its file directly if that can be."""
        near = near and self._workers.is_near(self._location)
        self._request.short_circuit = near
        try:
            self._send(Request.OPEN, self._request.SerializeToString())
            answer = self._answer()
        except Refused as error:
            if not error.says(RECOVERING):
                raise
            self._send(Request.CANCEL, self._final(0))
            self._answer()
            self._send(Request.OPEN, self._request.SerializeToString())
            answer = self._answer()
        if near and answer.HasField("path"):
            self._file = self._workers.open_near(self._location, answer.path, os.O_WRONLY, 0)
            if self._file is None:
                self._request.short_circuit = False
                self._send(Request.OPEN, self._request.SerializeToString())
                self._answer()

    def write(self, data: memoryview, position: int) -> None:
        if self._file is not None:
            while data:
                count = os.pwrite(self._file, data, position)
                data, position = data[count:], position + count
            return
        self._send(Request.RUNNING, b"", data)
        while self._unanswered > WINDOW:
            self._answer()

    def finish(self, length: int) -> None:
        self._send(Request.COMPLETE, self._final(length))
        while self._asked:
            self._answer()
        self._release()

    def write_whole(self, data: memoryview) -> None:
        """The whole block in one flight."""
        parts: list[bytes | memoryview] = [self._frame(Request.OPEN, self._request.SerializeToString())]
        for start in range(0, len(data), CHUNK):
            piece = data[start : start + CHUNK]
            parts += (self._frame(Request.RUNNING, b"", len(piece)), piece)
        parts.append(self._frame(Request.COMPLETE, self._final(len(data))))
        assert self._connection is not None
        self._connection.send(parts)

    def confirm(self) -> None:
        """Read the answers to write_whole."""
        while self._asked:
            self._answer()
        self._release()

    def _final(self, length: int) -> bytes:
        request = pb.BlockWriteRequest()
        request.CopyFrom(self._request)
        request.block.block_size = length
        request.off = length
        request.short_circuit = False
        return request.SerializeToString()

    def _frame(self, status: Request, header: bytes, data_len: int = 0) -> bytes:
        self._asked.append((status, self._seq_id, data_len))
        self._unanswered += data_len
        frame = encode(Code.WRITE_BLOCK, status, self._req_id, self._seq_id, header, data_len)
        self._seq_id += 1
        return frame

    def _send(self, status: Request, header: bytes, data: memoryview | bytes = b"") -> None:
        assert self._connection is not None
        frame = self._frame(status, header, len(data))
        self._connection.send((frame, data) if data else (frame,))

    def _answer(self) -> pb.BlockWriteResponse:
        assert self._connection is not None
        status, seq_id, length = self._asked.popleft()
        answer = receive_message(
            self._connection, Code.WRITE_BLOCK, status, self._req_id, seq_id, pb.BlockWriteResponse
        )
        self._unanswered -= length
        if status is Request.OPEN:
            self.storage_type = answer.storage_type
        return answer

    def _release(self) -> None:
        if self._connection is not None:
            self._workers.pool.give(self._connection)
            self._connection = None
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._file is not None:
            os.close(self._file)
            self._file = None


class BlockWriter:
    """A block under way on as many of its workers as still take it."""

    def __init__(self, workers: Workers, located: pb.LocatedBlockProto, capacity: int, client_name: str) -> None:
        """Nothing is sent yet."""
        self.block: pb.ExtendedBlockProto = located.block
        self.length = 0
        self.capacity = capacity
        self._workers = workers
        self._locations: Sequence[pb.WorkerAddressProto] = located.locs
        self._client_name = client_name
        self._replicas: list[_Replica] = []
        self._failures: list[tuple[int, Failure]] = []

    def open(self) -> None:
        """Raises BlockFailed; so do the others."""
        for location in self._locations:
            try:
                replica = _Replica(self._workers, location, self._request())
            except ConnectionLost as error:
                self._failed(location.worker_id, error)
                continue
            self._replicas.append(replica)
        self._each(lambda replica: replica.open(near=True))

    def write(self, data: memoryview) -> None:
        """At most CHUNK bytes, within the capacity."""
        position = self.length
        self.length += len(data)
        if self.length > self.capacity:
            raise ValueError(f"{self.length} bytes in a block of {self.capacity}")
        self._each(lambda replica: replica.write(data, position))

    def finish(self) -> Commit:
        self._each(lambda replica: replica.finish(self.length))
        return self._commit()

    def write_whole(self, data: memoryview) -> Commit:
        """Open, write and finish in one flight; a near worker too is written to through its socket."""
        self.length = len(data)
        for location in self._locations:
            try:
                replica = _Replica(self._workers, location, self._request())
                self._replicas.append(replica)
                replica.write_whole(data)
            except ConnectionLost as error:
                self._failed(location.worker_id, error)
                self._replicas = [r for r in self._replicas if r.worker_id != location.worker_id]
        self._each(lambda replica: replica.confirm())
        return self._commit()

    def close(self) -> None:
        """Give up what is still under way."""
        for replica in self._replicas:
            replica.close()
        self._replicas = []

    def _request(self) -> pb.BlockWriteRequest:
        return pb.BlockWriteRequest(
            block=self.block,
            off=0,
            block_size=self.capacity,
            short_circuit=False,
            client_name=self._client_name,
            chunk_size=CHUNK,
            component_info=self._workers.component,
        )

    def _each(self, act: Callable[[_Replica], None]) -> None:
        kept = []
        for replica in self._replicas:
            try:
                act(replica)
                kept.append(replica)
            except (Refused, ConnectionLost, OSError) as error:
                replica.close()
                self._failed(replica.worker_id, error)
        self._replicas = kept
        if not kept:
            refused = [error for _, error in self._failures if isinstance(error, Refused)]
            raise BlockFailed(
                f"block {self.block.id}: " + "; ".join(f"worker {worker}: {error}" for worker, error in self._failures),
                new_ids=any(error.says(LENGTHS_DIFFER, RECOVERING) for error in refused),
                no_space=any(error.says("storage capacity", "No space left") for error in refused)
                or any(isinstance(error, OSError) and error.errno == errno.ENOSPC for _, error in self._failures),
            )

    def _failed(self, worker_id: int, error: Failure) -> None:
        self._failures.append((worker_id, error))
        self._workers.failed(worker_id)

    def _commit(self) -> Commit:
        locations = tuple((replica.worker_id, replica.storage_type) for replica in self._replicas)
        return Commit(self.block.id, self.length, locations)


class Placement:
    """Finds workers for the blocks of one file, and others when those fail."""

    def __init__(self, calls: Calls, workers: Workers, path: str, inode: int, client_name: str, capacity: int) -> None:
        """``capacity``: of each block."""
        self.calls = calls
        self.path = path
        self.inode = inode
        self.client_name = client_name
        self._workers = workers
        self._capacity = capacity
        self._life: Life | None = None
        """Of the master that gave out the block."""

    def want_file(self) -> None:
        """Raises Unavailable where the file is forgotten: another one may have got its block ids, and be written."""
        if not self.calls.master.lives(self._life):
            if getattr(self.calls.find(self.path), "id", None) != self.inode:
                raise Unavailable(f"{self.path}: the master forgot it, or somebody removed it")
            self._life = self.calls.life

    def next_block(self, last: int | None, commits: Sequence[Commit], length: int) -> pb.LocatedBlockProto:
        """The block after ``last``, see Calls.add_block; it may come without workers.  Raises FsError."""
        why: Exception | None = None
        for _ in self._attempts():
            avoid = self._workers.avoided()
            try:
                located = self.calls.add_block(
                    self.path, self.inode, self.client_name, last, commits=commits, length=length, avoid=avoid
                )
                self._life = self.calls.life
                return located
            except NoWorker as error:
                self._want_more(error)
                why = error
        raise Unavailable(f"{self.path}: {why}") from why

    def open(self, located: pb.LocatedBlockProto) -> BlockWriter:
        """A stream that at least one worker has consented to.  Raises FsError, BlockFailed with new_ids."""
        return self._try(located, BlockWriter.open)[0]

    def write_whole(self, located: pb.LocatedBlockProto, data: memoryview) -> Commit:
        """Raises FsError, BlockFailed with new_ids."""
        return self._try(located, lambda writer: writer.write_whole(data))[1]

    def send_again(
        self, located: pb.LocatedBlockProto, pieces: Callable[[], Iterable[memoryview]], *, finish: bool, anew: bool
    ) -> tuple[BlockWriter, Commit | None]:
        """A stream with all ``pieces``, finished or not; on the workers of ``located`` only if it is ``anew``.

        Raises FsError, BlockFailed with new_ids, and what ``pieces`` raises.
        """

        def send(writer: BlockWriter) -> Commit | None:
            writer.open()
            try:
                for piece in pieces():
                    writer.write(piece)
            except OSError:
                writer.close()
                raise
            return writer.finish() if finish else None

        return self._try(located, send, anew=anew)

    def _try(
        self, located: pb.LocatedBlockProto, act: Callable[[BlockWriter], T], *, anew: bool = True
    ) -> tuple[BlockWriter, T]:
        failure: Exception = NoWorker(f"{self.path}: no worker")
        placed: pb.LocatedBlockProto | None = located if located.locs and anew else None
        for _ in self._attempts():
            try:
                if placed is None:
                    avoid = self._workers.avoided()
                    placed = self.calls.assign(self.path, located.block, self.client_name, avoid)
                writer = BlockWriter(self._workers, placed, self._capacity, self.client_name)
                return writer, act(writer)
            except BlockFailed as error:
                if error.new_ids:
                    raise
                failure = error.fs_error(self.path)
                failure.__cause__ = error
                placed = None
            except NoWorker as error:
                if isinstance(failure, NoSpace):
                    break
                self._want_more(error)
        raise failure

    def _want_more(self, error: NoWorker) -> None:
        """There may be workers in a while: none are known yet, or we left some out.  NoSpace: all are full."""
        if not self._workers.avoided() and self._workers.are_full(self._capacity):
            raise NoSpace(str(error)) from error
        self._workers.forgive()

    def _attempts(self) -> Iterator[None]:
        """Until patience ends."""
        give_up = time.monotonic() + self._workers.options.worker_patience_s
        pause = 0.02
        while True:
            yield
            if time.monotonic() + pause > give_up:
                return
            time.sleep(pause)
            pause = min(2 * pause, 1.0)
