"""Real client programs and boto3, pointed at a gateway: what the tests of this directory share.

Rules: a client sees no configuration but what is given here (its HOME is empty, its environment is made new), runs for
TIMEOUT seconds at most, and has ended when ``run`` returns.  A program that is not installed skips the test and says
so.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.gateway import Gateway, User

TIMEOUT = 120.0
"""Seconds that one run of a client may take."""
MIB = 1 << 20
PROGRAMS = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
"""Clients of our own environment come first."""


def find(name: str) -> str:
    """The path of a program; skips the test where there is none."""
    path = shutil.which(name, path=PROGRAMS)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


class Client:
    """A client program with its environment, and a directory of its own that it works in."""

    def __init__(self, name: str, directory: Path, environ: Mapping[str, str], flags: Sequence[str] = ()) -> None:
        """``flags`` stand before the words of every run."""
        self.directory = directory
        self._command = [find(name), *flags]
        self._environ = {"PATH": PROGRAMS, "HOME": str(directory), "LC_ALL": "C.UTF-8", **environ}

    def run(self, *words: str | Path, stdin: bytes = b"", fails: bool = False) -> subprocess.CompletedProcess[str]:
        """Run to the end.  AssertionError, with all that it printed, when it fails (with ``fails``: when it works)."""
        done = subprocess.run(
            [*self._command, *map(str, words)],
            cwd=self.directory,
            env=self._environ,
            input=stdin,
            capture_output=True,
            timeout=TIMEOUT,
        )
        out, err = (text.decode("utf-8", "surrogateescape") for text in (done.stdout, done.stderr))
        assert (done.returncode != 0) is fails, f"{words}: exit code {done.returncode}\n{out}\n{err}"
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def __call__(self, *words: str | Path, stdin: bytes = b"") -> str:
        """Run a command that must work; return what it printed on standard output."""
        return self.run(*words, stdin=stdin).stdout


def aws_environment(gateway: Gateway, user: User | None = None) -> dict[str, str]:
    """What the AWS SDKs and clients like them read."""
    user = user or gateway.owner
    return {
        "AWS_ACCESS_KEY_ID": user.access_key,
        "AWS_SECRET_ACCESS_KEY": user.secret_key,
        "AWS_DEFAULT_REGION": gateway.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_PAGER": "",
    } | ({"AWS_CA_BUNDLE": str(gateway.certificate)} if gateway.certificate else {})


def aws(gateway: Gateway, directory: Path, user: User | None = None) -> Client:
    """The AWS CLI."""
    return Client("aws", directory, aws_environment(gateway, user), ("--endpoint-url", gateway.endpoint))


def s3(gateway: Gateway, user: User | None = None, endpoint: str | None = None, **config: Any) -> Any:
    """A boto3 client; the caller closes it.  Nothing is tried twice: a fault must show."""
    user = user or gateway.owner
    retries = {"total_max_attempts": 1}
    return boto3.client(
        "s3",
        endpoint_url=endpoint or gateway.endpoint,
        aws_access_key_id=user.access_key,
        aws_secret_access_key=user.secret_key,
        region_name=gateway.region,
        verify=str(gateway.certificate) if gateway.certificate else None,
        config=Config(**{"retries": retries, "connect_timeout": 10, "read_timeout": 60, **config}),
    )


def keys(client: Any, bucket: str, **arguments: Any) -> list[str]:
    """All keys of a bucket, page by page."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, **arguments)
    return [row["Key"] for page in pages for row in page.get("Contents", ())]


def bytes_of(size: int, seed: int = 0) -> bytes:
    """``size`` bytes that nothing compresses or repeats, always the same for a seed."""
    return random.Random(seed).randbytes(size)


def make_tree(top: Path) -> dict[str, bytes]:
    """Make a small tree of files with awkward names and sizes; return them by their relative paths."""
    files = {
        "empty": b"",
        "plain.txt": b"text\n",
        "a b/c+d&e=f.txt": b"blanks and signs",
        "ünï/cödé/日本語.txt": "naïve".encode(),
        "deep/er/and/deeper/file.bin": bytes_of(70_000, 1),
        "deep/er/100%.bin": bytes_of(MIB + 1, 2),
        "[glob]*?.txt": b"no pattern",
        ".hidden": b"dot",
    }
    for name, content in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return files


def tree(top: Path) -> dict[str, bytes]:
    """All files below a directory, by their relative paths."""
    return {str(path.relative_to(top)): path.read_bytes() for path in sorted(top.rglob("*")) if path.is_file()}
