"""The local file system under several processes, some of which die."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from curvinefs.api import AlreadyExists, LockTimeout, PartRef, RenameFlag
from tests.fs_conformance import MTIME, get, names, put
from tests.local_kit import in_child, make

# -- other processes


def test_processes_open_a_new_store_at_once(tmp_path: Path) -> None:
    children = []
    for _ in range(6):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with closing(make(tmp_path / "new" / "store")) as fs:
                    fs.mkdir(f"/{os.getpid()}", {"user.s3": b"x"})
                    code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 6
    assert sorted(os.listdir(tmp_path / "new/store/.s3~")) == ["format.json", "locks"]
    with closing(make(tmp_path / "new/store")) as fs:
        assert names(fs, "/") == sorted([".s3~", *map(str, children)])


def test_writer_of_a_dead_process_is_abandoned(tmp_path: Path) -> None:
    with closing(make(tmp_path)) as fs:

        def work() -> None:
            fs.create("/.s3~tmp.1").write(b"half")
            os._exit(7)

        assert in_child(work) == 7
        assert fs.is_abandoned("/.s3~tmp.1", 3600)
        with closing(fs.create("/.s3~tmp.2")) as writer:
            writer.write(b"1")
            assert in_child(lambda: exit_unless(not fs.is_abandoned("/.s3~tmp.2", 0))) == 0
        # Empty and unlocked: its writer may be about to lock it.
        (tmp_path / ".s3~tmp.3").touch()
        assert not fs.is_abandoned("/.s3~tmp.3", 3600)
        assert fs.is_abandoned("/.s3~tmp.3", 0)
        fs.mkdir("/.s3~tmp.4")
        assert not fs.is_abandoned("/.s3~tmp.4", 3600)


def exit_unless(truth: bool) -> None:
    if not truth:
        os._exit(3)


def test_lock_of_a_dead_process_is_free(tmp_path: Path) -> None:
    with closing(make(tmp_path)) as fs:

        def work() -> None:
            fs.lock("k").__enter__()
            os._exit(7)

        assert in_child(work) == 7
        with fs.lock("k", 1.0):
            pass


def test_locks_and_forks(tmp_path: Path) -> None:
    with closing(make(tmp_path)) as fs:
        with fs.lock("k"):

            def work() -> None:
                try:
                    with fs.lock("k", 0.05):
                        os._exit(3)
                except LockTimeout:
                    pass
                with fs.lock("other", 1.0):
                    pass

            assert in_child(work) == 0
        with fs.lock("k", 1.0):
            pass


def test_processes_publish_one_winner(tmp_path: Path) -> None:
    with closing(make(tmp_path)) as fs:
        go, started = os.pipe()
        children = []
        for number in range(6):
            child = os.fork()
            if child == 0:
                code = 2
                try:
                    os.close(started)
                    os.read(go, 1)
                    put(fs, "/f", b"%d" % number, RenameFlag.NO_REPLACE)
                    code = 0
                except AlreadyExists:
                    pass
                finally:
                    os._exit(code)
            children.append(child)
        os.close(go)
        os.close(started)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        assert codes.count(0) == 1
        assert get(fs, "/f") == b"%d" % codes.index(0)
        assert names(fs, "/") == [".s3~", "f"]


def test_dead_part_writer_does_not_prevent_join(tmp_path: Path) -> None:
    with closing(make(tmp_path)) as fs:
        fs.create_parted("/p", 10)

        def work() -> None:
            writer = fs.open_part("/p", 1, 10)
            assert writer is not None
            writer.write(b"half")
            os._exit(7)

        assert in_child(work) == 7
        writer = fs.open_part("/p", 0, 10)
        assert writer is not None
        with closing(writer):
            writer.write(b"0123456789")
            part = PartRef(0, 10, writer.complete())
        assert fs.open_part("/p", 1, 10) is None
        assert fs.join_parts("/p", [part], {}, MTIME) is not None
        assert get(fs, "/p") == b"0123456789"


def test_part_writer_keeps_to_its_place(tmp_path: Path) -> None:
    with closing(make(tmp_path)) as fs:
        fs.create_parted("/p", 10)
        writer = fs.open_part("/p", 0, 10)
        assert writer is not None
        with closing(writer):
            with pytest.raises(ValueError):
                writer.write(b"x" * 11)
            with pytest.raises(ValueError):
                writer.complete()
        with pytest.raises(ValueError):
            fs.create_parted("/q", 0)
