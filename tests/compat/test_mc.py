"""mc, the MinIO client: trees, large files, pipes, shared URLs, buckets for everybody, tags; over HTTP and TLS."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from tests.compat.clients import MIB, Client, bytes_of, make_tree, tree
from tests.gateway import Gateway

pytestmark = pytest.mark.compat


@pytest.fixture
def mc(served: Gateway, tmp_path: Path) -> Client:
    """mc with an alias ``gw``."""
    client = Client("mc", tmp_path, {})
    if served.certificate:
        trusted = tmp_path / ".mc/certs/CAs"
        trusted.mkdir(parents=True)
        shutil.copy(served.certificate, trusted)
    client("alias", "set", "gw", served.endpoint, served.owner.access_key, served.owner.secret_key)
    return client


def copied(printed: str) -> list[str]:
    """The targets of all copies that ``--json`` told of."""
    return [row["target"] for row in map(json.loads, printed.splitlines()) if "target" in row]


def test_trees(mc: Client, served: Gateway, name: str, tmp_path: Path) -> None:
    files = make_tree(tmp_path / "up")
    bucket = f"gw/{name}-mc"
    mc("mb", bucket)
    assert len(copied(mc("mirror", "--json", "up", f"{bucket}/p"))) == len(files)
    assert copied(mc("mirror", "--json", "up", f"{bucket}/p")) == []
    stored = served.data / f"{name}-mc"
    assert tree(stored / "p") == files
    assert mc("diff", "up", f"{bucket}/p") == ""
    found = mc("find", bucket, "--name", "*.bin").splitlines()
    assert sorted(found) == [f"{bucket}/p/deep/er/100%.bin", f"{bucket}/p/deep/er/and/deeper/file.bin"]
    listed = [json.loads(line) for line in mc("ls", "--json", "--recursive", f"{bucket}/p").splitlines()]
    assert {row["key"]: row["size"] for row in listed} == {file: len(content) for file, content in files.items()}
    assert mc("cat", f"{bucket}/p/a b/c+d&e=f.txt") == "blanks and signs"
    mc("mirror", f"{bucket}/p", "down")
    assert tree(tmp_path / "down") == files
    (tmp_path / "up/plain.txt").unlink()
    mc("mirror", "--remove", "up", f"{bucket}/p")
    mc("mv", "--recursive", f"{bucket}/p/deep/", f"{bucket}/moved/")
    assert tree(stored / "moved") == tree(tmp_path / "up/deep") and not (stored / "p/deep").exists()
    mc("rm", "--recursive", "--force", f"{bucket}/p/")
    assert not (stored / "p").exists()
    mc.run("rb", bucket, fails=True)  # it is not empty
    mc("rb", "--force", bucket)
    assert not stored.exists()


def test_large_files_and_pipes(mc: Client, served: Gateway, name: str, tmp_path: Path) -> None:
    content = bytes_of(33 * MIB)  # three parts
    (tmp_path / "up").write_bytes(content)
    bucket = f"gw/{name}-mc"
    mc("mb", bucket)
    mc("cp", "--attr", "color=red;Cache-Control=max-age=9", "up", f"{bucket}/big")
    mc("cp", f"{bucket}/big", f"{bucket}/copy")
    mc("cp", f"{bucket}/copy", "down")
    assert (tmp_path / "down").read_bytes() == content
    told = json.loads(mc("stat", "--json", f"{bucket}/copy"))
    assert told["size"] == len(content)
    assert told["metadata"]["X-Amz-Meta-Color"] == "red" and told["metadata"]["Cache-Control"] == "max-age=9"
    # A multipart upload whatever the size, with a composite checksum.
    for size in (0, 5, 17 * MIB):
        mc("pipe", f"{bucket}/piped", stdin=content[:size])
        assert (served.data / f"{name}-mc/piped").read_bytes() == content[:size]
    share = json.loads(mc("share", "download", "--json", f"{bucket}/piped"))["share"]
    with closing(served.connect()) as connection:
        connection.request("GET", share.removeprefix(served.endpoint))
        assert connection.getresponse().read() == content[: 17 * MIB]
    mc("rb", "--force", bucket)


def test_buckets_for_everybody_and_tags(mc: Client, served: Gateway, name: str, tmp_path: Path) -> None:
    """``anonymous`` reads and writes the bucket's policy, and has to find its own words again."""
    (tmp_path / "up").write_bytes(b"1")
    bucket = f"gw/{name}-mc"
    mc("mb", bucket)
    mc("cp", "--tags", "a=1&b=2", "up", f"{bucket}/x/k")
    for wanted in ("download", "upload", "public", "private"):
        mc("anonymous", "set", wanted, bucket)
        said = json.loads(mc("anonymous", "get", "--json", bucket))
        assert said["permission"] == wanted and said["status"] == "success"
    mc("anonymous", "set", "download", f"{bucket}/x")
    with closing(served.connect()) as connection:
        for key, status in (("x/k", 200), ("y", 403)):
            connection.request("GET", f"/{name}-mc/{key}")
            response = connection.getresponse()
            response.read()
            assert response.status == status
    told = json.loads(mc("tag", "list", "--json", f"{bucket}/x/k"))
    assert told["tagset"] == {"a": "1", "b": "2"}
    mc("tag", "remove", f"{bucket}/x/k")
    assert "No tags" in mc("tag", "list", f"{bucket}/x/k")
    mc("rb", "--force", bucket)
