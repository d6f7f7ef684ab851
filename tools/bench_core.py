#!/usr/bin/env python3
"""Microseconds that the protocol core takes for one request of each kind: head, signature, operation, response head.

usage: python tools/bench_core.py [--seconds 1.0] [KIND ...]

No socket and no store: every command is answered at once by a canned value, so this is what s3proto itself costs.
Prints the best of several rounds (the machine is noisy, the best is the least disturbed) and the ratio to the
cheapest kind.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from s3proto import commands as c
from s3proto.context import Context
from s3proto.http import parse_head, response_head
from s3proto.model import (
    Access,
    BucketInfo,
    DeleteResult,
    Document,
    ListPage,
    ObjectAttributes,
    ObjectInfo,
    ObjectRow,
    OpenedObject,
    Owner,
    Principal,
    Received,
    SigningKey,
)
from s3proto.protocol import serve
from s3proto.sigv4 import signing_key

KEY, SECRET, REGION = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
OWNER = Owner("f" * 64, "owner")
PRINCIPAL = Principal(OWNER, KEY)
ATTRIBUTES = ObjectAttributes("text/plain", metadata=(("colour", "green"),))
INFO = ObjectInfo("some/key.txt", 4096, "9e107d9d372bb6826bd81d3542a419d6", 1.7e9, ATTRIBUTES)
ROWS = tuple(ObjectRow(f"some/prefix/key-{i:06d}.txt", 4096, INFO.etag, 1.7e9) for i in range(1000))

ANSWERS: dict[type[Any], Any] = {
    c.CheckAccess: Access.OWNER,
    c.HeadBucket: BucketInfo("bucket", 1.6e9, OWNER),
    c.HeadObject: INFO,
    c.OpenObject: OpenedObject(INFO, object()),
    c.ReceiveBody: Received(object(), 4096, {"md5": b"m" * 16, "sha256": bytes.fromhex(EMPTY)}),
    c.ReceiveDocument: Document(b""),
    c.PutObject: INFO,
    c.DeleteObject: DeleteResult("some/key.txt"),
    c.ListObjects: ListPage(ROWS, (), True, ROWS[-1].key),
}


def head_of(method: str, target: str, headers: dict[str, str], presigned: bool = False) -> bytes:
    """The bytes of a signed request head, as botocore makes it."""
    request = AWSRequest(method=method, url="http://localhost:9900" + target, headers=headers)
    credentials = Credentials(KEY, SECRET)
    if presigned:
        S3SigV4QueryAuth(credentials, "s3", REGION, 3600).add_auth(request)
    else:
        request.headers["X-Amz-Content-SHA256"] = headers.get("X-Amz-Content-SHA256", EMPTY)
        S3SigV4Auth(credentials, "s3", REGION).add_auth(request)
    lines = [f"{method} {request.prepare().url.removeprefix('http://localhost:9900')} HTTP/1.1", "Host: localhost:9900"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    lines += ["User-Agent: Boto3/1.43 md/Botocore#1.43 ua/2.1 os/linux", "Accept-Encoding: identity"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


KINDS: dict[str, Callable[[], bytes]] = {
    "head": lambda: head_of("HEAD", "/bucket/some/key.txt", {}),
    "get": lambda: head_of("GET", "/bucket/some/key.txt", {}),
    "get-presigned": lambda: head_of("GET", "/bucket/some/key.txt", {}, presigned=True),
    "get-range": lambda: head_of("GET", "/bucket/some/key.txt", {"Range": "bytes=0-99"}),
    "put": lambda: head_of("PUT", "/bucket/some/key.txt", {"Content-Length": "4096"}),
    "delete": lambda: head_of("DELETE", "/bucket/some/key.txt", {}),
    "list-1000": lambda: head_of("GET", "/bucket?list-type=2&prefix=some%2F&encoding-type=url", {}),
}


def exchange(data: bytes, context: Context, key: bytes) -> int:
    """Serve one request; answers its status."""
    steps = serve(parse_head(data), context)
    try:
        command = next(steps)
        while True:
            if type(command) is c.LookupSigningKey:
                answer: Any = SigningKey(key, PRINCIPAL)
            else:
                answer = ANSWERS[type(command)]
            command = steps.send(answer)
    except StopIteration as done:
        response = done.value
        response_head(response.status, response.headers)
        return int(response.status)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"any of {', '.join(KINDS)}; default: all")
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each kind")
    arguments = parser.parse_args()
    if unknown := set(arguments.kinds) - set(KINDS):
        parser.error(f"unknown kind {sorted(unknown)[0]}; known: {', '.join(KINDS)}")
    date = time.strftime("%Y%m%d", time.gmtime())
    key = signing_key(SECRET, date, REGION, "s3")
    found: dict[str, float] = {}
    for kind in arguments.kinds or KINDS:
        data = KINDS[kind]()
        context = Context(time.time(), "0123456789ABCDEF", "host")
        status = exchange(data, context, key)
        if status not in (200, 204, 206):
            raise SystemExit(f"{kind}: answered {status}: the benchmark is wrong")
        rounds = max(10, int(0.02 / _time(data, context, key, 5)))
        best, until = 1.0, time.perf_counter() + arguments.seconds
        while time.perf_counter() < until:
            best = min(best, _time(data, context, key, rounds))
        found[kind] = best * 1e6
    cheapest = min(found.values())
    print(f"{'kind':14} {'us':>8} {'ratio':>6}")
    for kind, us in found.items():
        print(f"{kind:14} {us:8.1f} {us / cheapest:6.2f}")


def _time(data: bytes, context: Context, key: bytes, rounds: int) -> float:
    begun = time.perf_counter()
    for _ in range(rounds):
        exchange(data, context, key)
    return (time.perf_counter() - begun) / rounds


if __name__ == "__main__":
    main()
