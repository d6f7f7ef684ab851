"""The AWS SDK for JavaScript, where Node finds it: what it does is in ``javascript.cjs``.

To have it found: ``npm install --prefix DIRECTORY`` with the three PACKAGES, and NODE_PATH=DIRECTORY/node_modules.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.compat.clients import Client, aws_environment
from tests.gateway import Gateway

pytestmark = pytest.mark.compat

PROGRAM = Path(__file__).with_name("javascript.cjs")
PACKAGES = ("@aws-sdk/client-s3", "@aws-sdk/lib-storage", "@aws-sdk/s3-request-presigner")


def test_javascript(served: Gateway, name: str, tmp_path: Path) -> None:
    environ = aws_environment(served) | {"AWS_REGION": served.region, "NODE_PATH": os.environ.get("NODE_PATH", "")}
    if served.certificate:
        environ["NODE_EXTRA_CA_CERTS"] = str(served.certificate)
    node = Client("node", tmp_path, environ, ("--no-warnings",))
    looked = f"try {{ {list(PACKAGES)!r}.map(require.resolve) }} catch {{ console.log('missing') }}"
    if node("-e", looked):
        pytest.skip(f"Node does not find {', '.join(PACKAGES)}")
    node(PROGRAM, served.endpoint, f"{name}-js")
