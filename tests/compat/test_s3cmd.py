"""s3cmd against a gateway, with both versions of the signature."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compat.clients import MIB, Client, bytes_of, make_tree, tree
from tests.gateway import Gateway

pytestmark = pytest.mark.compat

CONFIGURATION = """\
[default]
access_key = {user.access_key}
secret_key = {user.secret_key}
host_base = {host}
host_bucket = {host}
use_https = {https}
{ca}
signature_v2 = {v2}
"""


def s3cmd(gateway: Gateway, directory: Path, v2: bool) -> Client:
    scheme, _, host = gateway.endpoint.partition("://")
    text = CONFIGURATION.format(
        user=gateway.owner,
        host=host,
        https=scheme == "https",
        ca=f"ca_certs_file = {gateway.certificate}" if gateway.certificate else "",
        v2=v2,
    )
    (directory / "s3cfg").write_text(text)
    return Client("s3cmd", directory, {}, (f"--config={directory / 's3cfg'}", "--no-progress"))


@pytest.fixture(params=[False, True], ids=["v4", "v2"])
def command(request: pytest.FixtureRequest, gateway: Gateway, tmp_path: Path) -> Client:
    return s3cmd(gateway, tmp_path, request.param)


def test_files(command: Client, name: str, tmp_path: Path) -> None:
    content = bytes_of(11 * MIB)
    (tmp_path / "up").write_bytes(content)
    url = f"s3://{name}"
    command("mb", url)
    assert url in command("ls")
    command("put", "up", f"{url}/d/big ü.bin", "--multipart-chunk-size-mb=5", "--add-header=x-amz-meta-colour:red")
    shown = command("info", f"{url}/d/big ü.bin")
    assert f"File size: {len(content)}" in shown and "x-amz-meta-colour: red" in shown
    assert "Location:  us-east-1" in command("info", url)
    command("cp", f"{url}/d/big ü.bin", f"{url}/copy")
    command("mv", f"{url}/copy", f"{url}/moved+%20")
    command("get", f"{url}/moved+%20", "down")
    assert (tmp_path / "down").read_bytes() == content
    assert {line.split(maxsplit=3)[-1] for line in command("ls", "--recursive", url).splitlines()} == {
        f"{url}/d/big ü.bin",
        f"{url}/moved+%20",
    }
    assert "DIR" in command("ls", url)
    assert command("du", url).split()[0] == str(2 * len(content))
    command("del", f"{url}/moved+%20")
    assert "BucketNotEmpty" in command.run("rb", url, fails=True).stderr
    command("del", "--recursive", "--force", url)
    command("rb", url)


def test_sync(command: Client, gateway: Gateway, bucket: str, tmp_path: Path) -> None:
    files = make_tree(tmp_path / "up")
    command("sync", "up/", f"s3://{bucket}/p/")
    assert tree(gateway.data / bucket / "p") == files
    assert "upload" not in command("sync", "up/", f"s3://{bucket}/p/")
    (tmp_path / "down").mkdir()
    command("sync", f"s3://{bucket}/p/", "down/")
    assert tree(tmp_path / "down") == files
    (tmp_path / "up/plain.txt").unlink()
    command("sync", "--delete-removed", "up/", f"s3://{bucket}/p/")
    assert tree(gateway.data / bucket / "p") == tree(tmp_path / "up")


def test_tags(command: Client, name: str, tmp_path: Path) -> None:
    url = f"s3://{name}"
    command("mb", url)
    (tmp_path / "up").write_bytes(b"1")
    command("put", "up", f"{url}/d/k")
    for target in (url, f"{url}/d/k"):
        command("settagging", target, "a=1&b=two words")
        assert "a:\t1" in (told := command("gettagging", target)) and "b:\ttwo words" in told
        command("deltagging", target)
        command("settagging", target, "c=3")
        told = command("gettagging", target)
        assert "c:\t3" in told and "two words" not in told
    command("cp", f"{url}/d/k", f"{url}/copy")
    assert "c:\t3" in command("gettagging", f"{url}/copy")
    command("del", "--recursive", "--force", url)
    command("rb", url)


def test_tls(tls_gateway: Gateway, name: str, tmp_path: Path) -> None:
    command = s3cmd(tls_gateway, tmp_path, v2=False)
    command("mb", f"s3://{name}-tls")
    (tmp_path / "up").write_bytes(b"secret")
    command("put", "up", f"s3://{name}-tls/k")
    assert command("get", f"s3://{name}-tls/k", "-") == "secret"
