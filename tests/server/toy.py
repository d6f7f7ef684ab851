"""A toy protocol on the real machine room: what a request does stands in its path, and nothing has to be signed.

    GET  /bytes/N        N bytes out of memory           PUT  /body/N      receives N bytes at most, tells size and md5
    GET  /span/N         N bytes of an opened content    POST /document    receives, and gives back
    GET  /refuse         403, the body is not asked for  GET  /boom        a defect in the core
    GET  /hold           waits until the store is told   GET  /fail        a defect in the store
    POST /early          allows an early head, then waits as /hold
    POST /form/N         a form with a file of N bytes at most; tells size and md5 of that

The store is a toy too: one method per command as everywhere, of which it has the few that the toy protocol asks for.
"""

from __future__ import annotations

import os
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from curvinefs.api import Extent
from s3proto import commands
from s3proto.body import PlainDecoder
from s3proto.commands import Steps
from s3proto.context import Context
from s3proto.errors import S3Error, SlowDown
from s3proto.form import FileDecoder, FormDecoder, boundary
from s3proto.http import Framing, Headers, RequestHead, Response, Span
from s3proto.model import ObjectInfo, OpenedObject, Received, SignatureV2, SigningKey
from s3server.access_log import AccessLog
from s3server.balance import Balance
from s3server.config import Address
from s3server.exchange import Service
from s3server.gateway import STORAGE, Gateway
from s3server.listener import Listener
from s3server.loop import Limits, Loop
from s3server.receive import BufferPool, Receiver
from s3server.spool import MemoryBudget

PATIENCE = 10.0
"""Seconds after which a test gives up waiting."""
LIMITS = Limits()
CONTENT = bytes(range(256)) * 64
"""What objects consist of, repeated."""


