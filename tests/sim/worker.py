"""A simulated worker: blocks in files of a directory, so that short circuit is real."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

from google.protobuf.message import DecodeError

from curvinefs.curvine.errors import Kind, Refused
from curvinefs.curvine.frames import Frame, Request
from curvinefs.proto import curvine_pb2 as pb
from tests.sim.errors import worker_error
from tests.sim.server import Server

_WRITE, _READ = 80, 81
_OPEN, _RUNNING, _CANCEL, _COMPLETE = (status & 0xF for status in Request if status > Request.RPC)
_DISK = 4


class Worker:
    def __init__(self, worker_id: int, directory: Path, capacity: int = 2**40, hostname: str = "localhost") -> None:
        self.id = worker_id
        self.capacity = capacity
        self.hostname = hostname
        self.grants_paths = True
        self.claims: str | None = None
        """What it grants paths in, instead of where its blocks are: as if on another machine."""
        self.recovering: set[int] = set()
        """Staged blocks that were under way when it was restarted."""
        self.enforces: str | None = None
        """Only clients of this release version are served."""
        self._staging, self._active = directory / "staging", directory / "active"
        self._staging.mkdir(parents=True, exist_ok=True)
        self._reserved: dict[int, int] = {}
        self._doomed: list[tuple[float, int]] = []
        self.mutex = threading.RLock()
        self.server = Server(lambda: _Stream(self))
        self.used = 0

    # -- blocks

    def active(self, block: int) -> Path:
        return self._active / f"b{block >> 48 & 31}" / f"b{block >> 32 & 31}" / f"blk_{block}"

    def staged(self, block: int) -> Path:
        return self._staging / f"blk_{block}"

    def find(self, block: int) -> Path | None:
        self.sweep()
        return next((path for path in (self.active(block), self.staged(block)) if path.exists()), None)

    def shown(self, path: Path) -> str:
        return str(path) if self.claims is None else f"{self.claims}/{path.name}"

    def doom(self, block: int, delay_s: float) -> None:
        """Delete a block after some time, as commands in heartbeat replies do."""
        with self.mutex:
            self._doomed.append((time.monotonic() + delay_s, block))

    def sweep(self) -> None:
        now = time.monotonic()
        with self.mutex:
            due = [block for when, block in self._doomed if when <= now]
            self._doomed = [each for each in self._doomed if each[0] > now]
        for block in due:
            self.remove(self.active(block))
            self.remove(self.staged(block))
            self._reserved.pop(block, None)

    @staticmethod
    def remove(path: Path) -> None:
        path.unlink(missing_ok=True)

    def blocks(self) -> set[int]:
        """Finished ones."""
        self.sweep()
        return {int(path.name[4:]) for path in self._active.rglob("blk_*")}

    def restart(self) -> None:
        """After a stop: what was staged cannot be opened any more."""
        self.recovering = {int(path.name[4:]) for path in self._staging.glob("blk_*")}
        self.server.start()

    def reserve(self, block: int, capacity: int) -> None:
        with self.mutex:
            held = sum(size for other, size in self._reserved.items() if other != block)
            finished = sum(path.stat().st_size for path in self._active.rglob("blk_*")) if self.capacity < 2**40 else 0
            if held + finished + capacity > self.capacity:
                raise worker_error(f"Not enough Disk storage capacity for {capacity} bytes")
            self._reserved[block] = capacity

    def free_bytes(self) -> int:
        return self.capacity - sum(self._reserved.values())

    def unreserve(self, block: int) -> None:
        self._reserved.pop(block, None)


class _Stream:
    """What one connection has open."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._accepted = False
        self._code = 0
        self._req_id = 0
        self._block = 0
        self._fd = -1
        self._position = 0
        self._length = 0
        self._chunk = 0
        self._capacity = 0
        self._is_open = False
        self._rewrites = False

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._is_open = -1, False

    def __call__(self, frame: Frame) -> tuple[bytes, bytes]:
        code, status = frame.prefix.code, frame.prefix.status & 0xF
        if code not in (_WRITE, _READ):
            raise worker_error("Unsupported request type")
        try:
            if status == _OPEN:
                self.close()
                self._code, self._req_id = code, frame.prefix.req_id
                return (self._open_write if code == _WRITE else self._open_read)(frame.header), b""
            if status == _RUNNING:
                return (self._write if code == _WRITE else self._read)(frame)
            if code == _WRITE:
                return self._end_write(frame, cancel=status == _CANCEL)
            return self._end_read(frame, cancel=status == _CANCEL)
        except DecodeError:
            raise Refused(Kind.COMMON, "failed to decode Protobuf message: invalid varint") from None

    def _admit(self, component: pb.ComponentInfoProto) -> None:
        wanted = self._worker.enforces
        if wanted is not None and not self._accepted and component.release_version != wanted:
            raise worker_error("client rejected by compatibility policy: too old; update it")
        self._accepted = True

    # -- writing

    def _open_write(self, header: bytes) -> bytes:
        request, worker = pb.BlockWriteRequest.FromString(header), self._worker
        self._admit(request.component_info)
        block = request.block.id
        if request.off < 0 or request.off > request.block_size:
            raise worker_error(f"Invalid write offset: {request.off}")
        if block in worker.recovering:
            raise worker_error(f"Block {block} is in recovering state")
        worker.sweep()
        worker.reserve(block, request.block_size)
        staged, active = worker.staged(block), worker.active(block)
        self._rewrites = active.exists()
        if self._rewrites and not staged.exists():
            shutil.copyfile(active, staged)
        self._fd = os.open(staged, os.O_RDWR | os.O_CREAT)  # continues what an earlier attempt left
        self._block, self._position, self._capacity, self._is_open = block, request.off, request.block_size, True
        answer = pb.BlockWriteResponse(
            id=block, off=request.off, block_size=request.block_size, storage_type=request.block.storage_type
        )
        if request.short_circuit and worker.grants_paths:
            answer.path = worker.shown(staged)
        return answer.SerializeToString()

    def _write(self, frame: Frame) -> tuple[bytes, bytes]:
        if not self._is_open or self._code != _WRITE:
            raise worker_error("Uninitialized")
        if frame.prefix.req_id != self._req_id:
            raise worker_error("Request id mismatch")
        if frame.header:
            where = pb.DataHeaderProto.FromString(frame.header)
            self._position = self._position if where.flush else where.offset
        end = self._position + len(frame.data)
        if end > self._capacity:
            raise worker_error(
                f"Write range [{self._position}, {end}) exceeds block size {self._capacity}", kind=Kind.IO
            )
        os.pwrite(self._fd, frame.data, self._position)
        self._position = end
        return b"", b""

    def _end_write(self, frame: Frame, *, cancel: bool) -> tuple[bytes, bytes]:
        request, worker = pb.BlockWriteRequest.FromString(frame.header), self._worker
        block, length = request.block.id, request.block.block_size
        staged, active = worker.staged(block), worker.active(block)
        if self._is_open and frame.prefix.req_id != self._req_id:
            raise worker_error("Request id mismatch")
        with worker.mutex:
            if cancel:
                if staged.exists():
                    worker.remove(staged)
                else:
                    worker.remove(active)  # the trap: a finished block goes
                worker.recovering.discard(block)
            elif block in worker.recovering:
                raise worker_error(f"Block {block} is in recovering state")
            elif not staged.exists():
                self._repeat(block, length, active)
            else:
                actual = staged.stat().st_size
                if actual != length:
                    raise worker_error(f"Block {block} length mismatch, expected: {length}, actual: {actual}")
                active.parent.mkdir(parents=True, exist_ok=True)
                os.replace(staged, active)
            worker.unreserve(block)
        self.close()
        return b"", b""

    @staticmethod
    def _repeat(block: int, length: int, active: Path) -> None:
        if not active.exists():
            raise Refused(Kind.BLOCK_NOT_FOUND, f"Block {block} not found")
        if active.stat().st_size != length:
            raise worker_error(f"finalized block {block} length mismatch")

    # -- reading

    def _open_read(self, header: bytes) -> bytes:
        request, worker = pb.BlockReadRequest.FromString(header), self._worker
        self._admit(request.component_info)
        path = worker.find(request.id)
        if path is None:
            raise Refused(Kind.BLOCK_NOT_FOUND, f"Block {request.id} not found")
        if request.off > request.len:
            raise worker_error(
                "The length of the requested data exceeds the maximum length of the block file,             "
                f"request off {request.off}, file len {request.len}"
            )
        if request.chunk_size <= 0:
            raise worker_error("chunk_size must be greater than 0")
        if request.chunk_size > 16 * 2**20 or (request.enable_read_ahead and request.read_ahead_len > 16 * 2**20):
            raise worker_error("chunk_size or read_ahead_len is too large")
        answer = pb.BlockReadResponse(id=request.id, len=request.len, storage_type=_DISK)
        try:
            self._fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            raise Refused(Kind.BLOCK_NOT_FOUND, f"Block {request.id} not found") from None
        if request.short_circuit and worker.grants_paths and os.fstat(self._fd).st_size >= request.len:
            answer.path = worker.shown(path)
            self.close()
        else:
            self._position, self._length, self._chunk = request.off, request.len, request.chunk_size
            self._is_open = True
        return answer.SerializeToString()

    def _read(self, frame: Frame) -> tuple[bytes, bytes]:
        if not self._is_open or self._code != _READ:
            raise worker_error("Uninitialized")
        if frame.header:
            self._position = pb.DataHeaderProto.FromString(frame.header).offset
        if self._position >= self._length:
            raise worker_error(
                f"offset exceeds block length, length={self._length}, offset={self._position}", kind=Kind.IO
            )
        count = min(self._chunk, self._length - self._position)
        data = os.pread(self._fd, count, self._position)
        self._position += count
        return b"", data + bytes(count - len(data))

    def _end_read(self, frame: Frame, *, cancel: bool) -> tuple[bytes, bytes]:
        if cancel:
            raise worker_error("Unsupported request type")
        if self._is_open and frame.prefix.req_id != self._req_id:
            raise worker_error("Request id mismatch")
        self.close()
        return b"", b""
