"""Signature Version 2: ``Authorization: AWS key:signature``, presigned URLs, and the policies of browsers' forms.

Rules: pure; the secret stays with the driver, which signs the bytes that ``strings_to_sign`` gives.

Follows "Signing and Authenticating REST Requests (AWS signature version 2)".  Left out: session tokens.
"""

from __future__ import annotations

import binascii
import hmac
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass

from s3proto.context import Settings
from s3proto.dates import iso_date, parse_http_date, parse_iso
from s3proto.errors import AccessDenied, InvalidArgument, RequestTimeTooSkewed, SignatureDoesNotMatch
from s3proto.http import RequestHead
from s3proto.names import Target

# The list of the AWS page, and what botocore and the SDK for Java sign beyond it.  Sub-resources younger than both
# (retention, encryption, ...) are signed by nobody.
SIGNED_PARAMETERS = frozenset(
    "accelerate acl analytics cors defaultObjectAcl delete inventory lifecycle location logging metrics notification "
    "object-lock partNumber policy replication requestPayment restore select select-type storageClass tagging torrent "
    "uploadId uploads versionId versioning versions website response-cache-control response-content-disposition "
    "response-content-encoding response-content-language response-content-type response-expires".split()
)


FORM_FIELDS = ("awsaccesskeyid", "signature")
"""What a browser's form carries besides its policy, which is what is signed (lower-case names)."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says about its signature, its dates checked."""

    access_key_id: str
    signature: str
    """Base64, as sent."""
    date: str
    """What stands in the date line: the Date header, "" where x-amz-date is signed instead, or Expires."""
    presigned: bool = False


def parse_authorization(head: RequestHead, settings: Settings, now: float) -> Claim:
    """Read ``AWS key:signature``.  Raises InvalidArgument, AccessDenied (no date), RequestTimeTooSkewed."""
    value = head.headers.get("authorization") or ""
    access_key_id, colon, signature = value.partition(" ")[2].strip(" ").rpartition(":")
    if not (access_key_id and colon and signature):
        raise InvalidArgument(
            "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature",
            ArgumentName="Authorization",
            ArgumentValue=value,
        )
    amz_date = head.headers.get("x-amz-date")
    date = head.headers.get("date") or ""
    text = date if amz_date is None else amz_date
    seconds: float | None = parse_http_date(text)
    if seconds is None:
        seconds = parse_iso(text)
    if seconds is None or seconds < 0:
        raise AccessDenied("AWS authentication requires a valid Date or x-amz-date header")
    if abs(now - seconds) > settings.max_skew:
        raise RequestTimeTooSkewed(
            RequestTime=text, ServerTime=iso_date(now), MaxAllowedSkewMilliseconds=settings.max_skew * 1000
        )
    return Claim(access_key_id, signature, date if amz_date is None else "")


def parse_presigned(query: Mapping[str, str], now: float) -> Claim:
    """Read AWSAccessKeyId, Expires and Signature of a decoded query.  Raises AccessDenied (incomplete, expired)."""
    access_key_id, expires, signature = (query.get(name, "") for name in ("AWSAccessKeyId", "Expires", "Signature"))
    if not (access_key_id and expires and signature):
        raise AccessDenied("Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters")
    if not re.fullmatch(r"[0-9]{1,12}", expires):
        raise AccessDenied("Invalid date (should be seconds since epoch): " + expires)
    if now > int(expires):
        raise AccessDenied("Request has expired", Expires=iso_date(int(expires)), ServerTime=iso_date(now))
    return Claim(access_key_id, signature, expires, presigned=True)


def strings_to_sign(head: RequestHead, target: Target, query: list[tuple[str, str]], claim: Claim) -> tuple[bytes, ...]:
    """Return what the secret may have signed, the last one being AWS's page to the letter.

    ``query`` is decoded, in the order sent.  A presigned URL carries the headers that it signed as parameters
    (botocore): they stand for headers not sent.
    """
    headers = head.headers.folded()
    if claim.presigned:
        for name, value in query:
            name = _latin1(name.lower())
            if name.startswith("x-amz-") or name in ("content-md5", "content-type"):
                headers.setdefault(name, _latin1(value))
    lines = [head.method, headers.get("content-md5", ""), headers.get("content-type", ""), claim.date]
    lines += [f"{name}:{headers[name]}" for name in sorted(headers) if name.startswith("x-amz-")]
    path = f"/{target.bucket}{head.raw_path}" if target.virtual_host else head.raw_path
    paths = [path]
    if target.key is None and not path.endswith("/"):
        paths.insert(0, path + "/")  # botocore sends /bucket and signs /bucket/
    subresources = _subresources(head, query)
    return tuple("\n".join([*lines, path + subresources]).encode("latin-1") for path in paths)


def _subresources(head: RequestHead, query: list[tuple[str, str]]) -> str:
    signed = sorted((name, value) for name, value in query if name in SIGNED_PARAMETERS)
    valued = {item.partition("=")[0] for item in head.raw_query.split("&") if "=" in item}
    items = [f"{name}={_latin1(value)}" if name in valued else name for name, value in signed]
    return f"?{'&'.join(items)}" if items else ""


def _latin1(text: str) -> str:
    """Give decoded text back as its UTF-8 bytes, one character each: the string to sign is bytes."""
    return text.encode("utf-8").decode("latin-1")


def matches(claim: Claim, signature: bytes) -> bool:
    """Tell in constant time whether the claim's signature is ``signature`` (20 bytes)."""
    try:
        provided = b64decode(claim.signature.encode("utf-8"), validate=True)
    except binascii.Error:
        return False
    return hmac.compare_digest(provided, signature)


def mismatch(claim: Claim, to_sign: bytes) -> SignatureDoesNotMatch:
    """Return the error that tells the client what should have been signed."""
    return SignatureDoesNotMatch(
        AWSAccessKeyId=claim.access_key_id,
        StringToSign=to_sign.decode("latin-1"),
        SignatureProvided=claim.signature,
        StringToSignBytes=to_sign.hex(" "),
    )
