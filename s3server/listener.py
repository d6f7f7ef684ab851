"""The listening socket: bound once by the supervisor, shared by its workers.

Werkzeug's server does the binding (families, reuse of the address) and loads certificates; its request loop is not
used (docs/architecture.md): ``process_request`` is where an accepted connection goes to ours.

Rules: TLS is set up per connection and without blocking, so the listening socket itself is always a plain one.  A
certificate that cannot be loaded again at a reload leaves the old one in use.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import socket
import ssl
import struct
from pathlib import Path
from typing import Any

from werkzeug.serving import ThreadedWSGIServer, load_ssl_context

from s3server import process
from s3server.config import Address

LOGGER = logging.getLogger("curvine_s3_gateway.server")
BACKLOG = 1024
SO_ATTACH_FILTER = 26
NO_SYN = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
"""A packet filter, seen from the TCP header on: load the byte of flags; is SYN in it?  then drop; else keep all."""


class ListenError(Exception):
    """The address cannot be listened on; ``str()`` is one line for the user."""


def _no_application(environ: Any, start_response: Any) -> list[bytes]:
    raise AssertionError("connections are served by s3server.loop")


class Listener(ThreadedWSGIServer):
    """Listens on one address.  ``accept`` is called by one thread at a time in each process."""

    request_queue_size = BACKLOG

    def __init__(
        self, address: Address, tls_cert: Path | None = None, tls_key: Path | None = None, flag: str = "--listen"
    ) -> None:
        """Bind and listen; ``flag`` is what changes the address.  Raises ListenError."""
        self._flag = flag
        self._tls_files = (str(tls_cert), str(tls_key)) if tls_cert and tls_key else None
        self._tls: ssl.SSLContext | None = None
        if self._tls_files:
            try:
                self._tls = _tls_context(self._tls_files)
            except (OSError, ssl.SSLError) as error:
                raise ListenError(f"tls_cert, tls_key: {tls_cert}, {tls_key} cannot be loaded: {error}") from None
        self._asked = address
        # Resolved here, an IPv4 address first; Werkzeug gets a number and chooses the family by its look.
        super().__init__(_resolve(address), address.port, _no_application)
        self.socket.setblocking(False)

    @property
    def address(self) -> Address:
        """Where it really listens: port 0 has become a number."""
        return self._asked._replace(port=self.socket.getsockname()[1])

    @property
    def secure(self) -> bool:
        return self._tls is not None

    def server_bind(self) -> None:
        """Bind; errors become one line (Werkzeug itself prints two, and exits)."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.address_family == socket.AF_INET6:
            # [::] serves IPv4 too, whatever the machine's default; one address serves itself.
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if self.host == "::" else 1)
        try:
            self.socket.bind(self.server_address)
            self.socket.listen(BACKLOG)
        except OSError as error:
            raise ListenError(_why_not(self._asked, error, self._flag)) from None
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.host, self.server_address[1]

    def server_activate(self) -> None:
        """Done in server_bind: Linux reports an address in use at listen() too."""

    def accept(self) -> tuple[socket.socket, str]:
        """Take one waiting connection and the client's address.  Raises OSError (BlockingIOError: none is waiting)."""
        sock, address = self.socket.accept()
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._tls is not None:
                sock.setblocking(False)
                sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        except OSError:
            sock.close()
            raise
        host, port = address[0].removeprefix("::ffff:"), address[1]
        return sock, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def leave_newcomers(self) -> None:
        """Let nobody new into the kernel's queue, for all who share the socket, so that it can be emptied and closed.

        Closing resets who waits there.  Newcomers are not refused but left without an answer: their system tries
        again after a second, and then finds the port closed, or open again.  Follows socket(7), SO_ATTACH_FILTER.
        """
        rows = b"".join(struct.pack("HBBI", *row) for row in NO_SYN)
        buffer = ctypes.create_string_buffer(rows, len(rows))
        try:
            program = struct.pack("HP", len(NO_SYN), ctypes.addressof(buffer))
            self.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        except OSError as error:  # a sandbox without it
            LOGGER.debug("newcomers cannot be left out: %s", error)

    def reload_tls(self) -> None:
        """Load certificate and key again, for connections to come."""
        if self._tls_files is None:
            return
        try:
            self._tls = _tls_context(self._tls_files)
        except (OSError, ssl.SSLError) as error:
            LOGGER.error(
                "TLS: %s cannot be loaded again, the old certificate stays in use: %s", self._tls_files[0], error
            )


def _resolve(address: Address) -> str:
    """The numeric form of an address's host.  Raises ListenError."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise ListenError(f"cannot listen on {address}: {address.host} cannot be resolved ({error})") from None
    family, _, _, _, sockaddr = min(found, key=lambda row: row[0] != socket.AF_INET)
    if family not in (socket.AF_INET, socket.AF_INET6):
        raise ListenError(f"cannot listen on {address}: no IPv4 or IPv6 address")
    return str(sockaddr[0])


def _tls_context(files: tuple[str, str]) -> ssl.SSLContext:
    context = load_ssl_context(*files)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _why_not(address: Address, error: OSError, flag: str) -> str:
    if error.errno != errno.EADDRINUSE:
        return f"cannot listen on {address}: {error.strerror}"
    pid = process.listener_of(address.port)
    who = process.describe(pid) if pid is not None else "a process that we may not look at"
    return f"cannot listen on {address}: the port is in use by {who}; choose another one with {flag}"
