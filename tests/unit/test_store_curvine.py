"""The store on a simulated cluster: what a directory does not show."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from curvinefs.client import CurvineFileSystem
from curvinefs.curvine.errors import Kind, Refused
from curvinefs.curvine.retry import Code
from curvinefs.proto import curvine_pb2 as pb
from s3proto import commands as c
from s3proto import errors as e
from s3proto.model import DeleteEntry, Owner
from s3server.store.uploads import Uploads
from tests.sim.cluster import Cluster
from tests.sim.kit import pattern
from tests.sim.server import Fault
from tests.store_kit import PLAIN, Shop


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def fs(cluster: Cluster) -> Iterator[CurvineFileSystem]:
    with closing(cluster.client()) as fs:
        yield fs


@pytest.fixture
def shop(fs: CurvineFileSystem) -> Shop:
    shop = Shop(fs)
    shop.make()
    return shop


def foreign_directory(fs: CurvineFileSystem, path: str) -> None:
    options = pb.MkdirOptsProto(create_parent=False, mode=0o755, owner="", group="")
    fs._master.call(Code.MKDIR, pb.MkdirRequest(path=path, opts=options), pb.MkdirResponse)


def foreign_file(fs: CurvineFileSystem, path: str) -> None:
    """As other programs make it, before its first byte."""
    options = pb.CreateFileOptsProto(replicas=1, block_size=2**20, client_name="cli", create_parent=False)
    fs._master.call(Code.CREATE_FILE, pb.CreateFileRequest(path=path, opts=options, flags=0x41), pb.CreateFileResponse)


def test_names_that_no_file_system_has(fs: CurvineFileSystem, shop: Shop) -> None:
    """Curvine takes them, so other programs may have made them: they are passed by, and stop nothing."""
    shop.put("a", b"1")
    shop.put("z", b"2")
    for name in ("n\0ul", "x" * 4000, "gl*b", "g[a]", "back\\slash", "."):
        foreign_directory(fs, f"/bkt/{name}")
        foreign_file(fs, f"/bkt/{name}/f")
    for name in ("nul\0", "y" * 256, "\N{PILE OF POO}" * 64):
        foreign_file(fs, f"/bkt/{name}")
    assert shop.keys() == ["a", "z"]
    assert shop.keys(page=1) == ["a", "z"]


def test_file_that_another_program_is_writing(fs: CurvineFileSystem, shop: Shop) -> None:
    """It is an object with the bytes that are there so far, and can be replaced and deleted."""
    foreign_file(fs, "/bkt/f")
    assert [(row.key, row.size) for row in shop.rows()] == [("f", 0)]
    assert shop.get("f") == b""
    shop.put("f", b"new")
    assert shop.get("f") == b"new"
    foreign_file(fs, "/bkt/g")
    shop.put("g/h", b"below")
    assert shop.keys() == ["f", "g", "g/h"]
    shop.delete("g")
    assert shop.keys() == ["f", "g/h"]


def test_many_pages(fs: CurvineFileSystem, shop: Shop) -> None:
    names = sorted({f"k{number:04d}" for number in range(2100)} | {"k1000/x", "k1000!", "k0999/y"})
    for name in names:
        if "/" in name:
            shop.put(name, b"")
        else:
            foreign_file(fs, f"/bkt/{name}") if name not in ("k1000", "k0999") else shop.put(name, b"")
    assert shop.keys() == names
    assert shop.keys(page=999) == names


@pytest.mark.parametrize("sizes", [(100,), (2**20, 5), (2**20, 2**20 + 1), (2**20 + 1, 2**20, 7)])
def test_uploads_of_any_parts(shop: Shop, sizes: tuple[int, ...]) -> None:
    """Blocks have a least size: shorter parts are copied together."""
    upload = shop.upload("k")
    bodies = [pattern(size) for size in sizes]
    for number, body in enumerate(bodies, 1):
        shop.part("k", upload, number, body)
    shop.complete("k", upload)
    assert shop.get("k") == b"".join(bodies)


def test_lock_of_a_long_completion_lasts(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copying takes longer than the age at which others take a holder for dead."""
    renewing: list[bool] = []

    def copy(self: Uploads, *args: Any) -> None:
        renewing.append(any(thread.name == "renews a lock" for thread in threading.enumerate()))
        original(self, *args)

    original = Uploads.copy
    monkeypatch.setattr(Uploads, "copy", copy)
    upload = shop.upload("k")
    shop.part("k", upload, 1, b"small")
    shop.complete("k", upload)
    assert shop.get("k") == b"small" and renewing == [True]


