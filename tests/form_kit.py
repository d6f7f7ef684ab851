"""Browsers' forms for tests: their bytes as browsers send them, and policies signed with version 4 and 2."""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from s3proto import sigv4

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
