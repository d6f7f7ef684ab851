"""A tree in a Curvine cluster against the same tree in a local directory, both through fsspec."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("fsspec", reason="fsspec is not installed")

from fsspec.implementations.local import LocalFileSystem  # noqa: E402

from curvinefs.fsspec import CurvineFS  # noqa: E402  # needs fsspec
from tests.sim.cluster import FAST, Cluster  # noqa: E402

NAMES = st.sampled_from(["a", "b", "a.c", "ä b", "#"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
PATTERNS = st.lists(st.sampled_from(["a", "*", "**", "?", "[ab]", "*.c", "a*"]), min_size=1, max_size=3).map("/".join)
CHANGES = st.one_of(
    st.tuples(st.just("pipe_file"), PATHS, st.binary(max_size=3)),
    st.tuples(st.just("makedirs"), PATHS),
    st.tuples(st.just("rm_file"), PATHS),
    st.tuples(st.just("rmdir"), PATHS),
    st.tuples(st.just("rm"), PATHS),
    st.tuples(st.just("cp_file"), PATHS, PATHS),
)


@pytest.fixture(scope="module")
def fs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CurvineFS]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        made = CurvineFS(cluster.addresses(), **asdict(FAST))
        yield made
        made.close()


def change(fs: Any, root: str, name: str, *arguments: Any) -> bool:
    """Whether it could be done."""
    places = [f"{root}/{each}" if isinstance(each, str) else each for each in arguments]
    try:
        getattr(fs, name)(*places, **({"recursive": True} if name == "rm" else {}))
    except OSError:
        return False
    return True


def agreed(local: Any, root: str, name: str, *arguments: Any) -> bool:
    """The local file system makes directories for copies of nothing, and refuses copies of a file onto itself."""
    return name != "cp_file" or (arguments[0] != arguments[1] and local.exists(f"{root}/{arguments[0]}"))


def seen(fs: Any, root: str, pattern: str) -> Any:
    def below(paths: Any) -> list[str]:
        return sorted(path.removeprefix(root) for path in paths)

    files = fs.find(root)
    return (
        below(fs.find(root, withdirs=True)),
        below(fs.find(root, maxdepth=2)),
        below(fs.glob(f"{root}/{pattern}")),
        sorted((path.removeprefix(root), sorted(dirs), sorted(names)) for path, dirs, names in fs.walk(root)),
        {path.removeprefix(root): fs.cat_file(path) for path in files},
        fs.du(root),
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(CHANGES, max_size=12), pattern=PATTERNS)
def test_like_a_directory(fs: CurvineFS, changes: list[tuple[Any, ...]], pattern: str) -> None:
    local = LocalFileSystem(auto_mkdir=True)
    with tempfile.TemporaryDirectory() as directory:
        roots = (str(Path(directory) / "r"), "/r")
        for each, root in zip((local, fs), roots):
            each.makedirs(root)
        try:
            for name, *arguments in changes:
                if not agreed(local, roots[0], name, *arguments):
                    continue
                assert change(local, roots[0], name, *arguments) == change(fs, roots[1], name, *arguments), name
            assert seen(local, roots[0], pattern) == seen(fs, roots[1], pattern)
        finally:
            fs.rm("/r", recursive=True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=200),
    pieces=st.lists(st.integers(0, 60), max_size=8),
    start=st.none() | st.integers(-250, 250),
    end=st.none() | st.integers(-250, 250),
    block_size=st.integers(1, 100),
)
def test_like_bytes(
    fs: CurvineFS, data: bytes, pieces: list[int], start: int | None, end: int | None, block_size: int
) -> None:
    with fs.open("/f", "wb") as file:
        at = 0
        for piece in pieces:
            at += file.write(memoryview(data)[at : at + piece])
        file.write(data[at:])
    assert fs.cat_file("/f", start, end) == data[start:end]
    assert fs.cat_ranges(["/f"], start, end) == [data[start:end]]
    with fs.open("/f", block_size=block_size) as file:
        assert b"".join(file.read(piece) for piece in pieces) + file.read() == data
        assert file.readinto(bytearray(10)) == 0
