"""A browser's upload (multipart/form-data): push decoders of its fields and of its file.

Rules: pure; the same bytes give the same fields, pieces and errors however they are split.  All that is not the file
is MAX_FORM bytes at most: that much before it, which is all that is kept in memory, and that much behind it, which
means nothing.  The file's bytes go out as slices of what came in; held back is only what may begin a delimiter.

    preamble, *( CRLF "--" boundary CRLF  *( name ":" value CRLF ) CRLF  value ), CRLF "--" boundary "--", epilogue

Follows RFC 2046 5.1.1 (delimiters), RFC 7578 (form-data), "POST Object" (Amazon S3 API Reference: the fields stand
before the file, and what follows it is ignored).  Left out: parts in a transfer encoding, which no browser sends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from urllib.parse import unquote

from s3proto.errors import (
    InvalidArgument,
    MalformedPOSTRequest,
    MaxPostPreDataLengthExceededError,
    PreconditionFailed,
    RequestNotImplemented,
)

MAX_FORM = 20 * 1024
"""Bytes of all that stands before the file."""
FILE = "file"
"""Name of the field that is the file."""

_BOUNDARY = re.compile(r'boundary\s*=\s*(?:"([^"]*)"|([^\s;"]+))', re.IGNORECASE)
_BOUNDARY_TEXT = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_PARAMETER = re.compile(r';\s*([\w-]+\*?)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))')


def boundary(content_type: str | None) -> bytes:
    """Return the boundary that a form's Content-Type names.  Raises PreconditionFailed, MalformedPOSTRequest."""
    kind, _, parameters = (content_type or "").partition(";")
    if kind.strip().lower() != "multipart/form-data":
        raise PreconditionFailed(Condition="Bucket POST must be of the enclosure-type multipart/form-data")
    found = _BOUNDARY.search(parameters)
    text = (found[1] or found[2] or "") if found else ""
    if not _BOUNDARY_TEXT.fullmatch(text):
        raise MalformedPOSTRequest()
    return text.encode("ascii")


class _Expect(Enum):
    PREAMBLE = "the first delimiter"
    LINE_END = "the line end after a delimiter"
    HEAD = "the head of a part"
    VALUE = "the value of a field"


class FormDecoder:
    """The fields of a form, up to the first byte of its file.

    feed* until ``complete``; ``finish`` when the body ends before.
    """

    def __init__(self, boundary: bytes) -> None:
        self.fields: dict[str, str] = {}
        """Values by lower-case name."""
        self.filename = ""
        """What the file was called where it comes from, without directories."""
        self.complete = False
        """True once the head of the file has been seen."""
        self.begun = b""
        """What has come of the file."""
        self.boundary = boundary
        self._delimiter = b"\r\n--" + boundary
        self._data = bytearray(b"\r\n")  # the first delimiter may stand at the very beginning
        self._at = 0
        self._searched = 0
        self._expect = _Expect.PREAMBLE
        self._name = ""

    def feed(self, data: memoryview) -> None:
        """Take the next bytes of the body.

        Raises MalformedPOSTRequest, MaxPostPreDataLengthExceededError, InvalidArgument (no file, a name twice),
        RequestNotImplemented.
        """
        if self.complete:
            self.begun += data
            return
        taken = data[: MAX_FORM + 2 - len(self._data)]
        self._data += taken
        while not self.complete and self._step():
            pass
        if self.complete:
            self.begun = bytes(self._data[self._at :]) + bytes(data[len(taken) :])
            self._data.clear()
        elif len(self._data) >= MAX_FORM + 2:
            raise MaxPostPreDataLengthExceededError()

    def finish(self) -> None:
        """The body has ended.  Raises MalformedPOSTRequest unless the decoder is complete."""
        if not self.complete:
            raise MalformedPOSTRequest()

    def _step(self) -> bool:
        """Go on to the next thing to expect; False when more must come before."""
        match self._expect:
            case _Expect.LINE_END:
                if self._data.startswith(b"--", self._at):
                    raise InvalidArgument(
                        "POST requires exactly one file upload per request.", ArgumentName=FILE, ArgumentValue=0
                    )
                if (blanks := self._until(b"\r\n")) is None:
                    return False
                if blanks.strip(b" \t"):
                    raise MalformedPOSTRequest()
                self._at -= 2  # a head may be empty
                self._expect = _Expect.HEAD
            case _Expect.HEAD:
                if (head := self._until(b"\r\n\r\n")) is None:
                    return False
                self._begin_part(head)
            case _:
                if (value := self._until(self._delimiter)) is None:
                    return False
                if self._expect is _Expect.VALUE:
                    self._end_field(value)
                self._expect = _Expect.LINE_END
        return True

    def _until(self, mark: bytes) -> bytes | None:
        """Return what stands before the next ``mark`` and step behind it, None when it has not come."""
        end = self._data.find(mark, max(self._at, self._searched))
        if end < 0:
            self._searched = len(self._data) - len(mark) + 1
            return None
        found = bytes(self._data[self._at : end])
        self._at = end + len(mark)
        self._searched = 0
        return found

    def _begin_part(self, head: bytes) -> None:
        headers: dict[str, str] = {}
        for line in _text(head).split("\r\n"):
            name, _, value = line.partition(":")
            headers.setdefault(name.strip().lower(), value.strip())
        kind, semicolon, rest = headers.get("content-disposition", "").partition(";")
        found = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(semicolon + rest)}
        if kind.strip().lower() != "form-data" or "name" not in found:
            raise MalformedPOSTRequest()
        if headers.get("content-transfer-encoding", "binary").lower() not in ("7bit", "8bit", "binary"):
            raise RequestNotImplemented(Header="Content-Transfer-Encoding")
        self._name = _unquoted(found["name"]).lower()
        self._expect = _Expect.VALUE
        if self._name == FILE:
            self.filename = _filename(found)
            self.complete = True

    def _end_field(self, value: bytes) -> None:
        if self._name.startswith("x-ignore-"):
            return
        if self._name in self.fields:  # the policy would be held against one of them and the other one used
            raise InvalidArgument(
                "The form has more than one field of this name.", ArgumentName=self._name, ArgumentValue=""
            )
        self.fields[self._name] = _text(value)


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedPOSTRequest("The form is not in UTF-8.") from None


