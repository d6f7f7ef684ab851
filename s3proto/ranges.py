"""Which bytes of an object a request wants: Range, x-amz-copy-source-range, partNumber.

Rules: plain functions of values.  A piece is ``(first, length)``; AWS's inclusive pair exists only on the wire.

Follows RFC 9110 14.1-14.4, "GetObject" and "UploadPartCopy" (Amazon S3 API Reference).  As on AWS, a Range of
several pieces, of another unit or of bad syntax is ignored: the whole object is answered with 200.
"""

from __future__ import annotations

import re

from s3proto.errors import InvalidArgument, InvalidPart, InvalidRange
from s3proto.model import ObjectInfo, Part

MAX_PART_NUMBER = 10_000

_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)", re.IGNORECASE)
_COPY_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]+)")
_PAST_EVERYTHING = 2**63


def resolve(value: str | None, size: int) -> tuple[int, int] | None:
    """Return the (first, length) that a Range header asks of ``size`` bytes, None for the whole object.

    Raises InvalidRange where no byte of it exists; but the end of an empty object is all of it (RFC 9110 14.1.2).
    """
    if value is None or (match := _RANGE.fullmatch(value)) is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        suffix = _number(match[2])
        if suffix and not size:
            return None
        length = min(suffix, size)
        first = size - length
    else:
        first = _number(match[1])
        last = _number(match[2]) if match[2] else _PAST_EVERYTHING
        if last < first:
            return None
        length = min(last + 1, size) - first
    if length <= 0:
        error = InvalidRange(RangeRequested=value, ActualObjectSize=size)
        error.headers.append(("Content-Range", f"bytes */{size}"))
        raise error
    return first, length


def resolve_copy_source(value: str | None, size: int) -> tuple[int, int]:
    """Return the (first, length) that x-amz-copy-source-range asks of a source of ``size`` bytes.

    Raises InvalidArgument for any form but ``bytes=first-last``, InvalidRange when it reaches past the source.
    """
    if value is None:
        return 0, size
    match = _COPY_RANGE.fullmatch(value)
    if match is None or (last := _number(match[2])) < (first := _number(match[1])):
        raise InvalidArgument(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
            "zero-based offsets of the first and last bytes to copy",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=value,
        )
    if last >= size:
        raise InvalidRange(RangeRequested=value, ActualObjectSize=size)
    return first, last - first + 1


def content_range(first: int, length: int, size: int) -> str:
    """Return the value of Content-Range; ``length`` is at least 1."""
    return f"bytes {first}-{first + length - 1}/{size}"


def part_number(text: str) -> int:
    """Return a partNumber parameter as 1 .. 10000, else raise InvalidArgument."""
    number = _number(text) if text.isascii() and text.isdecimal() else 0
    if not 1 <= number <= MAX_PART_NUMBER:
        raise InvalidArgument(
            "Part number must be an integer between 1 and 10000, inclusive",
            ArgumentName="partNumber",
            ArgumentValue=text,
        )
    return number


def locate_part(info: ObjectInfo, number: int) -> tuple[int, int, Part | None]:
    """Return (first, length, part) of part ``number``; an object not made of parts is its own part 1 (None).

    Raises InvalidPart where there is no such part (the public conformance suite wants it so; AWS's page says 416).
    """
    if info.parts is None:
        if number > 1:
            raise InvalidPart(PartNumber=number)
        return 0, info.size, None
    first = 0
    for part in info.parts:
        if part.number == number:
            return first, part.size, part
        first += part.size
    raise InvalidPart(PartNumber=number)


def _number(digits: str) -> int:
    """int() of digits, however many: past 63 bits every number means the same."""
    digits = digits.lstrip("0")
    return _PAST_EVERYTHING if len(digits) > 18 else int(digits or "0")
