"""What every FileSystem must do, row by row of ``curvinefs/api.py``; one suite for all implementations.

A module subclasses ``FileSystemConformance`` and ``SharingConformance`` (in the module beside this) and gives two
fixtures: ``fs``, a file system that loads the attributes named in ``ATTRIBUTES``, and ``other``, a second one on the
same store, as another gateway has.  Each test works in ``/t``, which the suite makes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from curvinefs.api import (
    AlreadyExists,
    DirectoryNotEmpty,
    FileKind,
    FileStatus,
    FileSystem,
    FsError,
    InvalidPath,
    IsADirectory,
    NotADirectory,
    NotFound,
    RenameFlag,
)

ATTRIBUTES = ("user.s3", "note")
MTIME = 1_600_000_000_123_000_000  # whole milliseconds: Curvine keeps no more

_numbers = iter(range(10**9))


def put(
    fs: FileSystem, path: str, data: bytes = b"", flags: RenameFlag = RenameFlag.REPLACE, **attributes: bytes
) -> None:
    directory, _, name = path.rpartition("/")
    named = {"user.s3" if key == "s3" else key: value for key, value in attributes.items()}
    with closing(fs.create(f"{directory}/.s3~tmp.{os.getpid()}.{next(_numbers)}")) as writer:
        writer.write(data)
        writer.complete(named, MTIME)
        writer.rename(name, flags)


def get(fs: FileSystem, path: str) -> bytes:
    with closing(fs.open(path)) as file:
        buffer = memoryview(bytearray(file.status.len))
        assert file.readinto(0, buffer) == len(buffer)
        return bytes(buffer)


def names(fs: FileSystem, path: str, start: str = "") -> list[str]:
    return [entry.name for entry in fs.list(path, start)]


def together(calls: list[Callable[[], None]]) -> None:
    """Run all at once; the first error is raised."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], None]) -> None:
        barrier.wait(30)
        call()

    with ThreadPoolExecutor(len(calls)) as pool:
        for future in [pool.submit(run, call) for call in calls]:
            future.result(60)


class Workspace:
    @pytest.fixture(autouse=True)
    def directory(self, fs: FileSystem) -> Iterator[None]:
        fs.mkdir("/t")
        yield