@pytest.fixture
def other(cluster: Cluster) -> Iterator[Shop]:
    """Another gateway."""
    with closing(cluster.client()) as fs:
        yield Shop(fs)


def first_call(monkeypatch: pytest.MonkeyPatch, target: Any, name: str, before: Callable[[], object]) -> None:
    """Do something right before a method of ``target`` is called for the first time."""
    original = getattr(target, name)

    def method(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(target, name, original)
        before()
        return original(*args, **kwargs)

    monkeypatch.setattr(target, name, method)


def master_forgets_its_lock(
    cluster: Cluster,
    fs: CurvineFileSystem,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
    then: Callable[[], object] = lambda: None,
    *,
    forget: bool = True,
) -> None:
    """The master dies after it granted the next lock, right before ``change`` is asked of it; it may lose the lock."""

    def die() -> None:
        cluster.kill_master(forget=forget)
        cluster.start_master()
        then()

    def granted() -> None:
        cluster.keep()
        first_call(monkeypatch, fs._calls, change, die)

    first_call(monkeypatch, fs._calls, "set_lock", granted)


@pytest.mark.parametrize("key", ["k", "d"], ids=["file", "in a directory of its name"])
def test_one_winner_though_a_master_forgets_a_lock(
    cluster: Cluster, fs: CurvineFileSystem, shop: Shop, other: Shop, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    shop.put("d/x", b"")
    etag = shop.put(key, b"old")
    with fs.lock("warm"):
        pass
    won: list[str] = []
    master_forgets_its_lock(
        cluster, fs, monkeypatch, "rename", lambda: won.append(other.put(key, b"theirs", if_match=etag))
    )
    with pytest.raises(e.PreconditionFailed):
        shop.put(key, b"ours", if_match=etag)
    assert won and other.get(key) == b"theirs"


def test_delete_spares_what_came_when_a_master_forgot_its_lock(
    cluster: Cluster, fs: CurvineFileSystem, shop: Shop, other: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    etag = shop.put("k", b"old")
    with fs.lock("warm"):
        pass
    master_forgets_its_lock(cluster, fs, monkeypatch, "delete", lambda: other.put("k", b"theirs", if_match=etag))
    with pytest.raises(e.PreconditionFailed):
        shop.delete("k", if_match=etag)
    assert other.get("k") == b"theirs"


@pytest.mark.parametrize("change", ["put", "delete", "turn"])
def test_changes_go_on_when_a_master_forgets_their_lock(
    cluster: Cluster, fs: CurvineFileSystem, shop: Shop, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Under another lock, at once: the client notices nothing."""
    shop.put("k", b"old")
    with fs.lock("warm"):
        pass
    call = "delete" if change == "delete" else "rename"
    master_forgets_its_lock(cluster, fs, monkeypatch, call, forget=change != "turn")
    if change == "put":
        shop.put("k", b"new")
        assert shop.get("k") == b"new"
    elif change == "delete":
        shop.delete("k")
        assert shop.keys() == []
    else:
        shop.put("k/below", b"new")
        assert [shop.get(key) for key in shop.keys()] == [b"old", b"new"]


def test_delete_whose_answer_is_lost_spares_what_came_after(
    cluster: Cluster, fs: CurvineFileSystem, shop: Shop, other: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was done, its master died, and a new object, which needs no lock, took the name before anybody asked again."""
    shop.put("k", b"old")
    cluster.fault(Fault.LOSE_REPLY, Code.DELETE)
    cluster.fault(Fault.REFUSE, Code.DELETE, error=Refused(Kind.NOT_LEADER, "Not a leader master"))

    def sleep(seconds: float) -> None:
        patch.undo()
        other.put("k", b"new")

    with monkeypatch.context() as patch:
        patch.setattr("curvinefs.curvine.master.time.sleep", sleep)
        shop.delete("k")
    assert other.get("k") == b"new"


def test_object_in_a_directory_of_its_name_is_replaced_in_time(
    fs: CurvineFileSystem, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making the file that holds the directory may take long: others may have the lock by then."""
    shop.put("d/x", b"")
    etag = shop.put("d", b"old")
    body = shop.spool(c.BodyTarget("bkt", "d"), b"ours")
    monkeypatch.setattr("curvinefs.curvine.locks.SAFE_S", -1.0)
    with pytest.raises(e.SlowDown):
        shop.store.put_object(c.PutObject("bkt", "d", body, "0" * 32, PLAIN, if_match=etag))
    assert shop.get("d") == b"old"


def test_attribute_of_a_deleted_bucket_is_not_given_to_the_next_one(
    fs: CurvineFileSystem, shop: Shop, other: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next owner would lose it to the one before."""
    stranger = Owner("f" * 64, "stranger")
    lock = other.fs.lock
    monkeypatch.setattr(other.fs, "lock", lambda name, timeout_s=0.0: lock(name, 0.0))

    def replace_bucket() -> None:
        try:
            other.store.delete_bucket(c.DeleteBucket("bkt"))
        except e.SlowDown:
            return
        other.make("bkt", stranger)
        owners.append(stranger)

    first_call(monkeypatch, fs._calls, "set_attributes", replace_bucket)
    owners = [shop.store.buckets.find("bkt").info.owner]
    shop.store.put_bucket_acl(c.PutBucketAcl("bkt", "public-read"))
    assert other.store.buckets.find("bkt").info.owner == owners[-1]


@pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.LOSE_REQUEST])
def test_upload_whose_file_a_dying_master_may_have_made(cluster: Cluster, shop: Shop, fault: Fault) -> None:
    upload = shop.upload("k")
    cluster.fault(fault, Code.CREATE_FILE)
    cluster.fault(Fault.REFUSE, Code.CREATE_FILE, error=Refused(Kind.NOT_LEADER, "Not a leader master"))
    with pytest.raises(e.SlowDown):
        shop.part("k", upload, 1, bytes(2**20))
    shop.part("k", upload, 1, bytes(2**20))
    shop.part("k", upload, 2, b"end")
    shop.complete("k", upload)
    assert shop.get("k") == bytes(2**20) + b"end"


def nobody_answers(cluster: Cluster, fs: CurvineFileSystem, after: int = 0) -> list[tuple[int, int, int]]:
    """From the next request but ``after`` on; the requests."""
    fs._master._patience_s = 0.0
    requests = cluster.masters[0].server.requests
    requests.clear()
    cluster.fault(Fault.LOSE_REQUEST, skip=after, times=10**6)
    return requests


def test_outage_is_not_waited_out_for_each_key(cluster: Cluster, fs: CurvineFileSystem, shop: Shop) -> None:
    """Where a master hangs each of a thousand would take as long as a call may."""
    entries = [DeleteEntry(f"{number}") for number in range(50)]
    shop.put("0", b"")
    requests = nobody_answers(cluster, fs, after=1)
    results = shop.store.delete_objects(c.DeleteObjects("bkt", tuple(entries)))
    assert [(result.key, type(result.error)) for result in results] == [(each.key, e.SlowDown) for each in entries]
    assert len(requests) < 10


def test_outage_is_not_waited_out_for_each_directory(cluster: Cluster, fs: CurvineFileSystem, shop: Shop) -> None:
    requests = nobody_answers(cluster, fs)
    shop.store._publisher.clean(shop.spot("a/" * 50 + "k"))
    assert len(requests) < 10
