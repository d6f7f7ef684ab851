"""XML of S3: element tuples to bytes, and bounded parsing of request documents.

Rules that keep it so: a document is plain nested tuples, so tests compare values and not text; nothing is joined
but here.  Parsing costs what the document's length allows and no more: size, depth and number of elements are
limited, a DTD, an entity or another encoding than UTF-8 is refused.

Characters that XML 1.0 cannot carry (most control characters) are written as numeric references, as AWS does:
strict parsers reject such a listing, none silently reads another key.  Clients that have such keys ask for
``encoding-type=url``.  Error documents, and those of an upload that only tell the client's own key again, must always
parse: ``printable`` replaces those characters there.

Follows "Amazon S3 API Reference", Extensible Markup Language 1.0 (fifth edition) 2.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from s3proto.errors import MalformedXML, MaxMessageLengthExceeded

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


class Markup(str):
    """Text that is XML already.  For rows by the thousand: an f-string costs a fourth of nested tuples."""

    __slots__ = ()


Children: TypeAlias = "Sequence[Node | Markup | None]"
Node: TypeAlias = tuple[str, "str | int | Children"]
"""(element name, text or children).  A child None is left out; the name of a parent may be followed by attributes."""

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_CANNOT_STAND = re.compile("[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_CANNOT_BE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


# ------------------------------------------------------------------------------------------------ writing


def document(name: str, content: Children, *, namespace: bool = True) -> bytes:
    """Return a whole document with the root element ``name``; error documents carry no namespace."""
    pieces = [_HEAD]
    _write(f'{name} xmlns="{NAMESPACE}"' if namespace else name, content, pieces)
    return "".join(pieces).encode("utf-8")


def leaf(name: str, text: str) -> bytes:
    """Return a whole document whose root element holds text only."""
    return f'{_HEAD}<{name} xmlns="{NAMESPACE}">{escape(text)}</{name}>'.encode()


def printable(text: str) -> str:
    """Return ``text`` with every character that XML 1.0 cannot carry replaced by U+FFFD."""
    return _CANNOT_BE.sub("\ufffd", text)


def escape(text: str) -> str:
    """Return ``text`` as element content.  A carriage return is escaped too: parsers would read a line feed."""
    if text.isprintable() and "&" not in text and "<" not in text and ">" not in text:
        return text  # nearly always, at half the price of a search
    return _CANNOT_STAND.sub(_reference, text)


def _reference(match: re.Match[str]) -> str:
    return _NAMED.get(match[0]) or f"&#x{ord(match[0]):x};"


def _write(name: str, content: Children, pieces: list[str]) -> None:
    # Leaves are written where they are met: a call for each would double the time of a listing of 1000 keys.
    pieces.append(f"<{name}>")
    for node in content:
        if node is None:
            continue
        if isinstance(node, str):
            pieces.append(node)
            continue
        child, value = node
        if isinstance(value, str):
            pieces.append(f"<{child}>{escape(value)}</{child}>")
        elif isinstance(value, int):
            pieces.append(f"<{child}>{str(value).lower()}</{child}>")
        else:
            _write(child, value, pieces)
    pieces.append(f"</{name.partition(' ')[0]}>")


# ------------------------------------------------------------------------------------------------ reading


@dataclass(slots=True)
class Element:
    """A parsed element: its name without namespace, its text, its children in order."""

    name: str
    text: str = ""
    children: Sequence[Element] = ()

    def all(self, name: str) -> Iterator[Element]:
        """Return the children called ``name``; others are ignored, as AWS ignores unknown elements."""
        return (child for child in self.children if child.name == name)

    def get(self, name: str) -> str | None:
        """Return the text of the only child called ``name``, None when absent.  MalformedXML when repeated."""
        found = list(self.all(name))
        if len(found) > 1:
            raise MalformedXML
        return found[0].text if found else None

    def require(self, name: str) -> str:
        """Return the text of the only child called ``name``.  MalformedXML when absent, repeated or empty."""
        if not (text := self.get(name)):
            raise MalformedXML
        return text


def parse(data: bytes, root: str, *, max_bytes: int, max_elements: int = 120_000, max_depth: int = 8) -> Element:
    """Parse a request document whose root element is ``root``, in S3's namespace or in none.

    Raises MaxMessageLengthExceeded past ``max_bytes``, MalformedXML for everything else.
    """
    if len(data) > max_bytes:
        raise MaxMessageLengthExceeded(MaxMessageLengthBytes=max_bytes)
    # A tag of a megabyte would be a hundred thousand attributes before anybody could stop it.
    if any(data.find(b">", at, at + _TAG) < 0 for at in range(0, len(data) - _TAG, _TAG)):
        raise MalformedXML
    builder = _Builder(max_elements, max_depth)
    # The encoding given overrides the declaration: S3 documents are UTF-8 and Python's codecs stay out of reach.
    parser = DefusedXMLParser(target=builder, encoding="utf-8", forbid_dtd=True)
    try:
        parser.feed(data)
        parser.close()
    except (ParseError, DefusedXmlException):
        raise MalformedXML from None
    if builder.root is None or builder.root.name != root:
        raise MalformedXML
    return builder.root


_TAG = 32 * 1024
"""Bytes among which a document of S3's has the end of a tag."""


class _Builder:
    """Builds Elements for the parser and stops it at the limits.

    A document of small elements is an order of magnitude larger in memory than in bytes, so elements share what they
    can: their names, and the emptiness of most of them.
    """

    def __init__(self, max_elements: int, max_depth: int) -> None:
        self.root: Element | None = None
        self._names: dict[str, str] = {}
        self._left = max_elements
        self._max_depth = max_depth
        self._open: list[Element] = []
        self._text: list[str] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._left -= 1
        if self._left < 0 or len(self._open) >= self._max_depth:
            raise MalformedXML
        name = tag.rpartition("}")[2]
        element = Element(self._names.setdefault(name, name))
        if self._open:
            parent = self._open[-1]
            if isinstance(parent.children, list):
                parent.children.append(element)
            else:
                parent.children = [element]
        else:
            self.root = element
        self._open.append(element)
        self._text.clear()  # text beside elements means nothing in S3's documents

    def data(self, text: str) -> None:
        self._text.append(text)

    def end(self, tag: str) -> None:
        element = self._open.pop()
        if not element.children:
            element.text = "".join(self._text)
        self._text.clear()

    def close(self) -> None:
        """The parser asks for a result here; ``root`` is it."""