class FileSystemConformance(Workspace):
    """What one caller sees."""

    # -- status, open

    def test_status_of_file(self, fs: FileSystem) -> None:
        put(fs, "/t/f", b"hello", s3=b"one", note=b"two")
        status = fs.status("/t/f")
        assert (status.kind, status.len, status.mtime_ns) == (FileKind.FILE, 5, MTIME)
        assert status.x_attr == {"user.s3": b"one", "note": b"two"}

    def test_status_of_directory_and_root(self, fs: FileSystem) -> None:
        fs.mkdir("/t/d", {"user.s3": b"dir"})
        status = fs.status("/t/d")
        assert (status.kind, status.len, status.x_attr) == (FileKind.DIRECTORY, 0, {"user.s3": b"dir"})
        assert fs.status("/").kind is FileKind.DIRECTORY

    @pytest.mark.parametrize("call", ["status", "open", "list", "delete"])
    def test_missing(self, fs: FileSystem, call: str) -> None:
        put(fs, "/t/f")
        for path, error in (("/t/none", NotFound), ("/t/none/x", NotFound), ("/t/f/x", NotADirectory)):
            with pytest.raises(error):
                list(getattr(fs, call)(path))

    def test_open_reads(self, fs: FileSystem) -> None:
        data = bytes(range(256)) * 300
        put(fs, "/t/f", data, s3=b"x")
        with closing(fs.open("/t/f")) as file:
            assert file.status == fs.status("/t/f")
            buffer = memoryview(bytearray(1000))
            assert file.readinto(500, buffer) == 1000
            assert bytes(buffer) == data[500:1500]
            assert file.readinto(len(data) - 10, buffer) == 10
            assert bytes(buffer[:10]) == data[-10:]
            assert file.readinto(len(data), buffer) == 0
            assert file.readinto(len(data) + 5, buffer) == 0

    def test_opened_file_keeps_its_contents(self, fs: FileSystem) -> None:
        put(fs, "/t/f", b"old", s3=b"1")
        with closing(fs.open("/t/f")) as file:
            put(fs, "/t/f", b"newer", s3=b"2")
            fs.delete("/t/f")
            buffer = memoryview(bytearray(10))
            assert bytes(buffer[: file.readinto(0, buffer)]) == b"old"
            assert file.status.x_attr["user.s3"] == b"1"

    def test_open_directory(self, fs: FileSystem) -> None:
        with pytest.raises(IsADirectory):
            fs.open("/t")

    def test_empty_file(self, fs: FileSystem) -> None:
        put(fs, "/t/f", b"", s3=b"")
        assert get(fs, "/t/f") == b""
        assert fs.status("/t/f").x_attr == {"user.s3": b""}

    # -- names

    @pytest.mark.parametrize(
        "name", ["a b", "ä", "a\u0308", "\U0001f600", "new\nline", "\x01\x7f", "[x]*?{y}", "\\", "x" * 255, "é" * 127]
    )
    def test_names(self, fs: FileSystem, name: str) -> None:
        put(fs, f"/t/{name}", b"1")
        assert get(fs, f"/t/{name}") == b"1"
        assert names(fs, "/t") == [name]

    @pytest.mark.parametrize("path", ["/t/" + "x" * 256, "/t/" + "é" * 128, "/t/a\0b", "/t/\ud800"])
    def test_impossible_names(self, fs: FileSystem, path: str) -> None:
        for call in (fs.status, fs.open, fs.create, fs.mkdir, fs.delete):
            with pytest.raises((InvalidPath, NotFound)):
                call(path)
        with pytest.raises(InvalidPath):
            fs.mkdir(path, {"user.s3": b"1"})

    def test_deep_paths(self, fs: FileSystem) -> None:
        path = "/t"
        for _ in range(610):
            path += "/" + "d" * 9
            fs.mkdir(path)
        assert len(path) > 4096
        put(fs, path + "/f", b"deep", s3=b"x")
        assert get(fs, path + "/f") == b"deep"
        assert names(fs, path) == ["f"]
        fs.rename(path + "/f", "/t/f")
        fs.link("/t/f", path + "/g")
        for link in (path + "/g", path):
            fs.delete(link)
        assert get(fs, "/t/f") == b"deep"

    # -- list

    def test_list_order_and_start(self, fs: FileSystem) -> None:
        wanted = [
            "",
            "A",
            "a",
            "a b",
            "a-",
            "a/".rstrip("/") + "0",
            "ab",
            "z",
            "\x7f",
            "é",
            "\ue000",
            "\uffff",
            "\U0001f600",
        ]
        wanted = sorted(filter(None, wanted), key=lambda name: name.encode())
        for name in wanted:
            put(fs, f"/t/{name}")
        assert names(fs, "/t") == wanted
        for place, name in enumerate(wanted):
            assert names(fs, "/t", name) == wanted[place:]
            assert names(fs, "/t", name + "\x01") == wanted[place + 1 :]

    def test_list_kinds_and_status(self, fs: FileSystem) -> None:
        fs.mkdir("/t/d", {"user.s3": b"d"})
        put(fs, "/t/f", b"123", s3=b"f")
        found = {entry.name: (entry.kind, entry.status()) for entry in fs.list("/t")}
        assert found == {
            "d": (FileKind.DIRECTORY, fs.status("/t/d")),
            "f": (FileKind.FILE, fs.status("/t/f")),
        }

    def test_list_large_directory_after_changes(self, fs: FileSystem) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: put(fs, f"/t/{number:04}"), range(700)))
        for _ in range(3):  # more than once: an implementation may remember
            assert names(fs, "/t") == [f"{number:04}" for number in range(700)]
        fs.delete("/t/0350")
        put(fs, "/t/0349x")
        assert names(fs, "/t", "0349") == ["0349", "0349x"] + [f"{number:04}" for number in range(351, 700)]

    def test_entry_that_went(self, fs: FileSystem) -> None:
        put(fs, "/t/f")
        (entry,) = fs.list("/t")
        fs.delete("/t/f")
        with pytest.raises(NotFound):
            entry.status()

    def test_list_of_file(self, fs: FileSystem) -> None:
        put(fs, "/t/f")
        with pytest.raises(NotADirectory):
            list(fs.list("/t/f"))

    # -- create, Writer

    def test_create_errors(self, fs: FileSystem) -> None:
        put(fs, "/t/f")
        for path, error in (("/t/f", AlreadyExists), ("/t/none/x", NotFound), ("/t/f/x", NotADirectory)):
            with pytest.raises(error):
                fs.create(path)

    def test_writer_appends(self, fs: FileSystem) -> None:
        with closing(fs.create("/t/.s3~tmp.1")) as writer:
            buffer = bytearray(b"abc")
            writer.write(memoryview(buffer))
            buffer[:] = b"xyz"
            writer.write(buffer)
            writer.write(b"")
            assert writer.size == 6
            status = writer.complete({"note": b"n"}, MTIME)
            assert (status.len, status.mtime_ns, status.x_attr) == (6, MTIME, {"note": b"n"})
            writer.rename("f", RenameFlag.NO_REPLACE)
        assert fs.status("/t/f") == FileStatus(FileKind.FILE, status.id, 6, MTIME, {"note": b"n"})
        assert get(fs, "/t/f") == b"abcxyz"
        assert names(fs, "/t") == ["f"]

    def test_closed_writer_leaves_nothing(self, fs: FileSystem) -> None:
        writer = fs.create("/t/.s3~tmp.1")
        writer.write(b"abc")
        writer.close()
        writer.close()
        assert names(fs, "/t") == []

    def test_completed_but_not_renamed_leaves_nothing(self, fs: FileSystem) -> None:
        with closing(fs.create("/t/.s3~tmp.1")) as writer:
            writer.complete({"user.s3": b"x"}, MTIME)
        assert names(fs, "/t") == []

    def test_writer_rename_flags(self, fs: FileSystem) -> None:
        put(fs, "/t/f", b"1")
        fs.mkdir("/t/d")
        with pytest.raises(AlreadyExists):
            put(fs, "/t/f", b"2", RenameFlag.NO_REPLACE)
        with pytest.raises(IsADirectory):
            put(fs, "/t/d", b"2")
        with pytest.raises(AlreadyExists):
            put(fs, "/t/d", b"2", RenameFlag.NO_REPLACE)
        assert get(fs, "/t/f") == b"1"
        put(fs, "/t/f", b"3")
        assert get(fs, "/t/f") == b"3"
        assert names(fs, "/t") == ["d", "f"]

    def test_writer_may_try_again(self, fs: FileSystem) -> None:
        put(fs, "/t/f", b"1")
        with closing(fs.create("/t/.s3~tmp.1")) as writer:
            writer.write(b"2")
            writer.complete({}, MTIME)
            with pytest.raises(AlreadyExists):
                writer.rename("f", RenameFlag.NO_REPLACE)
            writer.rename("f")
        assert get(fs, "/t/f") == b"2"

    def test_writer_rename_to(self, fs: FileSystem) -> None:
        fs.mkdir("/t/d")
        for flags, error in (
            (RenameFlag.NO_REPLACE, None),
            (RenameFlag.NO_REPLACE, AlreadyExists),
            (RenameFlag.REPLACE, None),
        ):
            with closing(fs.create("/t/.s3~tmp.1")) as writer:
                writer.write(b"abc")
                writer.complete({"user.s3": b"x"}, MTIME)
                if error is None:
                    writer.rename_to("/t/d/f", flags)
                else:
                    with pytest.raises(error):
                        writer.rename_to("/t/d/f", flags)
        assert fs.status("/t/d/f").x_attr == {"user.s3": b"x"}
        assert names(fs, "/t") == ["d"]

    def test_temporary_holds_its_directory(self, fs: FileSystem) -> None:
        fs.mkdir("/t/d")
        with closing(fs.create("/t/d/.s3~tmp.1")):
            with pytest.raises(DirectoryNotEmpty):
                fs.delete("/t/d")
        fs.delete("/t/d")

    @pytest.mark.parametrize("length", [0, 1, 4096, 70_000, 3_000_000])
    def test_copy_from(self, fs: FileSystem, length: int) -> None:
        data = bytes(number % 251 for number in range(length + 20))
        put(fs, "/t/source", data)
        with closing(fs.open("/t/source")) as source, closing(fs.create("/t/.s3~tmp.1")) as writer:
            writer.write(b"head")
            writer.copy_from(source, 7, length)
            writer.write(b"tail")
            writer.copy_from(source, 0, 3)
            assert writer.size == length + 11
            writer.complete({}, MTIME)
            writer.rename("f")
        assert get(fs, "/t/f") == b"head" + data[7 : 7 + length] + b"tail" + data[:3]

    # -- mkdir

    def test_mkdir_errors(self, fs: FileSystem) -> None:
        put(fs, "/t/f")
        fs.mkdir("/t/d")
        attributes: list[dict[str, bytes] | None] = [None, {"user.s3": b"1"}]
        for x_attr in attributes:
            for path, error in (
                ("/t/f", AlreadyExists),
                ("/t/d", AlreadyExists),
                ("/t/none/x", NotFound),
                ("/t/f/x", NotADirectory),
            ):
                with pytest.raises(error):
                    fs.mkdir(path, x_attr)
        assert names(fs, "/t") == ["d", "f"]

    # -- rename

    def test_rename(self, fs: FileSystem) -> None:
        fs.mkdir("/t/d")
        put(fs, "/t/f", b"f", s3=b"f")
        before = fs.status("/t/f")
        fs.rename("/t/f", "/t/d/g")
        assert fs.status("/t/d/g") == before
        put(fs, "/t/f", b"other")
        fs.rename("/t/d/g", "/t/f")
        assert fs.status("/t/f") == before
        assert names(fs, "/t/d") == []
        fs.rename("/t/d", "/t/e")
        assert names(fs, "/t") == ["e", "f"]

    def test_rename_errors(self, fs: FileSystem) -> None:
        put(fs, "/t/f")
        put(fs, "/t/g")
        fs.mkdir("/t/d")
        fs.mkdir("/t/full")
        put(fs, "/t/full/x")
        for source, destination, flags, error in (
            ("/t/none", "/t/x", RenameFlag.REPLACE, NotFound),
            ("/t/none", "/t/f", RenameFlag.EXCHANGE, NotFound),
            ("/t/f", "/t/none", RenameFlag.EXCHANGE, NotFound),
            ("/t/f", "/t/none/x", RenameFlag.REPLACE, NotFound),
            ("/t/f", "/t/g/x", RenameFlag.REPLACE, NotADirectory),
            ("/t/f", "/t/g", RenameFlag.NO_REPLACE, AlreadyExists),
            ("/t/f", "/t/d", RenameFlag.NO_REPLACE, AlreadyExists),
            ("/t/f", "/t/d", RenameFlag.REPLACE, IsADirectory),
            ("/t/d", "/t/f", RenameFlag.REPLACE, NotADirectory),
            ("/t/d", "/t/full", RenameFlag.REPLACE, DirectoryNotEmpty),
            ("/t/d", "/t/d/x", RenameFlag.REPLACE, InvalidPath),
        ):
            with pytest.raises(error):
                fs.rename(source, destination, flags)
        assert names(fs, "/t") == ["d", "f", "full", "g"]

    def test_rename_to_itself(self, fs: FileSystem) -> None:
        put(fs, "/t/f", b"1", s3=b"x")
        fs.rename("/t/f", "/t/f")
        fs.rename("/t/f", "/t/f", RenameFlag.EXCHANGE)
        assert (get(fs, "/t/f"), fs.status("/t/f").x_attr) == (b"1", {"user.s3": b"x"})

    def test_exchange(self, fs: FileSystem) -> None:
        put(fs, "/t/f", b"file", s3=b"f")
        fs.mkdir("/t/d", {"user.s3": b"d"})
        put(fs, "/t/d/self", b"inside")
        fs.rename("/t/d", "/t/f", RenameFlag.EXCHANGE)
        assert get(fs, "/t/d") == b"file"
        assert get(fs, "/t/f/self") == b"inside"
        assert fs.status("/t/f").x_attr == {"user.s3": b"d"}
        put(fs, "/t/g", b"g")
        fs.rename("/t/g", "/t/d", RenameFlag.EXCHANGE)
        assert (get(fs, "/t/g"), get(fs, "/t/d")) == (b"file", b"g")

    # -- link

    def test_link(self, fs: FileSystem) -> None:
        put(fs, "/t/f", b"1", s3=b"x")
        fs.link("/t/f", "/t/g")
        assert fs.status("/t/f") == fs.status("/t/g")
        fs.delete("/t/f")
        assert (get(fs, "/t/g"), fs.status("/t/g").x_attr) == (b"1", {"user.s3": b"x"})
        fs.link("/t/g", "/t/h")
        put(fs, "/t/g", b"2")
        assert (get(fs, "/t/g"), get(fs, "/t/h")) == (b"2", b"1")
        assert fs.status("/t/h").x_attr == {"user.s3": b"x"}

    def test_link_errors(self, fs: FileSystem) -> None:
        put(fs, "/t/f")
        put(fs, "/t/g")
        fs.mkdir("/t/d")
        for source, destination, error in (
            ("/t/none", "/t/x", NotFound),
            ("/t/f", "/t/none/x", NotFound),
            ("/t/f", "/t/g", AlreadyExists),
            ("/t/f", "/t/d", AlreadyExists),
        ):
            with pytest.raises(error):
                fs.link(source, destination)
        with pytest.raises(FsError):
            fs.link("/t/d", "/t/x")

    def test_rename_over_own_link(self, fs: FileSystem) -> None:
        put(fs, "/t/f", b"1", s3=b"x")
        fs.link("/t/f", "/t/g")
        fs.rename("/t/f", "/t/g")
        assert names(fs, "/t") == ["g"]
        assert fs.status("/t/g").x_attr == {"user.s3": b"x"}

    # -- attributes

    def test_set_x_attr(self, fs: FileSystem, other: FileSystem) -> None:
        put(fs, "/t/f", b"1", s3=b"one", note=b"two")
        fs.mkdir("/t/d")
        for path in ("/t/f", "/t/d"):
            fs.set_x_attr(path, {"user.s3": b"three", "note": None})
            assert other.status(path).x_attr == {"user.s3": b"three"}
            fs.set_x_attr(path, {"note": None})
        put(fs, "/t/d/x")  # changes the directory's mtime
        assert fs.status("/t/d").x_attr == {"user.s3": b"three"}
        assert fs.status("/t/f").mtime_ns == MTIME
        with pytest.raises(NotFound):
            fs.set_x_attr("/t/none", {"note": b""})

    def test_large_attribute(self, fs: FileSystem) -> None:
        put(fs, "/t/f", s3=bytes(range(256)) * 8)
        assert fs.status("/t/f").x_attr == {"user.s3": bytes(range(256)) * 8}

    def test_attributes_die_with_the_file(self, fs: FileSystem) -> None:
        """Also where inode numbers are used again at once."""
        for _ in range(20):
            put(fs, "/t/f", b"1", s3=b"old")
            fs.mkdir("/t/d", {"user.s3": b"old"})
            fs.delete("/t/f")
            fs.delete("/t/d")
            put(fs, "/t/f", b"1")
            fs.mkdir("/t/d")
            assert fs.status("/t/f").x_attr == {} == fs.status("/t/d").x_attr
            fs.delete("/t/f")
            fs.delete("/t/d")

    # -- delete

    def test_delete(self, fs: FileSystem) -> None:
        fs.mkdir("/t/d")
        put(fs, "/t/d/f")
        with pytest.raises(DirectoryNotEmpty):
            fs.delete("/t/d")
        fs.delete("/t/d/f")
        fs.delete("/t/d")
        with pytest.raises(NotFound):
            fs.delete("/t/d")
        with pytest.raises(FsError):
            fs.delete("/")

    def test_deferred(self, fs: FileSystem) -> None:
        paths = []
        for number in range(100):
            fs.mkdir(f"/t/{number}")
            put(fs, f"/t/{number}/f")
            paths += [f"/t/{number}/f", f"/t/{number}/none", f"/t/{number}"]
        with fs.deferred():
            for path in paths:
                if path.endswith("none"):
                    with pytest.raises(NotFound):
                        fs.delete(path)
                else:
                    fs.delete(path)
            with fs.deferred():
                put(fs, "/t/new")
        assert names(fs, "/t") == ["new"]
        with pytest.raises(AlreadyExists), fs.deferred():
            fs.mkdir("/t/new")

    # -- health

    def test_check(self, fs: FileSystem) -> None:
        assert all(isinstance(value, str) for value in fs.check().values())
