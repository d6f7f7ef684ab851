"""Keys of a bucket in the order S3 lists them, out of directories, whatever the file system's own order.

Rules: asks the file system, decides nothing else; answers keys in UTF-8 byte order of *whole keys*, each once.  A
directory sorts as its name plus ``/``; str comparison in Python is code point order, which is UTF-8 byte order.
Directories are entered only where a wanted key may lie, so a page costs its own length, not the bucket's.

How: ``walk`` keeps a stack of iterators, one for each open directory; each gives its entries in key order
(``_in_order``).  Our reserved names come from anywhere in that order, so they are collected first, and looked into
when it is their turn; plain ones stream, and a directory waits in a small heap until nothing plain can come before its
name plus ``/``.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from curvinefs.api import DirEntry, FileKind, FileStatus, FileSystem, InvalidPath, NotADirectory, NotFound
from s3proto.model import ListPage, ObjectRow
from s3server.store.keypath import (
    CONTINUED,
    ESCAPED,
    MARKER,
    MAX_LEVELS,
    RESERVED,
    SELF,
    TEMPORARY,
    directory_names,
    place_of,
    text_of,
)
from s3server.store.record import row_of

_LAST = chr(0x10FFFF)
MAX_KEY = 1024
"""Bytes of a key (AWS, "Creating object key names")."""
SKIPPED = 1000
"""Keys of a group that are passed over before the walk begins anew behind it: beginning costs about as much."""


class Found(NamedTuple):
    """A key (``is_prefix`` False) or all keys below ``key`` (a rolled-up directory that has some)."""

    key: str
    is_prefix: bool
    status: Callable[[], FileStatus]
    """NotFound when it went meanwhile.  Not to be called for prefixes."""


class _Item(NamedTuple):
    order: str
    """Text within the directory, plus "/" for directories: what items are sorted by."""
    path: str
    is_directory: bool
    status: Callable[[], FileStatus] | None


class _Folded(NamedTuple):
    """Items behind a name of ours: none is ordered before ``least``, with which they all begin."""

    least: str
    path: str
    entry: DirEntry


@dataclass(frozen=True, slots=True)
class Walker:
    """Walks one bucket.  ``met_temporary`` is told the path of every unfinished file it comes across."""

    fs: FileSystem
    bucket: str
    met_temporary: Callable[[str], None] = lambda path: None

    def walk(self, prefix: str = "", after: str = "", roll_up: bool = False) -> Iterator[Found]:
        """Keys > ``after`` that begin with ``prefix``; with ``roll_up`` directories below the prefix's last
        slash are given as one Found each instead of being entered (one equal to ``after`` is left out).

        A missing bucket or prefix gives nothing.
        """
        forbidden = self.fs.forbidden_in_directories
        base = prefix.split("/")[:-1][: MAX_LEVELS - 1]
        base_prefix = "".join(part + "/" for part in base)
        path = "/".join(("", self.bucket, *directory_names(base, forbidden)))
        stack = [(base_prefix, self._in_order(path, base_prefix, max(prefix, after)))]
        while stack:
            key_prefix, items = stack[-1]
            item = next(items, None)
            if item is None:
                stack.pop()
                continue
            key = key_prefix + item.order
            if not item.is_directory:
                if key <= after or not key.startswith(prefix):
                    if key > prefix and key > after:
                        stack.pop()  # past the prefix: nothing more in this directory
                    continue
                if len(key) > MAX_KEY // 4 and len(key.encode()) > MAX_KEY:
                    continue  # somebody's own tree: no request could name it
                assert item.status is not None
                yield Found(key, False, item.status)
            elif key.startswith(prefix) or prefix.startswith(key):
                if key < after and not after.startswith(key):
                    continue
                if roll_up and len(key) > len(prefix):
                    if key != after and next(self._below(item.path, key, after), None) is not None:
                        yield Found(key, True, _no_status)
                    continue
                if len(stack) + len(base) < MAX_LEVELS:
                    stack.append((key, self._in_order(item.path, key, max(prefix, after))))
            elif key > prefix and key > after:
                stack.pop()

    def status(self, found: Found) -> FileStatus:
        """Of the file behind a key.  NotFound when it went meanwhile."""
        status = found.status()
        if status.kind is FileKind.DIRECTORY:  # turned into one since its name was read
            place = place_of(found.key, self.fs.forbidden_in_directories)
            status = self.fs.status(f"/{self.bucket}/{place.path}/{SELF}")
        if status.kind is not FileKind.FILE:
            raise NotFound(found.key)
        return status

    def _below(self, path: str, key_prefix: str, after: str) -> Iterator[str]:
        """Keys > ``after`` in a directory and below, in no order: the first tells that there is one."""
        waiting = [(path, key_prefix)]
        while waiting:
            path, key_prefix = waiting.pop()
            for item in self._in_order(path, key_prefix, after):
                key = key_prefix + item.order
                if item.is_directory:
                    if key >= after or after.startswith(key):
                        waiting.append((item.path, key))
                elif key > after:
                    yield key

    def _in_order(self, path: str, key_prefix: str, lower: str) -> Iterator[_Item]:
        """Entries of one directory in key order; those certainly before ``lower`` (a key) may be left out."""
        try:
            start = lower[len(key_prefix) :] if lower.startswith(key_prefix) else ""
            folded = self._reserved(path, key_prefix, "")
            plain = self._plain(path, start)
            yield from heapq.merge(self._unfolded(folded, key_prefix, start), plain) if folded else plain
        except (NotFound, NotADirectory):
            return

    def _reserved(self, path: str, key_prefix: str, text: str) -> list[_Folded]:
        """What our own names in a directory stand for; ``text`` is what continued names above have given so far."""
        found = []
        for entry in self.fs.list(path, RESERVED):
            name = entry.name
            if not name.startswith(RESERVED):
                break
            below = f"{path}/{name}"
            if name.startswith(TEMPORARY):
                self.met_temporary(below)
            elif name.startswith((ESCAPED, CONTINUED)):
                found.append(_Folded(text + text_of(name), below, entry))
            elif name == MARKER and key_prefix and not text:
                found.append(_Folded("", below, entry))
        return found

    def _unfolded(self, folded: list[_Folded], key_prefix: str, lower: str) -> Iterator[_Item]:
        """Items in order, as far as they are asked for; those before ``lower`` may be left out."""
        waiting: list[tuple[str, str, _Folded | _Item]] = [(each.least, each.path, each) for each in folded]
        heapq.heapify(waiting)
        while waiting:
            order, path, each = heapq.heappop(waiting)
            if isinstance(each, _Item):
                yield each
            elif order >= lower or lower.startswith(order):
                for found in self._behind(each, key_prefix):
                    heapq.heappush(waiting, (found[0], found[1], found))

    def _behind(self, folded: _Folded, key_prefix: str) -> Iterator[_Folded | _Item]:
        text, path, entry = folded
        name = entry.name
        if name == MARKER:
            if entry.kind is FileKind.FILE:
                yield _Item("", path, False, entry.status)
        elif name.startswith(ESCAPED):
            yield from self._ours(entry, key_prefix, text, path)
        elif entry.kind is FileKind.DIRECTORY:
            try:
                yield from self._reserved(path, key_prefix, text)
            except (NotFound, NotADirectory):
                return

    def _ours(self, entry: DirEntry, key_prefix: str, text: str, path: str) -> Iterator[_Item]:
        """Items of an escaped name, if it is the one that its text really gets."""
        forbidden = self.fs.forbidden_in_directories
        names = path[len(self.bucket) + 2 :]
        if entry.kind is FileKind.FILE:
            if key_prefix + text and place_of(key_prefix + text, forbidden).path == names:
                yield _Item(text, path, False, entry.status)
        elif "/".join(directory_names([*key_prefix.split("/")[:-1], text], forbidden)) == names:
            for item in self._items(entry, text, path):
                if item.is_directory or (text and place_of(key_prefix + text, forbidden).path == names):
                    yield item

    def _plain(self, path: str, lower: str) -> Iterator[_Item]:
        """Items with plain names: streamed, directories held back until their turn."""
        held: list[_Item] = []
        forbidden = self.fs.forbidden_in_directories
        for entry in self.fs.list(path, _first_name(lower)):
            name = entry.name
            if name.startswith(RESERVED) or (
                forbidden and entry.kind is FileKind.DIRECTORY and any(c in forbidden for c in name)
            ):
                continue
            while held and held[0].order < name:
                yield heapq.heappop(held)
            if entry.kind is FileKind.FILE:
                yield _Item(name, f"{path}/{name}", False, entry.status)
                continue
            for item in self._items(entry, name, f"{path}/{name}"):
                if item.is_directory:
                    heapq.heappush(held, item)
                else:
                    yield item
        while held:
            yield heapq.heappop(held)

    def _items(self, entry: DirEntry, text: str, path: str) -> Iterator[_Item]:
        if entry.kind is FileKind.FILE:
            yield _Item(text, path, False, entry.status)
        elif entry.kind is FileKind.DIRECTORY:
            own = f"{path}/{SELF}"
            try:
                if self.fs.status(own).kind is FileKind.FILE:
                    yield _Item(text, own, False, lambda: self.fs.status(own))
            except (NotFound, NotADirectory, InvalidPath):  # whatever else it is: the object may be there
                pass
            yield _Item(text + "/", path, True, None)


def _first_name(lower: str) -> str:
    """The first plain name (in name order) that may hold a key text >= ``lower`` in key order.

    Directory ``a`` comes as ``a/``, after ``a!``: so it may stand before ``lower`` by name and behind it as a key.
    """
    name = lower.partition("/")[0]
    for i, c in enumerate(name):
        if c < "/" and i:
            return name[:i]
    return name


def _no_status() -> FileStatus:
    raise AssertionError("a common prefix has no status")


def list_page(walker: Walker, prefix: str, delimiter: str, after: str, limit: int) -> ListPage:
    """One page as commands.ListObjects defines it."""
    rows: list[ObjectRow] = []
    prefixes: list[str] = []
    last = ""
    for found in _grouped(walker, prefix, delimiter, after):
        if len(rows) + len(prefixes) == limit:
            return ListPage(tuple(rows), tuple(prefixes), True, last)
        if found.is_prefix:
            prefixes.append(found.key)
        else:
            try:
                rows.append(row_of(walker.status(found), found.key))
            except (NotFound, NotADirectory):
                continue  # deleted while we were listing
        last = found.key
    return ListPage(tuple(rows), tuple(prefixes), False, last)


def _grouped(walker: Walker, prefix: str, delimiter: str, after: str) -> Iterator[Found]:
    """Keys and common prefixes for any delimiter.

    With ``/`` most groups are directories, which the walk rolls up itself; keys that lie deeper than their directories
    (see MAX_LEVELS) are rolled up here, like all keys with any other delimiter.
    """
    bound = after
    while True:
        group, skipped = "", 0
        for found in walker.walk(prefix, bound, roll_up=delimiter == "/"):
            if group and found.key.startswith(group):
                skipped += 1
                if skipped > SKIPPED:
                    bound = _past(group)
                    break
                continue
            cut = found.key.find(delimiter, len(prefix)) if delimiter and not found.is_prefix else -1
            if cut < 0:
                yield found
                continue
            group, skipped = found.key[: cut + len(delimiter)], 0
            if group != after:
                yield Found(group, True, _no_status)
        else:
            return


def _past(group: str) -> str:
    """A text that no key beginning with ``group`` exceeds, and that everything behind the group does."""
    return group + _LAST * 1024


def any_key(walker: Walker) -> bool:
    """True when the bucket has an object."""
    return next(walker.walk(), None) is not None
