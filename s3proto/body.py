"""placeholder for the contract; see Decoder."""

from __future__ import annotations

from typing import Protocol


class Decoder(Protocol):
    """A push decoder of one body's content coding; transport framing is already gone.

    feed* ... finish.  Memory use is constant whatever sizes the client declares.
    """

    @property
    def expected_size(self) -> int | None:
        """Decoded bytes to come in all, where the request declared it."""

    def feed(self, data: memoryview) -> list[memoryview]:
        """Take the next raw bytes; answers slices of ``data`` (valid until the next feed).  Raises S3Errors."""

    def finish(self) -> None:
        """The raw body has ended: raises IncompleteBody, SignatureDoesNotMatch, MalformedTrailerError."""

    @property
    def trailers(self) -> dict[str, str]:
        """Lower-case trailing headers, after finish."""
