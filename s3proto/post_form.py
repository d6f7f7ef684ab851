"""What the fields of a browser's form mean: the key, and the headers of the PutObject that the form stands for.

Rules: pure functions of values; fields go by their lower-case names.  Whether a policy allows them is asked elsewhere
(``post_policy``), and of the fields as they are here, ``${filename}`` replaced.

Follows "POST Object" (Amazon S3 API Reference).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from s3proto import tagging
from s3proto.errors import InvalidArgument, MaxPostPreDataLengthExceededError, RequestNotImplemented
from s3proto.form import MAX_FORM
from s3proto.http import Headers, is_token
from s3proto.names import check_key


@dataclass(frozen=True, slots=True)
class PostForm:
    """A form whose fields are known and allowed, and whose file is still to come."""

    fields: Mapping[str, str]
    """By lower-case name, ``${filename}`` replaced."""
    key: str
    boundary: bytes
    begun: bytes
    """What has come of the file already."""
    smallest: int = 0
    """Bytes that the file must have at least."""
    largest: int | None = None
    """Bytes that it may have at most."""


_FILENAME = "${filename}"
_SIGNED = frozenset({"policy", "signature", "x-amz-signature"})
_SHORT = {"acl": "x-amz-acl", "tagging": "x-amz-tagging"}
_SYSTEM = frozenset(
    "cache-control content-disposition content-encoding content-language content-md5 content-type expires".split()
)
_KEPT = frozenset(
    "host content-length content-range transfer-encoding referer user-agent if-match if-none-match if-modified-since"
    " if-unmodified-since x-amz-expected-bucket-owner".split()
)
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f]")


def expanded(fields: Mapping[str, str], filename: str) -> dict[str, str]:
    """Return the fields with ``${filename}`` replaced.  Raises MaxPostPreDataLengthExceededError."""
    found = {}
    for name, value in fields.items():
        if _FILENAME in value and name not in _SIGNED:
            if value.count(_FILENAME) * len(filename) > MAX_FORM:
                raise MaxPostPreDataLengthExceededError()
            value = value.replace(_FILENAME, filename)
        found[name] = value
    return found


def required(fields: Mapping[str, str], name: str) -> str:
    """Return a field that must be there.  Raises InvalidArgument."""
    if (value := fields.get(name)) is None:
        raise InvalidArgument(
            f"Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the "
            "fields.",
            ArgumentName=name,
            ArgumentValue="",
        )
    return value


def key_of(fields: Mapping[str, str]) -> str:
    """Return the key that a form gives.  Raises InvalidArgument, KeyTooLongError."""
    if not (key := required(fields, "key")):
        raise InvalidArgument("User key must have a length greater than 0.", ArgumentName="key", ArgumentValue=key)
    return check_key(key)


def headers_of(fields: Mapping[str, str], sent: Headers) -> Headers:
    """Return the headers of the PutObject that a form stands for; ``sent`` are those of its own request.

    No x-amz-* header that was sent counts but the expected owner: no policy would have looked at it.  Conditions
    do, as they can only refuse, and what policies of keys speak of.  Raises InvalidArgument for a field that no header
    could have carried, RequestNotImplemented for one that would make it something else than PutObject, MalformedXML and
    InvalidTag for ``tagging``, which is a document.
    """
    found = [(name, value) for name, value in sent if name in _KEPT]
    for field, value in fields.items():
        name = _SHORT.get(field, field)
        if field == "tagging" and value:
            value = tagging.header(tagging.parse(value.encode()))
        if name not in _SYSTEM and not name.startswith("x-amz-"):
            continue
        if name == "x-amz-copy-source":
            raise RequestNotImplemented(Header=name)
        if not is_token(name) or _CONTROL.search(value):
            raise InvalidArgument(ArgumentName=field, ArgumentValue=value)
        if value or name.startswith("x-amz-meta-"):
            found.append((name, value.strip(" \t").encode("utf-8").decode("latin-1")))
    return Headers(found)
