"""Reading a stretch of one block from one worker, and finding block files that lie on this machine.

``Open, Running..., Complete``: each Running asks for the next chunk, its answer is the bytes.  Requests run ahead of
what was read, at most WINDOW bytes; the last goes out together with Complete.

Rules
- Bytes go from the socket into the caller's buffer, whatever its size; a frame may be taken in several pieces.
- All chunks of a stretch have one length, chosen so that they cover it with next to nothing left over.
- Never more Running frames than the block has chunks: past its end the worker answers errors.
- A connection goes back to the pool when every answer is read, else it is closed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from curvinefs.curvine.errors import ConnectionLost, Refused
from curvinefs.curvine.frames import Prefix, Request, allocate, decode_error, encode
from curvinefs.curvine.master import receive_message, receive_reply
from curvinefs.curvine.options import MIB
from curvinefs.curvine.pool import Connection
from curvinefs.curvine.retry import Code, new_id
from curvinefs.curvine.workers import Workers, address_of
from curvinefs.proto import curvine_pb2 as pb

_CHUNK = MIB
WINDOW = 4 * MIB
_READ_AHEAD_FROM = MIB
_WORTH_READING_OUT = 128 * 1024
_NOTHING = memoryview(b"")


class Block(NamedTuple):
    """A piece of a file."""

    offset: int
    """Where it begins in the file."""
    length: int
    id: int
    locations: Sequence[pb.WorkerAddressProto]
    near: bool
    """Its file may be opened directly."""
    hole: bool
    """It was never written: zeros."""


class BlockStream:
    """Bytes ``first`` to ``end`` (exclusive) of a block.  Nothing is sent before the first read."""

    def __init__(self, workers: Workers, location: pb.WorkerAddressProto, block: Block, first: int, end: int) -> None:
        """Raises ConnectionLost."""
        self.position = first
        """The offset in the block that readinto gives next."""
        self.end = end
        self._workers = workers
        self._block = block
        self._req_id = new_id()
        chunks = -(-(end - first) // _CHUNK)
        self._chunk = -(-(end - first) // chunks)
        self._asked = first
        self._seq_id = 0
        self._answered = 0
        self._left = 0
        """Bytes of the current frame that are not read yet."""
        self._connection: Connection | None = workers.pool.take(address_of(location))

    def readinto(self, buffer: memoryview) -> int:
        """Fill from ``position``; 1 or more bytes, at most what is left.  Raises Refused, ConnectionLost."""
        connection = self._connection
        assert connection is not None and self.position < self.end
        if not self._left:
            self._ask(connection)
            self._left = self._next_frame(connection)
        buffer = buffer[: min(self._left, self.end - self.position)]
        connection.receive_all(buffer)
        self._left -= len(buffer)
        self.position += len(buffer)
        if self.position == self.end:
            self._finish(connection)
        return len(buffer)

    def _ask(self, connection: Connection) -> None:
        frames = []
        if self._seq_id == 0:
            frames.append(self._frame(Request.OPEN, self._open_request().SerializeToString()))
        while self._asked < self.end and self._asked - self.position <= WINDOW - self._chunk:
            frames.append(self._frame(Request.RUNNING))
            self._asked = min(self._asked + self._chunk, self._block.length)
            if self._asked >= self.end:
                request = pb.BlockReadRequest(
                    id=self._block.id,
                    off=0,
                    len=0,
                    chunk_size=0,
                    short_circuit=False,
                    enable_read_ahead=True,
                    read_ahead_len=MIB,
                    drop_cache_len=0,
                )
                frames.append(self._frame(Request.COMPLETE, request.SerializeToString()))
        if frames:
            connection.send((b"".join(frames),))

    def _open_request(self) -> pb.BlockReadRequest:
        return read_request(
            self._workers, self._block, self.position, self._chunk, ahead=self.end - self.position >= _READ_AHEAD_FROM
        )

    def _frame(self, status: Request, header: bytes = b"") -> bytes:
        self._seq_id += 1
        return encode(Code.READ_BLOCK, status, self._req_id, self._seq_id - 1, header)

    def _next_frame(self, connection: Connection) -> int:
        """Read up to the data of the next Running's answer; its length."""
        if self._answered == 0:
            receive_reply(connection, Code.READ_BLOCK, Request.OPEN, self._req_id, 0)
            self._answered = 1
        prefix, _, data = connection.receive(_only_errors)
        if (prefix.code, prefix.status & 0xF, prefix.req_id, prefix.seq_id) != (
            Code.READ_BLOCK,
            Request.RUNNING & 0xF,
            self._req_id,
            self._answered,
        ):
            raise connection.lost(f"an answer to something else: {prefix}")
        self._answered += 1
        if prefix.is_error:
            raise Refused(*decode_error(data))
        wanted = min(self._chunk, self._block.length - self.position)
        if prefix.status >> 4 or prefix.data_len != wanted:
            raise connection.lost(f"{prefix.data_len} bytes of block {self._block.id} instead of {wanted}")
        return wanted

    def _finish(self, connection: Connection) -> None:
        """The stretch is read: so are the rest of its last chunk and the answer to Complete."""
        try:
            if self._left:
                connection.receive_all(memoryview(bytearray(self._left)))
            receive_reply(connection, Code.READ_BLOCK, Request.COMPLETE, self._req_id, self._answered)
        except (Refused, ConnectionLost):
            connection.close()  # the bytes are here all the same
        else:
            self._workers.pool.give(connection)
        self._connection = None

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._seq_id == 0:
            self._workers.pool.give(connection)
        else:
            connection.close()


