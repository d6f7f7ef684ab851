"""One authenticated request as an operation sees it, and the parsing of its parameters.

Rules: values only; the first of a repeated parameter counts, as on AWS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from s3proto.auth import Identity
from s3proto.context import Context, Settings
from s3proto.dates import parse_http_date, parse_iso
from s3proto.errors import AccessDenied, InvalidArgument
from s3proto.http import Headers, RequestHead
from s3proto.model import Access, Owner, Principal


@dataclass(frozen=True, slots=True)
class S3Request:
    """What an operation is called with."""

    head: RequestHead
    bucket: str
    """Empty for operations on the service."""
    key: str
    """Empty for operations on the service or a bucket."""
    query: Mapping[str, str]
    """Decoded; names without a value have an empty one."""
    identity: Identity
    access: Access
    """How far the caller gets with the operation's action; never DENIED."""
    context: Context
    to_browsers: tuple[tuple[str, str], ...] = ()
    """Headers that go with any answer, for ``AllowEarlyHead``; ``serve`` adds them to the response."""

    @property
    def headers(self) -> Headers:
        return self.head.headers

    @property
    def settings(self) -> Settings:
        return self.context.settings

    @property
    def principal(self) -> Principal:
        """The caller.  Raises AccessDenied for an anonymous one."""
        if self.identity.principal is None:
            raise AccessDenied
        return self.identity.principal

    @property
    def writer(self) -> Owner | None:
        """Whose what is written now will be; None: the bucket owner's.

        Objects that nobody has signed for are the bucket owner's: so they are his to read, and nobody's to share.
        """
        if self.access is Access.GUEST and self.identity.principal is not None:
            return self.identity.principal.owner
        return None

    @property
    def version_id(self) -> str | None:
        """The versionId parameter.  Raises InvalidArgument when it is empty."""
        if (version_id := self.query.get("versionId")) == "":
            raise InvalidArgument(
                "Version id cannot be the empty string", ArgumentName="versionId", ArgumentValue=version_id
            )
        return version_id

    def location(self) -> str:
        """Return the URL of the object, as the client addressed it."""
        scheme = "https" if self.head.secure else "http"
        return f"{scheme}://{self.headers.get('host', '')}{self.head.raw_path}"


def whole_number(text: str | None, name: str, *, default: int, most: int) -> int:
    """Return a count parameter as 0 .. ``most`` (more is taken as ``most``).  Raises InvalidArgument."""
    if text is None or text == "":
        return default
    # 2^31-1 is where AWS's own integers end.
    if not (text.isascii() and text.isdecimal() and len(text) <= 20 and (number := int(text)) < 2**31):
        raise InvalidArgument(
            f"Provided {name} not an integer or within integer range", ArgumentName=name, ArgumentValue=text
        )
    return min(number, most)


def parse_date(text: str) -> int | None:
    """Return whole POSIX seconds of an HTTP or ISO 8601 date, None for anything else."""
    if (seconds := parse_http_date(text)) is not None:
        return seconds
    return None if (exact := parse_iso(text)) is None else int(exact)
