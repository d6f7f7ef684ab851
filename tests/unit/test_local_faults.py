"""The local file system on a disk that fails or is full: the old stays, nothing is left behind."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from curvinefs._linux import Identity, Kernel
from curvinefs.api import Corrupt, FileStatus, InvalidPath, NoSpace, NotFound, NotPermitted, Unavailable
from tests.fs_conformance import get, names, put
from tests.local_kit import Broken, in_child, make

# -- faults


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


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_what_others_do_not_allow(tmp_path: Path, number: int) -> None:
    kernel = Broken()
    with closing(make(tmp_path, kernel=kernel)) as fs:
        put(fs, "/f", b"1")
        kernel.refused = {"openat2": number}
        for call in (fs.open, fs.create, fs.delete):
            with pytest.raises(NotPermitted):
                call("/f")


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


def test_swept_between_creating_and_locking(tmp_path: Path) -> None:
    """Someone took the new file for an abandoned one: the writer begins again."""

    class Swept(Kernel):
        times = 0

        def flock(self, fd: int, operation: int) -> bool:
            if self.times == 0:
                self.times += 1
                (tmp_path / ".s3~tmp.1").unlink()
            return super().flock(fd, operation)

    with closing(make(tmp_path, kernel=Swept())) as fs:
        with closing(fs.create("/.s3~tmp.1")) as writer:
            writer.write(b"1")
            writer.rename("f")
        assert get(fs, "/f") == b"1"


def test_swept_while_writing(tmp_path: Path) -> None:
    with closing(make(tmp_path)) as fs, closing(fs.create("/.s3~tmp.1")) as writer:
        (tmp_path / ".s3~tmp.1").unlink()
        with pytest.raises(NotFound):
            writer.rename("f")


def test_a_record_of_parts_in_the_making_is_not_abandoned(tmp_path: Path) -> None:
    looked = []

    class Looking(Kernel):
        def rename(self, source: int, name: str, destination: int, new_name: str, flags: int = 0) -> None:
            if new_name == "data.parted":
                looked.append(fs.is_abandoned(f"/{name}", 0))
            super().rename(source, name, destination, new_name, flags)

    with closing(make(tmp_path, kernel=Looking())) as fs:
        fs.create_parted("/data", 1000)
    assert looked == [False]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0"])
def test_publishing_under_no_name(tmp_path: Path, name: str) -> None:
    with closing(make(tmp_path)) as fs, closing(fs.create("/.s3~tmp.1")) as writer:
        with pytest.raises(InvalidPath):
            writer.rename(name)


def test_records_are_read_again_when_the_file_was_replaced(tmp_path: Path) -> None:
    """Between opening the old file and reading its record it is replaced, and the record goes."""

    class Late(Kernel):
        def identity(self, fd: int, name: str = "") -> Identity:
            if self.todo:
                self.todo.pop()()
            return super().identity(fd, name)

        todo: list[Callable[[], None]] = []

    kernel = Late()
    with closing(make(tmp_path, kernel=kernel, durability="none", attribute_kind="records")) as fs:
        put(fs, "/f", b"1", s3=b"1")

        def opened() -> FileStatus:
            with closing(fs.open("/f")) as file:
                return file.status

        entry = next(entry for entry in fs.list("/") if entry.name == "f")
        calls: list[Callable[[], FileStatus]] = [partial(fs.status, "/f"), opened, entry.status]
        for number, call in enumerate(calls, 2):
            digit = b"%d" % number
            kernel.todo.append(partial(put, fs, "/f", digit, s3=digit))
            assert call().x_attr == {"user.s3": digit}


def test_read_error(tmp_path: Path) -> None:
    kernel = Broken()
    with closing(make(tmp_path, kernel=kernel)) as fs:
        put(fs, "/f", b"1")
        with closing(fs.open("/f")) as file:
            kernel.refused = {"preadv": errno.EIO}
            with pytest.raises(Corrupt):
                file.readinto(0, memoryview(bytearray(1)))
        kernel.refused = {"get_attribute": errno.EIO}
        for call in (fs.status, fs.open):
            with pytest.raises(Corrupt):
                call("/f")
