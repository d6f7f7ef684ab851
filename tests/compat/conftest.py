"""Gateways that the tests of real clients share, and a bucket of its own for each test.

One gateway per process and kind, started at first use: a client must leave nothing behind that disturbs the next one.
``durability`` is ``none``: what reaches the disk is the crash tests' matter.  Each test runs on every store of
``tests.compat.stores``.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.compat import clients
from tests.compat.stores import STORES, gateway_on_store
from tests.gateway import Gateway

DOMAIN = "s3.localhost"
"""Buckets are hosts below it, too.  Names below localhost are this machine's (RFC 6761 6.3)."""
VERSIONS = {
    "aws": "--version",
    "s3cmd": "--version",
    "rclone": "version",
    "s5cmd": "version",
    "mc": "--version",
    "restic": "version",
    "curl": "--version",
    "s3fs": "--version",
}
_RUN = os.urandom(4).hex()
"""A live cluster outlasts the tests."""
_numbers = itertools.count(1)


def pytest_report_header() -> list[str]:
    found = []
    for name, flag in VERSIONS.items():
        path = shutil.which(name, path=clients.PROGRAMS)
        if path is None:
            found.append(f"client {name}: not installed")
            continue
        done = subprocess.run([path, flag], capture_output=True, text=True, timeout=30)
        found.append(f"client {((done.stdout or done.stderr).splitlines() or [name])[0][:100]}")
    return found


@pytest.fixture(scope="session", params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    """What is served."""
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="session")
def gateway(store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway_on_store(store, tmp_path_factory.mktemp("gateway"), domain=DOMAIN) as made:
        yield made


@pytest.fixture(scope="session")
def tls_gateway(store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    with gateway_on_store(store, tmp_path_factory.mktemp("tls"), tls=True) as made:
        yield made


@pytest.fixture(params=["gateway", "tls_gateway"], ids=["http", "https"])
def served(request: pytest.FixtureRequest, store: str) -> Gateway:
    """Each of the two, on each store."""
    gateway: Gateway = request.getfixturevalue(request.param)
    return gateway


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Any]:
    """boto3 as the gateway's owner."""
    with closing(clients.s3(gateway)) as made:
        yield made


@pytest.fixture
def name() -> str:
    """A bucket name that no other test has."""
    return f"bucket-{_RUN}-{next(_numbers)}"


@pytest.fixture
def bucket(client: Any, name: str) -> str:
    """A bucket of the owner's."""
    client.create_bucket(Bucket=name)
    return name
