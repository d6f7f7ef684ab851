"""Sends a piece of an opened object: out of the page cache where its bytes lie in local files, else through one buffer.

To another machine sendfile is quickest: nothing is copied.  A client of this machine has to copy, and slowly so out of
the single pages that sendfile hands over: there, sending from a mapped file shares the work between two processors
(docs/measurements.md).

Rules: never more memory than one buffer; every wait has a Pace; a content that ends too early breaks the connection,
because its length has been promised; one whose first bytes cannot be read is refused (S3Error), before the head goes
out.  Handles come from the store and look like ``curvinefs.api.File``.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator, Sequence
from typing import Protocol, cast

from curvinefs.api import Extent
from s3proto.errors import S3Error
from s3proto.http import Span
from s3server.connection import MSG_MORE, Connection, ConnectionLost, Pace

SMALL_SPAN = 64 * 1024
"""Bytes up to which reading and sending with the head in one call is quicker than sendfile."""
SENDFILE = 1 << 20
"""Bytes of one sendfile call: what the pace is measured in."""
MAPPED_SPAN = 4 << 20
"""Bytes of a span from which mapping its file for a client of this machine is quicker than sendfile."""
WINDOW = 2 << 20
"""Bytes of a file that are mapped at a time."""
SHORTER = "the object has become shorter while it was being sent"


class Content(Protocol):
    """What a Span's content must have (``curvinefs.api.File``)."""

    def extents(self, first: int, length: int) -> Sequence[Extent] | None: ...

    def readinto(self, first: int, buffer: memoryview) -> int: ...


def read_span(span: Span) -> memoryview:
    """Read a small span into memory.  Raises S3Error; ConnectionLost when the content has become shorter."""
    view = memoryview(bytearray(span.length))
    _fill(cast(Content, span.content), span.first, view)
    return view


def send_span(connection: Connection, head: bytes, span: Span, pace: Pace, chunk_size: int) -> None:
    """Send ``head`` and then ``span``.  Raises ConnectionLost; S3Error as long as nothing was sent.

    ``chunk_size``: bytes of the buffer, where one is needed.
    """
    content = cast(Content, span.content)
    extents = None if connection.secure else content.extents(span.first, span.length)
    pieces = read_pieces(span, chunk_size)
    begun = next(pieces, None) if extents is None else None
    connection.send_all(head, pace, MSG_MORE)
    if extents is not None:
        mapped = span.length >= MAPPED_SPAN and connection.is_local()
        for extent in extents:
            sent = _send_mapped(connection, extent, pace) if mapped else 0
            _sendfile(connection, Extent(extent.fd, extent.offset + sent, extent.length - sent), pace)
        return
    while begun is not None:
        connection.send_all(begun, pace)
        try:
            begun = next(pieces, None)
        except S3Error as error:
            raise ConnectionLost(f"the rest of the object cannot be read: {error}") from error


def read_pieces(span: Span, chunk_size: int) -> Iterator[memoryview]:
    """Read a span piece by piece through one buffer: a piece is valid until the next one.  S3Error, ConnectionLost."""
    view = memoryview(bytearray(min(chunk_size, span.length)))
    first, left = span.first, span.length
    while left:
        piece = view[: min(left, len(view))]
        _fill(cast(Content, span.content), first, piece)
        yield piece
        first += len(piece)
        left -= len(piece)


def _fill(content: Content, first: int, view: memoryview) -> None:
    done = 0
    while done < len(view):
        count = content.readinto(first + done, view[done:])
        if not count:
            raise ConnectionLost(SHORTER)
        done += count


def _send_mapped(connection: Connection, extent: Extent, pace: Pace) -> int:
    """Send ``extent`` through mappings of its file; answers how many bytes, the rest being for sendfile.

    Only the kernel touches the mapped bytes: a page that has gone (the file was cut off, a disk error) is EFAULT to it,
    where it would be the end of this process if Python read it.  Within the page where a file ends now, a mapping goes
    on with zeros: so the last page of what was promised is never mapped, and sendfile finds out that it has gone.
    """
    offset, end = extent.offset, extent.offset + extent.length - 1
    end -= end % mmap.ALLOCATIONGRANULARITY
    while offset < end:
        first = offset - offset % mmap.ALLOCATIONGRANULARITY
        length = min(end - first, WINDOW)
        try:
            window = mmap.mmap(extent.fd, length, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ, offset=first)
        except ValueError as error:  # beyond the end of the file
            raise ConnectionLost(SHORTER) from error
        except OSError:  # ENODEV: some file systems cannot
            break
        # Not closed by hand: a view of it lives on in the traceback when sending fails, and it goes with the last one.
        connection.send_all(memoryview(window)[offset - first :], pace)
        offset = first + length
    return offset - extent.offset


def _sendfile(connection: Connection, extent: Extent, pace: Pace) -> None:
    offset, left = extent.offset, extent.length
    while left:
        try:
            count = os.sendfile(connection.fd, extent.fd, offset, min(left, SENDFILE))
        except BlockingIOError:
            connection.wait_writable(pace)
            continue
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOSYS):
                raise  # a file system without sendfile would have to answer None for extents: ours to mend
            raise ConnectionLost from error
        if not count:
            raise ConnectionLost(SHORTER)
        pace.moved(count)
        offset += count
        left -= count