def content_of(size: int) -> bytes:
    return (CONTENT * (size // len(CONTENT) + 1))[:size]


# ------------------------------------------------------------------------------------------------- protocol


def serve(head: RequestHead, context: Context) -> Steps[Response]:
    """See the module's header."""
    _, what, *rest = head.raw_path.split("/")
    try:
        match what:
            case "bytes":
                return Response(200, [("Content-Type", "x")], content_of(int(rest[0])))
            case "span":
                opened = yield from commands.OpenObject("b", rest[0])
                return Response(200, [], Span(opened.content, 0, opened.info.size))
            case "body":
                received = yield from commands.ReceiveBody(
                    PlainDecoder(Framing.for_head(head).declared), ("md5",), commands.BodyTarget("b", "k"), int(rest[0])
                )
                return Response(200, [], f"{received.size} {received.digests['md5'].hex()}".encode())
            case "form":
                form = FormDecoder(boundary(head.headers.get("content-type")))
                yield from commands.ReceiveForm(form)
                received = yield from commands.ReceiveBody(
                    FileDecoder(form.boundary), ("md5",), commands.BodyTarget("b", "k"), int(rest[0]), form.begun
                )
                return Response(200, [], f"{received.size} {received.digests['md5'].hex()}".encode())
            case "document":
                decoder = PlainDecoder(Framing.for_head(head).declared)
                document = yield from commands.ReceiveDocument(decoder, (), 1 << 20)
                return Response(200, [], document.data)
            case "refuse":
                return Response(403, [], b"no", "AccessDenied")
            case "hold":
                yield from commands.HeadBucket("b")
                return Response(200, [], b"held")
            case "early":
                yield from commands.AllowEarlyHead((("x-early", "1"),))
                yield from commands.HeadBucket("b")
                return Response(200, [], b'<?xml version="1.0" encoding="UTF-8"?>\n<Late/>')
            case "fail":
                yield from commands.DeleteBucket("b")
                return Response(204)
            case "boom":
                raise RuntimeError("a defect")
            case _:
                return Response(404, [], b"what?")
    except S3Error as error:
        return refuse(error, head, context)


def refuse(error: S3Error, head: RequestHead | None, context: Context) -> Response:
    return Response(error.status, [], error.code.encode(), error.code)


# ---------------------------------------------------------------------------------------------------- store


class ToyContent:
    """A File in /dev/shm or wherever temporary files are, deleted already."""

    def __init__(self, size: int, *, local: bool) -> None:
        self._file = tempfile.TemporaryFile()
        self._file.write(content_of(size))
        self._file.flush()
        self.size = size
        self.local = local
        self.closed = False
        self.readable: int | None = None
        """Bytes after which the store has trouble."""

    def extents(self, first: int, length: int) -> Sequence[Extent] | None:
        half = length // 2
        fd = self._file.fileno()
        return [Extent(fd, first, half), Extent(fd, first + half, length - half)] if self.local else None

    def readinto(self, first: int, buffer: memoryview) -> int:
        if self.readable is not None and first >= self.readable:
            raise SlowDown()
        return os.preadv(self._file.fileno(), [buffer[: 1 << 16]], first)

    def truncate(self, size: int) -> None:
        self._file.truncate(size)

    def close(self) -> None:
        self.closed = True
        self._file.close()


class ToySink:
    def __init__(self) -> None:
        self.data = bytearray()
        self.writes = 0
        self.closed = False

    @property
    def size(self) -> int:
        return len(self.data)

    def write(self, data: memoryview | bytes) -> None:
        self.data += data
        self.writes += 1

    def close(self) -> None:
        self.closed = True


class ToyStore:
    """Answers the commands of the toy protocol; ``hold`` delays those that are meant to take long."""

    def __init__(self) -> None:
        self.hold = threading.Event()
        self.held = threading.Semaphore(0)
        """Released once for each request that has come to wait."""
        self.local = True
        self.truncated = False
        self.readable: int | None = None
        """See ToyContent."""
        self.opened: list[ToyContent] = []
        self.sinks: list[ToySink] = []
        self.healthy = True

    def __getattr__(self, name: str) -> Any:
        if name not in STORAGE.values():
            raise AttributeError(name)
        return self._missing

    def _missing(self, command: commands.Command[Any]) -> Any:
        raise RuntimeError(f"the toy store has no {type(command).__name__}")

    def begin_body(self, target: commands.BodyTarget, expected_size: int | None) -> ToySink:
        self.sinks.append(ToySink())
        return self.sinks[-1]

    def open_object(self, command: commands.OpenObject) -> OpenedObject:
        size = int(command.key)
        content = ToyContent(size, local=self.local)
        content.readable = self.readable
        if self.truncated:
            content.truncate(size // 2)
        self.opened.append(content)
        return OpenedObject(ObjectInfo(command.key, size, "e", 0.0), content)

    def head_bucket(self, command: commands.HeadBucket) -> None:
        self.held.release()
        assert self.hold.wait(PATIENCE)

    def health(self) -> Mapping[str, str]:
        if not self.healthy:
            from curvinefs.api import Unavailable

            raise Unavailable("the disk\nhas gone")
        return {}


class ToyCredentials:
    def signing_key(self, command: commands.LookupSigningKey) -> SigningKey | None:
        return None

    def sign_v2(self, command: commands.SignV2) -> SignatureV2 | None:
        return None


# --------------------------------------------------------------------------------------------------- server


def toy_gateway(store: ToyStore, *, threshold: int = 1 << 20, memory: int = 16 << 20) -> Gateway:
    budget = MemoryBudget(memory)
    receiver = Receiver(BufferPool(6), ThreadPoolExecutor(2, "digest"), budget, ThreadPoolExecutor(2, "writer"))
    return Gateway(store, ToyCredentials(), receiver, budget, threshold)


def toy_service(store: ToyStore, **settings: Any) -> Service:
    return replace(Service(toy_gateway(store), serve, refuse, host_id="host", access_log=AccessLog()), **settings)


class ToyServer:
    """A loop in this process."""

    def __init__(self, store: ToyStore, listener: Listener, loop: Loop, service: Service) -> None:
        self.store, self.listener, self.loop, self.service = store, listener, loop, service
        self.address = (listener.address.host, listener.address.port)

    def connect(self) -> socket.socket:
        sock = socket.create_connection(self.address, PATIENCE)
        sock.settimeout(PATIENCE)
        return sock

    def talk(self, data: bytes, *, half_close: bool = False) -> bytes:
        """Send bytes and read until the server closes."""
        with self.connect() as sock:
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            return read_all(sock)


@contextmanager
def toy_server(limits: Limits = LIMITS, tls: tuple[Path, Path] | None = None, **settings: Any) -> Iterator[ToyServer]:
    """Serve the toy protocol on 127.0.0.1, in this process, until the block is left."""
    store = ToyStore()
    listener = Listener(Address("127.0.0.1", 0), *(tls or ()))
    service = toy_service(store, **settings)
    loop = Loop(service, limits, listener, Balance(1), 0)
    server = ToyServer(store, listener, loop, service)
    loop.start()
    try:
        yield server
    finally:
        store.hold.set()
        loop.end()
        assert loop.idle.wait(PATIENCE), "requests are still in flight"
        loop.close()


# --------------------------------------------------------------------------------------------------- client


def read_all(sock: socket.socket) -> bytes:
    """Read until the end; a reset counts as one."""
    data = bytearray()
    try:
        while piece := sock.recv(1 << 16):
            data += piece
    except (ConnectionResetError, ssl.SSLEOFError):
        data += b"<reset>"
    return bytes(data)


def read_response(sock: socket.socket, *, head_only: bool = False) -> tuple[int, dict[str, str], bytes]:
    """Read one response with a length: its status, headers (lower-case) and body, and not a byte more."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        assert byte, f"the connection ended after {data!r}"
        data += byte
    first, *lines = data.decode("latin-1").split("\r\n")[:-2]
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    left = 0 if head_only else int(headers.get("content-length", "0"))
    body = bytearray()
    while len(body) < left:
        piece = sock.recv(left - len(body))
        assert piece, f"the connection ended after {len(body)} of {left} bytes"
        body += piece
    return int(first.split(" ")[1]), headers, bytes(body)


def get(path: str, *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    """A request without a body."""
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: toy", *fields, "", ""]).encode()


__all__ = ["Headers", "Received", "ToyServer", "ToyStore", "get", "read_all", "read_response", "serve", "toy_server"]
