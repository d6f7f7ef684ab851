"""Locks on names: queues of threads, polling between processes, nothing left behind."""

from __future__ import annotations

import errno
import threading
from contextlib import closing
from pathlib import Path

import pytest

from curvinefs import _locks
from curvinefs._linux import Kernel
from curvinefs.api import LockTimeout, Unavailable
from tests.fs_conformance import together
from tests.local_kit import make


def test_no_queue_is_left(tmp_path: Path) -> None:
    with closing(make(tmp_path)) as fs:

        def work() -> None:
            for number in range(50):
                with fs.lock(f"k{number % 3}", 30.0):
                    pass

        together([work] * 4)
        with fs.lock("k"):
            with pytest.raises(LockTimeout), fs.lock("k", 0.0):
                pass
            with pytest.raises(LockTimeout), fs.lock("k", -1.0):  # not: for ever
                pass
        assert not fs._locks._queues
        assert (tmp_path / ".s3~/locks/names").stat().st_size == 0


def test_threads_take_turns_without_polling(tmp_path: Path) -> None:
    class Counting(Kernel):
        tries = 0

        def lock_byte(self, fd: int, offset: int) -> bool:
            self.tries += 1
            return super().lock_byte(fd, offset)

    kernel = Counting()
    with closing(make(tmp_path, kernel=kernel)) as fs:
        waiting = threading.Event()

        def second() -> None:
            waiting.set()
            with fs.lock("k", 30.0):
                pass

        with fs.lock("k"):
            thread = threading.Thread(target=second)
            thread.start()
            assert waiting.wait(30)
            assert kernel.tries == 1
        thread.join(30)
        assert kernel.tries == 2


def test_a_lock_held_too_long_is_no_longer_sure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(make(tmp_path)) as fs, fs.lock("k") as held:
        held.check()
        monkeypatch.setattr(_locks, "_MOST_HELD_S", -1.0)
        with pytest.raises(LockTimeout, match="k: held for"):
            held.check()


def test_an_error_sets_the_lock_free(tmp_path: Path) -> None:
    with closing(make(tmp_path)) as fs, closing(make(tmp_path)) as other:
        with pytest.raises(ZeroDivisionError), fs.lock("k"):
            1 / 0
        with other.lock("k", 1.0):
            pass


def test_a_file_system_without_locks(tmp_path: Path) -> None:
    class NoLocks(Kernel):
        def lock_byte(self, fd: int, offset: int) -> bool:
            raise OSError(errno.ENOLCK, "No locks available")

    with closing(make(tmp_path, kernel=NoLocks())) as fs:
        with pytest.raises(Unavailable), fs.lock("k"):
            pass
        assert not fs._locks._queues
