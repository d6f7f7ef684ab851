"""What tests on the simulated cluster share."""

from __future__ import annotations

from contextlib import closing

from curvinefs.api import FileSystem, RenameFlag
from tests.sim.server import Server

MTIME = 1_600_000_000_123_000_000


def put(fs: FileSystem, path: str, data: bytes = b"", **attributes: bytes) -> int:
    """Publish a file; its inode."""
    directory, _, name = path.rpartition("/")
    with closing(fs.create(f"{directory}/.s3~tmp.{name[:100]}")) as writer:
        for start in range(0, len(data), 300_000):
            writer.write(data[start : start + 300_000])
        inode = writer.complete(attributes, MTIME).id
        writer.rename(name, RenameFlag.REPLACE)
    return inode


def get(fs: FileSystem, path: str, piece: int = 2**20) -> bytes:
    with closing(fs.open(path)) as file:
        buffer = memoryview(bytearray(file.status.len))
        for start in range(0, len(buffer), piece):
            part = buffer[start : start + piece]
            assert file.readinto(start, part) == len(part)
        return bytes(buffer)


def pattern(length: int) -> bytes:
    """Bytes in which a shift shows."""
    return b"".join(number.to_bytes(4, "big") for number in range(length // 4 + 1))[:length]


def codes(server: Server) -> list[int]:
    return [code for code, _, _ in server.requests]
