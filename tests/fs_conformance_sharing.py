"""What every FileSystem must do when several use it at once: parts, locks, races.  See ``fs_conformance``."""

from __future__ import annotations

import threading
from contextlib import closing
from functools import partial

import pytest

from curvinefs.api import (
    AlreadyExists,
    DirectoryNotEmpty,
    FileKind,
    FileSystem,
    LockTimeout,
    NotADirectory,
    NotFound,
    PartRef,
    RenameFlag,
)
from tests.fs_conformance import MTIME, Workspace, get, names, put, together


class SharingConformance(Workspace):
    """What threads and other gateways on the same store do to each other."""

    # -- is_abandoned

    def test_live_writer_is_not_abandoned(self, fs: FileSystem, other: FileSystem) -> None:
        with closing(fs.create("/t/.s3~tmp.1")) as writer:
            writer.write(b"1")
            assert not other.is_abandoned("/t/.s3~tmp.1", 3600)
        with pytest.raises(NotFound):
            fs.is_abandoned("/t/.s3~tmp.1", 3600)

    # -- parted files

    def part(self, fs: FileSystem, path: str, place: int, data: bytes) -> PartRef:
        writer = fs.open_part(path, place, len(data))
        assert writer is not None
        with closing(writer):
            writer.write(data[:3])
            writer.write(data[3:])
            return PartRef(place, len(data), writer.complete())

    def test_join(self, fs: FileSystem, other: FileSystem) -> None:
        fs.create_parted("/t/p", 10)
        assert (fs.parted_in("/t/p"), fs.parted_in("/t/none"), fs.parted_in("/t")) == (10, None, None)
        third = self.part(other, "/t/p", 2, b"cc")
        first = self.part(fs, "/t/p", 0, b"a" * 10)
        second = self.part(other, "/t/p", 1, b"b" * 10)
        with closing(fs.open_part_file("/t/p", second)) as file:
            buffer = memoryview(bytearray(100))
            assert file.status.len == 10
            assert bytes(buffer[: file.readinto(0, buffer)]) == b"b" * 10
            assert bytes(buffer[: file.readinto(7, buffer)]) == b"bbb"
        status = fs.join_parts("/t/p", [first, second, third], {"user.s3": b"x"}, MTIME)
        assert status is not None
        assert (status.len, status.mtime_ns, status.x_attr) == (22, MTIME, {"user.s3": b"x"})
        fs.rename("/t/p", "/t/f")
        assert fs.status("/t/f") == status
        assert get(fs, "/t/f") == b"a" * 10 + b"b" * 10 + b"cc"

    def test_join_keeps_complete_parts_beyond(self, fs: FileSystem) -> None:
        fs.create_parted("/t/p", 10)
        parts = [self.part(fs, "/t/p", place, b"%d" % place * 10) for place in range(4)]
        assert fs.join_parts("/t/p", parts[:2], {}, MTIME) is None
        assert fs.join_parts("/t/p", parts, {}, MTIME) is not None
        assert get(fs, "/t/p") == b"".join(b"%d" % place * 10 for place in range(4))

    def test_join_cuts_incomplete_parts_off(self, fs: FileSystem) -> None:
        fs.create_parted("/t/p", 10)
        zero = self.part(fs, "/t/p", 0, b"0" * 10)
        lost = fs.open_part("/t/p", 1, 10)
        assert lost is not None
        lost.write(b"lost")
        lost.close()
        assert fs.join_parts("/t/p", [zero], {}, MTIME) is not None
        assert get(fs, "/t/p") == b"0" * 10

    def test_join_may_be_repeated(self, fs: FileSystem) -> None:
        fs.create_parted("/t/p", 10)
        parts = [self.part(fs, "/t/p", 0, b"0123456789")]
        assert fs.join_parts("/t/p", parts, {}, MTIME) == fs.join_parts("/t/p", parts, {}, MTIME) != None  # noqa: E711

    def test_place_is_given_out_once(self, fs: FileSystem, other: FileSystem) -> None:
        fs.create_parted("/t/p", 10)
        writer = fs.open_part("/t/p", 0, 10)
        assert writer is not None
        assert other.open_part("/t/p", 0, 10) is None
        assert fs.open_part("/t/p", 0, 10) is None
        writer.close()  # without complete: lost
        assert fs.open_part("/t/p", 0, 10) is None
        assert fs.open_part("/t/p", 1, 11) is None

    def test_join_refused(self, fs: FileSystem) -> None:
        fs.create_parted("/t/p", 10)
        zero, one, three = (self.part(fs, "/t/p", index, b"%d" % index * 10) for index in (0, 1, 3))
        short = self.part(fs, "/t/p", 4, b"44")
        lost = fs.open_part("/t/p", 2, 10)
        assert lost is not None
        lost.close()
        for parts in (
            [one],
            [one, zero],
            [zero, three],
            [zero, one, PartRef(2, 10, zero.token), three],
            [zero, one._replace(size=11)],
            [zero._replace(size=5), one],
            [zero, one._replace(token="?")],
            [short],
        ):
            assert fs.join_parts("/t/p", parts, {}, MTIME) is None
        for part, data in ((zero, b"0" * 10), (three, b"3" * 10), (short, b"44")):
            with closing(fs.open_part_file("/t/p", part)) as file:
                buffer = memoryview(bytearray(10))
                assert bytes(buffer[: file.readinto(0, buffer)]) == data

    def test_live_writer_beyond_prevents_join(self, fs: FileSystem, other: FileSystem) -> None:
        fs.create_parted("/t/p", 10)
        zero = self.part(fs, "/t/p", 0, b"0" * 10)
        beyond = other.open_part("/t/p", 1, 10)
        assert beyond is not None
        with closing(beyond):
            assert fs.join_parts("/t/p", [zero], {}, MTIME) is None
            assert fs.open_part("/t/p", 7, 10) is None  # closed all the same

    def test_complete_but_open_writer_allows_join(self, fs: FileSystem) -> None:
        fs.create_parted("/t/p", 10)
        writer = fs.open_part("/t/p", 0, 3)
        assert writer is not None
        with closing(writer):
            writer.write(b"abc")
            assert fs.join_parts("/t/p", [PartRef(0, 3, writer.complete())], {}, MTIME) is not None
        assert get(fs, "/t/p") == b"abc"

    def test_part_copy_from(self, fs: FileSystem) -> None:
        put(fs, "/t/s", b"0123456789" * 1000)
        fs.create_parted("/t/p", 5000)
        writer = fs.open_part("/t/p", 0, 5000)
        assert writer is not None
        with closing(writer), closing(fs.open("/t/s")) as source:
            writer.copy_from(source, 5, 4990)
            writer.write(b"x" * 10)
            part = PartRef(0, 5000, writer.complete())
        assert fs.join_parts("/t/p", [part], {}, MTIME) is not None
        assert get(fs, "/t/p") == (b"0123456789" * 1000)[5:4995] + b"x" * 10

    def test_first_parts_come_together(self, fs: FileSystem, other: FileSystem) -> None:
        """Whoever makes the file, or is told that it is there, can open a part of it at once."""

        def send(store: FileSystem, path: str, place: int, parts: list[PartRef]) -> None:
            if store.parted_in(path) is None:
                try:
                    store.create_parted(path, 4)
                except AlreadyExists:
                    pass
            parts.append(self.part(store, path, place, b"%d" % place * 4))

        for turn in range(10):
            path, parts = f"/t/{turn}", list[PartRef]()
            together([partial(send, (fs, other)[place % 2], path, place, parts) for place in range(6)])
            assert fs.join_parts(path, sorted(parts), {}, MTIME) is not None
            assert get(fs, path) == b"000011112222333344445555"

    def test_parted_errors(self, fs: FileSystem) -> None:
        fs.create_parted("/t/p", 10)
        with pytest.raises(AlreadyExists):
            fs.create_parted("/t/p", 10)
        with pytest.raises(NotFound):
            fs.create_parted("/t/none/p", 10)
        with pytest.raises(NotFound):
            fs.open_part("/t/none", 0, 1)
        with pytest.raises(NotFound):
            fs.join_parts("/t/none", [], {}, MTIME)

    # -- locks

    def test_lock_excludes(self, fs: FileSystem, other: FileSystem) -> None:
        with fs.lock("/b/k") as held:
            held.check()
            for third in (fs, other):
                with pytest.raises(LockTimeout), third.lock("/b/k", 0.02):
                    raise AssertionError("two hold one lock")
            with other.lock("/b/other", 1.0), fs.lock("/b/third", 1.0):
                pass
        with other.lock("/b/k", 1.0):
            pass

    def test_lock_counts(self, fs: FileSystem, other: FileSystem) -> None:
        count = 0

        def add(store: FileSystem) -> None:
            nonlocal count
            for _ in range(20):
                with store.lock("count", 30.0):
                    seen = count
                    store.status("/t")
                    count = seen + 1

        together([lambda: add(fs), lambda: add(fs), lambda: add(other), lambda: add(other)])
        assert count == 80

    # -- races

    def test_no_replace_has_one_winner(self, fs: FileSystem, other: FileSystem) -> None:

        def publish(store: FileSystem, path: str, data: bytes, won: list[bytes]) -> None:
            try:
                put(store, path, data, RenameFlag.NO_REPLACE)
            except AlreadyExists:
                return
            won.append(data)

        for turn in range(10):
            path, won = f"/t/{turn}", list[bytes]()
            together([partial(publish, s, path, b"%d" % d, won) for d, s in enumerate((fs, other) * 4)])
            assert [get(fs, path)] == won

    def test_replacing_is_atomic(self, fs: FileSystem, other: FileSystem) -> None:
        """Data and attributes are of one version, and the name is never missing."""
        put(fs, "/t/f", b"0" * 1000, s3=b"0")
        done = threading.Event()

        def replace() -> None:
            try:
                for number in range(60):
                    digit = b"%d" % (number % 10)
                    put(fs, "/t/f", digit * 1000, s3=digit)
            finally:
                done.set()

        def read() -> None:
            while not done.is_set():
                with closing(other.open("/t/f")) as file:
                    buffer = memoryview(bytearray(1000))
                    file.readinto(0, buffer)
                    assert bytes(buffer) == file.status.x_attr["user.s3"] * 1000
                assert len(other.status("/t/f").x_attr) == 1

        together([replace, read, read])

    def test_exchange_is_atomic(self, fs: FileSystem, other: FileSystem) -> None:
        put(fs, "/t/f", b"f", s3=b"f")
        fs.mkdir("/t/d", {"user.s3": b"d"})
        done = threading.Event()

        def exchange() -> None:
            try:
                for _ in range(60):
                    fs.rename("/t/d", "/t/f", RenameFlag.EXCHANGE)
            finally:
                done.set()

        def look() -> None:
            while not done.is_set():
                status = other.status("/t/f")
                assert status.x_attr["user.s3"] == (b"f" if status.kind is FileKind.FILE else b"d")

        together([exchange, look])

    def test_directory_goes_or_holds(self, fs: FileSystem, other: FileSystem) -> None:
        """A delete of a directory against a publication in it: exactly one of them succeeds."""

        def publish(path: str, done: list[str]) -> None:
            try:
                put(fs, path + "/f", b"1")
            except NotFound:
                return
            done.append("published")

        def remove(path: str, done: list[str]) -> None:
            try:
                other.delete(path)
            except DirectoryNotEmpty:
                return
            done.append("removed")

        for turn in range(20):
            path, done = f"/t/{turn:02}", list[str]()
            fs.mkdir(path)
            together([partial(publish, path, done), partial(remove, path, done)])
            assert len(done) == 1
            assert (done == ["published"]) == (f"{turn:02}" in names(fs, "/t"))

    def test_delete_directory(self, fs: FileSystem, other: FileSystem) -> None:
        fs.mkdir("/t/d")
        put(fs, "/t/d/f")
        for path, error in (("/t/d", DirectoryNotEmpty), ("/t/d/f", NotADirectory), ("/t/none", NotFound)):
            with pytest.raises(error):
                fs.delete_directory(path)
        fs.delete("/t/d/f")
        other.delete_directory("/t/d")
        assert names(fs, "/t") == []

    def test_deleting_directories_takes_no_file(self, fs: FileSystem, other: FileSystem) -> None:
        """Several remove a directory, one of them makes a file of its name: that stays."""

        def remove(by: FileSystem) -> None:
            try:
                by.delete_directory("/t/d")
            except (NotFound, NotADirectory):
                pass

        def replace() -> None:
            remove(fs)
            put(fs, "/t/d", b"1")

        for _ in range(20):
            fs.mkdir("/t/d")
            together([partial(remove, other), replace, partial(remove, other)])
            assert get(fs, "/t/d") == b"1"
            fs.delete("/t/d")
