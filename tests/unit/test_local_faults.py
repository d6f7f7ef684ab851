"""The local file system on a disk that fails or is full: the old stays, nothing is left behind."""

from __future__ import annotations

import errno
import os
import resource
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from curvinefs._linux import Kernel
from curvinefs.api import Corrupt, NoSpace, Unavailable
from tests.fs_conformance import get, names, put
from tests.local_kit import in_child, make

# -- faults


class Broken(Kernel):
    """A disk that refuses the calls named in ``refused`` with their errno."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: dict[str, int] = {}

    def __getattribute__(self, name: str) -> Any:
        refused = object.__getattribute__(self, "__dict__").get("refused", {})
        if name in refused:

            def fail(*_: object) -> None:
                raise OSError(refused[name], os.strerror(refused[name]))

            return fail
        return super().__getattribute__(name)


@pytest.mark.parametrize("number, error", [(errno.ENOSPC, NoSpace), (errno.EDQUOT, NoSpace), (errno.EIO, Corrupt)])
@pytest.mark.parametrize("call", ["open", "pwrite", "set_attribute", "set_mtime", "fsync", "rename"])
def test_put_that_fails_leaves_the_old(tmp_path: Path, call: str, number: int, error: type[Exception]) -> None:
    kernel = Broken()
    with closing(make(tmp_path, kernel=kernel)) as fs:
        put(fs, "/f", b"old", s3=b"old")
        kernel.refused = {call: number}
        with pytest.raises(error):
            put(fs, "/f", b"new", s3=b"new")
        kernel.refused = {}
        assert names(fs, "/") == [".s3~", "f"]
        assert (get(fs, "/f"), fs.status("/f").x_attr) == (b"old", {"user.s3": b"old"})


@pytest.mark.parametrize("call", ["mkdir", "set_attribute", "rename"])
def test_mkdir_that_fails_leaves_nothing(tmp_path: Path, call: str) -> None:
    kernel = Broken()
    with closing(make(tmp_path, kernel=kernel)) as fs:
        kernel.refused = {call: errno.ENOSPC}
        with pytest.raises(NoSpace):
            fs.mkdir("/d", {"user.s3": b"x"})
        assert names(fs, "/") == [".s3~"]


def test_failed_flush_is_no_success(tmp_path: Path) -> None:
    kernel = Broken()
    with closing(make(tmp_path, kernel=kernel)) as fs:
        for name in "abc":
            put(fs, f"/{name}")
        kernel.refused = {"fsync": errno.EIO}
        with pytest.raises(Corrupt):
            fs.delete("/a")
        with pytest.raises(Corrupt):
            fs.mkdir("/d")
        with pytest.raises(Corrupt):
            fs.link("/b", "/e")
        with pytest.raises(Corrupt), fs.deferred():
            fs.delete("/b")


def test_copy_without_the_kernel(tmp_path: Path) -> None:
    kernel = Broken()
    with closing(make(tmp_path, kernel=kernel)) as fs:
        data = os.urandom(3_000_000)
        put(fs, "/s", data)
        kernel.refused = {"copy": errno.EXDEV}
        with closing(fs.open("/s")) as source, closing(fs.create("/.s3~tmp.1")) as writer:
            writer.copy_from(source, 100, 2_500_000)
            writer.rename("f")
        assert get(fs, "/f") == data[100:2_500_100]
        kernel.refused = {"copy": errno.ENOSPC}
        with closing(fs.open("/s")) as source, closing(fs.create("/.s3~tmp.1")) as writer:
            with pytest.raises(NoSpace):
                writer.copy_from(source, 0, 10)


def test_short_copies_and_writes(tmp_path: Path) -> None:
    class Short(Kernel):
        def pwrite(self, fd: int, data: memoryview | bytes | bytearray, offset: int) -> int:
            return super().pwrite(fd, data[:7], offset)

        def copy(self, source: int, first: int, destination: int, offset: int, length: int) -> int:
            return super().copy(source, first, destination, offset, min(length, 11))

        def preadv(self, fd: int, buffer: memoryview, offset: int) -> int:
            return super().preadv(fd, buffer[:13], offset)

    with closing(make(tmp_path, kernel=Short())) as fs:
        data = os.urandom(500)
        put(fs, "/s", data)
        with closing(fs.open("/s")) as source, closing(fs.create("/.s3~tmp.1")) as writer:
            writer.copy_from(source, 3, 400)
            writer.rename("f")
        assert get(fs, "/f") == data[3:403]


def test_copy_of_more_than_there_is(tmp_path: Path) -> None:
    with closing(make(tmp_path)) as fs:
        put(fs, "/s", b"123")
        with closing(fs.open("/s")) as source, closing(fs.create("/.s3~tmp.1")) as writer:
            with pytest.raises(Corrupt):
                writer.copy_from(source, 0, 4)


def test_full_disk(tmp_path: Path) -> None:
    """A limit on file sizes stands for the end of the disk."""
    with closing(make(tmp_path)) as fs:

        def work() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
            try:
                put(fs, "/f", b"x" * 2000)
            except NoSpace:
                os._exit(7)

        assert in_child(work) == 7
        assert names(fs, "/") == [".s3~"]


def test_check_tells_a_full_disk(tmp_path: Path) -> None:
    kernel = Broken()
    with closing(make(tmp_path, kernel=kernel)) as fs:
        assert fs.check()["space"] == "free"
        kernel.refused = {"write": errno.ENOSPC}
        assert fs.check()["space"] == "full"
        kernel.refused = {"write": errno.EIO}
        with pytest.raises(Unavailable):
            fs.check()
        assert sorted(os.listdir(tmp_path / ".s3~")) == ["format.json", "locks"]
