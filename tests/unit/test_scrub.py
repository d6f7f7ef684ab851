"""Scrubbing: what is a finding and what is none, going on after an interruption, what is printed."""

from __future__ import annotations

import io
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from curvinefs.api import Corrupt, File, FsError, NotPermitted, NotServed, Unavailable
from curvinefs.local import LocalFileSystem
from s3proto import commands as c
from s3proto.model import Checksums, ObjectAttributes
from s3server import cli, scrub, scrub_report, scrub_state
from s3server.config import ServerConfig
from s3server.scrub_state import PAST, Position, Run
from s3server.store.examine import Examiner, Finding, Kind, Outcome, Verdict
from s3server.store.record import ATTRIBUTE, Record, encode
from tests.local_kit import make
from tests.sim.cluster import Cluster
from tests.sim.kit import pattern
from tests.store_kit import Shop

LONG = ObjectAttributes(metadata=(("note", "x" * 3000),))
"""Too long for an attribute: it lies in a side file."""
BODY = pattern(5000)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def shop(root: Path) -> Iterator[Shop]:
    with closing(make(root)) as fs:
        shop = Shop(fs)
        shop.make()
        yield shop


def examined(shop: Shop, key: str, take: Callable[[int], None] = lambda size: None) -> Verdict:
    return Examiner(shop.store, take).examine("bkt", key)