def _unquoted(text: str) -> str:
    """Undo what some clients do to quotes and backslashes; others send backslashes as they are."""
    return re.sub(r'\\(["\\])', r"\1", text)


def _filename(parameters: Mapping[str, str]) -> str:
    name = _unquoted(parameters.get("filename", ""))
    extended = parameters.get("filename*", "")
    if extended.lower().startswith("utf-8''"):  # urllib3 before 2.0, for what is not ASCII
        name = unquote(extended[7:])
    return re.split(r"[/\\]", name)[-1]


class FileDecoder:
    """The bytes of a form's file: a ``body.Decoder`` of what follows a complete FormDecoder."""

    __slots__ = ("expected_size", "trailers", "_after", "_behind", "_delimiter", "_ended", "_held")

    def __init__(self, boundary: bytes) -> None:
        self.expected_size: int | None = None
        self.trailers: dict[str, str] = {}
        self._delimiter = b"\r\n--" + boundary
        self._held = b""
        """What came last, if it may be the beginning of the delimiter."""
        self._ended = False
        self._behind = 0
        """Bytes behind the delimiter."""
        self._after = b""
        """The first two of them that are no blanks."""

    def feed(self, data: memoryview) -> list[memoryview]:
        """See ``body.Decoder.feed``.  Raises MalformedPOSTRequest when too much follows the file."""
        if self._ended:
            self._take_rest(data)
            return []
        delimiter = self._delimiter
        whole = self._held + bytes(data)  # bytes know how to search, and a copy costs less than a regular expression
        if self._held:
            data = memoryview(whole)
        if (at := whole.find(delimiter)) >= 0:
            self._take_rest(data[at + len(delimiter) :])
            return [data[:at]]
        begun = whole.rfind(b"\r", 1 - len(delimiter))
        self._held = whole[begun:] if begun >= 0 and delimiter.startswith(whole[begun:]) else b""
        return [data[: len(data) - len(self._held)]]

    def _take_rest(self, data: memoryview) -> None:
        self._ended = True
        self._behind += len(data)
        if self._behind > MAX_FORM:
            raise MalformedPOSTRequest("Too much follows the file of the form.")
        if len(self._after) < 2:
            self._after = (self._after + bytes(data)).lstrip(b" \t")[:2]

    def finish(self) -> None:
        """See ``body.Decoder.finish``.  Raises MalformedPOSTRequest unless the file has ended as a part does."""
        if self._after not in (b"--", b"\r\n"):
            raise MalformedPOSTRequest()
