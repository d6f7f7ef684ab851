"""The local file system against a plain dict; group commit and listing against their definitions."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from curvinefs._flush import SharedFlush
from curvinefs._listing import NameCache
from curvinefs._paths import _pieces, relative
from curvinefs.api import (
    AlreadyExists,
    DirectoryNotEmpty,
    FileKind,
    FsError,
    InvalidPath,
    IsADirectory,
    NotADirectory,
    NotFound,
    RenameFlag,
)
from curvinefs.local import LocalFileSystem
from tests.fs_conformance import get, put

NAMES = ["a", "b", "a.", "\u00e9"]
PATHS = [f"/{one}" for one in NAMES] + [f"/{one}/{two}" for one in NAMES[:3] for two in NAMES]
paths = st.sampled_from(PATHS)
flags = st.sampled_from([RenameFlag.REPLACE, RenameFlag.NO_REPLACE, RenameFlag.EXCHANGE])

File = tuple[bytes, bytes]
"""Contents and attribute."""


class Model:
    """What the interface promises, on a dict of paths; None is a directory."""

    def __init__(self) -> None:
        self.there: dict[str, File | None] = {}

    def check_parent(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        if parent and parent not in self.there:
            raise NotFound(path)
        if parent and self.there[parent] is not None:
            raise NotADirectory(path)

    def at(self, path: str) -> File | None:
        self.check_parent(path)
        if path not in self.there:
            raise NotFound(path)
        return self.there[path]

    def below(self, path: str) -> dict[str, File | None]:
        return {name[len(path) :]: file for name, file in self.there.items() if name.startswith(path + "/")}

    def put(self, path: str, file: File, flag: RenameFlag) -> None:
        self.check_parent(path)
        if path in self.there and flag is RenameFlag.NO_REPLACE:
            raise AlreadyExists(path)
        if path in self.there and self.there[path] is None:
            raise IsADirectory(path)
        self.there[path] = file

    def mkdir(self, path: str) -> None:
        self.check_parent(path)
        if path in self.there:
            raise AlreadyExists(path)
        self.there[path] = None

    def delete(self, path: str) -> None:
        if self.at(path) is None and self.below(path):
            raise DirectoryNotEmpty(path)
        del self.there[path]

    def rename(self, source: str, destination: str, flag: RenameFlag) -> None:
        self.check_parent(source)
        self.check_parent(destination)
        moved = self.at(source)
        if flag is RenameFlag.NO_REPLACE and destination in self.there:
            raise AlreadyExists(destination)
        if flag is RenameFlag.EXCHANGE:
            self.at(destination)
        if source == destination:
            return
        if destination.startswith(source + "/") or (flag and source.startswith(destination + "/")):
            raise InvalidPath(destination)
        exchange = flag is RenameFlag.EXCHANGE
        if not exchange and destination in self.there:
            replaced = self.there[destination]
            if moved is None and replaced is not None:
                raise NotADirectory(destination)
            if moved is not None and replaced is None:
                raise IsADirectory(destination)
            if self.below(destination):  # the source counts, too
                raise DirectoryNotEmpty(destination)
        before = self.take(source)
        after = self.take(destination) if exchange else {}
        self.give(destination, before)
        self.give(source, after)

    def take(self, path: str) -> dict[str, File | None]:
        taken = {"": self.there[path], **self.below(path)}
        for name in taken:
            del self.there[path + name]
        return taken

    def give(self, path: str, tree: dict[str, File | None]) -> None:
        self.there.update({path + name: file for name, file in tree.items()})

    def link(self, source: str, destination: str) -> None:
        self.check_parent(source)
        self.check_parent(destination)
        file = self.at(source)
        if destination in self.there:
            raise AlreadyExists(destination)
        if file is None:
            raise IsADirectory(source)
        self.there[destination] = file


def outcome(call: Callable[[], object]) -> type[FsError] | None:
    try:
        call()
    except FsError as error:
        return type(error)
    return None


class LocalAgainstDict(RuleBasedStateMachine):
    options: dict[str, Any] = {"durability": "none"}

    def __init__(self) -> None:
        super().__init__()
        self.root = tempfile.mkdtemp()
        self.fs = LocalFileSystem(self.root, **self.options)
        self.model = Model()
        self.numbers = itertools.count()

    def teardown(self) -> None:
        self.fs.close()
        shutil.rmtree(self.root)

    def same(self, real: Callable[[], object], model: Callable[[], object]) -> None:
        assert outcome(real) == outcome(model)

    @rule(path=paths, flag=st.sampled_from([RenameFlag.REPLACE, RenameFlag.NO_REPLACE]), size=st.integers(0, 3))
    def put(self, path: str, flag: RenameFlag, size: int) -> None:
        number = b"%d" % next(self.numbers)
        file = (number * size, number)
        self.same(lambda: put(self.fs, path, file[0], flag, s3=file[1]), lambda: self.model.put(path, file, flag))

    @rule(path=paths)
    def mkdir(self, path: str) -> None:
        self.same(lambda: self.fs.mkdir(path, {"user.s3": b"dir"}), lambda: self.model.mkdir(path))

    @rule(path=paths)
    def delete(self, path: str) -> None:
        self.same(lambda: self.fs.delete(path), lambda: self.model.delete(path))

    @precondition(lambda self: self.model.there)
    @rule(source=paths, destination=paths, flag=flags)
    def rename(self, source: str, destination: str, flag: RenameFlag) -> None:
        self.same(
            lambda: self.fs.rename(source, destination, flag), lambda: self.model.rename(source, destination, flag)
        )

    @rule(source=paths, destination=paths)
    def link(self, source: str, destination: str) -> None:
        self.same(lambda: self.fs.link(source, destination), lambda: self.model.link(source, destination))

    @rule(path=paths)
    def abandon(self, path: str) -> None:
        with suppress(FsError), closing(self.fs.create(path + ".s3~tmp")) as writer:
            writer.write(b"nothing")

    @invariant()
    def is_the_same(self) -> None:
        found: dict[str, File | None] = {}
        self.walk("/", found)
        assert found == self.model.there

    def walk(self, directory: str, found: dict[str, File | None]) -> None:
        for entry in self.fs.list(directory):
            path = directory.rstrip("/") + "/" + entry.name
            if entry.name == ".s3~":
                continue
            status = entry.status()
            assert status.kind is entry.kind
            if entry.kind is FileKind.DIRECTORY:
                assert status.x_attr == {"user.s3": b"dir"}
                found[path] = None
                self.walk(path, found)
            else:
                found[path] = (get(self.fs, path), status.x_attr["user.s3"])


class LocalWithRecordsAgainstDict(LocalAgainstDict):
    options = {"durability": "none", "attribute_kind": "records", "walk": True}


budget = settings(max_examples=30, stateful_step_count=30, deadline=None)
TestLocal = LocalAgainstDict.TestCase
TestLocal.settings = budget
TestLocalWithRecords = LocalWithRecordsAgainstDict.TestCase
TestLocalWithRecords.settings = budget


# -- paths


@given(st.text(st.sampled_from("/.a\0\ud800\u00e9"), max_size=8))
@example("/")
def test_only_plain_absolute_paths_reach_the_kernel(path: str) -> None:
    plain = path == "/" or (
        path.startswith("/")
        and all(part not in ("", ".", "..") for part in path[1:].split("/"))
        and not set(path) & {"\0", "\ud800"}
    )
    if plain:
        assert relative(path) == (path[1:] or ".").encode()
    else:
        with pytest.raises(InvalidPath):
            relative(path)


@given(st.lists(st.integers(1, 255), min_size=1, max_size=700))
def test_pieces_join_to_the_path(lengths: list[int]) -> None:
    name = b"/".join(b"x" * length for length in lengths)
    pieces = _pieces(name)
    assert b"/".join(pieces) == name
    assert all(0 < len(piece) <= 4095 for piece in pieces)


# -- group commit


@given(st.integers(2, 8), st.integers(1, 12))
@settings(max_examples=15, deadline=None)
def test_flush_covers_what_was_written_before_it(threads: int, turns: int) -> None:
    """Each writes a number, asks, and must find it on the 'disk'; and no more flushes than requests are made."""
    flush = SharedFlush()
    written = [0] * threads
    disk: list[int] = [0] * threads
    running = threading.Lock()
    flushes = itertools.count()

    def action() -> None:
        assert running.acquire(blocking=False), "two flushes of one key at once"
        next(flushes)
        seen = list(written)
        os.sched_yield()
        disk[:] = seen
        running.release()

    def work(thread: int) -> None:
        for turn in range(turns):
            written[thread] = turn + 1
            flush.run("key", action)
            assert disk[thread] == turn + 1

    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(work, thread) for thread in range(threads)]:
            future.result(60)
    assert next(flushes) <= threads * turns
    assert not flush._rounds


# -- listing


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=6), max_size=12))
@settings(max_examples=40, deadline=None)
def test_names_are_in_byte_order(names: list[str]) -> None:
    wanted = sorted({name for name in names if name not in (".", "..")}, key=str.encode)
    with tempfile.TemporaryDirectory() as root:
        for name in wanted:
            (Path(root) / name).touch()
        fd = os.open(root, os.O_RDONLY)
        try:
            assert NameCache(100).names(fd).sorted == wanted
        finally:
            os.close(fd)
