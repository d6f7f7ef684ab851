"""s3fs-fuse: a bucket mounted as a file system, beside the plain files that the store keeps.

Mounted in the foreground of a process of ours, which is ended whatever happens; so nothing stays mounted.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.compat.clients import MIB, bytes_of, find
from tests.gateway import Gateway

pytestmark = pytest.mark.compat

PATIENCE = 20.0
"""Seconds to wait for a mount to come or go."""


@contextmanager
def mounted(gateway: Gateway, bucket: str, directory: Path, *options: str) -> Iterator[Path]:
    s3fs, umount = find("s3fs"), find("umount")
    if os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("mounting needs root and /dev/fuse")
    point, password = directory / "mount", directory / "passwd"
    point.mkdir()
    password.touch(0o600)
    password.write_text(f"{gateway.owner.access_key}:{gateway.owner.secret_key}")
    wanted = (f"url={gateway.endpoint}", "use_path_request_style", f"passwd_file={password}", "retries=1", *options)
    command = [s3fs, bucket, str(point), "-f", "-o", ",".join(wanted)]
    with open(directory / "s3fs.log", "wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        until = time.monotonic() + PATIENCE
        while not point.is_mount():
            ended = process.poll() is not None
            assert not ended and time.monotonic() < until, (directory / "s3fs.log").read_text("utf-8", "replace")
            time.sleep(0.05)
        yield point
    finally:
        subprocess.run([umount, "--lazy", str(point)], timeout=PATIENCE, capture_output=True)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(PATIENCE)


def test_mount(gateway: Gateway, bucket: str, tmp_path: Path) -> None:
    small, large = b"small\n", bytes_of(12 * MIB)
    stored = gateway.data / bucket
    with mounted(gateway, bucket, tmp_path, "multipart_size=5") as point:
        (point / "small ü.txt").write_bytes(small)
        (point / "d/e").mkdir(parents=True)
        (point / "d/e/large").write_bytes(large)
        assert (stored / "small ü.txt").read_bytes() == small
        assert (stored / "d/e/large").read_bytes() == large
        assert (point / "d/e/large").read_bytes() == large
        with open(point / "small ü.txt", "ab") as file:
            file.write(b"and more\n")
        (point / "d/e/large").rename(point / "renamed")
        os.chmod(point / "renamed", 0o640)
        assert sorted(os.listdir(point)) == ["d", "renamed", "small ü.txt"]
        assert (point / "renamed").stat().st_mode & 0o777 == 0o640
        (stored / "from-elsewhere").write_bytes(b"plain")
        assert (point / "from-elsewhere").read_bytes() == b"plain"
        for name in ("renamed", "from-elsewhere"):
            (point / name).unlink()
        (point / "d/e").rmdir()
        (point / "d").rmdir()
        assert os.listdir(point) == ["small ü.txt"]
    assert (stored / "small ü.txt").read_bytes() == small + b"and more\n"
