"""Refusals as errors of the file system; texts as real servers write them."""

from __future__ import annotations

import pytest

from curvinefs.api import (
    AlreadyExists,
    Corrupt,
    DirectoryNotEmpty,
    FsError,
    InvalidPath,
    IsADirectory,
    NoSpace,
    NotADirectory,
    NotFound,
    Unavailable,
)
from curvinefs.curvine.errors import Kind, NoReplica, NoWorker, Refused, fs_error

KINDS: dict[int, type[FsError]] = {
    1: Corrupt,
    2: Unavailable,
    3: Unavailable,
    4: Unavailable,
    5: Corrupt,
    7: AlreadyExists,
    8: NotFound,
    10: NotADirectory,
    11: DirectoryNotEmpty,
    16: InvalidPath,
    17: NoSpace,
    18: Unavailable,
    26: IsADirectory,
    27: NotADirectory,
    28: InvalidPath,
    29: Unavailable,
    31: NoWorker,
    10000: Corrupt,
    4711: Corrupt,
    -1: Corrupt,
}

TEXTS: dict[str, type[FsError]] = {
    "Parent directory doesn't exist: /a/x(curvine-master/src/master/fs/master_filesystem.rs:212)": NotFound,
    "Parent path is not a directory: /a(curvine-master/src/master/meta/fs_dir.rs:597)": NotADirectory,
    "Parent /a/nodir does not exist(curvine-master/src/master/meta/fs_dir.rs:427)": NotFound,
    "/a/d  already exists as a dir(curvine-master/src/master/fs/master_filesystem.rs:397)": IsADirectory,
    "Absolute path required, but got relative(curvine-master/src/master/meta/inode/inode_view.rs:160)": InvalidPath,
    "Path /a/ is invalid(curvine-master/src/master/meta/inode/inode_path.rs:46)": InvalidPath,
    "list_options does not support glob pattern, path /g[a](x.rs:1)": InvalidPath,
    "Not enough Disk storage capacity for 4194304 bytes(x.rs:1)": NoSpace,
    "No workers available(x.rs:1)": NoWorker,
    "No available worker found(x.rs:1)": NoWorker,
    "block 1 all replicas has been lost(x.rs:1)": NoReplica,
    "Not found block, block_id = 1(x.rs:1)": Unavailable,
    "Block 1 length mismatch, expected: 4, actual: 3(x.rs:1)": Unavailable,
    "something else": Corrupt,
}


@pytest.mark.parametrize("kind, made", KINDS.items())
def test_kinds(kind: int, made: type[FsError]) -> None:
    error = fs_error(Refused(kind, "text"), "/path")
    assert type(error) is made
    assert str(error) == f"/path: text (kind {kind})"


@pytest.mark.parametrize("text, made", TEXTS.items())
def test_texts(text: str, made: type[FsError]) -> None:
    wrapped = f"[curvine-master] ERROR: {text}"
    assert type(fs_error(Refused(Kind.COMMON, wrapped), "/path")) is made


def test_kinds_win_over_texts() -> None:
    error = Refused(Kind.FILE_NOT_FOUND, "File /storage capacity not found")
    assert type(fs_error(error, "/path")) is NotFound
    assert not error.says("storage capacity")
    assert Refused(Kind.IO, "exceeds block size").says("other", "exceeds")
