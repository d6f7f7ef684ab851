"""Bytes of blocks under way, and the files that they are kept in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from curvinefs.curvine.kept import LEAST, Kept, KeptFiles
from curvinefs.curvine.options import MIB
from tests.sim.kit import pattern


@pytest.fixture
def files(tmp_path: Path) -> Iterator[KeptFiles]:
    with closing(KeptFiles(str(tmp_path), spare=3 * LEAST)) as files:
        yield files


def content(kept: Kept) -> bytes:
    return b"".join(bytes(piece) for piece in kept.pieces())


def open_below(directory: Path) -> list[int]:
    """Sizes of the unnamed files there that this process has open."""
    sizes = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{fd}").startswith(f"{directory}/"):
                sizes.append(os.fstat(int(fd)).st_size)
        except OSError:
            pass  # the listing's own
    return sorted(sizes)


def test_kept_bytes(files: KeptFiles, tmp_path: Path) -> None:
    with closing(Kept(files)) as kept:
        assert list(kept.pieces()) == []
        for length in (2 * MIB + 3, 5, MIB):
            data = pattern(length)
            kept.append(memoryview(data)[: length // 2])
            kept.append(memoryview(data)[length // 2 :])
            assert content(kept) == data
            assert kept.length == length and kept.whole
            kept.clear()
        assert list(tmp_path.iterdir()) == []
    assert not kept.whole


def test_files_are_used_again_and_bounded(files: KeptFiles, tmp_path: Path) -> None:
    data = memoryview(pattern(2 * LEAST))
    with ExitStack() as opened:
        for _ in range(4):
            opened.enter_context(closing(Kept(files))).append(data)
        assert open_below(tmp_path) == [2 * LEAST] * 4
    assert open_below(tmp_path) == [LEAST, 2 * LEAST]  # as much as may be spare
    with closing(Kept(files)) as kept, closing(Kept(files)) as other, closing(Kept(files)) as third:
        for each, byte in ((kept, b"1"), (other, b"2"), (third, b"3")):
            each.append(memoryview(byte))
        assert open_below(tmp_path) == [1, LEAST, 2 * LEAST]
        assert [content(each) for each in (kept, other, third)] == [b"1", b"2", b"3"]  # nothing of who had it before
    assert open_below(tmp_path) == [LEAST, 2 * LEAST]


def test_closed_files_stay_closed(files: KeptFiles, tmp_path: Path) -> None:
    data = memoryview(pattern(LEAST))
    with closing(Kept(files)) as spare, closing(Kept(files)) as late:
        spare.append(data)
        late.append(data)
        spare.close()
        files.close()
        assert open_below(tmp_path) == [LEAST]
    assert open_below(tmp_path) == []


def test_child_has_files_of_its_own(files: KeptFiles, tmp_path: Path) -> None:
    for _ in range(2):
        with closing(Kept(files)) as kept:
            kept.append(memoryview(pattern(LEAST)))
        assert open_below(tmp_path) == [LEAST]
        files.reset()
        assert open_below(tmp_path) == []


@pytest.mark.parametrize("directory", ["missing", None])
def test_nowhere_to_keep(tmp_path: Path, directory: str | None) -> None:
    with closing(Kept(KeptFiles(str(tmp_path / directory) if directory else None))) as kept:
        kept.append(memoryview(b"1"))
        kept.append(memoryview(b"2"))
        assert not kept.whole
        kept.clear()
        assert kept.whole
