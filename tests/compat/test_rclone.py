"""rclone against a gateway: copies, comparisons by checksum, and its own way of multipart uploads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compat.clients import MIB, Client, bytes_of, make_tree, tree
from tests.gateway import Gateway

pytestmark = pytest.mark.compat


def rclone(gateway: Gateway, directory: Path) -> Client:
    """rclone with a remote ``gw:`` out of environment variables."""
    remote = {
        "TYPE": "s3",
        "PROVIDER": "Other",
        "ENDPOINT": gateway.endpoint,
        "REGION": gateway.region,
        "ACCESS_KEY_ID": gateway.owner.access_key,
        "SECRET_ACCESS_KEY": gateway.owner.secret_key,
    }
    environ = {f"RCLONE_CONFIG_GW_{name}": value for name, value in remote.items()}
    flags = ["--config=", "--retries=1", "--low-level-retries=1"]
    if gateway.certificate:
        flags.append(f"--ca-cert={gateway.certificate}")
    return Client("rclone", directory, environ, flags)


@pytest.fixture
def command(served: Gateway, tmp_path: Path) -> Client:
    return rclone(served, tmp_path)


def test_trees(command: Client, served: Gateway, name: str, tmp_path: Path) -> None:
    files = make_tree(tmp_path / "up")
    remote = f"gw:{name}-rclone"
    command("mkdir", remote)
    command("copy", "up", f"{remote}/p")
    assert tree(served.data / f"{name}-rclone" / "p") == files
    again = command.run("copy", "up", f"{remote}/p", "--verbose", "--stats=0").stderr
    assert "There was nothing to transfer" in again
    assert "0 differences found" in command.run("check", "up", f"{remote}/p").stderr
    assert "0 differences found" in command.run("check", "up", f"{remote}/p", "--download").stderr
    listed = command("lsf", "--recursive", "--files-only", f"{remote}/p")
    assert set(listed.splitlines()) == files.keys()
    assert command("cat", f"{remote}/p/a b/c+d&e=f.txt") == "blanks and signs"
    command("sync", f"{remote}/p", "down")
    assert tree(tmp_path / "down") == files
    (tmp_path / "down/plain.txt").unlink()
    command("sync", "down", f"{remote}/p")
    assert tree(served.data / f"{name}-rclone" / "p") == tree(tmp_path / "down")
    command("move", f"{remote}/p", f"{remote}/q/r")  # on the server
    assert tree(served.data / f"{name}-rclone" / "q/r") == tree(tmp_path / "down")
    command("purge", remote)
    assert not (served.data / f"{name}-rclone").exists()


def test_multipart_uploads(command: Client, name: str, tmp_path: Path) -> None:
    content = bytes_of(17 * MIB + 3)
    (tmp_path / "up").mkdir()
    (tmp_path / "up/big").write_bytes(content)
    remote = f"gw:{name}-rclone"
    command("copy", "up", remote, "--s3-upload-cutoff=5M", "--s3-chunk-size=5M", "--s3-upload-concurrency=4")
    # The MD5 of a multipart object is in its metadata, where rclone puts and seeks it.
    assert command("md5sum", remote) == Client("md5sum", tmp_path / "up", {})("big")
    command("copyto", f"{remote}/big", f"{remote}/copy", "--s3-copy-cutoff=5M", "--s3-chunk-size=5M")
    command("copy", remote, "down", "--multi-thread-cutoff=5M", "--multi-thread-streams=4")
    assert tree(tmp_path / "down") == {"big": content, "copy": content}
    piped = bytes_of(6 * MIB, 1)
    command("rcat", f"{remote}/piped", stdin=piped)
    assert f"{len(piped)} piped" in command("ls", remote)
    assert command("cat", f"{remote}/piped", "--offset=5", "--count=0") == ""
    command("purge", remote)


def test_empty_directories_and_modification_times(command: Client, name: str, tmp_path: Path) -> None:
    (tmp_path / "up/empty").mkdir(parents=True)
    (tmp_path / "up/file").write_bytes(b"x")
    remote = f"gw:{name}-rclone"
    command("copy", "up", remote, "--s3-directory-markers", "--create-empty-src-dirs")
    command("copy", remote, "down", "--s3-directory-markers", "--create-empty-src-dirs")
    assert (tmp_path / "down/empty").is_dir()
    assert (tmp_path / "down/file").stat().st_mtime_ns == (tmp_path / "up/file").stat().st_mtime_ns
    command("purge", remote)
