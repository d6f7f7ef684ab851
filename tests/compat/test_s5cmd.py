"""s5cmd (the AWS SDK for Go, version 1) against a gateway."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.compat.clients import MIB, Client, aws_environment, bytes_of, make_tree, tree
from tests.gateway import Gateway

pytestmark = pytest.mark.compat


@pytest.fixture
def s5cmd(served: Gateway, tmp_path: Path) -> Client:
    environ = aws_environment(served) | {"AWS_REGION": served.region, "S3_ENDPOINT_URL": served.endpoint}
    return Client("s5cmd", tmp_path, environ, ("--retry-count=0",))


def test_trees(s5cmd: Client, served: Gateway, name: str, tmp_path: Path) -> None:
    files = make_tree(tmp_path / "up")
    bucket = f"s3://{name}-s5cmd"
    s5cmd("mb", bucket)
    assert len(s5cmd("sync", "up/", f"{bucket}/p/").splitlines()) == len(files)
    assert s5cmd("sync", "up/", f"{bucket}/p/") == ""
    stored = served.data / f"{name}-s5cmd"
    assert tree(stored / "p") == files
    listed = [json.loads(line) for line in s5cmd("--json", "ls", f"{bucket}/p/*").splitlines()]
    assert {row["key"].removeprefix(f"{bucket}/p/"): row.get("size", 0) for row in listed} == {
        file: len(content) for file, content in files.items()
    }
    assert s5cmd("cat", f"{bucket}/p/a b/c+d&e=f.txt") == "blanks and signs"
    s5cmd("cp", f"{bucket}/p/*", "down/")
    assert tree(tmp_path / "down") == files
    s5cmd("mv", f"{bucket}/p/deep/*", f"{bucket}/moved/")  # on the server
    assert tree(stored / "moved") == tree(tmp_path / "up/deep") and not (stored / "p/deep").exists()
    s5cmd("run", stdin=f"cp up/plain.txt {bucket}/one\ncp up/plain.txt '{bucket}/t w+%25//o'\n".encode())
    assert len(s5cmd("ls", f"{bucket}/*").splitlines()) == len(files) + 2
    s5cmd("rm", f"{bucket}/*")
    s5cmd("rb", bucket)
    assert not stored.exists()


def test_large_files_and_pipes(s5cmd: Client, served: Gateway, name: str, tmp_path: Path) -> None:
    content = bytes_of(17 * MIB + 3)
    (tmp_path / "up").write_bytes(content)
    bucket = f"s3://{name}-s5cmd"
    s5cmd("mb", bucket)
    s5cmd("cp", "--part-size=5", "--metadata", "color=red", "--content-type", "text/x", "up", f"{bucket}/big")
    s5cmd("cp", f"{bucket}/big", f"{bucket}/copy")
    s5cmd("cp", "--part-size=5", f"{bucket}/copy", "down")
    assert (tmp_path / "down").read_bytes() == content
    told = json.loads(s5cmd("head", f"{bucket}/big"))
    assert (told["size"], told["content_type"], told["metadata"]) == (len(content), "text/x", {"color": "red"})
    s5cmd("pipe", f"{bucket}/piped", stdin=b"from a pipe")
    assert s5cmd("cat", f"{bucket}/piped") == "from a pipe"
    s5cmd("rm", f"{bucket}/*")
    s5cmd("rb", bucket)
