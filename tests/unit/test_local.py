"""The local file system: conformance in every mode, and what is its own: links, forks, faults, flushes."""

from __future__ import annotations

import errno
import json
import os
import resource
import socket
import sys
from collections.abc import Callable, Iterator
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
    LockTimeout,
    NoSpace,
    NotADirectory,
    NotFound,
    PartRef,
    RenameFlag,
    Unavailable,
)
from curvinefs.local import LocalFileSystem
from tests.fs_conformance import ATTRIBUTES, MTIME, FileSystemConformance, get, names, put

MODES: dict[str, dict[str, Any]] = {
    "full": {},
    "none": {"durability": "none"},
    "walk": {"durability": "none", "walk": True},
    "records": {"durability": "none", "attribute_kind": "records"},
}


def make(root: Path, **options: Any) -> LocalFileSystem:
    return LocalFileSystem(str(root), attributes=ATTRIBUTES, **options)


class TestConformance(FileSystemConformance):
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


# -- other processes


def in_child(work: Callable[[], None]) -> int:
    """Run in a forked process; answers its exit status once it has ended."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_writer_of_a_dead_process_is_abandoned(tmp_path: Path) -> None:
    with closing(make(tmp_path)) as fs:

        def work() -> None:
            fs.create("/.s3~tmp.1").write(b"half")
            os._exit(7)

        assert in_child(work) == 7
        assert fs.is_abandoned("/.s3~tmp.1", 3600)
        with closing(fs.create("/.s3~tmp.2")) as writer:
            writer.write(b"1")
            assert in_child(lambda: exit_unless(not fs.is_abandoned("/.s3~tmp.2", 0))) == 0
        # Empty and unlocked: its writer may be about to lock it.
        (tmp_path / ".s3~tmp.3").touch()
        assert not fs.is_abandoned("/.s3~tmp.3", 3600)
        assert fs.is_abandoned("/.s3~tmp.3", 0)
        fs.mkdir("/.s3~tmp.4")
        assert not fs.is_abandoned("/.s3~tmp.4", 3600)


def exit_unless(truth: bool) -> None:
    if not truth:
        os._exit(3)


def test_lock_of_a_dead_process_is_free(tmp_path: Path) -> None:
    with closing(make(tmp_path)) as fs:

        def work() -> None:
            fs.lock("k").__enter__()
            os._exit(7)

        assert in_child(work) == 7
        with fs.lock("k", 1.0):
            pass


def test_locks_and_forks(tmp_path: Path) -> None:
    with closing(make(tmp_path)) as fs:
        with fs.lock("k"):

            def work() -> None:
                try:
                    with fs.lock("k", 0.05):
                        os._exit(3)
                except LockTimeout:
                    pass
                with fs.lock("other", 1.0):
                    pass

            assert in_child(work) == 0
        with fs.lock("k", 1.0):
            pass


def test_processes_publish_one_winner(tmp_path: Path) -> None:
    with closing(make(tmp_path)) as fs:
        go, started = os.pipe()
        children = []
        for number in range(6):
            child = os.fork()
            if child == 0:
                code = 2
                try:
                    os.close(started)
                    os.read(go, 1)
                    put(fs, "/f", b"%d" % number, RenameFlag.NO_REPLACE)
                    code = 0
                except AlreadyExists:
                    pass
                finally:
                    os._exit(code)
            children.append(child)
        os.close(go)
        os.close(started)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        assert codes.count(0) == 1
        assert get(fs, "/f") == b"%d" % codes.index(0)
        assert names(fs, "/") == [".s3~", "f"]


def test_dead_part_writer_does_not_prevent_join(tmp_path: Path) -> None:
    with closing(make(tmp_path)) as fs:
        fs.create_parted("/p", 10)

        def work() -> None:
            writer = fs.open_part("/p", 1, 10)
            assert writer is not None
            writer.write(b"half")
            os._exit(7)

        assert in_child(work) == 7
        writer = fs.open_part("/p", 0, 10)
        assert writer is not None
        with closing(writer):
            writer.write(b"0123456789")
            part = PartRef(0, 10, writer.complete())
        assert fs.open_part("/p", 1, 10) is None
        assert fs.join_parts("/p", [part], {}, MTIME) is not None
        assert get(fs, "/p") == b"0123456789"


def test_part_writer_keeps_to_its_place(tmp_path: Path) -> None:
    with closing(make(tmp_path)) as fs:
        fs.create_parted("/p", 10)
        writer = fs.open_part("/p", 0, 10)
        assert writer is not None
        with closing(writer):
            with pytest.raises(ValueError):
                writer.write(b"x" * 11)
            with pytest.raises(ValueError):
                writer.complete()
        with pytest.raises(ValueError):
            fs.create_parted("/q", 0)


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


# -- flushes (tools/powercut.py cuts the power for real)


class Recorder(Kernel):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def _note(self, what: str, fd: int) -> None:
        self.calls.append(f"{what} {os.path.basename(os.readlink(f'/proc/self/fd/{fd}'))}")

    def fsync(self, fd: int) -> None:
        self._note("fsync", fd)

    def set_attribute(self, fd: int, name: bytes, value: bytes) -> None:
        self._note("attribute", fd)
        super().set_attribute(fd, name, value)

    def rename(self, source: int, name: str, destination: int, new_name: str, flags: int = 0) -> None:
        self._note("rename in", destination)
        super().rename(source, name, destination, new_name, flags)

    def unlink(self, directory: int, name: str) -> None:
        self._note("unlink in", directory)
        super().unlink(directory, name)


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[tuple[LocalFileSystem, Recorder]]:
    kernel = Recorder()
    with closing(make(tmp_path / "root", kernel=kernel)) as fs:
        fs.mkdir("/d")
        kernel.calls.clear()
        yield fs, kernel


def test_order_of_a_put(recorded: tuple[LocalFileSystem, Recorder]) -> None:
    fs, kernel = recorded
    with closing(fs.create("/d/.s3~tmp.1")) as writer:
        writer.write(b"1")
        writer.complete({"user.s3": b"x"}, MTIME)
        writer.rename("f")
    assert kernel.calls == ["attribute .s3~tmp.1", "fsync .s3~tmp.1", "rename in d", "fsync d"]


def test_new_directories_are_flushed_up_to_a_known_one(recorded: tuple[LocalFileSystem, Recorder]) -> None:
    fs, kernel = recorded
    with closing(make(Path(os.readlink(f"/proc/self/fd/{fs._volume.root.fd}")), durability="none")) as another:
        another.mkdir("/d/e")
        another.mkdir("/d/e/f")
        put(fs, "/d/e/f/x")
        assert kernel.calls[-4:] == ["rename in f", "fsync f", "fsync e", "fsync d"]
        kernel.calls.clear()
        put(fs, "/d/e/f/y")
        assert kernel.calls[-2:] == ["rename in f", "fsync f"]
        for path in ("/d/e/f/x", "/d/e/f/y", "/d/e/f"):
            another.delete(path)
        another.mkdir("/d/e/f")  # the same name, perhaps the same inode: not the same directory
        put(fs, "/d/e/f/x")
        assert kernel.calls[-3:] == ["rename in f", "fsync f", "fsync e"]


def test_mkdir_is_flushed(recorded: tuple[LocalFileSystem, Recorder]) -> None:
    fs, kernel = recorded
    fs.mkdir("/d/e")
    assert kernel.calls == ["fsync d"]
    kernel.calls.clear()
    put(fs, "/d/e/x")
    assert kernel.calls[-1] == "fsync e"  # nothing above again
    kernel.calls.clear()
    fs.mkdir("/d/g", {"user.s3": b"x"})
    assert [call.split()[0] for call in kernel.calls] == ["attribute", "fsync", "rename", "fsync"]
    assert kernel.calls[-1] == "fsync d"


def test_changes_of_names_are_flushed(recorded: tuple[LocalFileSystem, Recorder]) -> None:
    fs, kernel = recorded
    fs.mkdir("/e")
    put(fs, "/d/x")
    changes: list[tuple[Callable[[], None], list[str]]] = [
        (lambda: fs.link("/d/x", "/d/y"), ["fsync d"]),
        (lambda: fs.rename("/d/y", "/e/y"), ["fsync e", "fsync d"]),
        (lambda: fs.rename("/d/x", "/e/y", RenameFlag.EXCHANGE), ["fsync e", "fsync d"]),
        (lambda: fs.set_x_attr("/d/x", {"note": b""}), ["fsync x"]),
        (lambda: fs.delete("/d/x"), ["fsync d"]),
    ]
    for change, flushed in changes:
        kernel.calls.clear()
        change()
        assert [call for call in kernel.calls if call.startswith("fsync")] == flushed


def test_deferred_shares_flushes(recorded: tuple[LocalFileSystem, Recorder]) -> None:
    fs, kernel = recorded
    fs.mkdir("/e")
    for number in range(20):
        put(fs, f"/d/{number}")
        put(fs, f"/e/{number}")
    kernel.calls.clear()
    with fs.deferred():
        for number in range(20):
            fs.delete(f"/d/{number}")
            fs.delete(f"/e/{number}")
    assert kernel.calls == ["unlink in d", "unlink in e"] * 20 + ["fsync d", "fsync e"]


def test_parts_are_flushed(recorded: tuple[LocalFileSystem, Recorder]) -> None:
    fs, kernel = recorded
    fs.create_parted("/d/p", 4)
    assert kernel.calls == ["fsync p.parted", "fsync d"]
    kernel.calls.clear()
    writer = fs.open_part("/d/p", 0, 4)
    assert writer is not None
    with closing(writer):
        writer.write(b"1234")
        part = PartRef(0, 4, writer.complete())
    assert kernel.calls == ["fsync p", "fsync p.parted"]
    kernel.calls.clear()
    fs.join_parts("/d/p", [part], {"user.s3": b"x"}, MTIME)
    assert kernel.calls == ["attribute p", "fsync p"]


def test_none_flushes_nothing(tmp_path: Path) -> None:
    kernel = Recorder()
    with closing(make(tmp_path, durability="none", kernel=kernel)) as fs:
        kernel.calls.clear()
        fs.mkdir("/d", {"user.s3": b"x"})
        put(fs, "/d/f")
        fs.rename("/d/f", "/g")
        fs.delete("/g")
    assert not [call for call in kernel.calls if call.startswith("fsync")]


def test_satisfies_the_interface(tmp_path: Path) -> None:
    """Checked by mypy."""
    fs: FileSystem = make(tmp_path)
    fs.close()
    assert sys.version_info >= (3, 11)
