"""Every operation of the store on a directory, stopped before each of its system calls that change something.

Killed there (a forked process ends at once): what was acknowledged is there, what was not is there whole or not at
all, listings agree, the request can be sent again, left-overs go, the bucket can be deleted.  Refused there (no space,
an I/O error, no descriptors): the answer is an S3Error, the old state or (where only a flush failed) the new one is
there whole, and nothing else is left.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import curvinefs.local
import s3server.store.uploads
from curvinefs._linux import Kernel
from curvinefs.local import LocalFileSystem
from s3proto import commands as c
from s3proto import cors
from s3proto import errors as e
from s3proto.model import Checksums, Completed, CorsRule, DeleteEntry, ObjectAttributes
from s3server.store.sweep import Sweeper
from tests.local_kit import in_child
from tests.store_kit import Shop

FEW = ("overwrite", "turn", "delete inside", "complete in place")
NAMES = ("mkdir", "rename", "link", "unlink", "rmdir")
CONTENTS = ("pwrite", "write", "copy", "truncate", "set_mtime", "set_attribute", "remove_attribute")
FLUSHING = ("fsync", "identity")
REMOVING = ("unlink", "rmdir", "remove_attribute")
KILLED = 77
LATER = 8 * 86400.0

LONG = ObjectAttributes("text/x-long", metadata=(("m", "v" * 3000),))
SHORT = ObjectAttributes("text/x-short", metadata=(("m", "v"),))
TAGGED = ObjectAttributes("text/x-tagged", metadata=(("m", "v"),), tags=(("k", "v" * 250),))
OTHER = ObjectAttributes("text/x-other", metadata=(("m", "w" * 3000),))

State = dict[str, tuple[bytes, ObjectAttributes]]


class Stepping(Kernel):
    """Calls ``step`` with the name of each call that changes something (or belongs to flushing), before it."""

    def __init__(self, step: Callable[[str], None] | None = None) -> None:
        super().__init__()
        self.step = step
        for name in NAMES + CONTENTS + FLUSHING:
            setattr(self, name, self._stepped(name, getattr(self, name)))

    def _stepped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*args: Any) -> Any:
            self._step(name)
            return None if name == "fsync" else call(*args)  # the disk itself is not what is tried here

        return stepped

    def _step(self, name: str) -> None:
        if self.step is not None:
            self.step(name)

    def open(self, directory: int, name: bytes | str, flags: int, mode: int = 0o644) -> int:
        if flags & os.O_CREAT:
            self._step("open")
        return super().open(directory, name, flags, mode)


class Case(NamedTuple):
    name: str
    prepare: Callable[[Shop], None]
    operate: Callable[[Shop], None]
    """May be sent again after any failure; the outcome is the same."""


# ------------------------------------------------------------------------------------------- the operations


def puts(*objects: tuple[str, bytes, ObjectAttributes]) -> Callable[[Shop], None]:
    def put(shop: Shop) -> None:
        for key, body, attributes in objects:
            shop.put(key, body, attributes=attributes)

    return put


def deletes(*keys: str) -> Callable[[Shop], None]:
    def delete(shop: Shop) -> None:
        for result in shop.store.delete_objects(c.DeleteObjects("bkt", tuple(map(DeleteEntry, keys)))):
            if result.error is not None:
                raise result.error

    return delete


def copies(source: str, key: str, attributes: ObjectAttributes | None) -> Callable[[Shop], None]:
    def copy(shop: Shop) -> None:
        opened = shop.store.open_object(c.OpenObject("bkt", source))
        with closing(opened.content):
            shop.store.copy_object(c.CopyObject(opened, "bkt", key, attributes))

    return copy


def uploads(*sizes: int) -> Callable[[Shop], None]:
    def upload(shop: Shop) -> None:
        shop.put("u/k", b"old", attributes=LONG)
        upload_id = shop.upload("u/k", attributes=OTHER)
        for number, size in enumerate(sizes, 1):
            shop.part("u/k", upload_id, number, b"%d" % number * size)
        IDS[:] = [upload_id]

    return upload


IDS: list[str] = []
"""The upload that a case has begun, as its client knows it."""


def complete(shop: Shop) -> None:
    """As the core does: a repeat is answered from the record."""
    (upload_id,) = IDS
    if shop.store.head_upload(c.HeadUpload("bkt", "u/k", upload_id)).completed is None:
        shop.complete("u/k", upload_id)


def promised(*sizes: int) -> Callable[[Shop], None]:
    """With a Complete that was killed just before it published."""

    def promise(shop: Shop) -> None:
        uploads(*sizes)(shop)
        (upload_id,), store = IDS, shop.store.uploads
        contents = store.join("bkt", upload_id, store.chosen("bkt", upload_id, shop.parts("u/k", upload_id)), {}, 0)
        store.promise("bkt", "u/k", upload_id, Completed("etag", Checksums(), "digest"), contents)

    return promise


def abort(shop: Shop) -> None:
    with suppress(e.NoSuchUpload):
        shop.store.abort_multipart_upload(c.AbortMultipartUpload("bkt", "u/k", IDS[0]))


def send_part(number: int, size: int) -> Callable[[Shop], None]:
    def send(shop: Shop) -> None:
        shop.part("u/k", IDS[0], number, b"n" * size)
        assert number in [part.number for part in shop.parts("u/k", IDS[0])]

    return send


def make_another(shop: Shop) -> None:
    with suppress(e.BucketAlreadyOwnedByYou):
        shop.make("another")


def remove_another(shop: Shop) -> None:
    with suppress(e.NoSuchBucket):
        shop.store.delete_bucket(c.DeleteBucket("another"))


def another(shop: Shop) -> None:
    shop.make("another")
    shop.upload("k", "another")
    shop.fs.mkdir("/another/d")
    shop.fs.mkdir("/another/d/e")


def sets_rules(*ages: int) -> Callable[[Shop], None]:
    def set_rules(shop: Shop) -> None:
        rules = tuple(CorsRule(("*",), ("GET",), max_age=age) for age in ages)
        shop.store.put_bucket_cors(c.PutBucketCors("bkt", rules))

    return set_rules


def tags(key: str, count: int) -> Callable[[Shop], None]:
    given = tuple((f"key {n}", "value" * 40) for n in range(count))
    return lambda shop: shop.store.put_object_tagging(c.PutObjectTagging("bkt", key, given))


def nothing(shop: Shop) -> None: ...


CASES = [
    Case("put", nothing, puts(("k", b"1", SHORT))),
    Case("put deep, large, long", nothing, puts(("x/y/k", b"1" * 3000, LONG))),
    Case("put an escaped marker", nothing, puts(("//.s3~x/", b"", SHORT))),
    Case("overwrite", puts(("k", b"1", LONG)), puts(("k", b"2" * 3000, OTHER))),
    Case("overwrite, short", puts(("k", b"1", LONG)), puts(("k", b"2", SHORT))),
    Case("turn", puts(("a", b"1", LONG)), puts(("a/b", b"2", SHORT))),
    Case("turn, deep", puts(("a/b", b"1", SHORT)), puts(("a/b/c/d", b"2", LONG))),
    Case("put inside", puts(("a/b", b"1", SHORT)), puts(("a", b"2", LONG))),
    Case("overwrite inside", puts(("a/b", b"1", SHORT), ("a", b"2", LONG)), puts(("a", b"3", OTHER))),
    Case("delete", puts(("d/e/k", b"1", LONG)), deletes("d/e/k")),
    Case("delete inside", puts(("a/b", b"1", SHORT), ("a", b"2", LONG)), deletes("a")),
    Case("delete below", puts(("a/b", b"1", SHORT), ("a", b"2", LONG)), deletes("a/b")),
    Case("delete some", puts(("a", b"1", SHORT), ("b/c", b"2", LONG), ("d", b"3", SHORT)), deletes("a", "b/c", "none")),
    Case("copy", puts(("k", b"1" * 3000, LONG)), copies("k", "c/k", None)),
    Case("copy onto itself", puts(("k", b"1", LONG)), copies("k", "k", OTHER)),
    Case("create an upload", nothing, lambda shop: print(shop.upload("u/k"))),
    Case("send a part", uploads(), send_part(1, 2000)),
    Case("send a small part", uploads(), send_part(1, 5)),
    Case("send a part again", uploads(2000, 2000), send_part(2, 2000)),
    Case("complete in place", uploads(2000, 2000, 5), complete),
    Case("complete by copying", uploads(2000, 2001), complete),
    Case("complete again in place", promised(2000, 2000, 5), complete),
    Case("complete again by copying", promised(2000, 2001), complete),
    Case("abort", uploads(2000, 5), abort),
    Case("create a bucket", nothing, make_another),
    Case("delete a bucket", another, remove_another),
    Case(
        "set an ACL",
        puts(("k", b"1", LONG)),
        lambda shop: shop.store.put_object_acl(c.PutObjectAcl("bkt", "k", "public-read")),
    ),
    Case("tag an object", puts(("k", b"1", SHORT)), tags("k", 1)),
    Case("give an object longer tags", puts(("k", b"1", LONG)), tags("k", 10)),
    Case("give an object no tags", puts(("k", b"1", TAGGED)), tags("k", 0)),
    Case("set CORS rules", nothing, sets_rules(1)),
    Case("set other CORS rules", sets_rules(1), sets_rules(2)),
    Case("delete CORS rules", sets_rules(1), sets_rules()),
]


# --------------------------------------------------------------------------------------------- looking


def opened(root: Path, kind: Any, kernel: Kernel | None = None) -> Shop:
    return Shop(LocalFileSystem(str(root), attribute_kind=kind, kernel=kernel or Stepping()))


def state_of(shop: Shop, bucket: str = "bkt") -> State:
    """By GET, HEAD and listings, which must agree; and the buckets that there are, with their CORS rules."""
    names = [each.info.name for each in shop.store.buckets.all()]
    found: State = {f"\0{name}": (rules_of(shop, name), SHORT) for name in names}
    keys = shop.keys(bucket)
    assert shop.keys(bucket, page=1) == keys
    for row in shop.rows(bucket):
        body = shop.get(row.key, bucket)
        info = shop.store.head_object(c.HeadObject(bucket, row.key))
        assert (row.size, row.etag, info.size, info.etag) == (len(body), info.etag, len(body), row.etag)
        assert info.attributes.metadata  # else it is somebody's plain file
        found[row.key] = body, info.attributes
    tops = sorted({key.partition("/")[0] + ("/" if "/" in key else "") for key in keys})
    page = shop.store.list_objects(c.ListObjects(bucket, "", "/", "", 1000))
    assert sorted([row.key for row in page.objects] + list(page.prefixes)) == tops
    return found


def rules_of(shop: Shop, bucket: str) -> bytes:
    rules = shop.store.get_bucket_cors(c.GetBucketCors(bucket, fresh=True))
    assert bool(rules) is bool(shop.store.buckets.find(bucket).documents)
    return cors.document(rules) if rules else b""


def check_mixture(found: State, before: State, after: State) -> None:
    for key in found.keys() | before.keys() | after.keys():
        assert found.get(key) in (before.get(key), after.get(key)), key


def check_end(shop: Shop, root: Path, after: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left but the objects; and when these are deleted, nothing."""
    monkeypatch.setattr(curvinefs.local, "_YOUNG_S", -1.0)
    Sweeper(shop.store, now=lambda: LATER + os.stat(root).st_ctime).inspect(repair=True)
    assert left_overs(root) == []
    assert state_of(shop) == after
    with_rules = [name for name, (rules, _) in after.items() if name[0] == "\0" and rules]
    assert len(list(root.glob(".s3~/b/*/cors/*"))) == len(with_rules)
    for bucket in [info.info.name for info in shop.store.buckets.all()]:
        deletes(*(key for key in after if key[0] != "\0"))(shop)
        shop.store.delete_bucket(c.DeleteBucket(bucket))
    Sweeper(shop.store, now=lambda: LATER + os.stat(root).st_ctime).inspect(repair=True)
    assert os.listdir(root) == [".s3~"]
    assert os.listdir(root / ".s3~" / "b") == [] if (root / ".s3~" / "b").exists() else True
    assert left_overs(root) == []


