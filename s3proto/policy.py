"""Policies of access keys: what a key may do of all that its user may.

Rules: pure functions of values.  A document is checked whole when it is read, and what this gateway could not decide by
(an element, an operator or a condition key that it does not know) is refused then: nothing in a policy is ever ignored.
Whatever no statement allows is denied, and a statement that denies wins.  Patterns are matched with no backtracking:
each ``*`` costs a search for what follows it.

Follows "IAM JSON policy elements reference", "Policy evaluation logic" (IAM User Guide), "Actions, resources, and
condition keys for Amazon S3" (Service Authorization Reference).  Left out: principals (a key's policy has none), sets
of values (ForAnyValue, ForAllValues), and condition keys about addresses and times.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

MAX_BYTES = 20 * 1024
"""Length of a document (AWS's limit for bucket policies)."""
CONDITION_KEYS = frozenset(
    "s3:prefix s3:delimiter s3:max-keys s3:versionid s3:x-amz-acl s3:x-amz-copy-source s3:x-amz-metadata-directive"
    " s3:x-amz-storage-class aws:securetransport aws:username aws:userid aws:referer aws:useragent".split()
)
"""Lower case; names of keys have no case."""

_LISTING = frozenset({"s3:ListBucket", "s3:ListBucketVersions"})
_WRITING = frozenset({"s3:PutObject"})
_ONLY_OF: Mapping[str, frozenset[str]] = {
    "s3:prefix": _LISTING,
    "s3:delimiter": _LISTING,
    "s3:max-keys": _LISTING,
    "s3:versionid": frozenset(
        f"s3:{name}"
        for name in "GetObjectVersion GetObjectVersionAttributes GetObjectVersionAcl GetObjectVersionTagging"
        " PutObjectVersionAcl PutObjectVersionTagging DeleteObjectVersion DeleteObjectVersionTagging".split()
    ),
    "s3:x-amz-acl": frozenset(
        {"s3:CreateBucket", "s3:PutBucketAcl", "s3:PutObject", "s3:PutObjectAcl", "s3:PutObjectVersionAcl"}
    ),
    "s3:x-amz-copy-source": _WRITING,
    "s3:x-amz-metadata-directive": _WRITING,
    "s3:x-amz-storage-class": _WRITING,
}
"""The actions that have a key.  All others have not, whatever a client adds to a request: ``GET /b/key?prefix=a`` must
not be what is allowed with the prefix ``a``."""

Values = Callable[[], Mapping[str, str]]


class PolicyError(ValueError):
    """The document is none, or none that can be decided by; ``str()`` says what of it in one line."""


@dataclass(frozen=True, slots=True)
class Condition:
    operator: str
    """Lower case, without IfExists."""
    key: str
    """Lower case."""
    values: tuple[str, ...]
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    allow: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    but_actions: bool = False
    """It speaks of all actions but these."""
    but_resources: bool = False
    conditions: tuple[Condition, ...] = ()

    def is_of(self, action: str, user: str = "") -> bool:
        return any(matches(each, action, user, fold=True) for each in self.actions) is not self.but_actions

    def speaks_of(self, action: str, resource: str, user: str, values: Values) -> bool:
        return (
            self.is_of(action, user)
            and any(matches(each, resource, user) for each in self.resources) is not self.but_resources
            and all(_holds(each, action, values, user) for each in self.conditions)
        )


@dataclass(frozen=True, slots=True)
class Policy:
    statements: tuple[Statement, ...]

    def allows(self, action: str, resource: str, user: str, values: Values) -> bool:
        """Tell whether somebody may.

        ``action`` is ``s3:GetObject``, ``resource`` what ``resource_name`` answers, ``user`` his name
        (``${aws:username}``); ``values`` gives condition keys in lower case; asked only where there are conditions.
        """
        allowed = False
        for statement in self.statements:
            if (statement.allow and allowed) or not statement.speaks_of(action, resource, user, values):
                continue
            if not statement.allow:
                return False
            allowed = True
        return allowed


def resource_name(bucket: str | None, key: str | None) -> str:
    """Return the Amazon Resource Name of a key, a bucket, or (both None) of all there is."""
    return f"arn:aws:s3:::{bucket or ''}" + ("" if key is None else f"/{key}")


# ---------------------------------------------------------------------------------------------------- patterns

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_VARIABLES = frozenset({"aws:username", "*", "?", "$"})


_ANY = "\ud801"
"""Any one character, in a segment; no text that is asked about can hold it (in a document it is a question mark)."""


def matches(pattern: str, text: str, user: str = "", *, fold: bool = False) -> bool:
    """Tell whether ``text`` fits a pattern with ``*``, ``?`` and ``${aws:username}``; ``fold``: in any case (ASCII)."""
    if fold:
        pattern, text = pattern.lower(), text.lower()
    first, *rest = _segments(pattern, user)
    if not rest:
        return len(text) == len(first) and _begins(text, first, 0)
    last = rest.pop()
    at, end = len(first), len(text) - len(last)
    if end < at or not _begins(text, first, 0) or not _begins(text, last, end):
        return False
    for segment in rest:  # leftmost is best: it leaves most for those that follow
        if (found := _find(text, segment, at, end)) < 0:
            return False
        at = found + len(segment)
    return True


@lru_cache(maxsize=4096)
def _segments(pattern: str, user: str) -> tuple[str, ...]:
    """What stands between a pattern's stars."""
    if "${" not in pattern:
        return tuple(pattern.replace("?", _ANY).split("*"))
    segments, at = [""], 0

    def add(text: str) -> None:
        head, *tail = text.replace("?", _ANY).split("*")
        segments[-1] += head
        segments.extend(tail)

    for variable in _VARIABLE.finditer(pattern):
        add(pattern[at : variable.start()])
        segments[-1] += user if variable[1] == "aws:username" else variable[1]
        at = variable.end()
    add(pattern[at:])
    return tuple(segments)


def _begins(text: str, segment: str, at: int) -> bool:
    if _ANY not in segment:
        return text.startswith(segment, at)
    return _expression(segment).match(text, at) is not None


def _find(text: str, segment: str, at: int, end: int) -> int:
    if _ANY not in segment:
        return text.find(segment, at, end)
    found = _expression(segment).search(text, at, end)
    return -1 if found is None else found.start()


@lru_cache(maxsize=1024)
def _expression(segment: str) -> re.Pattern[str]:
    """Without any repetition."""
    return re.compile(re.escape(segment).replace(_ANY, "."), re.DOTALL)


MAX_SEARCHED = 1024
"""Characters, in all patterns of a document, that stand between two stars together with a question mark: the only
ones whose search can take as many steps as their number times the text's."""


def check_cost(statements: Sequence[Statement]) -> None:
    """Raises PolicyError."""
    searched = 0
    for statement in statements:
        patterns = [*statement.resources, *(v for each in statement.conditions for v in each.values)]
        searched += sum(len(s) for p in patterns for s in _segments(p, "")[1:-1] if _ANY in s)
    if searched > MAX_SEARCHED:
        raise PolicyError(f"has more than {MAX_SEARCHED} characters between stars together with a question mark")


# -------------------------------------------------------------------------------------------------- conditions


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")  # equal to nothing, and neither below nor above


_COMPARE: dict[str, Callable[[str, str, str], bool]] = {
    "stringequals": lambda is_, said, user: is_ == said,
    "stringequalsignorecase": lambda is_, said, user: is_.casefold() == said.casefold(),
    "stringlike": lambda is_, said, user: matches(said, is_, user),
    "numericequals": lambda is_, said, user: _number(is_) == _number(said),
    "numericlessthan": lambda is_, said, user: _number(is_) < _number(said),
    "numericlessthanequals": lambda is_, said, user: _number(is_) <= _number(said),
    "numericgreaterthan": lambda is_, said, user: _number(is_) > _number(said),
    "numericgreaterthanequals": lambda is_, said, user: _number(is_) >= _number(said),
    "bool": lambda is_, said, user: is_.lower() == said.lower(),
}
_NEGATED = {
    "stringnotequals": "stringequals",
    "stringnotequalsignorecase": "stringequalsignorecase",
    "stringnotlike": "stringlike",
    "numericnotequals": "numericequals",
}
_NULL = "null"


def _holds(condition: Condition, action: str, values: Values, user: str) -> bool:
    actions = _ONLY_OF.get(condition.key)
    value = values().get(condition.key) if actions is None or action in actions else None
    if condition.operator == _NULL:
        return (value is None) is (condition.values[0].lower() == "true")
    negated = _NEGATED.get(condition.operator)
    if value is None:
        return condition.if_exists or negated is not None
    compare = _COMPARE[negated or condition.operator]
    return any(compare(value, each, user) for each in condition.values) is (negated is None)


# ----------------------------------------------------------------------------------------------------- reading


def parse(text: str | bytes) -> Policy:
    """Read a document.  Raises PolicyError."""
    if len(text) > MAX_BYTES:
        raise PolicyError(f"is longer than {MAX_BYTES} bytes")
    return policy_of(load(text))


def load(text: str | bytes) -> Any:
    """Read JSON in which no object names anything twice.  Raises PolicyError."""
    try:
        return json.loads(text, object_pairs_hook=_without_repeats)
    except PolicyError:
        raise
    except (ValueError, RecursionError):
        raise PolicyError("is not JSON in UTF-8") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise PolicyError("names something twice in one object")
    return found


def policy_of(document: Any) -> Policy:
    """Make a policy of a document that was JSON.  Raises PolicyError."""
    statements = tuple(statement_of(said, where) for said, where in statements_of(document))
    check_cost(statements)
    return Policy(statements)


def statements_of(document: Any) -> list[tuple[Any, str]]:
    """Answer each statement of a document that was JSON, and what to call it.  Raises PolicyError."""
    if not isinstance(document, dict):
        raise PolicyError("is not a JSON object")
    _only(document, "Version Id Statement", "the policy")
    if document.get("Version", "2012-10-17") not in ("2012-10-17", "2008-10-17"):
        raise PolicyError('Version: must be "2012-10-17"')
    statements = document.get("Statement")
    statements = [statements] if isinstance(statements, dict) else statements
    if not isinstance(statements, list) or not statements:
        raise PolicyError("Statement: must be one or more objects")
    return [(each, f"Statement {number}") for number, each in enumerate(statements, 1)]


def statement_of(said: Any, where: str) -> Statement:
    """Make a statement without a principal of what was JSON.  Raises PolicyError that begins with ``where``."""
    if not isinstance(said, dict):
        raise PolicyError(f"{where}: must be an object")
    _only(said, "Sid Effect Action NotAction Resource NotResource Condition", where)
    if said.get("Effect") not in ("Allow", "Deny"):
        raise PolicyError(f'{where}: Effect must be "Allow" or "Deny"')
    actions, but_actions = _one_of(said, "Action", where)
    resources, but_resources = _one_of(said, "Resource", where)
    for action in actions:
        if action != "*" and not re.fullmatch(r"[A-Za-z0-9-]+:[A-Za-z0-9*?]+", action):
            raise PolicyError(f"{where}: Action {action!r} is no action")
    for resource in resources:
        if resource != "*" and not resource.startswith("arn:aws:s3:::"):
            raise PolicyError(f'{where}: Resource {resource!r} must be "*" or begin with "arn:aws:s3:::"')
    conditions = tuple(_conditions(said.get("Condition", {}), where))
    return Statement(said["Effect"] == "Allow", actions, resources, but_actions, but_resources, conditions)


def _one_of(said: Mapping[str, Any], name: str, where: str) -> tuple[tuple[str, ...], bool]:
    if (name in said) is (f"Not{name}" in said):
        raise PolicyError(f"{where}: must have either {name} or Not{name}")
    negated = f"Not{name}" in said
    return _strings(said[f"Not{name}" if negated else name], f"{where}: {name}"), negated


def _conditions(said: Any, where: str) -> Sequence[Condition]:
    if not isinstance(said, dict) or not all(isinstance(each, dict) for each in said.values()):
        raise PolicyError(f"{where}: Condition must be an object of objects")
    found = []
    for operator, tests in said.items():
        name = operator.lower()
        if_exists = name.endswith("ifexists")
        name = name.removesuffix("ifexists")
        if name not in _COMPARE and name not in _NEGATED and (name != _NULL or if_exists):
            raise PolicyError(f"{where}: Condition operator {operator!r} is not supported")
        for key, values in tests.items():
            if key.lower() not in CONDITION_KEYS:
                raise PolicyError(f"{where}: Condition key {key!r} is not supported")
            found.append(Condition(name, key.lower(), _strings(values, f"{where}: {key}", plain=True), if_exists))
    return found


def _strings(said: Any, where: str, *, plain: bool = False) -> tuple[str, ...]:
    """One string or several; ``plain``: numbers and booleans, too, as JSON writes them."""
    values = said if isinstance(said, list) else [said]
    if plain:
        values = [json.dumps(each) if isinstance(each, bool | int | float) else each for each in values]
    if not values or not all(isinstance(each, str) and each for each in values):
        raise PolicyError(f"{where}: must be one or more strings")
    for each in values:
        for variable in _VARIABLE.findall(each):
            if variable not in _VARIABLES:
                raise PolicyError(f"{where}: ${{{_shown(variable)}}} is not supported")
    return tuple(values)


def _shown(text: str) -> str:
    """On one line, whatever it is."""
    return text if text.isprintable() else ascii(text)


def _only(said: Mapping[str, Any], names: str, where: str) -> None:
    if unknown := sorted(set(said).difference(names.split())):
        raise PolicyError(f"{where}: {_shown(unknown[0])} is not supported")


# --------------------------------------------------------------------------------------------- policies by name


def _allow(*actions: str) -> Policy:
    return Policy((Statement(True, actions, ("*",)),))


CANNED: Mapping[str, Policy] = {
    "readonly": _allow("s3:Get*", "s3:List*"),
    "readwrite": _allow("s3:*"),
    "writeonly": _allow("s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"),
}
"""``--policy NAME``.  ``writeonly`` can upload in parts and cannot see what is there."""
NOTHING = Policy(())
"""Of a key whose policy cannot be read."""
