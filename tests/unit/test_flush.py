"""Which flushes a change makes and in which order; tools/powercut.py cuts the power for real."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

import curvinefs.local
from curvinefs._flush import SharedFlush
from curvinefs._linux import Kernel
from curvinefs.api import PartRef, RenameFlag
from curvinefs.local import LocalFileSystem
from tests.fs_conformance import MTIME, put
from tests.local_kit import make


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


def test_what_others_did_is_flushed(recorded: tuple[LocalFileSystem, Recorder]) -> None:
    fs, kernel = recorded
    fs.mkdir("/d/e")
    kernel.calls.clear()
    for path, flushed in (("/d/none", ["fsync d"]), ("/d/none/x/y", ["fsync d"]), ("/d/e", ["fsync e", "fsync d"])):
        fs.flush(path)
        assert kernel.calls == flushed
        kernel.calls.clear()
    with fs.deferred():
        fs.flush("/d/none")
        fs.flush("/d/nothing")
        assert kernel.calls == []
    assert kernel.calls == ["fsync d"]


def test_what_the_kernel_has_written_long_ago_is_not_flushed(
    recorded: tuple[LocalFileSystem, Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    fs, kernel = recorded
    monkeypatch.setattr(curvinefs.local, "_SETTLED_S", -1.0)
    fs.flush("/d/none")
    fs.flush("/")
    assert kernel.calls == []


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
    flushed, *rest = kernel.calls  # the record appears whole: flushed under another name, then renamed
    assert flushed.startswith("fsync .s3~tmp.") and rest == ["rename in d", "fsync d"]
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


# -- group commit


def test_late_ones_wait_for_the_next_flush() -> None:
    """The first runs alone; all who come while it runs are served by one more."""
    flush = SharedFlush()
    begun, go = threading.Event(), threading.Event()
    runs: list[str] = []

    def first() -> None:
        runs.append("first")
        begun.set()
        assert go.wait(30)

    with ThreadPoolExecutor(6) as pool:
        leader = pool.submit(flush.run, "key", first)
        assert begun.wait(30)
        late = [pool.submit(flush.run, "key", lambda: runs.append("late")) for _ in range(5)]
        flush.run("another", lambda: runs.append("another"))  # keys do not wait for each other
        while flush._rounds["key"].next is None:
            os.sched_yield()
        go.set()
        for future in [leader, *late]:
            future.result(30)
    assert runs[:2] == ["first", "another"]
    assert 1 <= runs.count("late") <= 5
    flush.run("key", lambda: runs.append("again"))
    assert runs[-1] == "again"


def test_a_failed_flush_fails_all_whom_it_served() -> None:
    flush = SharedFlush()
    begun, go = threading.Event(), threading.Event()

    def first() -> None:
        begun.set()
        assert go.wait(30)

    def broken() -> None:
        raise OSError(errno.EIO, "the disk is gone")

    with ThreadPoolExecutor(4) as pool:
        leader = pool.submit(flush.run, "key", first)
        assert begun.wait(30)
        late = [pool.submit(flush.run, "key", broken) for _ in range(3)]
        go.set()
        leader.result(30)
        for future in late:
            with pytest.raises(OSError, match="the disk is gone"):
                future.result(30)
    flush.run("key", lambda: None)  # the next one is judged for itself


def test_deferred_flushes_each_directory_once(recorded: tuple[LocalFileSystem, Recorder]) -> None:
    fs, kernel = recorded
    with fs.deferred():
        fs.mkdir("/d/e")
        fs.mkdir("/d/e/f")
        put(fs, "/d/e/f/x")
        put(fs, "/d/e/y")
    assert [call for call in kernel.calls if ".s3~tmp" not in call and call.startswith("fsync")] == [
        "fsync d",
        "fsync e",
        "fsync f",
    ]
    kernel.calls.clear()
    put(fs, "/d/e/f/z")
    assert kernel.calls[-2:] == ["rename in f", "fsync f"]  # the way is known


def test_many_directories_wait_for_few_descriptors(recorded: tuple[LocalFileSystem, Recorder]) -> None:
    fs, kernel = recorded
    before = len(os.listdir("/proc/self/fd"))
    with fs.deferred():
        for number in range(100):
            fs.mkdir(f"/d/{number}")
            put(fs, f"/d/{number}/f")
        assert len(os.listdir("/proc/self/fd")) - before <= 64
    assert len(os.listdir("/proc/self/fd")) == before
    flushed = {call for call in kernel.calls if call.startswith("fsync")}
    assert flushed >= {f"fsync {number}" for number in range(100)} | {"fsync d"}
