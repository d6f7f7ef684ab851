"""Browsers' forms for tests: their bytes as browsers send them, policies signed with version 4 and 2, and a driver that
answers what the core asks for them.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from s3proto import errors, sigv4
from s3proto.checksums import ALGORITHMS
from s3proto.commands import CheckAccess, HeadObject, LookupSigningKey, PutObject, ReceiveBody, ReceiveForm, SignV2
from s3proto.http import Response
from s3proto.model import Access, Received, SignatureV2
from s3proto.protocol import serve
from tests.drive import run
from tests.s3_requests import CONTEXT, KEY, MD5, PRINCIPAL, head, info

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
NEVER = "2099-01-01T00:00:00.000Z"
Pairs = Iterable[tuple[str, str | bytes]]


def part(name: str, value: str | bytes, filename: str | None = None, boundary: str = BOUNDARY) -> bytes:
    """A delimiter, a part's head and its value, with the line end before the next delimiter."""
    where = f'form-data; name="{name}"' + ("" if filename is None else f'; filename="{filename}"')
    kind = "" if filename is None else "Content-Type: text/x-of-the-part\r\n"
    head = f"--{boundary}\r\nContent-Disposition: {where}\r\n{kind}\r\n".encode()
    return head + (value.encode() if isinstance(value, str) else value) + b"\r\n"


def encode(
    fields: Mapping[str, str] | Pairs, file: bytes | None, filename: str = "file.txt", boundary: str = BOUNDARY
) -> bytes:
    """A whole form; ``file`` None: without one."""
    pairs = fields.items() if isinstance(fields, Mapping) else fields
    parts = [part(name, value, boundary=boundary) for name, value in pairs]
    if file is not None:
        parts.append(part("file", file, filename, boundary))
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


def policy(conditions: Sequence[Any], expiration: str = NEVER) -> str:
    return b64encode(json.dumps({"expiration": expiration, "conditions": conditions}).encode()).decode()


def covering(fields: Mapping[str, str], bucket: str) -> list[Any]:
    """The conditions that allow just these fields."""
    return [{"bucket": bucket}, *({name: value} for name, value in fields.items())]


def sign_v4(
    fields: Mapping[str, str],
    bucket: str,
    key: bytes,
    access_key: str = "AKIAEXAMPLE",
    *,
    region: str = "us-east-1",
    date: str = "20231114T221320Z",
    conditions: Sequence[Any] | None = None,
    expiration: str = NEVER,
) -> dict[str, str]:
    """The fields of a form that ``key`` (of date and region) has signed; ``conditions`` None: just these fields."""
    credential = f"{access_key}/{date[:8]}/{region}/s3/aws4_request"
    ours = {"x-amz-algorithm": sigv4.ALGORITHM, "x-amz-credential": credential, "x-amz-date": date}
    wanted = covering(fields, bucket) if conditions is None else [*conditions]
    text = policy([*wanted, *covering(ours, bucket)[1:]], expiration)
    return {**fields, **ours, "policy": text, "x-amz-signature": sigv4.sign(key, text)}


def sign_v2(
    fields: Mapping[str, str],
    bucket: str,
    secret: str,
    access_key: str,
    *,
    conditions: Sequence[Any] | None = None,
    expiration: str = NEVER,
) -> dict[str, str]:
    text = policy(covering(fields, bucket) if conditions is None else conditions, expiration)
    signature = b64encode(hmac.digest(secret.encode(), text.encode(), "sha1")).decode()
    return {**fields, "AWSAccessKeyId": access_key, "policy": text, "signature": signature}


# ------------------------------------------------------------------------------------------------ the core's driver

SECRET = "secret"
"""Of the key that signs with version 2; with version 4 it is ``KEY``."""


class Driver:
    """Answers the commands for one form; ``asked`` are their types in order.  There is no object before."""

    def __init__(self, body: bytes, access: Access = Access.OWNER) -> None:
        self.body, self.access = body, access
        self.asked: list[type[Any]] = []
        self.checked: CheckAccess | None = None
        self.received: ReceiveBody | None = None
        self.put: PutObject | None = None

    def __call__(self, command: Any) -> object:
        self.asked.append(type(command))
        try:
            return self._answer(command)
        except errors.S3Error as error:
            return error

    def _answer(self, command: Any) -> object:
        match command:
            case ReceiveForm():
                command.decoder.feed(memoryview(self.body))
                command.decoder.finish()
                return None
            case HeadObject():
                raise errors.NoSuchKey()
            case LookupSigningKey():
                return KEY if command.access_key_id == "AKIAEXAMPLE" else None
            case SignV2():
                signature = hmac.digest(SECRET.encode(), command.string_to_sign, "sha1")
                return SignatureV2(signature, PRINCIPAL) if command.access_key_id == "AKIAEXAMPLE" else None
            case CheckAccess():
                self.checked = command
                return self.access
            case ReceiveBody():
                self.received = command
                content = b"".join(bytes(piece) for piece in command.decoder.feed(memoryview(command.begun)))
                command.decoder.finish()
                digests = {"md5": bytes.fromhex(MD5)}
                digests |= {row.digest: row.of(content) for row in ALGORITHMS.values() if row.digest in command.digests}
                return Received(content, len(content), digests)
            case PutObject():
                self.put = command
                return info(command.key)
        raise AssertionError(command)


def post(driver: Driver, target: str = "/bucket", headers: Mapping[str, str] | None = None) -> Response:
    """Serve the request that carries the driver's form."""
    fields = {"content-type": CONTENT_TYPE, "content-length": str(len(driver.body))}
    fields |= headers or {}
    return run(serve(head("POST", target, fields), CONTEXT), driver)
