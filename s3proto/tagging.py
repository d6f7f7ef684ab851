"""Tags of objects and buckets: from documents, headers and forms, and back.

Rules: tags are (key, value) pairs in order of their keys, and no two have the same key.  What is too many, too long or
made of other characters than AWS takes is refused as a whole.

Follows "Categorizing your objects using tags" (Amazon S3 User Guide), "PutObjectTagging", "PutBucketTagging" and
"PutObject" (API Reference).  Too many tags are InvalidTag here as everywhere among S3 servers; AWS says BadRequest.
"""

from __future__ import annotations

import unicodedata
from urllib.parse import parse_qsl, urlencode

from s3proto import xml
from s3proto.errors import InvalidArgument, InvalidTag, MalformedXML
from s3proto.model import Pairs

HEADER = "x-amz-tagging"
MAX_OBJECT_TAGS = 10
MAX_BUCKET_TAGS = 50
MAX_KEY = 128
"""Characters, as is MAX_VALUE."""
MAX_VALUE = 256
MAX_DOCUMENT = 512 * 1024
"""Bytes: 50 tags whose every character takes ten (``&#x1d518;``) fit."""

_SYMBOLS = frozenset("_.:/=+-@")
_CLASSES = frozenset("LNZ")
"""First letters of the Unicode categories of letters, numbers and separators."""
_BAD_HEADER = (
    "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name"
    " duplicates."
)


def parse(data: bytes, most: int = MAX_OBJECT_TAGS) -> Pairs:
    """Read a Tagging document.  Raises MalformedXML, MaxMessageLengthExceeded, InvalidTag."""
    root = xml.parse(data, "Tagging", max_bytes=MAX_DOCUMENT)
    sets = list(root.all("TagSet"))
    if len(sets) != 1:
        raise MalformedXML
    return checked([(tag.require("Key"), _value(tag)) for tag in sets[0].all("Tag")], most)


def _value(tag: xml.Element) -> str:
    if (value := tag.get("Value")) is None:
        raise MalformedXML
    return value


def parse_header(value: str | None) -> Pairs:
    """Read x-amz-tagging (latin-1, one character per byte): the query of a URL; None and empty: no tags.

    Raises InvalidArgument, InvalidTag.
    """
    if not value:
        return ()
    try:
        text = value.encode("latin-1").decode("utf-8")
        tags = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_BUCKET_TAGS)
    except ValueError:  # not UTF-8; more than anybody could have
        raise InvalidArgument(_BAD_HEADER, ArgumentName=HEADER, ArgumentValue=value) from None
    if len({key for key, _ in tags}) < len(tags):
        raise InvalidArgument(_BAD_HEADER, ArgumentName=HEADER, ArgumentValue=value)
    return checked(tags, MAX_OBJECT_TAGS)


def header(tags: Pairs) -> str:
    """Return the value of x-amz-tagging that gives these tags."""
    return urlencode(tags)


def document(tags: Pairs) -> bytes:
    """Return the Tagging document; it always parses, whatever others have written into an attribute."""
    rows = [("Tag", (("Key", xml.printable(key)), ("Value", xml.printable(value)))) for key, value in tags]
    return xml.document("Tagging", [("TagSet", rows)])


def checked(tags: list[tuple[str, str]], most: int) -> Pairs:
    """Return ``tags`` in order of their keys.  Raises InvalidTag."""
    if len(tags) > most:
        raise InvalidTag(f"There are more than {most} tags.")
    seen = set()
    for key, value in tags:
        if not (0 < len(key) <= MAX_KEY and _is_plain(key)):
            raise InvalidTag("The TagKey you have provided is invalid", TagKey=key)
        if not (len(value) <= MAX_VALUE and _is_plain(value)):
            raise InvalidTag("The TagValue you have provided is invalid", TagKey=key, TagValue=value)
        if key.lower().startswith("aws:"):
            raise InvalidTag("System tags cannot be added/updated by requester", TagKey=key)
        if key in seen:
            raise InvalidTag("Cannot provide multiple Tags with the same key", TagKey=key)
        seen.add(key)
    return tuple(sorted(tags))


def _is_plain(text: str) -> bool:
    if text.isascii() and text.isalnum():
        return True
    return all(char in _SYMBOLS or unicodedata.category(char)[0] in _CLASSES for char in text)
