#!/usr/bin/env python3
"""What streams and hashes cost, on this machine, in CPU seconds per GiB.

usage: tools/bench_stream.py [--mib 512]

    digests   each digest alone, and the sets that a PUT asks for: inline, and in lanes
    receive   a body over a loopback socket through s3server.receive, small buffer against rotating ones
    send      an object over a loopback socket: sendfile, one buffer, TLS-free

Wall time says what one client sees on an idle machine, CPU time what the machine can give to all of them.  Read them
as ratios; the other ends of the sockets run in this process and are not counted where that is possible.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from curvinefs.api import Extent  # noqa: E402
from s3proto.body import PlainDecoder  # noqa: E402
from s3proto.http import Headers, RequestHead, Span  # noqa: E402
from s3server.connection import Connection, Pace  # noqa: E402
from s3server.digests import Digests, LaneDigests, hasher  # noqa: E402
from s3server.receive import LARGE_BUFFER, ROTATING, BufferPool, Receiver  # noqa: E402
from s3server.send import send_span  # noqa: E402
from s3server.socket_body import SocketBody  # noqa: E402
from s3server.spool import MemoryBudget, Spool  # noqa: E402

GIB = 1 << 30
SETS = {
    "boto3 (crc32)": ("md5", "crc32", "blake3"),
    "aws cli (crc64nvme)": ("md5", "crc64nvme", "blake3"),
    "signed payload": ("md5", "sha256", "blake3"),
}


def measure(what: str, size: int, work: Callable[[], object]) -> None:
    """Run ``work`` on ``size`` bytes and print its cost."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(
        f"  {what:44} {wall * GIB / size:7.2f} s/GiB {cpu * GIB / size:7.2f} CPU-s/GiB {size / wall / GIB:7.2f} GiB/s"
    )


def digests(size: int) -> None:
    print("digests")
    data = memoryview(os.urandom(LARGE_BUFFER))
    rounds = size // LARGE_BUFFER

    def alone(name: str) -> None:
        each = hasher(name)
        for _ in range(rounds):
            each.update(data)

    for name in ("md5", "sha1", "sha256", "crc32", "crc32c", "crc64nvme", "blake3"):
        measure(name, size, lambda name=name: alone(name))  # type: ignore[misc]
    for title, names in SETS.items():

        def inline(names: Sequence[str] = names) -> None:
            together = Digests(names)
            for _ in range(rounds):
                together.update(data)

        def lanes(names: Sequence[str] = names) -> None:
            room = threading.Semaphore(ROTATING)
            with ThreadPoolExecutor(2) as executor:
                together = LaneDigests(Digests(names), executor)
                for _ in range(rounds):
                    room.acquire()
                    together.put([data], lambda: room.release())
                together.values()

        measure(f"{title}, inline", size, inline)
        measure(f"{title}, lanes", size, lanes)


class FileSink:
    """A body's way to the disk, without a store."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)
        self.size = 0

    def write(self, data: memoryview | bytes) -> None:
        self._file.write(data)
        self.size += len(data)

    def close(self) -> None:
        self._file.close()


def receive(size: int) -> None:
    print("receive, to a file")
    block = os.urandom(LARGE_BUFFER)
    for title, names in SETS.items():
        for buffers in (0, ROTATING):
            ours, theirs = socket.socketpair()

            def send(sock: socket.socket = theirs) -> None:
                for _ in range(size // len(block)):
                    sock.sendall(block)
                sock.close()

            def take(sock: socket.socket = ours, names: tuple[str, ...] = names[:-1], buffers: int = buffers) -> None:
                connection = Connection(sock, "bench", 0.0)
                head = RequestHead("PUT", "/", Headers([("content-length", str(size))]))
                budget = MemoryBudget(0)
                receiver = Receiver(BufferPool(buffers), ThreadPoolExecutor(2), budget, ThreadPoolExecutor(2))
                spool = Spool(FileSink, budget, 0, size)
                receiver.body(SocketBody(connection, head, 60.0), PlainDecoder(size), names, spool, size)
                spool.close()
                connection.close()

            sender = threading.Thread(target=send)
            sender.start()
            measure(f"{title}, {'rotating buffers' if buffers else 'one buffer'}", size, take)
            sender.join()


class Content:
    """An object in a file."""

    def __init__(self, fd: int, local: bool) -> None:
        self._fd, self._local = fd, local

    def extents(self, first: int, length: int) -> Sequence[Extent] | None:
        return [Extent(self._fd, first, length)] if self._local else None

    def readinto(self, first: int, buffer: memoryview) -> int:
        return os.preadv(self._fd, [buffer], first)


def send(size: int) -> None:
    print("send, from a file in the page cache (the reader's CPU time is included)")
    with tempfile.TemporaryFile(buffering=0) as file:
        block = os.urandom(LARGE_BUFFER)
        for _ in range(size // len(block)):
            file.write(block)
        for title, local, chunk in (("sendfile", True, 1 << 20), ("1 MiB buffer", False, 1 << 20)):
            ours, theirs = socket.socketpair()

            def drain(sock: socket.socket = theirs) -> None:
                buffer = bytearray(LARGE_BUFFER)
                while sock.recv_into(buffer):
                    pass
                sock.close()

            def give(sock: socket.socket = ours, local: bool = local, chunk: int = chunk) -> None:
                connection = Connection(sock, "bench", 0.0)
                send_span(connection, b"head", Span(Content(file.fileno(), local), 0, size), Pace(60.0), chunk)
                connection.close()

            reader = threading.Thread(target=drain)
            reader.start()
            measure(title, size, give)
            reader.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mib", type=int, default=512, help="size of each stream (default: %(default)s)")
    size = parser.parse_args().mib << 20
    print(f"python {sys.version.split()[0]}, {len(os.sched_getaffinity(0))} cores, {hashlib.md5().name} by OpenSSL")
    digests(size)
    receive(size)
    send(size)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")


if __name__ == "__main__":
    main()
