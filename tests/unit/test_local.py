"""The local file system: conformance in every mode; links and special files, records, opening a store."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from curvinefs._linux import Kernel
from curvinefs.api import (
    AlreadyExists,
    Corrupt,
    FileKind,
    FileSystem,
    InvalidPath,
    IsADirectory,
    NotADirectory,
    NotFound,
    RenameFlag,
    Unavailable,
)
from curvinefs.local import LocalFileSystem
from tests.fs_conformance import FileSystemConformance, get, names, put
from tests.fs_conformance_sharing import SharingConformance
from tests.local_kit import make

MODES: dict[str, dict[str, Any]] = {
    "full": {},
    "none": {"durability": "none"},
    "walk": {"durability": "none", "walk": True},
    "records": {"durability": "none", "attribute_kind": "records"},
}


class TestConformance(FileSystemConformance, SharingConformance):
    @pytest.fixture(params=MODES)
    def mode(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        return MODES[request.param]

    @pytest.fixture
    def fs(self, tmp_path: Path, mode: dict[str, Any]) -> Iterator[FileSystem]:
        with closing(make(tmp_path, **mode)) as fs:
            yield fs

    @pytest.fixture
    def other(self, fs: FileSystem, tmp_path: Path, mode: dict[str, Any]) -> Iterator[FileSystem]:
        with closing(make(tmp_path, **mode)) as other:
            yield other


@pytest.fixture(params=[False, True], ids=["openat2", "walk"])
def fs(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[LocalFileSystem]:
    with closing(make(tmp_path / "root", durability="none", walk=request.param)) as fs:
        fs.mkdir("/t")
        yield fs


# -- what lies in the way


def test_symbolic_links_lead_nowhere(fs: LocalFileSystem, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (tmp_path / "root/t/dir").symlink_to(outside)
    (tmp_path / "root/t/file").symlink_to(outside / "secret")
    (tmp_path / "root/t/up").symlink_to("..")
    put(fs, "/t/plain")
    for path in ("/t/dir/secret", "/t/up/t/plain", "/t/dir/x"):
        for call in (fs.status, fs.open, fs.create, fs.mkdir, fs.delete):
            with pytest.raises((NotFound, NotADirectory)):
                call(path)
        with pytest.raises((NotFound, NotADirectory)):
            fs.rename("/t/plain", path)
        with pytest.raises((NotFound, NotADirectory)):
            fs.link("/t/plain", path)
        with pytest.raises((NotFound, NotADirectory)):
            fs.set_x_attr(path, {"note": b""})
    for path in ("/t/dir", "/t/file"):
        with pytest.raises(NotFound):
            fs.open(path)
        assert fs.status(path).kind is FileKind.OTHER
        with pytest.raises(NotADirectory):
            list(fs.list(path))
    kinds = {entry.name: (entry.kind, entry.status().kind) for entry in fs.list("/t")}
    assert kinds == {
        "dir": (FileKind.OTHER, FileKind.OTHER),
        "file": (FileKind.OTHER, FileKind.OTHER),
        "plain": (FileKind.FILE, FileKind.FILE),
        "up": (FileKind.OTHER, FileKind.OTHER),
    }
    put(fs, "/t/file", b"ours")  # replaces the link, not what it points to
    assert (outside / "secret").read_text() == "secret"
    fs.delete("/t/dir")
    assert sorted(os.listdir(outside)) == ["secret"]


@pytest.mark.parametrize("path", ["", "t", "//t", "/t/", "/t//x", "/t/../x", "/..", "/.", "/t/.", "/t/\0"])
def test_paths_that_are_none(fs: LocalFileSystem, path: str) -> None:
    for call in (fs.status, fs.open, fs.create, fs.mkdir, fs.delete, fs.list):
        with pytest.raises(InvalidPath):
            call(path)


def test_special_files_do_not_block(fs: LocalFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "root/t/fifo")
    monkeypatch.chdir(tmp_path / "root/t")  # a socket's path may have 107 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        for name in ("fifo", "socket"):
            assert fs.status(f"/t/{name}").kind is FileKind.OTHER
            with pytest.raises(NotFound):
                fs.open(f"/t/{name}")
            with pytest.raises(NotFound):
                fs.set_x_attr(f"/t/{name}", {"note": b""})
        assert [(entry.kind, entry.status().kind) for entry in fs.list("/t")] == [(FileKind.OTHER, FileKind.OTHER)] * 2
        fs.delete("/t/fifo")


def test_names_that_are_not_utf8_are_not_listed(fs: LocalFileSystem, tmp_path: Path) -> None:
    (tmp_path / "root/t").joinpath("ok").touch()
    with open(os.fsencode(tmp_path / "root/t") + b"/\xff\xfe", "w"):
        pass
    assert names(fs, "/t") == ["ok"]


def test_link_to_directory(fs: LocalFileSystem) -> None:
    with pytest.raises(IsADirectory):
        fs.link("/t", "/u")


def test_foreign_files_have_no_attributes(fs: LocalFileSystem, tmp_path: Path) -> None:
    (tmp_path / "root/t/f").write_text("abc")
    assert (fs.status("/t/f").len, fs.status("/t/f").x_attr) == (3, {})


# -- attribute records


def test_record_of_a_rewritten_file_does_not_count(tmp_path: Path) -> None:
    with closing(make(tmp_path, attribute_kind="records")) as fs:
        put(fs, "/f", b"1", s3=b"x")
        assert fs.status("/f").x_attr == {"user.s3": b"x"}
        (tmp_path / "f").write_text("2")
        assert fs.status("/f").x_attr == {}


def test_a_record_of_the_next_life_of_an_inode_stays(tmp_path: Path) -> None:
    """Between a removal and the end of its record, the number may have gone to a new file with a record of its own."""
    with closing(make(tmp_path, durability="none", attribute_kind="records")) as fs:
        (tmp_path / "f").write_bytes(b"x")
        fs.set_x_attr("/f", {"user.s3": b"old"})
        directory = os.open(tmp_path, os.O_RDONLY)
        try:
            victim = fs._attributes.victim(directory, "f")
        finally:
            os.close(directory)
        os.utime(tmp_path / "f", ns=(1, 1))  # another life, as far as records can tell
        fs.set_x_attr("/f", {"user.s3": b"new"})
        fs._attributes.forget(victim)
        assert fs.status("/f").x_attr == {"user.s3": b"new"}


def test_records_go_with_their_files(tmp_path: Path) -> None:
    with closing(make(tmp_path, durability="none", attribute_kind="records")) as fs:
        for _ in range(3):
            put(fs, "/f", b"1", s3=b"x")
        with pytest.raises(AlreadyExists):
            put(fs, "/f", b"1", RenameFlag.NO_REPLACE, s3=b"y")
        put(fs, "/g", b"1", s3=b"x")
        fs.rename("/g", "/f")
        fs.mkdir("/d", {"user.s3": b"d"})
        assert len(list((tmp_path / ".s3~/attributes").glob("*/*"))) == 2
        fs.delete("/f")
        fs.delete("/d")
    assert list((tmp_path / ".s3~/attributes").glob("*/*")) == []


def test_torn_record(tmp_path: Path) -> None:
    with closing(make(tmp_path, attribute_kind="records")) as fs:
        put(fs, "/f", b"1", s3=b"x")
        (record,) = (tmp_path / ".s3~/attributes").glob("*/*")
        for text in ("", "[]", '{"for": 1}', '{"for": [1, 1, 1], "x_attr": 3}'):
            record.write_text(text)
            if "[1" in text:
                assert fs.status("/f").x_attr == {}
            else:
                try:
                    assert fs.status("/f").x_attr == {}
                except Corrupt:
                    pass


# -- opening a store


def test_a_store_keeps_its_kind_of_attributes(tmp_path: Path) -> None:
    make(tmp_path, attribute_kind="records").close()
    assert json.loads((tmp_path / ".s3~/format.json").read_text()) == {"version": 1, "attributes": "records"}
    with closing(make(tmp_path)) as fs:
        assert fs.check()["attributes"] == "records"
    with pytest.raises(Unavailable, match="made with records attributes, not with native"):
        make(tmp_path, attribute_kind="native")


class NoAttributes(Kernel):
    def set_attribute(self, fd: int, name: bytes, value: bytes) -> None:
        raise OSError(errno.EOPNOTSUPP, "no")


def test_attribute_kind_is_found_out(tmp_path: Path) -> None:
    make(tmp_path / "native").close()
    with pytest.raises(Unavailable, match="made with native attributes, which"):
        make(tmp_path / "native", kernel=NoAttributes())
    with closing(make(tmp_path / "records", kernel=NoAttributes())) as fs:
        put(fs, "/f", s3=b"x")
        assert fs.status("/f").x_attr == {"user.s3": b"x"}


@pytest.mark.parametrize("text", ["", "[]", '{"version": 2, "attributes": "native"}', '{"version": 1}'])
def test_strange_format(tmp_path: Path, text: str) -> None:
    make(tmp_path).close()
    (tmp_path / ".s3~/format.json").write_text(text)
    with pytest.raises(Unavailable, match="format.json"):
        make(tmp_path)


def test_needs_exchange(tmp_path: Path) -> None:
    class NoExchange(Kernel):
        def rename(self, source: int, name: str, destination: int, new_name: str, flags: int = 0) -> None:
            if flags & RenameFlag.EXCHANGE:
                raise OSError(errno.EINVAL, "no")
            super().rename(source, name, destination, new_name, flags)

    with pytest.raises(Unavailable, match="cannot exchange two names .* keep the store on") as caught:
        make(tmp_path, kernel=NoExchange())
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path / ".s3~") == []


class NoCase(Kernel):
    def open(self, directory: int, name: bytes | str, flags: int, mode: int = 0o644) -> int:
        return super().open(directory, str(name).lower(), flags, mode)


class Normalising(Kernel):
    def open(self, directory: int, name: bytes | str, flags: int, mode: int = 0o644) -> int:
        return super().open(directory, unicodedata.normalize("NFD", str(name)), flags, mode)


class ShortNames(Kernel):
    def open(self, directory: int, name: bytes | str, flags: int, mode: int = 0o644) -> int:
        if len(str(name)) > 143:
            raise OSError(errno.ENAMETOOLONG, "too long")
        return super().open(directory, name, flags, mode)


class Seconds(Kernel):
    def set_mtime(self, fd: int, mtime_ns: int) -> None:
        super().set_mtime(fd, mtime_ns // 10**9 * 10**9)


@pytest.mark.parametrize(
    "kernel, fault",
    [
        (NoCase, "differ in case"),
        (Normalising, "normal form"),
        (ShortNames, "every name of 255 bytes"),
        (Seconds, "without milliseconds"),
    ],
)
def test_needs_exact_names_and_times(tmp_path: Path, kernel: type[Kernel], fault: str) -> None:
    with pytest.raises(Unavailable, match=fault) as caught:
        make(tmp_path, kernel=kernel())
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path / ".s3~") == []


def test_attributes_without_room_become_records(tmp_path: Path) -> None:
    class NoRoom(Kernel):
        def set_attribute(self, fd: int, name: bytes, value: bytes) -> None:
            if len(value) > 900:
                raise OSError(errno.ENOSPC, "no space")
            super().set_attribute(fd, name, value)

    with closing(make(tmp_path / "new", kernel=NoRoom())) as fs:
        assert fs.check()["attributes"] == "records"
    make(tmp_path / "old").close()
    with closing(make(tmp_path / "old", kernel=NoRoom())) as fs:
        assert fs.check()["attributes"] == "native"


def test_without_openat2(tmp_path: Path) -> None:
    class Filtered(Kernel):
        def openat2(self, directory: int, path: bytes, flags: int) -> int:
            raise OSError(errno.EPERM, "seccomp")

    with closing(make(tmp_path, kernel=Filtered())) as fs:
        assert fs.check()["paths"] == "walk"
        fs.mkdir("/d")
        put(fs, "/d/f", b"1")
        assert get(fs, "/d/f") == b"1"


def test_root_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable):
        make(tmp_path / "file")


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with closing(make(tmp_path)) as fs:
        fs.mkdir("/d", {"user.s3": b"1"})
        put(fs, "/d/f", b"1")
        with pytest.raises(NotFound):
            fs.open("/d/none")
        with pytest.raises(IsADirectory):
            fs.open("/d")
        with fs.lock("x"):
            next(fs.list("/d")).status()
        fs.create_parted("/p", 1)
        assert fs.open_part("/p", 0, 2) is None
        with fs.deferred():
            fs.delete("/d/f")
        with pytest.raises(NotFound), fs.deferred():
            fs.delete("/d")
            fs.delete("/d/none")
    assert os.listdir("/proc/self/fd") == before


def test_satisfies_the_interface(tmp_path: Path) -> None:
    """Checked by mypy."""
    fs: FileSystem = make(tmp_path)
    fs.close()
    assert sys.version_info >= (3, 11)


def test_attribute_past_the_usual_size(tmp_path: Path) -> None:
    """Where the file system takes it (ext4 has room for one block less a little, tmpfs and XFS for 64 KiB)."""
    with closing(make(tmp_path)) as fs:
        (tmp_path / "f").touch()
        try:
            os.setxattr(tmp_path / "f", "user.s3", b"x" * 5000)
        except OSError as error:
            pytest.skip(f"no room for it: {error.strerror}")
        assert fs.status("/f").x_attr == {"user.s3": b"x" * 5000}
