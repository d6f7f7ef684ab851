"""The simulated cluster against recorded conversations of a real one, frame by frame."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sim.cluster import Cluster
from tests.sim.transcripts import DIRECTORY, Replay, load

NAMES = sorted(path.stem for path in DIRECTORY.glob("*.jsonl"))


def test_there_are_recordings() -> None:
    assert {"put-small-atomic", "get-remote", "links", "lock", "rename-errors"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_recording(name: str, tmp_path: Path) -> None:
    with Cluster(tmp_path, min_block_size=4096) as cluster:
        if name == "not-leader":
            cluster.leader = None
        assert Replay(name, load(DIRECTORY / f"{name}.jsonl"), cluster).run() == []
