"""Parted files: faults, foreign or torn records, and writers against join_parts (conformance has the plain rows)."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from curvinefs.api import AlreadyExists, Corrupt, FileStatus, NoSpace, NotFound, PartRef
from curvinefs.local import LocalFileSystem
from tests.fs_conformance import MTIME, get, put, together
from tests.local_kit import Broken, make


def part(fs: LocalFileSystem, path: str, place: int, data: bytes) -> PartRef:
    writer = fs.open_part(path, place, len(data))
    assert writer is not None
    with closing(writer):
        writer.write(data)
        return PartRef(place, len(data), writer.complete())


def test_torn_record(tmp_path: Path) -> None:
    with closing(make(tmp_path)) as fs:
        fs.create_parted("/p", 10)
        ref = part(fs, "/p", 0, b"1")
        for text in (b"", b"parted1\n", b"something else that is long enough"):
            (tmp_path / "p.parted").write_bytes(text)
            with pytest.raises(Corrupt):
                fs.open_part("/p", 1, 10)
            with pytest.raises(Corrupt):
                fs.open_part_file("/p", ref)
            with pytest.raises(Corrupt):
                fs.join_parts("/p", [ref], {}, MTIME)
            with pytest.raises(Corrupt):
                fs.parted_in("/p")


def test_file_or_record_gone(tmp_path: Path) -> None:
    with closing(make(tmp_path)) as fs:
        put(fs, "/plain", b"1")
        fs.create_parted("/p", 10)
        ref = part(fs, "/p", 0, b"1")
        with pytest.raises(NotFound):
            fs.open_part_file("/plain", ref)
        assert fs.parted_in("/plain") is None
        fs.delete("/p")
        assert fs.parted_in("/p") is None
        with pytest.raises(NotFound):
            fs.open_part("/p", 1, 10)
        with pytest.raises(NotFound):
            fs.join_parts("/p", [ref], {}, MTIME)
        fs.delete("/p.parted")
        fs.create_parted("/p", 10)
        part(fs, "/p", 0, b"2")
        with pytest.raises(NotFound):
            fs.open_part_file("/p", ref)
        assert fs.join_parts("/p", [ref], {}, MTIME) is None
        fs.create_parted("/q", 10)
        ref = part(fs, "/q", 0, b"1")
        fs.delete("/q.parted")
        with pytest.raises(NotFound):
            fs.open_part_file("/q", ref)


@pytest.mark.parametrize("place", [-1, 1 << 20, 1 << 60])
def test_places_that_are_none(tmp_path: Path, place: int) -> None:
    with closing(make(tmp_path)) as fs:
        fs.create_parted("/p", 1 << 40)
        assert fs.open_part("/p", place, 10) is None
        assert (tmp_path / "p.parted").stat().st_size == 32


def test_faults(tmp_path: Path) -> None:
    kernel = Broken()
    with closing(make(tmp_path, kernel=kernel)) as fs:
        put(fs, "/s", b"0123456789")
        fs.create_parted("/p", 10)
        for place, (call, number, error) in enumerate(
            [("pwrite", errno.ENOSPC, NoSpace), ("copy", errno.EIO, Corrupt), ("fsync", errno.EIO, Corrupt)]
        ):
            writer = fs.open_part("/p", place, 10)
            assert writer is not None
            with closing(writer), closing(fs.open("/s")) as source:
                kernel.refused = {call: number}
                with pytest.raises(error):
                    if call == "pwrite":
                        writer.write(b"0123456789")
                    else:
                        writer.copy_from(source, 0, 10)
                    writer.complete()
                kernel.refused = {}
            assert fs.open_part("/p", place, 10) is None
        ref = PartRef(2, 10, "?")
        assert fs.join_parts("/p", [ref], {}, MTIME) is None
        kernel.refused = {"open": errno.ENOSPC}
        with pytest.raises(NoSpace):
            fs.create_parted("/q", 10)


def test_made_by_halves(tmp_path: Path) -> None:
    """A maker that was killed before its record was there is in nobody's way."""
    with closing(make(tmp_path)) as fs:
        (tmp_path / "p").touch()
        assert fs.parted_in("/p") is None
        fs.create_parted("/p", 10)
        assert fs.parted_in("/p") == 10
        put(fs, "/full", b"x")
        with pytest.raises(AlreadyExists):
            fs.create_parted("/full", 10)
        assert sorted(os.listdir(tmp_path)) == [".s3~", "full", "p", "p.parted"]


class Race:
    def __init__(self, fs: LocalFileSystem, other: LocalFileSystem, path: str, zero: PartRef) -> None:
        self.fs, self.other, self.path, self.zero = fs, other, path, zero
        self.joined = threading.Event()
        self.outcome: FileStatus | None = None

    def join(self) -> None:
        self.outcome = self.fs.join_parts(self.path, [self.zero], {}, MTIME)
        self.joined.set()

    def write(self, place: int) -> None:
        writer = self.other.open_part(self.path, place, 4)
        if writer is not None:
            with closing(writer):
                writer.write(b"%d" % place * 4)
                assert self.joined.wait(30)
                assert self.outcome is None
                writer.complete()


def test_joined_file_never_changes(tmp_path: Path) -> None:
    """Writers that claim places while the file is being joined: either they are in time to prevent it or too late."""
    with closing(make(tmp_path, durability="none")) as fs, closing(make(tmp_path, durability="none")) as other:
        for turn in range(30):
            path = f"/p{turn}"
            fs.create_parted(path, 4)
            zero = part(fs, path, 0, b"0000")
            race = Race(fs, other, path, zero)
            together([race.join, partial(race.write, 1), partial(race.write, 2)])
            if race.outcome is not None:
                assert get(fs, path) == b"0000"


def test_processes_share_the_places_out(tmp_path: Path) -> None:
    with closing(make(tmp_path, durability="none")) as fs:
        fs.create_parted("/p", 4)
        children = []
        for number in range(4):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    for place in range(20):
                        writer = fs.open_part("/p", place, 4)
                        if writer is not None:
                            with closing(writer):
                                writer.write(b"%04d" % number)
                                writer.complete()
                    code = 0
                finally:
                    os._exit(code)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
        last = part(fs, "/p", 20, b"")
        token = last.token.removesuffix(".20")
        assert fs.join_parts("/p", [PartRef(place, 4, f"{token}.{place}") for place in range(20)] + [last], {}, MTIME)
        data = get(fs, "/p")
        assert {data[first : first + 4] for first in range(0, 80, 4)} <= {b"%04d" % number for number in range(4)}
