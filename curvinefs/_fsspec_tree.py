"""What ``curvinefs.fsspec`` does with names in the cluster: trees made, moved and removed, unfinished files hidden.

Rules
- Everything goes on beside others who make, move and remove in the same place, within a bounded number of rounds.
- Whoever renames into a directory keeps a file of his own there meanwhile, so that it can neither vanish nor become a
  file: below a file, the master would drop what is renamed (docs/curvinefs.md).

Paths are absolute, as ``curvinefs.api`` wants them.  Every function raises FsError.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing

from curvinefs.api import AlreadyExists, DirectoryNotEmpty, FileKind, InvalidPath, NotFound, RenameFlag
from curvinefs.client import CurvineEntry, CurvineFileSystem
from curvinefs.curvine.paths import join, listable, split
from curvinefs.curvine.write import CurvineWriter

TEMPORARY = ".s3~tmp."
"""Begins every unfinished file's name; the gateway hides and sweeps these names, too."""
_STATE = "/.s3~"
_TRIES = 5


def entries(client: CurvineFileSystem, path: str) -> Iterator[CurvineEntry]:
    """All of a directory, unfinished files too.  Asked for when the first is wanted."""
    yield from client.list(path)


def is_hidden(path: str) -> bool:
    """Unfinished, or the state that clients and gateways keep in the cluster."""
    return path == _STATE or path.rpartition("/")[2].startswith(TEMPORARY)


def stage(client: CurvineFileSystem, path: str, size: int | None = None, *, make_parents: bool) -> CurvineWriter:
    """An unfinished file in the directory of ``path``, to be renamed to it.  ``size``: see CurvineFileSystem.create."""
    parent, _ = split(path)
    temporary = join(parent, TEMPORARY + secrets.token_hex(8))
    for _ in range(_TRIES if make_parents else 0):
        try:
            return client.create(temporary, size)
        except NotFound:
            make_directories(client, parent)
    return client.create(temporary, size)


def make_directories(client: CurvineFileSystem, path: str) -> None:
    """Make what is missing of ``path``: most often only its last name.  A file in the way shows when it is used."""
    listable(path)
    missing, patience = [path], _TRIES * path.count("/")
    while missing:
        try:
            client.mkdir(missing[-1])
        except AlreadyExists:
            pass
        except NotFound:
            patience -= 1
            if not patience:
                raise
            missing.append(split(missing[-1])[0])
            continue
        missing.pop()


def move(client: CurvineFileSystem, old: str, new: str, *, make_parents: bool) -> None:
    """Files are replaced, directories never."""
    (old_parent, _), (new_parent, _) = split(old), split(new)
    is_directory = client.status(old).kind is FileKind.DIRECTORY
    if old == new:
        return
    if f"{new}/".startswith(f"{old}/"):
        raise InvalidPath(f"{new} lies in {old}")
    flags = RenameFlag.NO_REPLACE if is_directory else RenameFlag.REPLACE
    if old_parent == new_parent:
        client.rename(old, new, flags)
        return
    with closing(stage(client, new, make_parents=make_parents)):
        client.rename(old, new, flags)


def remove(client: CurvineFileSystem, path: str) -> None:
    """A file, or a directory with all that is in it; the root is refused.  Memory is bounded by depth."""
    split(path)
    if client.status(path).kind is not FileKind.DIRECTORY:
        client.delete(path)
        return
    levels = [(path, entries(client, path))]
    patience = _TRIES
    while levels:
        here, below = levels[-1]
        try:
            entry = next(below, None)
            if entry is None:
                client.delete(here)
                levels.pop()
            elif entry.kind is FileKind.DIRECTORY:
                directory = join(here, entry.name)
                levels.append((directory, entries(client, directory)))
            else:
                _delete_if_there(client, join(here, entry.name))
        except NotFound:
            levels.pop()  # somebody else removes it, too
        except DirectoryNotEmpty:
            patience -= 1
            if not patience:
                raise
            levels[-1] = (here, entries(client, here))


def _delete_if_there(client: CurvineFileSystem, path: str) -> None:
    try:
        client.delete(path)
    except NotFound:
        pass