def left_overs(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in root.rglob("*") if ".s3~tmp." in path.name]


def tree(root: Path) -> list[str]:
    """All names but those of our state that is made once or belongs to uploads; a turned object under its own name."""
    found = (str(path.relative_to(root)) for path in root.rglob("*"))
    ours = re.compile(
        r"\.s3~(/(locks|b|b/[^/]*|b/.*/(side|uploads|done|cors|tags)|.*/uploads/.*|.*/done/.*|locks/names))?"
    )
    return sorted({name.removesuffix("/.s3~self") for name in found if not ours.fullmatch(name)})


@pytest.fixture(autouse=True)
def small_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3server.store.uploads, "MIN_PLACE", 1000)


def prepared(root: Path, kind: Any, case: Case, kernel: Kernel | None = None) -> Shop:
    shop = opened(root, kind, kernel)
    shop.make()
    case.prepare(shop)
    return shop


def outcome(root: Path, case: Case) -> State:
    """What the operation makes where nothing stops it."""
    with closing((shop := prepared(root, None, case)).store):
        case.operate(shop)
        return state_of(shop)


KINDS = [(case, "native") for case in CASES] + [(case, "records") for case in CASES if case.name in FEW]


@pytest.mark.parametrize("case, kind", KINDS, ids=[f"{case.name}-{kind}" for case, kind in KINDS])
def test_killed(tmp_path: Path, case: Case, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    after, code, steps = outcome(tmp_path / "whole", case), KILLED, 0
    while code == KILLED:
        root = tmp_path / str(steps)
        with closing((shop := prepared(root, kind, case)).store):
            before = state_of(shop)

        code = in_child(partial(die, root, kind, case, steps))
        assert code in (0, KILLED)
        with closing((shop := opened(root, kind)).store):
            found = state_of(shop)
            check_mixture(found, before, after)
            assert code == KILLED or found == after
            if case.operate is complete and found == after:
                check_repeat(shop, after)
            case.operate(shop)
            assert state_of(shop) == after
            check_end(shop, root, after, monkeypatch)
        steps += 1


def die(root: Path, kind: str, case: Case, steps: int) -> None:
    """Before the call that is numbered ``steps``, from 0."""
    numbers = itertools.count()
    kernel = Stepping()
    shop = opened(root, kind, kernel)

    def step(name: str) -> None:
        if name != "identity" and next(numbers) == steps:
            os._exit(KILLED)

    kernel.step = step
    case.operate(shop)


def check_repeat(shop: Shop, after: State) -> None:
    """A Complete that has published never does so again, whatever became of the object."""
    shop.put("u/k", b"newer")
    complete(shop)
    assert shop.get("u/k") == b"newer"
    body, attributes = after["u/k"]
    shop.put("u/k", body, attributes=attributes)


REFUSALS = {errno.ENOSPC: e.StorageFull, errno.EIO: e.InternalError, errno.EMFILE: e.SlowDown}
REFUSED = [(case, number) for case in CASES for number in REFUSALS if case.name in FEW or number == errno.ENOSPC]


class Refusing:
    """From a step on, nothing can be made any more, only removed."""

    def __init__(self, steps: int, number: int) -> None:
        self.left, self.number, self.refused = steps, number, False

    def __call__(self, name: str) -> None:
        if self.left <= 0 and name not in REMOVING:
            self.refused = True
            raise OSError(self.number, os.strerror(self.number))
        self.left -= 1


@pytest.mark.parametrize("case, number", REFUSED, ids=[f"{c.name}-{errno.errorcode[n]}" for c, n in REFUSED])
def test_refused(tmp_path: Path, case: Case, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    after, refused, steps = outcome(tmp_path / "whole", case), True, 0
    while refused:
        root, refusing, kernel = tmp_path / str(steps), Refusing(steps, number), Stepping()
        with closing((shop := prepared(root, None, case, kernel)).store):
            before, there = state_of(shop), tree(root)
            kernel.step = refusing
            try:
                case.operate(shop)
            except e.S3Error as error:
                assert type(error) is REFUSALS[number]
                kernel.step = None
                if state_of(shop) == before and case.operate is not remove_another:  # that took empty directories
                    assert tree(root) == there
            else:
                kernel.step = None
                assert state_of(shop) == after
            check_mixture(state_of(shop), before, after)
            case.operate(shop)
            assert state_of(shop) == after
            check_end(shop, root, after, monkeypatch)
        refused = refusing.refused
        steps += 1
