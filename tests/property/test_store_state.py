"""The store against a plain dict: any sequence of operations, on keys that get into each other's way."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from curvinefs.api import FileKind, FileSystem
from curvinefs.local import LocalFileSystem
from s3proto import commands as c
from s3proto import errors as e
from s3proto.model import DeleteEntry, ObjectAttributes, Pairs
from tests.sim.cluster import Cluster
from tests.store_kit import Shop

PARTS = ["", ".", "..", "a", "b", "a!", "a0", ".s3~self", "x" * 260, "é", "*"]
keys = st.lists(st.sampled_from(PARTS), min_size=1, max_size=4).map("/".join).filter(bool)
bodies = st.sampled_from([b"", b"x", b"y" * 999, b"z" * 3000])
tags = st.sampled_from([(), (("k", "v"),), tuple((f"{n}", "long" * 64) for n in range(10))])


def listed(model: dict[str, bytes], prefix: str, delimiter: str, after: str) -> list[str]:
    """What S3 lists, by the words of its documentation."""
    found: list[str] = []
    for key in sorted(model):
        if not key.startswith(prefix) or key <= after:
            continue
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        name = key if cut < 0 else key[: cut + len(delimiter)]
        if name == after and cut >= 0:
            continue
        if not found or found[-1] != name:
            found.append(name)
    return found


class StoreMachine(RuleBasedStateMachine):
    uploads = Bundle("uploads")

    @initialize()
    def begin(self) -> None:
        self.root = tempfile.mkdtemp()
        self.shop = Shop(self.open())
        self.shop.make()
        self.model: dict[str, bytes] = {}
        self.tags: dict[str, Pairs] = {}

    def open(self) -> FileSystem:
        return LocalFileSystem(self.root, durability="none")

    def teardown(self) -> None:
        if hasattr(self, "shop"):
            self.shop.store.close()
            shutil.rmtree(self.root)

    @rule(key=keys, body=bodies, given=tags, condition=st.sampled_from([None, "none", "match", "wrong"]))
    def put(self, key: str, body: bytes, given: Pairs, condition: str | None) -> None:
        attributes = ObjectAttributes(tags=given)
        conditions: dict[str, Any] = {}
        allowed = True
        if condition == "none":
            conditions, allowed = {"if_none_match": "*"}, key not in self.model
        elif condition == "match":
            conditions, allowed = {"if_match": "*"}, key in self.model
        elif condition == "wrong":
            conditions, allowed = {"if_match": "wrong"}, False
        if allowed:
            self.shop.put(key, body, attributes=attributes, **conditions)
            self.model[key], self.tags[key] = body, given
        else:
            with pytest.raises((e.PreconditionFailed, e.NoSuchKey)):
                self.shop.put(key, body, attributes=attributes, **conditions)

    @rule(key=keys, given=tags)
    def tag(self, key: str, given: Pairs) -> None:
        command = c.PutObjectTagging("bkt", key, given)
        if key in self.model:
            self.shop.store.put_object_tagging(command)
            self.tags[key] = given
        else:
            with pytest.raises(e.NoSuchKey):
                self.shop.store.put_object_tagging(command)

    @rule(key=keys)
    def delete(self, key: str) -> None:
        self.shop.delete(key)
        self.model.pop(key, None)

    @rule(some=st.lists(keys, max_size=4))
    def delete_some(self, some: list[str]) -> None:
        self.shop.store.delete_objects(c.DeleteObjects("bkt", tuple(DeleteEntry(k) for k in some)))
        for key in some:
            self.model.pop(key, None)

    @rule(source=keys, key=keys)
    def copy(self, source: str, key: str) -> None:
        try:
            opened = self.shop.store.open_object(c.OpenObject("bkt", source))
        except e.NoSuchKey:
            assert source not in self.model
            return
        self.shop.store.copy_object(c.CopyObject(opened, "bkt", key, None))
        opened.content.close()
        self.model[key], self.tags[key] = self.model[source], self.tags[source]

    @rule(target=uploads, key=keys)
    def begin_upload(self, key: str) -> tuple[str, str, dict[int, bytes]]:
        return key, self.shop.upload(key), {}

    @rule(upload=uploads, number=st.integers(1, 4), body=bodies)
    def part(self, upload: tuple[str, str, dict[int, bytes]], number: int, body: bytes) -> None:
        key, upload_id, parts = upload
        try:
            self.shop.part(key, upload_id, number, body)
        except e.NoSuchUpload:
            return
        parts[number] = body

    @rule(upload=uploads)
    def complete(self, upload: tuple[str, str, dict[int, bytes]]) -> None:
        key, upload_id, parts = upload
        try:
            chosen = self.shop.parts(key, upload_id)
        except e.NoSuchUpload:
            return
        assert [p.number for p in chosen] == sorted(parts)
        if chosen:
            self.shop.complete(key, upload_id, chosen)
            self.model[key], self.tags[key] = b"".join(parts[n] for n in sorted(parts)), ()

    @rule(
        prefix=st.one_of(st.just(""), keys),
        delimiter=st.sampled_from(["", "/", "a", "/a"]),
        after=st.one_of(st.just(""), keys),
    )
    def list(self, prefix: str, delimiter: str, after: str) -> None:
        answer = self.shop.store.list_objects(c.ListObjects("bkt", prefix, delimiter, after, 1000))
        assert sorted([r.key for r in answer.objects] + list(answer.prefixes)) == listed(
            self.model, prefix, delimiter, after
        )

    @invariant()
    def everything_is_there(self) -> None:
        if not hasattr(self, "shop"):
            return
        assert self.shop.keys() == sorted(self.model)
        assert self.shop.keys(page=1) == sorted(self.model)
        for key, body in self.model.items():
            assert self.shop.get(key) == body
            assert self.shop.store.head_object(c.HeadObject("bkt", key)).attributes.tags == self.tags[key]

    @invariant()
    def nothing_else_is_there(self) -> None:
        if hasattr(self, "shop"):
            assert not [path for path in self.walk("/bkt") if "/.s3~tmp." in path]

    def walk(self, path: str) -> Iterator[str]:
        for entry in self.shop.fs.list(path):
            yield f"{path}/{entry.name}"
            if entry.kind is FileKind.DIRECTORY:
                yield from self.walk(f"{path}/{entry.name}")


class CurvineStoreMachine(StoreMachine):
    def open(self) -> FileSystem:
        self.cluster = Cluster(Path(self.root))
        return self.cluster.client()

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "cluster"):
            self.cluster.__exit__(None, None, None)


StoreMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
CurvineStoreMachine.TestCase.settings = settings(max_examples=8, stateful_step_count=20, deadline=None)
TestStore = StoreMachine.TestCase
TestCurvineStore = CurvineStoreMachine.TestCase
