"""What /proc tells, asked of processes that this test starts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from s3server import process

NOBODY = 2**22 + 1
"""Above the kernel's largest PID."""


def test_this_process() -> None:
    assert (process.start_ticks(os.getpid()) or 0) > 0
    assert process.environment(os.getpid()).keys() & os.environ.keys()
    assert process.arguments(os.getpid())


def test_a_child_with_an_odd_command_line() -> None:
    words = [sys.executable, "-c", "input(1)", "a b", "", "line\nbreak"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"X": "y=z"}) as child:
        assert child.stdout is not None and child.stdout.read(1) == b"1"  # it is the program now, not our fork
        assert process.arguments(child.pid) == words
        assert process.environment(child.pid)["X"] == "y=z"
        assert (process.start_ticks(child.pid) or 0) >= (process.start_ticks(os.getpid()) or 0)
        assert process.describe(child.pid).startswith(f"PID {child.pid} ({sys.executable} -c input(1) a b")
        assert "\n" not in process.describe(child.pid)
        child.communicate(b"\n")


def test_nobody() -> None:
    assert process.start_ticks(NOBODY) is None
    assert process.arguments(NOBODY) == [] and process.environment(NOBODY) == {}
    assert process.listening_ports(NOBODY) == []
    assert process.describe(NOBODY) == f"PID {NOBODY}"


def test_who_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert port in process.listening_ports(os.getpid())
        assert process.listener_of(port) == os.getpid()
        with socket.create_connection(("127.0.0.1", port)) as client:
            assert client.getsockname()[1] not in process.listening_ports(os.getpid())
    assert process.listener_of(port) is None
