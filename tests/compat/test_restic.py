"""restic: a repository on a gateway, from its first backup to what is left after pruning."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compat.clients import MIB, Client, aws_environment, bytes_of, make_tree, tree
from tests.gateway import Gateway

pytestmark = pytest.mark.compat


def test_a_repository(served: Gateway, name: str, tmp_path: Path) -> None:
    environ = aws_environment(served) | {"RESTIC_PASSWORD": "password"}
    flags = [f"--repo=s3:{served.endpoint}/{name}-restic/sub", "--no-cache"]
    if served.certificate:
        flags.append(f"--cacert={served.certificate}")
    restic = Client("restic", tmp_path, environ, flags)
    files = make_tree(tmp_path / "up")
    (tmp_path / "up/big").write_bytes(bytes_of(40 * MIB))
    restic("init")  # makes the bucket, too
    restic("backup", "up")
    assert "0 new" in restic("backup", "up")
    (tmp_path / "up/big").unlink()
    restic("backup", "up")
    stored = sum(map(len, tree(served.data / f"{name}-restic").values()))
    assert stored > 40 * MIB
    assert "no errors were found" in restic("check", "--read-data")
    restic("forget", "--keep-last=1", "--prune")
    assert sum(map(len, tree(served.data / f"{name}-restic").values())) < stored - 39 * MIB
    assert "no errors were found" in restic("check", "--read-data")
    restic("restore", "latest", "--target=down")
    # Older versions keep only the last part of the path.
    assert tree(next((tmp_path / "down").rglob("up"))) == files
