"""What Curvine answers when it refuses, as errors of the file system: one table for kinds, one for texts.

Rules: a kind that is not in the table is Corrupt; a text decides only for COMMON errors (and IO, which workers use for
misuse of a stream), by a substring, because the servers wrap texts at will.
"""

from __future__ import annotations

import re
from enum import IntEnum

from curvinefs.api import (
    AlreadyExists,
    Corrupt,
    DirectoryNotEmpty,
    FsError,
    InvalidPath,
    IsADirectory,
    NoSpace,
    NotADirectory,
    NotFound,
    Unavailable,
)
from curvinefs.curvine.frames import COMMON


class Kind(IntEnum):
    IO = 1
    NOT_LEADER = 2
    RAFT = 3
    TIMEOUT = 4
    FILE_ALREADY_EXISTS = 7
    FILE_NOT_FOUND = 8
    PARENT_NOT_DIR = 10
    DIR_NOT_EMPTY = 11
    INVALID_PATH = 16
    DISK_OUT_OF_SPACE = 17
    IN_PROGRESS = 18
    IS_A_DIRECTORY = 26
    NOT_A_DIRECTORY = 27
    INVALID_ARGUMENT = 28
    BLOCK_NOT_FOUND = 29
    READ_ONLY = 30
    NO_AVAILABLE_WORKER = 31
    COMMON = COMMON


class Refused(Exception):
    """An error reply of a master or worker."""

    def __init__(self, kind: int, text: str) -> None:
        super().__init__(kind, text)
        self.kind = kind
        self.text = text

    def __str__(self) -> str:
        return f"{self.text} (kind {self.kind})"

    def says(self, *texts: str) -> bool:
        """Whether it is one of the errors that are only known by their text."""
        return self.kind in (Kind.COMMON, Kind.IO) and any(text in self.text for text in texts)


class ConnectionLost(Exception):
    """Connecting, sending or receiving failed.  ``sent``: the peer may have carried out what it was asked."""

    def __init__(self, text: str, *, sent: bool) -> None:
        super().__init__(text)
        self.sent = sent


class BlockFailed(Exception):
    """No worker took, or gave, a block.  ``new_ids``: this block id is spoiled there, only another file can help."""

    def __init__(self, text: str, *, new_ids: bool = False, no_space: bool = False) -> None:
        super().__init__(text)
        self.new_ids = new_ids
        self.no_space = no_space

    def fs_error(self, what: str) -> FsError:
        """The file system's word for it."""
        return (NoSpace if self.no_space else Unavailable)(f"{what}: {self}")


class Renewed(Exception):
    """The master is not, or not certainly, the process that answered before; nothing was asked of it."""


class BlocksForgotten(Unavailable):
    """A master that leads since lately does not know which blocks it has given to a file, and gives them out again."""


class ReplyLost(Exception):
    """A change may or may not have happened, and asking again would not be safe: look before anything else."""


class NoWorker(Unavailable):
    """The master has no worker for a block: none is known yet, none has room, or all are to be avoided."""


class NoReplica(Unavailable):
    """No worker that is alive has a block; one that is starting again is back after some seconds."""


NO_WORKER = ("No workers available", "No available worker found")
NO_WORKER_READS = ("all replicas has been lost", "Lost (no worker can read)")
LENGTHS_DIFFER = "length mismatch"
RECOVERING = "recovering"
NOT_SUM_OF_BLOCKS = "Complete len is not equal"
NOT_A_FILE = "Not a file"

_BLOCK_SIZE = re.compile(r"Block size needs to be between (\d{1,15}) and ")

_BY_KIND: dict[int, type[FsError]] = {
    Kind.NOT_LEADER: Unavailable,
    Kind.RAFT: Unavailable,
    Kind.TIMEOUT: Unavailable,
    Kind.FILE_ALREADY_EXISTS: AlreadyExists,
    Kind.FILE_NOT_FOUND: NotFound,
    Kind.PARENT_NOT_DIR: NotADirectory,
    Kind.DIR_NOT_EMPTY: DirectoryNotEmpty,
    Kind.INVALID_PATH: InvalidPath,
    Kind.DISK_OUT_OF_SPACE: NoSpace,
    Kind.IN_PROGRESS: Unavailable,
    Kind.IS_A_DIRECTORY: IsADirectory,
    Kind.NOT_A_DIRECTORY: NotADirectory,
    Kind.INVALID_ARGUMENT: InvalidPath,
    Kind.BLOCK_NOT_FOUND: Unavailable,
    Kind.NO_AVAILABLE_WORKER: NoWorker,
}

_BY_TEXT: tuple[tuple[str, type[FsError]], ...] = (
    ("Parent directory doesn't exist", NotFound),
    ("Parent path is not a directory", NotADirectory),
    ("Path not a dir", NotADirectory),
    ("already exists as a dir", IsADirectory),
    ("is a directory", IsADirectory),
    (NOT_A_FILE, IsADirectory),
    ("Cannot create link to directory", IsADirectory),
    ("Absolute path required", InvalidPath),
    ("is invalid", InvalidPath),
    ("Path too long", InvalidPath),
    ("does not support glob pattern", InvalidPath),
    ("storage capacity", NoSpace),
    *((text, NoWorker) for text in NO_WORKER),
    *((text, NoReplica) for text in NO_WORKER_READS),
    ("Not found block", Unavailable),  # the master forgot the file and gave its id to another one
    (RECOVERING, Unavailable),
    (LENGTHS_DIFFER, Unavailable),
    ("client rejected by compatibility policy", Unavailable),
)


def fs_error(error: Refused, what: str) -> FsError:
    """The file system's word for a refusal; ``what`` names the path."""
    made = _BY_KIND.get(error.kind)
    if made is None and error.kind in (Kind.COMMON, Kind.IO):
        made = next((known for text, known in _BY_TEXT if text in error.text), None)
        if made is None and "Parent " in error.text and "does not exist" in error.text:
            made = NotFound
    return (made or Corrupt)(f"{what}: {error}")


def least_block_size(error: FsError) -> int:
    """The least block size that the master takes, where ``error`` says that another one is no good; else 0."""
    found = _BLOCK_SIZE.search(str(error))
    return int(found[1]) if found else 0
