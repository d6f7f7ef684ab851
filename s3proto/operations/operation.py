"""What an operation is: one row of the table, and the function that it names.

Rules: a row lives in the file of its function.  The row of a request is the one with most conditions among those
that hold (``resolve`` in the package); a sub-resource that AWS knows and a row does not name is never ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from s3proto.commands import Steps
from s3proto.http import Response
from s3proto.request import S3Request


class Resource(Enum):
    """What a request is addressed to; the value is AWS's ResourceType."""

    SERVICE = "SERVICE"
    BUCKET = "BUCKET"
    OBJECT = "OBJECT"


SERVICE, BUCKET, OBJECT = Resource.SERVICE, Resource.BUCKET, Resource.OBJECT

Run = Callable[[S3Request], Steps[Response]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of OPERATIONS."""

    name: str
    """AWS's spelling."""
    method: str
    resource: Resource
    action: str
    """The IAM action that CheckAccess is asked for."""
    run: Run
    query: tuple[str, ...] = ()
    """Conditions: parameters that must be present, ``name`` or ``name=value``."""
    header: str | None = None
    """Condition: a header that must be present."""
    accepts: tuple[str, ...] = ()
    """Sub-resource parameters that may be present besides; all others that AWS knows are NotImplemented."""

    @property
    def conditions(self) -> int:
        return len(self.query) + (self.header is not None)

    @property
    def rank(self) -> tuple[int, int]:
        """Among rows that hold the highest is meant.  A parameter outranks a header: ``?acl`` is never a copy."""
        return self.conditions, len(self.query)
