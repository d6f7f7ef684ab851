"""Policies of buckets: who may do what in a bucket, whoever he is.

Rules: as in ``s3proto.policy``, whose statements these are with a principal: pure functions, and what could not be
decided by is refused when the policy is put.  A statement that denies wins over everything; one that allows adds to
what ACLs grant.  Only the bucket's owner can not shut himself out: he may always read, replace and delete the policy.

Follows "Bucket policies for Amazon S3" (Amazon S3 User Guide), "AWS JSON policy elements: Principal" and "Policy
evaluation logic" (IAM User Guide).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from s3proto import acl
from s3proto.errors import MalformedPolicy
from s3proto.model import Access, BucketInfo, Principal
from s3proto.policy import (
    MAX_BYTES,
    PolicyError,
    Statement,
    Values,
    check_cost,
    load,
    matches,
    resource_name,
    statement_of,
    statements_of,
)

PER_KEY = frozenset({"s3:DeleteObject"})
"""What DeleteObjects does to each key in its document: asked about the bucket, it is asked again for every key."""
_MANAGING = frozenset({"s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"})
_NOBODY = "\ud800"
"""The name of who has none, in ``${aws:username}``: no key and no parameter can hold it."""
_USER = re.compile(r"arn:aws:iam::[^:]*:user/(?:[^:]*/)?([^:/*?]+)")
"""A pattern is none: ``user/*`` would be taken for everybody."""
_ID = re.compile("[0-9a-f]{64}")
_NAMING = frozenset({"stringequals", "stringequalsignorecase"})
"""Operators that name somebody: the others are true of everybody else, or of who has no name."""


class Verdict(Enum):
    ALLOWED = "allowed"
    DENIED = "denied"
    NOTHING = "no statement speaks of it"


@dataclass(frozen=True, slots=True)
class BucketStatement:
    statement: Statement
    everybody: bool = False
    users: frozenset[str] = frozenset()
    """Names or canonical ids."""

    def is_about(self, principal: Principal | None) -> bool:
        if self.everybody or principal is None:
            return self.everybody
        return principal.owner.display_name in self.users or principal.owner.id in self.users


@dataclass(frozen=True, slots=True)
class BucketPolicy:
    text: str
    """The document as it was put."""
    statements: tuple[BucketStatement, ...]

    def verdict(self, principal: Principal | None, action: str, resource: str, values: Values) -> Verdict:
        """Tell what the statements say; arguments as of ``policy.Policy.allows``, ``principal`` None: anonymous."""
        user = _NOBODY if principal is None else principal.owner.display_name
        found = Verdict.NOTHING
        for each in self.statements:
            if not each.is_about(principal) or not each.statement.speaks_of(action, resource, user, values):
                continue
            if not each.statement.allow:
                return Verdict.DENIED
            found = Verdict.ALLOWED
        return found

    def may_allow(self, principal: Principal | None, action: str) -> bool:
        """Tell whether some statement allows an action, whatever it says of resources and conditions."""
        return any(
            each.statement.allow and each.is_about(principal) and each.statement.is_of(action)
            for each in self.statements
        )

    @property
    def is_public(self) -> bool:
        """Whether it allows anything to everybody (but who is told apart by name)."""
        return any(
            each.everybody
            and each.statement.allow
            and not any(
                condition.key in ("aws:username", "aws:userid") and condition.operator in _NAMING
                for condition in each.statement.conditions
                if not condition.if_exists
            )
            for each in self.statements
        )


LOCKED = BucketPolicy("{}", (BucketStatement(Statement(False, ("*",), ("*",)), everybody=True),))
"""Stands for a policy that is there and cannot be read: nobody knows what it denied."""


def access(
    principal: Principal | None,
    actions: Sequence[str],
    bucket: BucketInfo,
    key: str | None,
    policy: BucketPolicy | None,
    values: Values,
) -> Access:
    """Tell how far ``principal`` gets with the first of ``actions``; the others it takes besides (by headers).

    EACH_KEY is answered only for an action of PER_KEY on a bucket that has a policy.
    """
    action = actions[0]
    by_acl = acl.bucket_access(principal, action, bucket)
    if policy is None or (by_acl is Access.OWNER and action in _MANAGING):
        return by_acl
    if key is None and action in PER_KEY:
        may = by_acl is not Access.DENIED or any(policy.may_allow(principal, action + each) for each in ("", "Version"))
        return Access.EACH_KEY if may else Access.DENIED
    verdicts = {policy.verdict(principal, each, resource_name(bucket.name, key), values) for each in actions}
    if Verdict.DENIED in verdicts:
        return Access.DENIED
    return Access.GUEST if verdicts == {Verdict.ALLOWED} and by_acl is not Access.OWNER else by_acl


# ----------------------------------------------------------------------------------------------------- reading


def parse(data: bytes, bucket: str) -> BucketPolicy:
    """Read the policy of a bucket.  Raises MalformedPolicy."""
    if len(data) > MAX_BYTES:
        raise MalformedPolicy(f"A policy has at most {MAX_BYTES} bytes.")
    try:
        text = data.decode()
        found = tuple(_statement(said, where, bucket) for said, where in statements_of(load(text)))
        check_cost([each.statement for each in found])
    except UnicodeDecodeError:
        raise MalformedPolicy from None
    except PolicyError as error:
        raise MalformedPolicy(str(error)) from None
    return BucketPolicy(text, found)


def _statement(said: Any, where: str, bucket: str) -> BucketStatement:
    if not isinstance(said, dict):
        raise PolicyError(f"{where}: must be an object")
    if "Principal" not in said:
        raise PolicyError(f"{where}: must have a Principal")  # NotPrincipal is refused with what else is not known
    statement = statement_of({name: value for name, value in said.items() if name != "Principal"}, where)
    own = resource_name(bucket, None)
    for resource in statement.resources:
        if not matches(resource.partition("/")[0], own):
            raise PolicyError("Policy has invalid resource")
    if any(action != "*" and not action.lower().startswith("s3:") for action in statement.actions):
        raise PolicyError("Policy has invalid action")
    users = frozenset(_users(said["Principal"]))
    return BucketStatement(statement, "*" in users, users)


def _users(principal: Any) -> list[str]:
    """Names and canonical ids; ``*`` for everybody."""
    if principal == "*":
        return ["*"]
    if not isinstance(principal, Mapping) or not principal or principal.keys() - {"AWS", "CanonicalUser"}:
        raise PolicyError("Invalid principal in policy")
    found = []
    for kind, said in principal.items():
        for each in said if isinstance(said, list) and said else [said]:
            if not isinstance(each, str):
                raise PolicyError("Invalid principal in policy")
            if kind == "AWS" and each == "*" or _ID.fullmatch(each):
                found.append(each)
            elif kind == "AWS" and (user := _USER.fullmatch(each)):
                found.append(user[1])
            else:
                raise PolicyError("Invalid principal in policy")
    return found
