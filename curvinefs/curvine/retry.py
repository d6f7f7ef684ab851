"""When a call may be sent again.

The leader remembers request ids for ten minutes, but not what they asked: the same id for another operation gets a
false success.  So every logical operation has an id of its own, and after a lost reply the table below decides.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import Enum, IntEnum

from curvinefs.curvine.errors import Kind


class Code(IntEnum):
    """RPC codes that we send."""

    MKDIR = 2
    DELETE = 3
    CREATE_FILE = 4
    FILE_STATUS = 7
    RENAME = 10
    ADD_BLOCK = 11
    COMPLETE_FILE = 12
    GET_BLOCK_LOCATIONS = 13
    GET_FILESYSTEM_INFO = 14
    SET_ATTR = 15
    LINK = 17
    ASSIGN_WORKER = 19
    SET_LOCK = 21
    LIST_OPTIONS = 27
    GET_MOUNT_TABLE = 33
    WRITE_BLOCK = 80
    READ_BLOCK = 81


class Resend(Enum):
    FREELY = "with a new id, to whoever leads: doing it twice is doing it once"
    SAME_LEADER = "with the same id, to the same master, which knows whether it did it; its death leaves doubt"
    NEVER = "the master never answers a second time: look whether it happened"


RESEND: Mapping[Code, Resend] = {
    Code.MKDIR: Resend.NEVER,  # without create_parent; "already exists" may be our own
    Code.DELETE: Resend.SAME_LEADER,
    Code.CREATE_FILE: Resend.SAME_LEADER,
    Code.FILE_STATUS: Resend.FREELY,
    Code.RENAME: Resend.SAME_LEADER,
    Code.ADD_BLOCK: Resend.FREELY,  # gives the block after last_block again, without locations
    Code.COMPLETE_FILE: Resend.FREELY,
    Code.GET_BLOCK_LOCATIONS: Resend.FREELY,
    Code.GET_FILESYSTEM_INFO: Resend.FREELY,
    Code.SET_ATTR: Resend.FREELY,  # the same id would be refused for ten minutes
    Code.LINK: Resend.NEVER,
    Code.ASSIGN_WORKER: Resend.FREELY,
    Code.SET_LOCK: Resend.FREELY,
    Code.LIST_OPTIONS: Resend.FREELY,
    Code.GET_MOUNT_TABLE: Resend.FREELY,
}

WAIT = frozenset({Kind.RAFT, Kind.TIMEOUT, Kind.IN_PROGRESS})
"""Kinds after which the request is sent again, after a pause, as after a lost reply: it may have been carried out."""
OWN_DOING = frozenset({Kind.FILE_ALREADY_EXISTS, Kind.FILE_NOT_FOUND})
"""Kinds that a change may meet because it was carried out before."""
GUARDED = frozenset({Code.RENAME, Code.DELETE, Code.SET_ATTR})
"""What is done under a lock, and must not be done any more when others may have it: see Master.not_after."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
"""Between rounds through all masters; doubled each time."""


def new_id() -> int:
    """A request id: unique among all clients of the cluster; -1 means "no request"."""
    while (value := int.from_bytes(os.urandom(8), "big", signed=True)) == -1:
        pass
    return value
