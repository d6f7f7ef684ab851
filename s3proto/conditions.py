"""If-Match and its family: on reads, on copy sources, on writes.

Rules: plain functions of header values and of what is stored.  A read is decided here; a write is only *stated*
here, as the pair that PutObject, CopyObject and CompleteMultipartUpload carry to the store, because only the store
can hold it against other writers.

Follows RFC 9110 13.1-13.2 (precedence), "Conditional requests" (Amazon S3 User Guide).  ETags may come bare, as
many clients send them.
"""

from __future__ import annotations

from dataclasses import dataclass

from s3proto.dates import parse_http_date
from s3proto.errors import ConditionalRequestConflict, NotModified, PreconditionFailed, RequestNotImplemented, S3Error
from s3proto.http import Headers
from s3proto.model import ObjectInfo


def matches(value: str, etag: str, *, weak: bool) -> bool:
    """Does a list of ETags, or ``*``, name ``etag`` (bare)?  A strong comparison (``weak`` False) fails on ``W/``."""
    if value.strip() == "*":
        return True
    for candidate in value.split(","):
        candidate = candidate.strip()
        if candidate.startswith("W/"):
            if not weak:
                continue
            candidate = candidate[2:]
        if bare_etag(candidate) == etag:
            return True
    return False


def bare_etag(text: str) -> str:
    """Return an ETag without its quotes."""
    text = text.strip()
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] == '"' else text


def check_read(headers: Headers, info: ObjectInfo) -> None:
    """Raise NotModified or PreconditionFailed when a GET or HEAD of ``info`` is not to be answered with it."""
    failed = _failed(headers, "", info)
    if failed in ("If-None-Match", "If-Modified-Since"):
        raise NotModified
    if failed:
        raise PreconditionFailed(Condition=failed)


def check_copy_source(headers: Headers, info: ObjectInfo) -> None:
    """Raise PreconditionFailed when the x-amz-copy-source-if-* headers do not hold for the source ``info``."""
    if failed := _failed(headers, "x-amz-copy-source-", info):
        raise PreconditionFailed(Condition=f"x-amz-copy-source-{failed}")


_CONDITIONS = frozenset({"if-match", "if-none-match", "if-modified-since", "if-unmodified-since"})


def _failed(headers: Headers, prefix: str, info: ObjectInfo) -> str | None:
    if not prefix and not headers.has_any(_CONDITIONS):
        return None  # most reads
    modified = int(info.last_modified)  # dates on the wire have whole seconds
    if (value := headers.joined(f"{prefix}if-match")) is not None:
        if not matches(value, info.etag, weak=False):
            return "If-Match"
    elif (date := _date(headers.get(f"{prefix}if-unmodified-since"))) is not None and modified > date:
        return "If-Unmodified-Since"
    if (value := headers.joined(f"{prefix}if-none-match")) is not None:
        if matches(value, info.etag, weak=True):
            return "If-None-Match"
    elif (date := _date(headers.get(f"{prefix}if-modified-since"))) is not None and modified <= date:
        return "If-Modified-Since"
    return None


def range_applies(headers: Headers, info: ObjectInfo) -> bool:
    """False when If-Range names another version: the whole object is wanted then (RFC 9110 13.1.5)."""
    if (value := headers.get("if-range")) is None:
        return True
    date = _date(value)
    return date == int(info.last_modified) if date is not None else matches(value, info.etag, weak=False)


def _date(value: str | None) -> float | None:
    return None if value is None else parse_http_date(value)


# ------------------------------------------------------------------------------------------------- writes


@dataclass(frozen=True, slots=True)
class Guard:
    """What a write command carries: the state of the key under which it may publish."""

    if_match: str | None = None
    if_none_match: str | None = None
    conflict: bool = False
    """True when the pair was derived from what was seen: losing it is a race, not the client's condition failing."""

    def lost(self, error: S3Error) -> S3Error:
        """Return what to raise when the store answers that the key is not in this state."""
        return ConditionalRequestConflict() if self.conflict else error


@dataclass(frozen=True, slots=True)
class WriteCondition:
    """If-Match and If-None-Match of a write, as sent but bare."""

    if_match: str | None = None
    if_none_match: str | None = None

    def __bool__(self) -> bool:
        return self.if_match is not None or self.if_none_match is not None

    def guard(self, current: ObjectInfo | None) -> Guard:
        """Check against what is stored now (None: nothing) and return what the write command must carry.

        ``If-None-Match: <etag>`` (AWS answers 501; other S3 servers and the public conformance suite know it) becomes
        a compare-and-swap: it may replace exactly the object seen, or be the first.  Raises PreconditionFailed.
        A missing object with If-Match is left to the store, which answers NoSuchKey.
        """
        if current is not None:
            if self.if_match is not None and self.if_match not in ("*", current.etag):
                raise PreconditionFailed(Condition="If-Match")
            if self.if_none_match is not None and self.if_none_match in ("*", current.etag):
                raise PreconditionFailed(Condition="If-None-Match")
        if self.if_none_match in (None, "*"):
            return Guard(self.if_match, self.if_none_match)
        if current is None:
            return Guard(self.if_match, None if self.if_match else "*", conflict=self.if_match is None)
        return Guard(current.etag, None, conflict=True)


def parse_write(headers: Headers) -> WriteCondition:
    """Return the conditions of a write.  Raises RequestNotImplemented for those that S3 has not on writes."""
    for name in ("if-modified-since", "if-unmodified-since"):
        if name in headers:
            raise RequestNotImplemented(Header=name.title())
    return WriteCondition(_one_etag(headers, "If-Match"), _one_etag(headers, "If-None-Match"))


def _one_etag(headers: Headers, name: str) -> str | None:
    value = headers.joined(name.lower())
    if value is None:
        return None
    if "," in value:
        raise RequestNotImplemented(Header=name)
    return bare_etag(value)
