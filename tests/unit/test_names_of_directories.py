"""Listing: what is remembered of a directory, when, and how much."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from curvinefs import _listing
from curvinefs._listing import NameCache
from curvinefs.api import FileKind

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


def test_names_are_kept_until_the_directory_changes(opened: int, tmp_path: Path) -> None:
    cache = NameCache(100)
    names = cache.names(opened)
    assert (names.sorted, names.special) == (["a", "b", "c", "d"], {"d": FileKind.DIRECTORY})
    assert cache.names(opened) is names
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
