"""The policy of a browser's form: what its signer lets be uploaded.

Rules: pure functions of values.  A policy is decoded only after its signature was found right.  Names of fields, and
the words ``eq``, ``starts-with`` and ``content-length-range``, are compared without case; values, ``expiration`` and
``conditions`` with it.  A field that is not sent counts as an empty one.  Every field that is sent must be named by a
condition, and the bucket too, which stands in the form's address.

Follows "POST Policy", "Creating an HTML form" (Amazon S3); the errors' words are those of the service.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from s3proto.dates import parse_iso
from s3proto.errors import AccessDenied, InvalidPolicyDocument

EQ, STARTS_WITH, RANGE = "eq", "starts-with", "content-length-range"

_EXPIRATION = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z", re.ASCII)
_COUNT = re.compile(r"[0-9]{1,19}", re.ASCII)
_UNCOVERED = frozenset({"policy", "file", "x-amz-signature", "signature", "awsaccesskeyid"})
"""Fields that no condition need name; those whose name begins with ``x-ignore-`` are left out earlier.

Nor need those of checksums be named, which the signer cannot know: they only refuse a file that is not whole.
"""


class Match(NamedTuple):
    """A condition on one field."""

    operator: str
    field: str
    """As it stands in the policy."""
    value: str

    def holds(self, value: str) -> bool:
        if self.operator == EQ:
            return value == self.value
        if self.field.lower() != "content-type":
            return value.startswith(self.value)
        return all(each.strip().startswith(self.value) for each in value.split(","))  # AWS takes it as a list


class Range(NamedTuple):
    """A condition on the size of the file, both ends included."""

    least: int
    most: int


Condition: TypeAlias = Match | Range


@dataclass(frozen=True, slots=True)
class Policy:
    expiration: float
    """POSIX seconds."""
    conditions: tuple[Condition, ...]

    @property
    def smallest(self) -> int:
        """Bytes that a file must have at least."""
        return max([each.least for each in self.conditions if isinstance(each, Range)], default=0)

    @property
    def largest(self) -> int | None:
        """Bytes that a file may have at most; None where nothing is said."""
        return min([each.most for each in self.conditions if isinstance(each, Range)], default=None)


def parse(text: str) -> Policy:
    """Decode a policy as it stands in the form (base64 of JSON).  Raises InvalidPolicyDocument."""
    try:
        document = json.loads(b64decode(text, validate=True).decode("utf-8"))
    except (ValueError, RecursionError):
        raise _invalid("Invalid JSON.") from None
    if not isinstance(document, dict):
        raise _invalid("Invalid JSON.")
    if "expiration" not in document:
        raise _invalid("Policy missing expiration.")
    expiration = document["expiration"]
    seconds = parse_iso(expiration) if isinstance(expiration, str) and _EXPIRATION.fullmatch(expiration) else None
    if seconds is None:
        raise _invalid(f"Invalid 'expiration' value: '{expiration}'")
    if "conditions" not in document:
        raise _invalid("Policy missing conditions.")
    conditions = document["conditions"]
    if not isinstance(conditions, list):
        raise _invalid("Invalid 'conditions' value: must be a List.")
    return Policy(seconds, tuple([_condition(each) for each in conditions]))


def _condition(written: Any) -> Condition:
    if isinstance(written, dict):
        if len(written) != 1:
            raise _invalid("Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
        ((field, value),) = written.items()
        if not isinstance(value, str):
            raise _invalid("Invalid Simple-Condition: value must be a string.")
        return Match(EQ, field, value)
    match written:
        case [str(operator), least, most] if operator.lower() == RANGE:
            return Range(_count(least), _count(most))
        case [str(operator), str(field), str(value)] if operator.lower() in (EQ, STARTS_WITH) and field[:1] == "$":
            return Match(operator.lower(), field[1:], value)
    raise _invalid("Invalid Condition.")


def _count(value: Any) -> int:
    if not isinstance(value, int | str) or not _COUNT.fullmatch(str(value)):
        raise _invalid(f"Invalid {RANGE}: its ends must be whole numbers.")
    return int(value)


def _invalid(what: str) -> InvalidPolicyDocument:
    return InvalidPolicyDocument(f"Invalid Policy: {what}")


def check(policy: Policy, fields: Mapping[str, str], bucket: str, now: float) -> None:
    """Raise AccessDenied unless the policy allows these fields (by lower-case name) for the bucket at ``now``.

    The size of the file is not looked at: ``smallest``, ``largest``.
    """
    if now > policy.expiration:
        raise AccessDenied("Invalid according to Policy: Policy expired.")
    sent = {**fields, "bucket": bucket}
    covered = set(_UNCOVERED)
    for condition in policy.conditions:
        if isinstance(condition, Match):
            name = condition.field.lower()
            covered.add(name)
            if not condition.holds(sent.get(name, "")):
                written = json.dumps([condition.operator, f"${condition.field}", condition.value], ensure_ascii=False)
                raise AccessDenied(f"Invalid according to Policy: Policy Condition failed: {written}")
    if extra := sorted(name for name in sent.keys() - covered if not name.startswith("x-amz-checksum-")):
        raise AccessDenied(f"Invalid according to Policy: Extra input fields: {', '.join(extra)}")
