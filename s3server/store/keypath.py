"""Where an object key lies below its bucket's directory, and back: pure, injective, reversible.

Rules
- A part of a key (between slashes) that a file system takes as it is stays as it is; every name that we invent
  begins with ``.s3~``, and a client's part that begins so is escaped, so nothing a client sends names our files.
- ``key_of(place)`` answers a key only for the names that ``place_of`` gives for that very key; anything else on disk
  that begins with ``.s3~`` belongs to nobody and is hidden.
- No I/O.  Which of file and directory lies at a place is the store's affair (docs/architecture.md, section 3).

=====================  ==================================================================================
``.s3~=TEXT``          an escaped part; TEXT is percent-encoded where a name could not have the character
``.s3~+TEXT``          a directory: TEXT goes on in the name below (parts of more than 255 bytes)
``.s3~self``           in directory ``a``: the object ``a`` (when ``a/...`` exists too)
``.s3~marker``         in directory ``a``: the object ``a/``
``.s3~tmp.RANDOM``     unfinished, never an object
=====================  ==================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

RESERVED = ".s3~"
ESCAPED = ".s3~="
CONTINUED = ".s3~+"
SELF = ".s3~self"
MARKER = ".s3~marker"
TEMPORARY = ".s3~tmp."

MAX_NAME = 255
"""Bytes of one name: ext4, xfs, tmpfs and FUSE agree."""
MAX_LEVELS = 600
"""Deeper parts are joined into one escaped text (Curvine takes 1000 levels)."""
PIECE = 240
"""Bytes of text in one escaped name."""

_UNSAFE = re.compile(r"[%/\0*?\[{\\]")
_UNIT = re.compile(r"%[0-9A-F]{2}|.", re.DOTALL)
_PERCENT = re.compile(r"%([0-9A-F]{2})")


class Place(NamedTuple):
    """Names below the bucket: ``directories`` (may be empty), then the name of the object's file.

    When a directory has the name of the file, the object is ``SELF`` in that directory.
    """

    directories: tuple[str, ...]
    name: str

    @property
    def path(self) -> str:
        return "/".join((*self.directories, self.name))


def place_of(key: str, forbidden: frozenset[str] = frozenset()) -> Place:
    """Answer where ``key`` (non-empty, valid Unicode without surrogates) lies.

    ``forbidden``: characters that names of directories must not have on this file system.
    """
    parts = key.split("/")
    if len(parts) > MAX_LEVELS:
        parts[MAX_LEVELS - 1 :] = ["/".join(parts[MAX_LEVELS - 1 :])]
        last = _escaped(parts.pop())
    elif parts[-1] == "":
        parts.pop()
        last = (MARKER,)
    else:
        last = _names(parts.pop(), frozenset())
    return Place(directory_names(parts, forbidden) + last[:-1], last[-1])


def directory_names(parts: Sequence[str], forbidden: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Answer the names of the directory that holds the keys beginning with these parts."""
    names: tuple[str, ...] = ()
    for part in parts:
        names += _names(part, forbidden)
    return names


def key_of(names: Sequence[str], forbidden: frozenset[str] = frozenset()) -> str | None:
    """Answer the key of a *file* at these names below the bucket, None when it is nobody's.

    A file named SELF or MARKER gives the key of its directory, without and with a slash at its end.
    """
    *directories, name = names
    if name.startswith(TEMPORARY):
        return None
    if name == SELF or name == MARKER:
        prefix = key_prefix(directories, forbidden)
        if not prefix:
            return None
        if name == MARKER:
            return prefix
        own = place_of(prefix[:-1], forbidden) if len(prefix) > 1 else None
        return prefix[:-1] if own == Place(tuple(directories[:-1]), directories[-1]) else None
    if not any(n.startswith(RESERVED) for n in names) and len(names) <= MAX_LEVELS:
        if forbidden and any(c in forbidden for n in directories for c in n):
            return None
        return "/".join(names)
    texts = _texts(names)
    if texts is None:
        return None
    key = "/".join(texts)
    return key if key and place_of(key, forbidden) == Place(tuple(directories), name) else None


def key_prefix(directories: Sequence[str], forbidden: frozenset[str] = frozenset()) -> str | None:
    """Answer what all keys in a directory begin with ("" for the bucket itself, else it ends with a slash)."""
    if not directories:
        return ""
    texts = _texts(directories)
    if texts is None or len(texts) >= MAX_LEVELS or directory_names(texts, forbidden) != tuple(directories):
        return None
    return "/".join(texts) + "/"


def text_of(name: str) -> str:
    """Answer the text in an ESCAPED or CONTINUED name."""
    return _unescape(name[len(ESCAPED) :])


def _names(part: str, forbidden: frozenset[str]) -> tuple[str, ...]:
    if (
        part
        and part != "."
        and part != ".."
        and not part.startswith(RESERVED)
        and "\0" not in part
        and (len(part) <= 63 or len(part.encode()) <= MAX_NAME)
        and not (forbidden and any(c in forbidden for c in part))
    ):
        return (part,)
    return _escaped(part)


@lru_cache(maxsize=1024)
def _escaped(text: str) -> tuple[str, ...]:
    """Names for a text that cannot stand for itself; pieces end between characters, never inside one."""
    quoted = _UNSAFE.sub(lambda m: f"%{ord(m[0]):02X}", text)
    if len(quoted.encode()) <= PIECE:
        return (ESCAPED + quoted,)
    pieces: list[str] = []
    piece, size = "", 0
    for unit in _UNIT.findall(quoted):
        width = len(unit.encode())
        if size + width > PIECE:
            pieces.append(piece)
            piece, size = "", 0
        piece += unit
        size += width
    return (*(CONTINUED + p for p in pieces), ESCAPED + piece)


def _unescape(quoted: str) -> str:
    return _PERCENT.sub(lambda m: chr(int(m[1], 16)), quoted)


def _texts(names: Sequence[str]) -> list[str] | None:
    """Parts behind names; None when a continuation has no end or a name is reserved otherwise."""
    texts: list[str] = []
    open_text: str | None = None
    for name in names:
        if name.startswith(CONTINUED):
            open_text = (open_text or "") + _unescape(name[len(CONTINUED) :])
        elif name.startswith(ESCAPED):
            texts.append((open_text or "") + _unescape(name[len(ESCAPED) :]))
            open_text = None
        elif open_text is not None or name.startswith(RESERVED):
            return None
        else:
            texts.append(name)
    return None if open_text is not None else texts