def flip(path: Path, at: int = 100) -> None:
    """Change a byte, as a disk does: the times of the file stay."""
    status = path.stat()
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def truncate(path: Path, size: int) -> None:
    status = path.stat()
    os.truncate(path, size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def upload(shop: Shop, key: str, *bodies: bytes) -> None:
    upload_id = shop.upload(key)
    for number, body in enumerate(bodies, 1):
        shop.part(key, upload_id, number, body)
    shop.complete(key, upload_id)


def sides(root: Path) -> list[Path]:
    return sorted(root.glob(".s3~/b/*/side/*"))


# ------------------------------------------------------------------------------------------------- one object


def test_what_is_as_it_was_written(shop: Shop) -> None:
    shop.put("empty", b"")
    shop.put("plain", BODY)
    shop.put("a", BODY)
    shop.put("a/b", BODY)
    shop.put("a/", BODY)
    shop.put("long", BODY, attributes=LONG)
    upload(shop, "parts", BODY, BODY[:1])
    for key in shop.keys():
        size = {"empty": 0, "parts": 5001}.get(key, 5000)
        assert examined(shop, key) == (Outcome.COMPARED, size, ()), key


def test_what_is_tagged_before_and_while_it_is_read(shop: Shop) -> None:
    shop.put("plain", BODY)
    shop.put("long", BODY, attributes=LONG)
    upload(shop, "parts", BODY, BODY)
    for tags in ((("k", "v"),), tuple((f"{n}", "v" * 250) for n in range(10)), ()):
        for key in shop.keys():
            whole = Outcome.COMPARED, 10_000 if key == "parts" else 5000, ()
            tag = partial(shop.store.put_object_tagging, c.PutObjectTagging("bkt", key, tags))
            assert examined(shop, key, once(tag)) == whole
            assert examined(shop, key) == whole


def test_a_flipped_byte(shop: Shop, root: Path) -> None:
    etag = shop.put("k", BODY)
    flip(root / "bkt/k")
    outcome, size, (finding,) = examined(shop, "k")
    assert (outcome, size) == (Outcome.COMPARED, 5000)
    assert finding[:4] == (Kind.ROTTED, "bkt", "k", etag)
    assert re.fullmatch("BLAKE3 [0-9a-f]{64}", finding.expected) and finding.found != finding.expected


def test_a_flipped_byte_in_a_part(shop: Shop, root: Path) -> None:
    upload(shop, "k", BODY, BODY, BODY)
    flip(root / "bkt/k", 5000)
    (finding,) = examined(shop, "k").findings
    assert finding.kind == Kind.ROTTED and finding.expected.startswith("part 2: BLAKE3 ")
    flip(root / "bkt/k", 14999)
    (finding,) = examined(shop, "k").findings
    assert finding.expected.startswith("part 2: ") and finding.found.endswith(" (and 1 more parts)")


def test_the_disk_is_read_and_nothing_stays_in_the_page_cache(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.put("k", bytes(3 << 20))
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda fd, offset, length, advice: told.append((offset, length)))
    examined(shop, "k", lambda size: told.append((-1, size)))
    read, mib = (-1, 1 << 20), 1 << 20
    assert told == [(0, 3 << 20), read, (0, mib), read, (mib, mib), read, (2 * mib, mib)]


@pytest.mark.parametrize("size", [0, 4999])
def test_a_truncated_file(shop: Shop, root: Path, size: int) -> None:
    shop.put("k", BODY)
    truncate(root / "bkt/k", size)
    outcome, _, (finding,) = examined(shop, "k")
    assert outcome is Outcome.UNREAD
    assert (finding.kind, finding.expected, finding.found) == (Kind.ROTTED, "5000 bytes", f"{size} bytes")


def test_a_side_file_that_is_missing_or_damaged(shop: Shop, root: Path) -> None:
    upload(shop, "parts", BODY, BODY)
    (side,) = sides(root)
    kept = side.read_bytes()
    for damaged, found in (
        (None, "no such file"),
        (b"\xff" + kept[1:], "damaged"),
        (kept[:-10], "damaged"),
        (kept.replace(b'"size":10000', b'"size":10001'), "of another version"),
        (kept.replace(b"[1,5000,", b"[1,5001,"), "parts of another length"),
    ):
        if damaged is None:
            side.unlink()
        else:
            side.write_bytes(damaged)
        outcome, size, (finding,) = examined(shop, "parts")
        assert (outcome, size, finding.kind) == (Outcome.PARTLY, 10000, Kind.RECORD)
        assert finding.found.endswith(found) and finding.expected == f"its side file {side.name}"
    side.write_bytes(kept)
    assert not examined(shop, "parts").findings
    # of an object that was written whole the attribute has the digest
    shop.put("long", BODY, attributes=LONG)
    for each in sides(root):
        each.unlink()
    flip(root / "bkt/long")
    outcome, _, findings = examined(shop, "long")
    assert outcome is Outcome.COMPARED and [finding.kind for finding in findings] == [Kind.RECORD, Kind.ROTTED]


def test_a_copy_by_other_programs_has_no_side_file(shop: Shop, root: Path) -> None:
    upload(shop, "k", BODY)
    value = shop.fs.status("/bkt/k").x_attr[ATTRIBUTE]
    (root / "bkt/copy").write_bytes(BODY)
    shop.fs.set_x_attr("/bkt/copy", {ATTRIBUTE: value})
    os.utime(root / "bkt/copy", ns=(0, (root / "bkt/k").stat().st_mtime_ns))
    assert examined(shop, "copy") == (Outcome.PARTLY, 5000, ())
    shop.delete("k")  # now it is one that was moved
    assert examined(shop, "copy") == (Outcome.COMPARED, 5000, ())
    assert b'"key":"k"' in sides(root)[0].read_bytes(), "and nothing was changed"


def test_files_of_other_programs(shop: Shop, root: Path) -> None:
    (root / "bkt/theirs").write_bytes(BODY)
    assert examined(shop, "theirs") == (Outcome.FOREIGN, 5000, ())
    shop.put("ours", BODY)
    (root / "bkt/ours").write_bytes(b"rewritten")
    os.utime(root / "bkt/ours", (1, 1))
    assert examined(shop, "ours") == (Outcome.REWRITTEN, 9, ())


def test_a_damaged_attribute(shop: Shop) -> None:
    shop.put("k", BODY)
    shop.fs.set_x_attr("/bkt/k", {ATTRIBUTE: b'{"etag'})
    outcome, _, (finding,) = examined(shop, "k")
    assert outcome is Outcome.PARTLY and finding.kind == Kind.RECORD and ATTRIBUTE in finding.expected


@pytest.mark.parametrize(
    ("known", "name"),
    [
        ({}, "MD5"),
        ({"etag": "x-1", "checksums": Checksums((("CRC32", "AAAA"), ("SHA256", "AAAA")), "FULL_OBJECT")}, "SHA256"),
        ({"etag": "x-1", "checksums": Checksums((("CRC32", "AAAA"),), "COMPOSITE")}, None),
        ({"etag": "x-1"}, None),
    ],
)
def test_the_strongest_digest_that_is_known(shop: Shop, root: Path, known: dict[str, Any], name: str | None) -> None:
    shop.put("k", BODY)
    record = shop.store.head_object(c.HeadObject("bkt", "k"))
    made = Record(record.etag, 5000, int(record.last_modified * 1000))
    shop.fs.set_x_attr("/bkt/k", {ATTRIBUTE: encode(replace(made, **known))})
    flip(root / "bkt/k")
    outcome, _, findings = examined(shop, "k")
    if name is None:
        assert (outcome, findings) == (Outcome.PARTLY, ())
    else:
        assert outcome is Outcome.COMPARED and findings[0].expected.startswith(f"{name} ")


# ------------------------------------------------------------------------------------------ changed meanwhile


def once(work: Callable[[], object]) -> Callable[[int], None]:
    """Done before the first byte is read."""
    waiting = [work]
    return lambda size: (waiting.pop()(), None)[1] if waiting else None


def test_what_is_changed_while_it_is_read(shop: Shop, root: Path) -> None:
    shop.put("k", BODY)
    flip(root / "bkt/k")
    assert examined(shop, "k", once(lambda: shop.put("k", b"new"))) == (Outcome.COMPARED, 3, ())
    shop.put("k", BODY)
    flip(root / "bkt/k")
    assert examined(shop, "k", once(lambda: shop.delete("k"))) == (Outcome.CHANGED, 0, ())
    shop.put("k", BODY)

    def cut() -> None:
        os.truncate(root / "bkt/k", 10)
        os.utime(root / "bkt/k", (1, 1))  # the kernel's clock may still show the millisecond of the PUT

    assert examined(shop, "k", once(cut)) == (Outcome.REWRITTEN, 10, ())

    def again(size: int) -> None:
        shop.put("k", os.urandom(5000))
        flip(root / "bkt/k")

    shop.put("k", BODY)
    flip(root / "bkt/k")
    assert examined(shop, "k", again) == (Outcome.CHANGED, 0, ())
    assert examined(shop, "never") == (Outcome.CHANGED, 0, ())
    assert Examiner(shop.store, lambda size: None).examine("no-bucket", "k").outcome is Outcome.CHANGED


# --------------------------------------------------------------------------------------------- not to be read


class Failing(LocalFileSystem):
    """Fails as it is told to: to open the file of a path, or to read it."""

    opening: dict[str, FsError] = {}
    reading: dict[str, FsError] = {}
    listing: dict[str, FsError] = {}
    down: FsError | None = None

    def open(self, path: str) -> Any:
        if path in self.opening:
            raise self.opening[path]
        file = super().open(path)
        return Unreadable(file, self.reading[path]) if path in self.reading else file

    def list(self, path: str, start: str = "") -> Any:
        if path in self.listing:
            raise self.listing[path]
        return super().list(path, start)

    def check(self) -> Any:
        if self.down:
            raise self.down
        return super().check()


class Unreadable:
    def __init__(self, file: File, error: FsError) -> None:
        self._file, self._error = file, error
        self.status, self.extents, self.close = file.status, file.extents, file.close

    def readinto(self, first: int, buffer: memoryview) -> int:
        raise self._error


@pytest.fixture
def failing(root: Path) -> Iterator[Failing]:
    with closing(Failing(str(root))) as fs:
        fs.opening, fs.reading, fs.listing = {}, {}, {}
        yield fs


def test_what_cannot_be_read(failing: Failing) -> None:
    shop = Shop(failing)
    shop.make()
    etag = shop.put("k", BODY)
    for error in (Corrupt("/bkt/k: Input/output error"), NotPermitted("/bkt/k: Permission denied"), Unavailable("?")):
        failing.opening, failing.reading = {"/bkt/k": error}, {}
        outcome, _, (finding,) = examined(shop, "k")
        assert outcome is Outcome.UNREAD
        assert finding[:4] == (Kind.UNREADABLE, "bkt", "k", etag) and finding.found == str(error)
        failing.opening, failing.reading = {}, {"/bkt/k": error}
        assert examined(shop, "k").findings == (finding,)
    failing.opening = {"/bkt/k": NotServed("mounted")}
    assert examined(shop, "k") == (Outcome.MOUNTED, 0, ())


def test_a_side_file_that_cannot_be_read(failing: Failing, root: Path) -> None:
    shop = Shop(failing)
    shop.make()
    upload(shop, "k", BODY)
    failing.opening = {f"/{sides(root)[0].relative_to(root)}": Corrupt("Input/output error")}
    outcome, _, (finding,) = examined(shop, "k")
    assert outcome is Outcome.PARTLY and finding.kind == Kind.UNREADABLE and "side file" in finding.expected


def test_a_store_that_does_not_answer_is_no_finding(failing: Failing) -> None:
    shop = Shop(failing)
    shop.make()
    shop.put("k", BODY)
    failing.opening, failing.down = {"/bkt/k": Unavailable("no leader")}, Unavailable("no leader")
    with pytest.raises(Unavailable):
        examined(shop, "k")


def test_replicas_that_are_gone(tmp_path: Path) -> None:
    """On a cluster where some worker is alive an object without any is a finding; where none is, it is the cluster."""
    with Cluster(tmp_path, workers=2) as cluster, closing(cluster.client()) as fs:
        shop = Shop(fs)
        shop.make()
        shop.put("k", BODY)
        (holder,) = (worker for worker in cluster.workers if worker.blocks())
        holder.server.stop()
        outcome, _, (finding,) = examined(shop, "k")
        assert (outcome, finding.kind) == (Outcome.UNREAD, Kind.UNREADABLE) and finding.etag
        for worker in cluster.workers:
            worker.server.stop()
        cluster.state.workers.clear()
        with pytest.raises(Unavailable):
            examined(shop, "k")


# ------------------------------------------------------------------------------------------------ the command


class Command:
    """``scrub`` in this process, on the store of a shop that is open meanwhile."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *words: str) -> int:
        try:
            code = cli.main(["scrub", *words])
        except SystemExit as ended:
            assert isinstance(ended.code, int)
            code = ended.code
        self.out, self.err = self._capsys.readouterr()
        return code

    @property
    def positions(self) -> list[Path]:
        return sorted(self.home.glob("curvine-s3-gateway.scrub.*"))


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.setenv("CURVINE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    return Command(tmp_path, capsys)


def test_a_clean_store(command: Command, shop: Shop) -> None:
    shop.put("a", BODY)
    shop.put("b/c", BODY)
    shop.make("other")
    shop.put("d", BODY, "other")
    assert command() == 0
    first, *rest = command.out.splitlines()
    assert re.fullmatch(r"Scrubbed file://\S+/data in \d+ s: 3 objects, 14\.6 KiB, 0 findings", first)
    assert rest == ["           3  compared with their digests"] and command.err == "" and not command.positions
    assert command("--bucket", "other") == 0
    assert re.match(r"Scrubbed \S+, bucket other in \d+ s: 1 object, 4\.9 KiB, 0 findings\n", command.out)


def test_findings_are_reported(command: Command, shop: Shop, root: Path) -> None:
    etag = shop.put("k\n\x1b", BODY)
    shop.put("good", BODY)
    flip(root / "bkt/k\n\x1b")
    assert command() == 1
    assert r"curvine-s3-gateway: rotted: s3://bkt/k\n\x1b: BLAKE3 " in command.err
    lines = command.out.splitlines()
    assert lines[1] == "           2  compared with their digests"
    assert lines[3] == r"ROTTED  s3://bkt/k\n\x1b"
    assert lines[4].startswith(f'  version:  ETag "{etag}", last modified 20') and lines[4].endswith(" UTC")
    assert lines[5].startswith("  expected: BLAKE3 ") and lines[6].startswith("  found:    BLAKE3 ")
    assert lines[-1] == "rotted: 1" and not command.positions


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--bucket", "none"], "there is no bucket 'none' in file://"),
        (["--bucket", "b"], "there is no bucket 'b'"),
        (["--rate", "0"], "--rate: '0' must be"),
        (["--rate", "x"], "--rate: 'x' must be"),
        (["stray"], "stray"),
    ],
)
def test_mistakes(command: Command, shop: Shop, words: list[str], says: str) -> None:
    assert command(*words) == 2 and says in command.err and not command.positions


def test_a_store_that_is_not_there(command: Command, root: Path) -> None:
    assert command() == 1 and "there is no such directory" in command.err and not root.exists()
    root.write_text("a file")
    assert command() == 1 and command.err.count("\n") == 1


def test_help_teaches(command: Command) -> None:
    assert command("--help") == 0
    for word in ("--bucket", "--rate", "--restart", "rotted", "unreadable", "Ctrl-C", "130"):
        assert word in command.out


def test_one_at_a_time(command: Command, shop: Shop, tmp_path: Path) -> None:
    config = ServerConfig(home=tmp_path / "elsewhere", store=f"file://{tmp_path}/./data")
    with scrub_state.alone(config):
        assert command() == 1 and "another scrub of it is running" in command.err
    assert command() == 0


# ------------------------------------------------------------------------------------------------- going on


def interrupt(monkeypatch: pytest.MonkeyPatch, key: str, error: BaseException) -> list[str]:
    """Let ``error`` come when the scrub has come to a key; answers the keys that are examined."""
    examine, seen = Examiner.examine, []

    def examine_or_stop(self: Examiner, bucket: str, name: str) -> Verdict:
        seen.append(name)
        if name == key:
            raise error
        return examine(self, bucket, name)

    monkeypatch.setattr(Examiner, "examine", examine_or_stop)
    return seen


def test_it_goes_on_where_it_was_stopped(
    command: Command, shop: Shop, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("a", "b", "b/c", "d"):
        shop.put(key, BODY)
    flip(root / "bkt/a")
    with monkeypatch.context() as patch:
        interrupt(patch, "b/c", KeyboardInterrupt())
        assert command() == 130
    told = "(2 objects, 9.8 KiB, 1 finding)"
    assert command.out == ""
    assert f"stopped behind s3://bkt/b {told}: the same command goes on there" in command.err
    (position,) = command.positions
    with monkeypatch.context() as patch:
        interrupt(patch, "", KeyboardInterrupt())
        assert command("--bucket", "bkt") == 1 and "going on" not in command.err, "that is another run"
    assert command.positions == [position]
    with monkeypatch.context() as patch:
        seen = interrupt(patch, "", KeyboardInterrupt())
        assert command() == 1
    assert seen == ["b/c", "d"] and f"going on behind s3://bkt/b {told}; --restart begins anew" in command.err
    assert ": 4 objects, 19.5 KiB, 1 finding\n" in command.out and "ROTTED  s3://bkt/a\n" in command.out
    assert not command.positions


def test_restart_begins_anew(command: Command, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in "abc":
        shop.put(key, BODY)
    with monkeypatch.context() as patch:
        interrupt(patch, "b", KeyboardInterrupt())
        assert command() == 130
    assert command("--restart") == 0 and ": 3 objects, " in command.out and command.err == ""


def test_a_position_that_cannot_be_read_counts_as_none(
    command: Command, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in "abc":
        shop.put(key, BODY)
    with monkeypatch.context() as patch:
        interrupt(patch, "b", KeyboardInterrupt())
        assert command() == 130
    kept = command.positions[0].read_bytes()
    for damaged in (b"", b"{}", b"[]", kept[:-1], kept.replace(b'"at"', b'"to"'), kept.replace(b"data", b"date")):
        command.positions[0].write_bytes(damaged)
        with monkeypatch.context() as patch:
            interrupt(patch, "b", KeyboardInterrupt())
            assert command() == 130 and "going on" not in command.err


def test_a_home_that_cannot_be_written(command: Command, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.put("a", BODY)
    monkeypatch.setenv("CURVINE_S3_STORE", f"file://{command.home}/data")
    (command.home / "file").touch()
    monkeypatch.setenv("CURVINE_HOME", str(command.home / "file"))
    assert command() == 0 and "this run cannot be gone on with when it is stopped" in command.err


def test_a_store_that_goes_down_ends_the_run(command: Command, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in "abc":
        shop.put(key, BODY)
    with monkeypatch.context() as patch:
        interrupt(patch, "b", Unavailable("no leader"))
        assert command() == 1
    assert "the store does not answer (no leader), stopped behind s3://bkt/a (1 object, " in command.err
    assert command() == 0 and "going on behind s3://bkt/a" in command.err and ": 3 objects, " in command.out


def test_a_directory_that_cannot_be_listed(command: Command, failing: Failing, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(failing)
    shop.make()
    shop.put("a", BODY)
    shop.put("b/c", BODY)
    shop.make("other")
    shop.put("d", BODY, "other")
    failing.listing = {"/bkt/b": Corrupt("/bkt/b: Input/output error")}
    monkeypatch.setattr(scrub, "open_store", lambda config: shop.store)
    assert command() == 1
    assert ": 2 objects, 9.8 KiB, 1 finding\n" in command.out and "UNREADABLE  s3://bkt/\n" in command.out
    assert "what comes behind s3://bkt/a was not read" in command.out and "Input/output error" in command.out


def test_a_listing_that_failed_is_not_tried_again(
    command: Command, failing: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(failing)
    for bucket in ("bkt", "more", "other"):
        shop.make(bucket)
        shop.put("a/b", BODY, bucket)
    failing.listing = {"/more/a": Corrupt("Input/output error")}
    monkeypatch.setattr(scrub, "open_store", lambda config: shop.store)
    monkeypatch.setattr(shop.store, "close", lambda: None)

    def seen_by(bucket: str) -> list[str]:
        seen: list[str] = []
        examine = Examiner.examine

        def examine_or_stop(self: Examiner, name: str, key: str) -> Verdict:
            seen.append(name)
            if name == bucket:
                raise KeyboardInterrupt
            return examine(self, name, key)

        with monkeypatch.context() as patch:
            patch.setattr(Examiner, "examine", examine_or_stop)
            command()
        return seen

    assert seen_by("other") == ["bkt", "other"] and "stopped behind the bucket more (1 object, " in command.err
    assert seen_by("none") == ["other"] and ": 2 objects, 9.8 KiB, 1 finding\n" in command.out
    assert not command.positions


def test_the_position_is_kept_now_and_then(command: Command, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in "abc":
        shop.put(key, BODY)
    kept: list[tuple[str, str]] = []
    save = Position.save

    def saved(self: Position, run: Run) -> None:
        save(self, run)
        found = self.load()
        assert found is not None
        kept.append(found.at)

    monkeypatch.setattr(scrub, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(Position, "save", saved)
    assert command() == 0
    assert list(dict.fromkeys(kept)) == [("", ""), ("bkt", "a"), ("bkt", "b"), ("bkt", "c")]


def test_no_more_are_begun_than_memory_is_for(command: Command, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        shop.put(f"k{number:02}", BODY)
    waited = threading.Event()
    begun: list[str] = []
    examine, targets = Examiner.examine, scrub._Scrub._targets

    def slow_first(self: Examiner, bucket: str, key: str) -> Verdict:
        if key == "k00":
            waited.wait(60)
        return examine(self, bucket, key)

    def now_waiting(*args: Any) -> Any:
        if not waited.is_set():
            begun.append("waiting")
        waited.set()
        return wait(*args)

    def noted(self: scrub._Scrub, bucket: str, key: str) -> Any:
        for target in targets(self, bucket, key):
            begun.append(target.key)
            yield target

    monkeypatch.setattr(scrub, "AHEAD", 5)
    monkeypatch.setattr(Examiner, "examine", slow_first)
    monkeypatch.setattr(scrub, "wait", now_waiting)
    monkeypatch.setattr(scrub._Scrub, "_targets", noted)
    assert command() == 0 and ": 20 objects, " in command.out
    assert begun.index("waiting") == 5


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    config = ServerConfig(home=tmp_path / "home", store="file:///data")
    finding = Finding(Kind.ROTTED, "bkt", "ключ\n", "e", 1.5, "x", "y")
    run = Run(("bkt", PAST), Counter({Outcome.COMPARED.value: 3}), 12, 1.5, [finding], 7)
    position = Position(config, None)
    position.save(run)
    assert position.load() == run
    assert Position(config, "bkt").load() is None
    position.remove()
    position.remove()
    assert position.load() is None


def test_findings_beyond_a_number_are_only_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrub_state, "KEPT_FINDINGS", 3)
    finding = Finding(Kind.UNREADABLE, "bkt", "k", "", 0.0, "x", "y")
    run = Run()
    for number in range(3):
        run.add(("bkt", str(number)), Verdict(Outcome.UNREAD, 1, (finding, finding)))
    assert (len(run.findings), run.unlisted, run.found, run.objects, run.at) == (3, 3, 6, 3, ("bkt", "2"))
    out = io.StringIO()
    scrub_report.report(out, "it", run)
    assert "... and 3 more, not listed" in out.getvalue() and "version:" not in out.getvalue()


# ------------------------------------------------------------------------------------------------- its pace


def test_the_rate_is_kept() -> None:
    pace = scrub.Pace(1)
    asked: list[float] = []

    def wait(timeout: float | None = None) -> bool:
        asked.append(timeout or 0.0)
        return False

    pace.stop.wait = wait  # type: ignore[method-assign]
    for _ in range(3):
        pace.take(1 << 20)
    assert pace.size == 3 << 20 and len(asked) == 2 and 1.0 < asked[1] <= 2.0


def test_readers_stop_when_they_are_told_to() -> None:
    for rate in (None, 1):
        pace = scrub.Pace(rate)
        pace.take(1 << 30)
        threading.Timer(0.05, pace.stop.set).start()
        with pytest.raises(scrub.Stopped):
            while True:
                pace.take(1 << 30)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    run, out = Run(), Terminal()
    progress = scrub_report.Progress(out, run)
    began = progress._next
    run.add(("bkt", "k"), Verdict(Outcome.COMPARED, 10 << 20))
    progress.show(began + 2, 10 << 20)
    progress.show(began + 2, 10 << 20)  # too soon
    assert out.getvalue() == "\r1 object, 10.0 MiB, 0 findings, 5 MiB/s\x1b[K"
    progress.rest = 2, 20 << 20
    progress.show(began + 4, 10 << 20)
    assert out.getvalue().endswith("\r1 object, 10.0 MiB, 0 findings, 2 MiB/s, 50%, 4 s left\x1b[K")
    progress.clear()
    assert out.getvalue().endswith("\r\x1b[K")


def test_progress_elsewhere() -> None:
    out = io.StringIO()
    progress = scrub_report.Progress(out, Run())
    began = progress._began
    for seconds in range(70):
        progress.show(began + seconds, 0)
    progress.clear()
    assert out.getvalue() == "0 objects, 0 bytes, 0 findings, 0 MiB/s\n" * 2


def test_what_is_left_is_counted_for_a_terminal(command: Command, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in "abc":
        shop.put(key, BODY)
    seen: list[tuple[int, int] | None] = []
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(scrub_report.Progress, "clear", lambda self: seen.append(self.rest))
    read_all = scrub._Scrub._read_all

    def when_counted(self: scrub._Scrub) -> None:
        for thread in threading.enumerate():
            if thread.name == "ahead":
                thread.join()
        read_all(self)

    monkeypatch.setattr(scrub._Scrub, "_read_all", when_counted)
    assert command() == 0
    assert seen == [(3, 15000)]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (119, "119 s"), (150, "2 min"), (7000, "117 min"), (9000, "2.5 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert scrub_report.duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1023, "1,023 bytes"), (1024, "1.0 KiB"), (2**40, "1.0 TiB"), (2**53, "8,192.0 TiB")],
)
def test_sizes(size: int, text: str) -> None:
    assert scrub_report.counted(Run(size=size)) == f"0 objects, {text}, 0 findings"


def test_one_name_of_a_store(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("data")
    names = {
        scrub_state.store_name(ServerConfig(store=f"file://{tmp_path}/{name}")) for name in ("data", "data/", "link")
    }
    assert len(names) == 1
    names = {scrub_state.store_name(ServerConfig(store=url)) for url in ("curvine://a:1,b/", "curvine://b:8995,a:1")}
    assert names == {"a:1 b:8995"}
