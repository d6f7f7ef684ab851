"""A real tree through two different clients: Python's standard library up by the AWS CLI, back by rclone.

``tools/client_bulk.py`` does more of this kind, and measures it.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from tests.compat import clients
from tests.compat.test_rclone import rclone
from tests.gateway import Gateway

pytestmark = [pytest.mark.slow, pytest.mark.compat]


def differences(left: Path, right: Path) -> list[str]:
    """What is not the same in two trees, names and bytes."""
    found = filecmp.dircmp(left, right, ignore=[])
    _, mismatched, errors = filecmp.cmpfiles(left, right, found.common_files, shallow=False)
    here = [str(left / name) for name in (*found.left_only, *found.right_only, *mismatched, *errors)]
    return here + [row for name in found.common_dirs for row in differences(left / name, right / name)]


def test_standard_library(gateway: Gateway, client: Any, bucket: str, tmp_path: Path) -> None:
    source = tmp_path / "up"
    ignored = shutil.ignore_patterns("__pycache__", "site-packages", "dist-packages", "config-*")
    shutil.copytree(sysconfig.get_path("stdlib"), source, ignore=ignored)
    for directory, _, _ in sorted(os.walk(source), reverse=True):  # S3 has no empty directories
        if not os.listdir(directory):
            os.rmdir(directory)
    aws = clients.aws(gateway, tmp_path)
    up = ("s3", "sync", "up", f"s3://{bucket}/lib", "--no-progress")
    number = aws(*up).count("upload: ")
    assert number == sum(len(files) for _, _, files in os.walk(source)) > 500
    assert aws(*up) == ""
    assert len(clients.keys(client, bucket)) == number
    command = rclone(gateway, tmp_path)
    command("sync", f"gw:{bucket}/lib", "down")
    assert differences(source, tmp_path / "down") == []
    assert clients.tree(gateway.data / bucket / "lib") == clients.tree(source)
    assert "There was nothing to transfer" in command.run("sync", f"gw:{bucket}/lib", "down", "-v", "--stats=0").stderr
    command("purge", f"gw:{bucket}")
