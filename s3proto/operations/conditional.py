"""Conditional writes as Steps: refuse early what is hopeless, publish under what still holds.

Rules: the look before is advice (it saves an upload); the truth is the condition inside the write command.

Follows "Add preconditions to S3 operations with conditional requests" (Amazon S3 User Guide).
"""

from __future__ import annotations

from collections.abc import Callable

from s3proto.commands import Command, HeadObject, Steps
from s3proto.conditions import Guard, WriteCondition
from s3proto.errors import NoSuchKey, PreconditionFailed
from s3proto.model import ObjectInfo


def refuse_hopeless(condition: WriteCondition, bucket: str, key: str) -> Steps[None]:
    """Raise PreconditionFailed or NoSuchKey when a write under ``condition`` would fail now."""
    if condition:
        current = yield from _current(bucket, key)
        condition.guard(current)
        if current is None and condition.if_match is not None:
            raise NoSuchKey(Key=key)


def publish(
    condition: WriteCondition, bucket: str, key: str, write: Callable[[Guard], Command[ObjectInfo]]
) -> Steps[ObjectInfo]:
    """Yield the write command that ``write`` makes for the guard, and answer what it answers.

    Raises PreconditionFailed, NoSuchKey, ConditionalRequestConflict and what the command raises.
    """
    if condition.if_none_match in (None, "*"):
        guard = Guard(condition.if_match, condition.if_none_match)
    else:
        guard = condition.guard((yield from _current(bucket, key)))
    try:
        return (yield from write(guard))
    except (PreconditionFailed, NoSuchKey) as error:
        raise guard.lost(error) from None


def _current(bucket: str, key: str) -> Steps[ObjectInfo | None]:
    try:
        return (yield from HeadObject(bucket, key))
    except NoSuchKey:
        return None
