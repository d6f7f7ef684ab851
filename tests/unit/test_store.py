"""The object store on a directory and on a (simulated) Curvine cluster: every storage command.

What takes the fixture ``root`` looks at the directory itself and runs there only.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from curvinefs.api import RenameFlag
from curvinefs.local import LocalFileSystem
from s3proto import commands as c
from s3proto import errors as e
from s3proto.model import Access, DeleteEntry, ObjectAttributes
from s3server.store.state import owner_of
from s3server.store.sweep import Sweeper
from tests.sim.cluster import Cluster
from tests.store_kit import ALICE, ROOT, Shop

MIB = 1 << 20
ODD_KEYS = sorted(
    ["a", "a/b", "a/", "a//b", "/a", "../a", "./a", "a/./b", "a/../b", "a!", "a0", "x" * 300, "é/ü", "\n", "*"]
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "shop" in metafunc.fixturenames:
        kinds = ["directory"] if "root" in metafunc.fixturenames else ["directory", "curvine"]
        metafunc.parametrize("shop", kinds, indirect=True)


@pytest.fixture
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    with ExitStack() as stack:
        if request.param == "directory":
            root = tmp_path / "data"
            root.mkdir()
            shop = Shop(LocalFileSystem(str(root), durability="none"))
        else:
            shop = Shop(stack.enter_context(Cluster(tmp_path)).client())
        stack.callback(shop.store.close)
        shop.make()
        yield shop


def files(root: Path) -> list[str]:
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and ".s3~/" not in f"{p}/")


# ------------------------------------------------------------------------------------------------ buckets


def test_buckets_belong_to_their_makers(shop: Shop) -> None:
    with pytest.raises(e.BucketAlreadyOwnedByYou):
        shop.make()
    with pytest.raises(e.BucketAlreadyExists):
        shop.make(owner=owner_of("bob"))
    shop.make("bobs", owner_of("bob"))
    names = [b.name for b in shop.store.list_buckets(c.ListBuckets(ALICE)).buckets]
    assert names == ["bkt"]
    page = shop.store.list_buckets(c.ListBuckets(ROOT, limit=1))
    assert [b.name for b in page.buckets] == ["bkt"] and page.truncated
    assert shop.store.check_access(c.CheckAccess(ALICE, "s3:PutObject", "bobs", "k")) is Access.DENIED
    assert shop.store.check_access(c.CheckAccess(ROOT, "s3:PutObject", "bobs", "k")) is Access.OWNER
    with pytest.raises(e.NoSuchBucket):
        shop.store.check_access(c.CheckAccess(ALICE, "s3:GetObject", "none", "k"))
    others = c.CheckAccess(ALICE, "s3:GetObject", "bkt", "k", expected_owner="0" * 64)
    assert shop.store.check_access(others) is Access.DENIED


@pytest.mark.parametrize("name", [".s3~", "system", "..", "a/b", "Abc", "x"])
def test_what_is_not_a_bucket_name_is_no_bucket(shop: Shop, root: Path, name: str) -> None:
    (root / "system").mkdir(exist_ok=True)
    with pytest.raises(e.NoSuchBucket):
        shop.store.head_bucket(c.HeadBucket(name))


def test_delete_bucket_takes_empty_directories_and_left_overs(shop: Shop, root: Path) -> None:
    (root / "bkt" / "d" / "e").mkdir(parents=True)
    (root / "bkt" / "d" / ".s3~tmp.0123").write_bytes(b"x")
    shop.put("k", b"1")
    with pytest.raises(e.BucketNotEmpty):
        shop.store.delete_bucket(c.DeleteBucket("bkt"))
    shop.delete("k")
    upload = shop.upload("k")
    shop.store.delete_bucket(c.DeleteBucket("bkt"))
    assert not (root / "bkt").exists()
    with pytest.raises(e.NoSuchBucket):
        shop.store.delete_bucket(c.DeleteBucket("bkt"))
    shop.make()
    with pytest.raises(e.NoSuchUpload):
        shop.store.head_upload(c.HeadUpload("bkt", "k", upload))
    assert list((root / ".s3~" / "b").iterdir()) == []


def test_delete_bucket_takes_what_a_killed_turn_left(shop: Shop, root: Path) -> None:
    shop.put("a", b"1")
    (root / "bkt" / ".s3~tmp.0123").mkdir()
    os.link(root / "bkt" / "a", root / "bkt" / ".s3~tmp.0123" / ".s3~self")
    with pytest.raises(e.BucketNotEmpty):
        shop.store.delete_bucket(c.DeleteBucket("bkt"))
    shop.delete("a")
    shop.store.delete_bucket(c.DeleteBucket("bkt"))
    with pytest.raises(e.NoSuchBucket):
        shop.store.delete_bucket(c.DeleteBucket("bkt"))


def test_buckets_come_and_go_under_each_other(shop: Shop) -> None:
    """CreateBucket answers as if alone, that somebody has it, or that others were always quicker; DeleteBucket, that it
    is gone."""

    def churn(_: int) -> None:
        for _ in range(100):
            with suppress(e.BucketAlreadyOwnedByYou, e.OperationAborted):
                shop.make("churned")
            with suppress(e.NoSuchBucket):
                shop.store.delete_bucket(c.DeleteBucket("churned"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(churn, range(4)))


def test_a_bucket_deleted_under_a_put_fails_the_put(shop: Shop) -> None:
    spool = shop.spool(c.BodyTarget("bkt", "d/k"), b"x" * 5000)
    shop.store.delete_bucket(c.DeleteBucket("bkt"))
    with pytest.raises(e.NoSuchBucket):
        shop.store.put_object(c.PutObject("bkt", "d/k", spool, "0", ObjectAttributes()))
    spool.close()


def test_a_bucket_made_by_hand_is_the_administrators(shop: Shop, root: Path) -> None:
    (root / "plain").mkdir()
    (root / "plain" / "f.txt").write_bytes(b"hello")
    assert shop.store.head_bucket(c.HeadBucket("plain")).owner == ROOT.owner
    assert shop.get("f.txt", "plain") == b"hello"
    big = ObjectAttributes(metadata=(("m", "v" * 3000),))
    shop.put("long", b"1", "plain", big)
    os.rename(root / "plain", root / "moved")
    assert shop.store.head_object(c.HeadObject("moved", "long")).attributes == big


# ------------------------------------------------------------------------------------------------ objects


def test_odd_keys_live_side_by_side(shop: Shop) -> None:
    for key in ODD_KEYS:
        shop.put(key, key.encode())
    assert shop.keys() == ODD_KEYS
    assert shop.keys(page=1) == ODD_KEYS
    for key in reversed(ODD_KEYS):
        assert shop.get(key) == key.encode()
        shop.put(key, key.encode() * 900)
        assert shop.get(key) == key.encode() * 900
    for i, key in enumerate(ODD_KEYS):
        shop.delete(key)
        with pytest.raises(e.NoSuchKey):
            shop.get(key)
        assert shop.keys() == ODD_KEYS[i + 1 :]
    shop.store.delete_bucket(c.DeleteBucket("bkt"))


def test_either_order_of_object_and_prefix(shop: Shop, root: Path) -> None:
    shop.put("p", b"object first")
    shop.put("p/q", b"below")
    shop.put("r/s", b"below first")
    shop.put("r", b"object")
    assert [shop.get(k) for k in ("p", "p/q", "r", "r/s")] == [b"object first", b"below", b"object", b"below first"]
    assert files(root / "bkt") == ["p/.s3~self", "p/q", "r/.s3~self", "r/s"]
    with pytest.raises(e.NoSuchKey):
        shop.get("p/q/z")
    shop.delete("p/q")
    assert shop.get("p") == b"object first"
    shop.delete("p")
    assert not (root / "bkt" / "p").exists()


def test_plain_keys_are_plain_files(shop: Shop, root: Path) -> None:
    shop.put("dir/file.txt", b"x")
    assert (root / "bkt" / "dir" / "file.txt").read_bytes() == b"x"
    shop.delete("dir/file.txt")
    assert list((root / "bkt").iterdir()) == []


def test_directories_made_by_others_stay(shop: Shop, root: Path) -> None:
    (root / "bkt" / "theirs").mkdir()
    shop.put("theirs/ours/k", b"x")
    shop.delete("theirs/ours/k")
    assert [p.name for p in (root / "bkt").rglob("*")] == ["theirs"]


def test_a_failed_put_leaves_nothing(shop: Shop, root: Path) -> None:
    spool = shop.spool(c.BodyTarget("bkt", "x/y/z"), b"q" * 9000)
    assert files(root / "bkt") != []
    spool.close()
    assert list((root / "bkt").iterdir()) == []


def test_a_reader_keeps_its_version(shop: Shop) -> None:
    shop.put("k", b"old" * 1000)
    content = shop.store.open_object(c.OpenObject("bkt", "k")).content
    shop.put("k", b"new")
    shop.delete("k")
    assert shop.read(content) == b"old" * 1000
    content.close()


def test_attributes_come_back_short_and_long(shop: Shop, root: Path) -> None:
    short = ObjectAttributes("text/x", (("cache-control", "no-store"),), (("a", "ü"),), "STANDARD_IA")
    long = ObjectAttributes("text/x", (), tuple((f"n{i}", "v" * 100) for i in range(30)))
    shop.put("s", b"1", attributes=short)
    shop.put("l", b"22", attributes=long)
    for key, attributes in (("s", short), ("l", long)):
        assert shop.store.head_object(c.HeadObject("bkt", key)).attributes == attributes
        opened = shop.store.open_object(c.OpenObject("bkt", key))
        opened.content.close()
        assert opened.info.attributes == attributes
    os.rename(root / "bkt" / "l", root / "bkt" / "m")  # moved by hand: takes its side file over
    assert shop.store.head_object(c.HeadObject("bkt", "m")).attributes == long
    (row,) = (r for r in shop.rows() if r.key == "m")
    assert row.size == 2


def test_a_rewritten_file_is_foreign(shop: Shop, root: Path) -> None:
    etag = shop.put("k.html", b"one")
    (root / "bkt" / "k.html").write_bytes(b"two2")
    info = shop.store.head_object(c.HeadObject("bkt", "k.html"))
    assert info.etag != etag and "-" in info.etag and info.size == 4 and info.attributes.content_type == "text/html"
    assert shop.rows()[0].etag == info.etag


def test_links_and_special_files_are_no_objects(shop: Shop, root: Path) -> None:
    (root / "secret").write_bytes(b"s")
    (root / "bkt" / "link").symlink_to(root / "secret")
    (root / "bkt" / "dirlink").symlink_to(root)
    os.mkfifo(root / "bkt" / "fifo")
    assert shop.keys() == []
    for key in ("link", "dirlink/secret", "fifo"):
        with pytest.raises(e.NoSuchKey):
            shop.get(key)
    (root / "bkt" / "dir" / ".s3~self").mkdir(parents=True)
    (root / "bkt" / "dir" / ".s3~marker").mkdir()
    for key in ("dirlink/new", "link", "dirlink", "fifo", "dir", "dir/"):
        with pytest.raises(e.AccessDenied):
            shop.put(key, b"x")
    assert (root / "secret").read_bytes() == b"s" and (root / "bkt" / "link").is_symlink()


def test_versions_that_are_not_null_do_not_exist(shop: Shop) -> None:
    shop.put("k", b"x")
    assert shop.store.head_object(c.HeadObject("bkt", "k", "null")).size == 1
    with pytest.raises(e.NoSuchVersion):
        shop.store.head_object(c.HeadObject("bkt", "k", "abc"))
    shop.store.delete_object(c.DeleteObject("bkt", DeleteEntry("k", "abc")))
    assert shop.keys() == ["k"]


# --------------------------------------------------------------------------------------------- conditions


def test_conditions(shop: Shop) -> None:
    etag = shop.put("k", b"1", if_none_match="*")
    with pytest.raises(e.PreconditionFailed):
        shop.put("k", b"2", if_none_match="*")
    with pytest.raises(e.PreconditionFailed):
        shop.put("k", b"2" * 5000, if_match="no")
    with pytest.raises(e.NoSuchKey):
        shop.put("none", b"2", if_match="*")
    assert shop.get("k") == b"1"
    new = shop.put("k", b"2", if_match=etag)
    with pytest.raises(e.PreconditionFailed):
        shop.delete("k", if_match=etag)
    with pytest.raises(e.NoSuchKey):
        shop.delete("none", if_match=etag)
    shop.delete("k", if_match=new, if_size=1)
    assert shop.keys() == []


def test_if_none_match_where_only_a_directory_is(shop: Shop) -> None:
    shop.put("a/b", b"1")
    shop.put("a", b"2", if_none_match="*")
    with pytest.raises(e.PreconditionFailed):
        shop.put("a", b"3", if_none_match="*")


@pytest.mark.parametrize("key", ["k", "a"])
def test_one_winner_and_no_lost_update(shop: Shop, key: str) -> None:
    shop.put("a/b", b"makes a a directory")
    outcomes: list[object] = []

    def create() -> None:
        try:
            outcomes.append(shop.put(key, os.urandom(8), if_none_match="*"))
        except e.PreconditionFailed:
            pass

    def count() -> None:
        for _ in range(20):
            while True:
                info = shop.store.head_object(c.HeadObject("bkt", key))
                value = int(shop.get(key) or b"0")
                try:
                    shop.put(key, str(value + 1).encode(), if_match=info.etag)
                    break
                except e.PreconditionFailed:
                    continue

    run_all([create] * 8)
    assert len(outcomes) == 1
    shop.put(key, b"0")
    run_all([count] * 4)
    assert shop.get(key) == b"80"


def run_all(jobs: list) -> None:  # type: ignore[type-arg]
    failures: list[Exception] = []

    def guarded(job) -> None:  # type: ignore[no-untyped-def]
        try:
            job()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures and not any(t.is_alive() for t in threads), failures


def test_siblings_are_made_while_their_directory_is_cleaned(shop: Shop) -> None:
    def come_and_go(n: int) -> None:
        for i in range(60):
            key = f"d/e/{n}" if i % 3 else f"d/e/{n}/x"
            shop.put(key, b"x")
            assert shop.get(key) == b"x"
            shop.delete(key)

    run_all([lambda n=n: come_and_go(n) for n in range(4)])
    assert shop.keys() == []


def test_an_object_turns_into_a_directory_under_its_writers(shop: Shop) -> None:
    stop = threading.Event()
    shop.put("t", b"0")

    def overwrite() -> None:
        for i in range(1, 100):
            shop.put("t", str(i).encode())
            assert shop.get("t") == str(i).encode()

    def turn() -> None:
        while not stop.is_set():
            shop.put("t/x", b"x")
            shop.delete("t/x")

    turner = threading.Thread(target=turn)
    turner.start()
    try:
        run_all([overwrite])
    finally:
        stop.set()
        turner.join(30)
    assert shop.get("t") == b"99"


# ------------------------------------------------------------------------------------------------ copying


def test_copy_takes_bytes_and_attributes(shop: Shop) -> None:
    attributes = ObjectAttributes("a/b", metadata=(("x", "y"),))
    shop.put("k", b"data" * 999, attributes=attributes)
    source = shop.store.open_object(c.OpenObject("bkt", "k"))
    shop.put("k", b"changed meanwhile")
    info = shop.store.copy_object(c.CopyObject(source, "bkt", "deep/copy", None, "CRC32"))
    source.content.close()
    assert shop.get("deep/copy") == b"data" * 999 and info.attributes == attributes
    assert [a for a, _ in info.checksums.values] == ["CRC32"] and info.etag == source.info.etag


def test_a_foreign_file_is_hashed_when_copied(shop: Shop, root: Path) -> None:
    (root / "bkt" / "f").write_bytes(b"abc")
    source = shop.store.open_object(c.OpenObject("bkt", "f"))
    info = shop.store.copy_object(c.CopyObject(source, "bkt", "g", ObjectAttributes("x/y")))
    source.content.close()
    assert info.etag == "900150983cd24fb0d6963f7d28e17f72" and info.attributes.content_type == "x/y"


# ---------------------------------------------------------------------------------------------- multipart


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (2, 3, 1)])
def test_equal_parts_complete_without_copying(shop: Shop, root: Path, order: tuple[int, ...]) -> None:
    upload = shop.upload("d/big", attributes=ObjectAttributes("v/w"))
    bodies = {1: b"1" * MIB, 2: b"2" * MIB, 3: b"3" * 7}
    for number in order:
        shop.part("d/big", upload, number, bodies[number])
    base = next((root / ".s3~" / "b").iterdir()) / "uploads" / upload
    inode = (base / "data").stat().st_ino
    shop.complete("d/big", upload)
    assert shop.get("d/big") == b"".join(bodies.values())
    if order[0] == 1 and len(bodies[3]) > 1000:
        assert (root / "bkt" / "d" / "big").stat().st_ino == inode
    info = shop.store.head_object(c.HeadObject("bkt", "d/big", with_parts=True))
    assert info.parts is not None and [p.size for p in info.parts] == [MIB, MIB, 7]
    assert info.attributes.content_type == "v/w" and info.parts_count == 3
    assert not base.exists()
    repeat = shop.store.head_upload(c.HeadUpload("bkt", "d/big", upload))
    assert repeat.completed is not None and repeat.completed.etag == "etag-3"


def test_large_equal_parts_are_one_rename(shop: Shop, root: Path) -> None:
    upload = shop.upload("big")
    for number in (2, 1, 3):
        shop.part("big", upload, number, bytes([number]) * (MIB if number < 3 else MIB // 2))
    base = next((root / ".s3~" / "b").iterdir()) / "uploads" / upload
    inode = (base / "data").stat().st_ino
    shop.complete("big", upload)
    assert (root / "bkt" / "big").stat().st_ino == inode
    assert shop.get("big") == b"\1" * MIB + b"\2" * MIB + b"\3" * (MIB // 2)


def test_a_part_sent_again_wins(shop: Shop) -> None:
    upload = shop.upload("k")
    first = shop.part("k", upload, 1, b"1" * MIB)
    shop.part("k", upload, 2, b"2" * MIB)
    shop.part("k", upload, 1, b"9" * MIB)
    with pytest.raises(e.InvalidPart):
        shop.complete("k", upload, (first,))
    shop.complete("k", upload)
    assert shop.get("k") == b"9" * MIB + b"2" * MIB


@pytest.mark.parametrize("size", [10, MIB], ids=["small", "in-place"])
def test_one_part_from_many_at_once(shop: Shop, size: int) -> None:
    """The one that counts is whole, and what its ETag says."""
    upload = shop.upload("k")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: shop.part("k", upload, 1, bytes([n]) * size), range(16)))
    (part,) = shop.parts("k", upload)
    shop.complete("k", upload)
    body = shop.get("k")
    assert body == body[:1] * size and hashlib.md5(body).hexdigest() == part.etag


def test_a_refused_complete_keeps_every_part(shop: Shop) -> None:
    shop.put("k", b"old")
    upload = shop.upload("k")
    for number in (1, 2, 3):
        shop.part("k", upload, number, bytes([64 + number]) * MIB)
    two = shop.parts("k", upload)[:2]
    with pytest.raises(e.PreconditionFailed):
        shop.complete("k", upload, two, if_none_match="*")
    assert shop.get("k") == b"old"
    shop.complete("k", upload)
    assert shop.get("k") == b"A" * MIB + b"B" * MIB + b"C" * MIB


class Killed(BaseException):
    """In place of SIGKILL: nothing catches it."""


class DyingFileSystem(LocalFileSystem):
    """Dies before the rename or link that ``dies`` points out (source, destination)."""

    dies: Callable[[str, str], bool]

    def rename(self, source: str, destination: str, flags: RenameFlag = RenameFlag.REPLACE) -> None:
        if self.dies(source, destination):
            raise Killed
        super().rename(source, destination, flags)

    def link(self, source: str, destination: str) -> None:
        if self.dies(source, destination):
            raise Killed
        super().link(source, destination)


def complete_and_die(root: Path, upload: str, dies: Callable[[str, str], bool]) -> None:
    fs = DyingFileSystem(str(root), durability="none")
    fs.dies = dies
    dying = Shop(fs)
    with pytest.raises(Killed):
        dying.complete("k", upload)
    dying.store.close()


@pytest.mark.parametrize("sizes", [(MIB, MIB, 5), (MIB, MIB + 1), (10,)], ids=["joined", "copied", "small"])
def test_a_complete_killed_after_it_published(shop: Shop, root: Path, sizes: tuple[int, ...]) -> None:
    upload = shop.upload("k")
    for number, size in enumerate(sizes, 1):
        shop.part("k", upload, number, b"p" * size)
    parts = shop.parts("k", upload)
    complete_and_die(root, upload, lambda source, destination: source.endswith("/answer"))
    assert shop.get("k") == b"p" * sum(sizes)
    shop.put("k", b"newer")  # the object no longer tells
    assert shop.store.list_multipart_uploads(c.ListMultipartUploads("bkt")).uploads == ()
    for refused in (
        lambda: shop.complete("k", upload, parts),
        lambda: shop.store.abort_multipart_upload(c.AbortMultipartUpload("bkt", "k", upload)),
    ):
        with pytest.raises(e.NoSuchUpload):
            refused()
    for _ in range(2):  # the first finishes what was begun
        found = shop.store.head_upload(c.HeadUpload("bkt", "k", upload))
        assert found.completed is not None and found.completed.etag == f"etag-{len(sizes)}"
    assert shop.get("k") == b"newer"
    shop.delete("k")
    shop.store.delete_bucket(c.DeleteBucket("bkt"))


@pytest.mark.parametrize("sizes", [(MIB, MIB, 5), (MIB, MIB + 1), (10,)], ids=["joined", "copied", "small"])
def test_a_complete_killed_before_it_published(shop: Shop, root: Path, sizes: tuple[int, ...]) -> None:
    upload = shop.upload("k")
    for number, size in enumerate(sizes, 1):
        shop.part("k", upload, number, b"p" * size)
    complete_and_die(root, upload, lambda source, destination: destination == "/bkt/k")
    assert shop.store.head_upload(c.HeadUpload("bkt", "k", upload)).completed is None
    shop.part("k", upload, 1, b"q" * sizes[0])
    shop.complete("k", upload)
    assert shop.get("k") == b"q" * sizes[0] + b"p" * (sum(sizes) - sizes[0])


def test_some_of_the_parts_in_any_sizes(shop: Shop) -> None:
    upload = shop.upload("k")
    for number, size in ((1, 2 * MIB), (3, MIB), (7, 5), (9, 3 * MIB)):
        shop.part("k", upload, number, bytes([64 + number]) * size)
    chosen = tuple(p for p in shop.parts("k", upload) if p.number != 3)
    shop.complete("k", upload, chosen)
    assert shop.get("k") == b"A" * 2 * MIB + b"G" * 5 + b"I" * 3 * MIB


def test_upload_part_copy(shop: Shop) -> None:
    shop.put("src", b"0123456789")
    upload = shop.upload("k")
    source = shop.store.open_object(c.OpenObject("bkt", "src"))
    part = shop.store.upload_part_copy(c.UploadPartCopy("bkt", "k", upload, 1, source, 2, 5, "SHA256"))
    source.content.close()
    assert part.size == 5 and part.checksums[0][0] == "SHA256"
    shop.complete("k", upload)
    assert shop.get("k") == b"23456"


def test_uploads_are_bound_to_their_key_and_vanish_on_abort(shop: Shop) -> None:
    upload = shop.upload("k")
    for key, upload_id in (("other", upload), ("k", "../../x"), ("k", ""), ("k", "0" * 32)):
        with pytest.raises(e.NoSuchUpload):
            shop.store.head_upload(c.HeadUpload("bkt", key, upload_id))
        with pytest.raises(e.NoSuchUpload):
            shop.store.abort_multipart_upload(c.AbortMultipartUpload("bkt", key, upload_id))
    spool = shop.spool(c.BodyTarget("bkt", "k", upload, 1), b"x" * 5000)
    shop.store.abort_multipart_upload(c.AbortMultipartUpload("bkt", "k", upload))
    with pytest.raises(e.NoSuchUpload):
        shop.store.upload_part(c.UploadPart("bkt", "k", upload, 1, spool, "0"))
    spool.close()
    assert shop.store.list_multipart_uploads(c.ListMultipartUploads("bkt")).uploads == ()


def test_listing_uploads_page_by_page(shop: Shop) -> None:
    ids = [(key, shop.upload(key)) for key in ("a", "a", "b/1", "b/2", "c")]
    seen: list[tuple[str, str]] = []
    key, upload_id = "", ""
    while True:
        page = shop.store.list_multipart_uploads(c.ListMultipartUploads("bkt", "", "", key, upload_id, 2))
        seen += [(u.key, u.upload_id) for u in page.uploads]
        if not page.truncated:
            break
        key, upload_id = page.next_key, page.next_upload_id
    assert sorted(seen) == sorted(ids) and len(seen) == len(ids)
    rolled = shop.store.list_multipart_uploads(c.ListMultipartUploads("bkt", "", "/"))
    assert rolled.prefixes == ("b/",) and [u.key for u in rolled.uploads] == ["a", "a", "c"]


# ------------------------------------------------------------------------------------- deleting, sweeping


def test_batch_delete_tells_each_outcome(shop: Shop) -> None:
    shop.put("a", b"1")
    shop.put("b", b"2")
    entries = (DeleteEntry("a"), DeleteEntry("none"), DeleteEntry("b", if_match="x"))
    results = shop.store.delete_objects(c.DeleteObjects("bkt", entries))
    assert [type(r.error) for r in results] == [type(None), type(None), e.PreconditionFailed]
    assert shop.keys() == ["b"]


def test_the_sweep_takes_at_once_what_killed_writers_left_in_our_state(shop: Shop, root: Path) -> None:
    shop.put("k", b"1", attributes=ObjectAttributes(metadata=(("m", "v" * 3000),)))
    upload = shop.upload("u")
    shop.part("u", upload, 1, b"x")
    base = next((root / ".s3~" / "b").iterdir())
    (base / "uploads" / ".s3~tmp.1").mkdir()  # killed while it removed an upload
    left = {
        base / "side" / ".s3~tmp.1",
        base / "uploads" / upload / ".s3~tmp.1",
        base / "uploads" / ".s3~tmp.1" / "data",
    }
    for path in left:
        path.write_bytes(b"x")
    sweeper = Sweeper(shop.store)
    assert len(sweeper.inspect(repair=False)) == 3 and all(path.exists() for path in left)
    assert len(sweeper.inspect(repair=True)) == 3 and not any(path.exists() for path in left)
    assert sweeper.inspect(repair=False) == []
    shop.complete("u", upload)
    assert shop.store.head_object(c.HeadObject("bkt", "k")).attributes.metadata


def test_the_sweep_takes_left_overs_and_nothing_else(shop: Shop, root: Path) -> None:
    long = ObjectAttributes(metadata=(("m", "v" * 3000),))
    shop.put("d/k", b"1", attributes=long)
    shop.put("gone", b"1", attributes=long)
    shop.put("gone", b"2")
    (root / "bkt" / "d" / ".s3~tmp.dead").write_bytes(b"x")
    spool = shop.spool(c.BodyTarget("bkt", "d/live"), b"x" * 5000)
    upload = shop.upload("u")
    later = Sweeper(shop.store, now=lambda: time.time() + 8 * 86400)
    found = {f.what for f in later.inspect(repair=False)}
    assert len(found) == 3
    later.inspect(repair=True)
    assert not (root / "bkt" / "d" / ".s3~tmp.dead").exists()
    shop.store.put_object(c.PutObject("bkt", "d/live", spool, "0", ObjectAttributes()))
    spool.close()
    assert shop.keys() == ["d/k", "d/live", "gone"]
    assert shop.store.head_object(c.HeadObject("bkt", "d/k")).attributes == long
    with pytest.raises(e.NoSuchUpload):
        shop.store.head_upload(c.HeadUpload("bkt", "u", upload))
    side = next((root / ".s3~" / "b").iterdir()) / "side"
    assert len(list(side.iterdir())) == 1
    assert later.inspect(repair=False) == []
