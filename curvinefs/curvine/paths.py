"""Which paths may be sent to a master.  The lowest layer: every call goes through here.

The guard of a trap: a path with an empty component is accepted by the master, and its journal can then never be
replayed again.  ``.`` and ``..`` would be made as ordinary names; a directory whose path has a glob character lists
as other directories do.  All of these are refused here, never repaired: whoever builds paths knows what it means.
"""

from __future__ import annotations

from curvinefs.api import InvalidPath

GLOB = frozenset("*?[{\\")
"""Characters that make the master take a listed path for a pattern."""
MAX_NAME = 255
"""Bytes of one component: what FUSE mounts of the same tree can show."""
_MAX_PATH = 8000
_MAX_LEVELS = 1000
"""Counted as the master does: the empty part before the first slash is one."""


def is_name(data: bytes) -> bool:
    """Whether it can be a component of a path; Curvine has others, which can neither be asked for nor shown."""
    return 0 < len(data) <= MAX_NAME and data not in (b".", b"..") and b"\0" not in data and b"/" not in data


def checked(path: str) -> str:
    """The path itself.  Raises InvalidPath."""
    try:
        data = path.encode()
    except UnicodeEncodeError:
        raise InvalidPath(f"{path!r}: not Unicode") from None
    if path == "/":
        return path
    names = data.split(b"/")
    if names[0] or len(names) == 1 or len(names) > _MAX_LEVELS or len(data) > _MAX_PATH:
        raise InvalidPath(f"{path!r}: not an absolute path, or too long")
    for name in names[1:]:
        if not is_name(name):
            raise InvalidPath(f"{path!r}: {name[:32]!r} cannot be a name")
    return path


def split(path: str) -> tuple[str, str]:
    """Parent directory and name.  Raises InvalidPath, also for the root, which has no name."""
    parent, _, name = checked(path).rpartition("/")
    if not name:
        raise InvalidPath("the root has no name")
    return parent or "/", name


def listable(path: str) -> str:
    """The path itself when it may be listed.  Raises InvalidPath."""
    if not GLOB.isdisjoint(path):
        raise InvalidPath(f"{path!r}: a directory with one of {''.join(sorted(GLOB))} in its path cannot be listed")
    return checked(path)


def join(directory: str, name: str) -> str:
    return f"/{name}" if directory == "/" else f"{directory}/{name}"
