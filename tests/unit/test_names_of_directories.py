"""Listing: what is remembered of a directory, when, and how much."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from curvinefs import _listing
from curvinefs._attributes import NativeAttributes
from curvinefs._linux import Kernel
from curvinefs._listing import Directory, NameCache, StatusCache
from curvinefs.api import FileKind, FileStatus

LONG_AGO = 1_000_000_000


@pytest.fixture(autouse=True)
def every_directory_is_worth_keeping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_listing, "_WORTH_KEEPING", 1)
    monkeypatch.setattr(_listing, "_TICK_NS", -(10**12))  # as if every change were long ago


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[int]:
    for name in "cab":
        (tmp_path / name).touch()
    (tmp_path / "d").mkdir()
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def next_tick() -> None:
    """Until what changes now gets another ctime than what changed before."""
    now = time.clock_gettime_ns(_listing._CLOCK_REALTIME_COARSE)
    while time.clock_gettime_ns(_listing._CLOCK_REALTIME_COARSE) == now:
        time.sleep(0.001)


def test_names_are_kept_until_the_directory_changes(opened: int, tmp_path: Path) -> None:
    cache = NameCache(100)
    names = cache.names(opened)
    assert (names.sorted, names.special) == (["a", "b", "c", "d"], {"d": FileKind.DIRECTORY})
    assert cache.names(opened) is names
    next_tick()
    (tmp_path / "b").unlink()
    os.utime(tmp_path, (LONG_AGO, LONG_AGO))  # as rsync does: mtime is not to be believed
    assert cache.names(opened).sorted == ["a", "c", "d"]


def test_a_fresh_change_is_not_kept(opened: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another change in the same tick of the clock would not show."""
    monkeypatch.setattr(_listing, "_TICK_NS", 10**15)
    cache = NameCache(100)
    assert cache.names(opened) is not cache.names(opened)


def test_what_is_kept_is_bounded(tmp_path: Path) -> None:
    cache = NameCache(10)
    fds = []
    for number, count in enumerate((4, 4, 4, 11)):
        (tmp_path / str(number)).mkdir()
        for name in range(count):
            (tmp_path / str(number) / str(name)).touch()
        fds.append(os.open(tmp_path / str(number), os.O_RDONLY))
    first, second, third, large = fds
    kept = [cache.names(first), cache.names(second)]
    assert cache.names(first) is kept[0]
    third_names = cache.names(third)  # the second was used least recently
    assert cache.names(first) is kept[0]
    assert cache.names(third) is third_names
    assert cache.names(second) is not kept[1]
    assert cache.names(large) is not cache.names(large)
    assert cache._weight <= 10
    for fd in fds:
        os.close(fd)


def test_a_child_begins_with_nothing(opened: int) -> None:
    cache = NameCache(100)
    names = cache.names(opened)
    cache.reset()
    assert cache.names(opened) is not names


# -- what files were found to be


class Counting(NativeAttributes):
    """Tells how often something was read."""

    reads = 0

    def status(self, fd: int, found: os.stat_result | None = None) -> FileStatus:
        self.reads += 1
        return super().status(fd, found)


@pytest.fixture
def attributes() -> Counting:
    return Counting(Kernel(), ("user.s3",))


def statuses(directory: Path, attributes: Counting, cache: StatusCache) -> dict[str, tuple[int, bytes]]:
    """Size and attribute of each file, as a new listing tells them."""
    fd = os.open(directory, os.O_RDONLY)
    opened = Directory(Kernel(), fd, str(directory), attributes.status, cache)
    found = {entry.name: entry.status() for entry in opened.entries(_listing.read_names(fd), "")}
    return {name: (status.len, status.x_attr.get("user.s3", b"")) for name, status in found.items()}


def write(path: Path, size: int, attribute: bytes) -> None:
    path.write_bytes(b"x" * size)
    os.setxattr(path, "user.s3", attribute)


def test_files_are_read_once(tmp_path: Path, attributes: Counting) -> None:
    for number in range(30):
        write(tmp_path / f"{number:02d}", number, b"%d" % number)
    cache = StatusCache(100)
    expected = {f"{number:02d}": (number, b"%d" % number) for number in range(30)}
    for _ in range(3):
        assert statuses(tmp_path, attributes, cache) == expected
    assert attributes.reads == 30


@pytest.mark.parametrize("change", ["bytes", "attribute", "replaced", "linked over", "now a directory", "gone"])
def test_every_change_shows(tmp_path: Path, attributes: Counting, change: str) -> None:
    file, other = tmp_path / "f", tmp_path / "other"
    write(file, 5, b"old")
    times = file.stat()
    cache = StatusCache(100)
    assert statuses(tmp_path, attributes, cache)["f"] == (5, b"old")
    next_tick()
    expected: tuple[int, bytes] | None = (5, b"new")
    if change == "bytes":
        file.write_bytes(b"1234")
        expected = (4, b"old")
    elif change == "attribute":
        os.setxattr(file, "user.s3", b"new")
    elif change == "replaced":
        write(other, 5, b"new")
        other.rename(file)
    elif change == "linked over":
        write(other, 5, b"new")
        file.unlink()
        os.link(other, file)
    elif change == "now a directory":
        file.unlink()
        file.mkdir()
        expected = (0, b"")
    else:
        file.unlink()
        expected = None
    if file.is_file():
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # as rsync does
    assert statuses(tmp_path, attributes, cache).get("f") == expected


def test_a_fresh_file_is_read_again(tmp_path: Path, attributes: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another change in the same tick of the clock would not show."""
    monkeypatch.setattr(_listing, "_TICK_NS", 10**15)
    write(tmp_path / "f", 1, b"1")
    cache = StatusCache(100)
    for _ in range(2):
        statuses(tmp_path, attributes, cache)
    assert attributes.reads == 2


@pytest.mark.parametrize("capacity", [0, 10])
def test_files_kept_are_bounded(tmp_path: Path, attributes: Counting, capacity: int) -> None:
    for number in range(30):
        write(tmp_path / f"{number:02d}", number, b"")
    cache = StatusCache(capacity)
    for _ in range(2):
        statuses(tmp_path, attributes, cache)
        assert len(cache._kept) == capacity
