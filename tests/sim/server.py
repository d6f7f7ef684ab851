"""A listening socket with a thread for each connection, and the faults that can be put on it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from curvinefs.curvine.errors import Refused
from curvinefs.curvine.frames import Frame, FrameError, encode, encode_error, receive


class Fault(Enum):
    LOSE_REQUEST = "the connection ends before the request is handled"
    LOSE_REPLY = "the request is handled, then the connection ends"
    CUT = "the reply ends after some bytes, then the connection"
    STALL = "the reply waits until it is released"
    GARBAGE = "the reply is no frame"
    TWIST = "the reply is what the rule makes of it"
    DENY = "the request is handled, but the answer is an error that the rule gives, and the master takes it for failed"
    REFUSE = "the answer is an error that the rule gives, and nothing is done"


@dataclass
class Rule:
    """Strikes the next ``times`` requests with this code (None: any) and request status (None: any)."""

    fault: Fault
    code: int | None = None
    status: int | None = None
    times: int = 1
    skip: int = 0
    """So many matching requests pass first."""
    after: int = 0
    """Bytes of the reply that are sent (CUT)."""
    error: Refused | None = None
    twist: Callable[[bytes], bytes] = bytes
    release: threading.Event | None = None

    def strikes(self, frame: Frame) -> bool:
        prefix = frame.prefix
        if self.code not in (None, prefix.code) or self.status not in (None, prefix.status) or not self.times:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


Handle = Callable[[Frame], tuple[bytes, bytes]]
"""One connection's handler: header and data of the reply; raises Refused."""


class Server:
    """``open_connection`` makes a handler for each connection; ``close_connection`` hears of its end."""

    def __init__(self, handler: Callable[[], Handle]) -> None:
        self._handler = handler
        self.rules: list[Rule] = []
        self.forget: Callable[[int], None] = lambda req_id: None
        """Hears of requests that are denied."""
        self.requests: list[tuple[int, int, int]] = []
        """Code, status, req_id of all requests."""
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._mutex = threading.Lock()
        self._listener: socket.socket | None = None
        self.port = 0

    def start(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._spawn(self._accept, listener)

    def stop(self) -> None:
        """As kill -9: connections end wherever they are.  May be started again on the same port."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        self.cut_all()
        for thread in self._threads:
            thread.join(10)
        self._threads.clear()

    def cut_all(self) -> None:
        with self._mutex:
            connections = list(self._connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _spawn(self, target: Callable[[socket.socket], None], argument: socket.socket) -> None:
        thread = threading.Thread(target=target, args=(argument,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._mutex:
                self._connections.add(connection)
                self._threads = [thread for thread in self._threads if thread.is_alive()]
            self._spawn(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        handle = self._handler()
        try:
            while (frame := _read(connection)) is not None:
                if not self._answer(connection, handle, frame):
                    return
        except (OSError, FrameError):
            pass
        finally:
            with self._mutex:
                self._connections.discard(connection)
            connection.close()
            close = getattr(handle, "close", None)
            if close is not None:
                close()

    def _answer(self, connection: socket.socket, handle: Handle, frame: Frame) -> bool:
        """Whether the connection goes on."""
        prefix = frame.prefix
        with self._mutex:
            self.requests.append((prefix.code, prefix.status, prefix.req_id))
            rule = next((rule for rule in self.rules if rule.strikes(frame)), None)
        fault = rule.fault if rule is not None else None
        if fault is Fault.LOSE_REQUEST:
            return False
        if fault is Fault.GARBAGE:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return False
        try:
            if fault is Fault.REFUSE:
                assert rule is not None and rule.error is not None
                raise rule.error
            header, data = handle(frame)
            nibble = 0
            if fault is Fault.DENY:
                assert rule is not None and rule.error is not None
                self.forget(prefix.req_id)
                raise rule.error
        except Refused as error:
            header, data, nibble = b"", encode_error(error.kind, error.text), 1
        if fault is Fault.LOSE_REPLY:
            return False
        if fault is Fault.STALL:
            assert rule is not None and rule.release is not None
            rule.release.wait(30)
        status = prefix.status & 0xF | nibble << 4
        reply = encode(prefix.code, status, prefix.req_id, prefix.seq_id, header, len(data)) + data
        if fault is Fault.TWIST:
            assert rule is not None
            reply = rule.twist(reply)
        if fault is Fault.CUT:
            assert rule is not None
            connection.sendall(reply[: rule.after])
            return False
        connection.sendall(reply)
        return True


def _read(connection: socket.socket) -> Frame | None:
    steps = receive()
    buffer = next(steps)
    try:
        while True:
            count = connection.recv_into(buffer)
            if not count:
                return None
            buffer = steps.send(count)
    except StopIteration as done:
        frame: Frame = done.value
        return frame