def read_request(
    workers: Workers, block: Block, first: int, chunk: int, *, ahead: bool = False, near: bool = False
) -> pb.BlockReadRequest:
    return pb.BlockReadRequest(
        id=block.id,
        off=first,
        len=block.length,
        chunk_size=chunk,
        short_circuit=near,
        enable_read_ahead=ahead,
        read_ahead_len=WINDOW if ahead else 0,
        drop_cache_len=0,
        component_info=workers.component,
    )


def _only_errors(prefix: Prefix) -> memoryview:
    return allocate(prefix) if prefix.is_error else _NOTHING


def open_near(workers: Workers, blocks: Sequence[Block]) -> dict[int, int]:
    """Descriptors of the files of those blocks that are near and can be opened, by block id; the caller's to close."""
    opened: dict[int, int] = {}
    by_worker: dict[int, list[tuple[Block, pb.WorkerAddressProto]]] = {}
    for block in blocks:
        location = next((at for at in block.locations if block.near and workers.is_near(at)), None)
        if location is not None:
            by_worker.setdefault(location.worker_id, []).append((block, location))
    for wanted in by_worker.values():
        try:
            _ask_for_paths(workers, wanted, opened)
        except (Refused, ConnectionLost):
            continue  # what is not opened is read through the worker, or from another one
    return opened


def _ask_for_paths(
    workers: Workers, wanted: Sequence[tuple[Block, pb.WorkerAddressProto]], opened: dict[int, int]
) -> None:
    connection = workers.pool.take(address_of(wanted[0][1]))
    clean = False
    try:
        asked = [
            (new_id(), block, location, read_request(workers, block, 0, _CHUNK, near=True).SerializeToString())
            for block, location in wanted
        ]
        connection.send((b"".join(encode(Code.READ_BLOCK, Request.OPEN, each[0], 0, each[3]) for each in asked),))
        for req_id, block, location, _ in asked:
            answer = receive_message(connection, Code.READ_BLOCK, Request.OPEN, req_id, 0, pb.BlockReadResponse)
            clean = answer.HasField("path")
            if clean:
                fd = workers.open_near(location, answer.path, os.O_RDONLY, block.length)
                if fd is not None:
                    opened[block.id] = fd
    except BaseException:
        connection.close()
        raise
    if clean:
        workers.pool.give(connection)
    else:
        connection.close()  # a stream is open on it
