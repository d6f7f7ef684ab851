"""The file of access keys: JSON lines, read leniently, changed atomically.

One object a line: ``access_key``, ``secret_key``, ``created_at`` (Unix seconds), ``enabled`` and optional
``description``, ``user``, ``policy``.  Files of the old gateway load as they are; of several lines with one key the
last one counts, so a disabled line revokes.  A line that is no credential is skipped and named by number, never by
content: it may hold a secret.

Rules
- Where the file lies, and that a change is one transaction, is ``credentials_place``'s affair.
- Lines of other keys stay byte for byte, unknown fields of a changed line stay.
- Deleting a key leaves a disabled line without secret, so that no other source (the environment) brings it back.
"""

from __future__ import annotations

import json
import re
import secrets
import string
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from s3proto import policy
from s3proto.policy import Policy, PolicyError
from s3server.credentials_place import CredentialError, DiskPlace, Kept, Place

T = TypeVar("T")

ACCESS_KEY = re.compile(r"[A-Za-z0-9._~+@-]{16,32}")
ACCESS_KEY_RULE = "16 to 32 characters out of letters, digits and . _ ~ + @ -"
OWNER = "curvine"
"""Display name of the one owner, whose keys have no user (``state.ADMINISTRATOR``)."""
SECRET_RULE = "16 to 64 characters without white space and control characters"


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret access key; only ``reveal`` shows it."""

    _text: str = field(repr=False)

    def reveal(self) -> str:
        return self._text


@dataclass(frozen=True, slots=True)
class Credential:
    """One access key."""

    access_key: str
    secret: Secret | None
    """None for a key that was deleted."""
    created_at: int
    """Unix seconds."""
    enabled: bool = True
    description: str | None = None
    user: str | None = None
    """Whose key it is; None: the one owner, who may do everything."""
    policy: Any = None
    """What the key may do of all that its user may: a name of ``policy.CANNED`` or a document; None: all of it."""

    @property
    def deleted(self) -> bool:
        return self.secret is None


class Line(NamedTuple):
    raw: bytes
    """Without its newline."""
    record: dict[str, Any] | None = None
    """The parsed object where the line is a credential."""
    credential: Credential | None = None


class Contents(NamedTuple):
    """What a file held at one moment."""

    lines: list[Line]
    bad: list[str]
    """``line N: why`` for each line that was skipped."""
    kept: Kept | None
    """None when there was no file."""

    @property
    def credentials(self) -> dict[str, Credential]:
        """By access key, in the order of the file; the last line of a key counts; deleted ones included."""
        return _by_key(self.lines)


def _by_key(lines: Sequence[Line]) -> dict[str, Credential]:
    return {line.credential.access_key: line.credential for line in lines if line.credential}


# ------------------------------------------------------------------------------------------------------- reading


def place_of(where: Path | Place) -> Place:
    """A path is a place on this machine."""
    return DiskPlace(where) if isinstance(where, Path) else where


def read(where: Path | Place) -> Contents:
    """Read a file.  A missing one is empty; raises CredentialError when it cannot be read."""
    kept = place_of(where).read()
    lines, bad = _lines(kept.data if kept else b"")
    return Contents(lines, bad, kept)


def _lines(data: bytes) -> tuple[list[Line], list[str]]:
    lines: list[Line] = []
    bad: list[str] = []
    if not data:
        return lines, bad
    for number, raw in enumerate(data.removesuffix(b"\n").split(b"\n"), 1):
        try:
            lines.append(parse(raw) if raw.strip() else Line(raw))
        except (ValueError, RecursionError) as error:
            lines.append(Line(raw))
            bad.append(f"line {number}: {error if type(error) is ValueError else 'is not JSON in UTF-8'}")
    return lines, bad


def parse(raw: bytes) -> Line:
    """Parse one line.  Raises ValueError (its text holds nothing of the line) where it is no credential."""
    record = json.loads(raw.decode("utf-8"))
    if not isinstance(record, dict):
        raise ValueError("is not a JSON object")
    key, secret, enabled = record.get("access_key"), record.get("secret_key"), record.get("enabled")
    if not isinstance(key, str) or not key:
        raise ValueError("access_key is missing or no string")
    if not isinstance(enabled, bool):
        raise ValueError("enabled is missing or neither true nor false")
    if not isinstance(secret, str | None) or (enabled and not secret):
        raise ValueError("secret_key is missing or no string")
    if type(record.get("created_at")) is not int:
        raise ValueError("created_at is missing or no integer")
    for name in ("description", "user"):
        if not isinstance(record.get(name), str | None):
            raise ValueError(f"{name} is no string")
    try:
        raw_key = f"{key}{secret}{record.get('user')}".encode()
    except UnicodeEncodeError:
        raise ValueError("is not valid Unicode") from None
    if b"\0" in raw_key:
        raise ValueError("holds a NUL character")
    optional = {name: record.get(name) for name in ("description", "user", "policy")}
    made = Credential(key, Secret(secret) if secret else None, record["created_at"], enabled, **optional)
    return Line(raw, record, made)


# ------------------------------------------------------------------------------------------------------ changing


def generated(user: str | None = None, description: str | None = None) -> Credential:
    """Make a new key: AKIA and 16 upper-case letters or digits, a secret of 40 letters and digits."""
    key = "AKIA" + "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(16))
    return Credential(key, _new_secret(), int(time.time()), description=description, user=user)


def check(access_key: str, secret: str) -> None:
    """Raise CredentialError where a pair is not one that we would store."""
    if not ACCESS_KEY.fullmatch(access_key):
        raise CredentialError(f"access key: must be {ACCESS_KEY_RULE}")
    if not 16 <= len(secret) <= 64 or not secret.isprintable() or any(c.isspace() for c in secret):
        raise CredentialError(f"secret key: must be {SECRET_RULE}")


def policy_of(credential: Credential) -> Policy | None:
    """Return what limits a key; None: nothing.  Raises PolicyError."""
    said = credential.policy
    if said is None:
        return None
    if isinstance(said, str):
        if (canned := policy.CANNED.get(said)) is None:
            raise PolicyError(f"must be a document, or one of {', '.join(policy.CANNED)}")
        return canned
    return policy.policy_of(said)


def check_labels(user: str | None, description: str | None) -> None:
    """Raise CredentialError where one of them is empty, too long, not printable, or the user is the one owner."""
    if user is not None and not (0 < len(user) <= 64 and user.isprintable()):
        raise CredentialError("user: must be 1 to 64 printable characters")
    if user == OWNER:
        raise CredentialError(f"user: {OWNER} is the one owner's name: leave the user out for a key of the owner")
    if description is not None and not (0 < len(description) <= 256 and description.isprintable()):
        raise CredentialError("description: must be 1 to 256 printable characters")


class CredentialsFile:
    """Changes to one file; every method is one transaction, safe against other processes and machines.

    All raise CredentialError: the file or its directory cannot be used, the lock cannot be had, or as documented.
    """

    def __init__(self, where: Path | Place) -> None:
        self.place = place_of(where)

    def add(self, new: Credential) -> None:
        """Append a key.  CredentialError when there is one of that name, enabled or not, unless it was deleted."""

        def edit(lines: list[Line]) -> None:
            if (old := _by_key(lines).get(new.access_key)) and not old.deleted:
                raise CredentialError(f"{new.access_key} exists already: use `credential rotate` for a new secret")
            lines[:] = [x for x in lines if not x.credential or x.credential.access_key != new.access_key]
            lines.append(_line(_record(new)))

        self._edit(edit)

    def add_missing(self, new: Credential) -> Credential | None:
        """Append a key unless the file has a line of it, a deleted one included; return the one it had."""

        def edit(lines: list[Line]) -> Credential | None:
            old = _by_key(lines).get(new.access_key)
            if old is None:
                lines.append(_line(_record(new)))
            return old

        return self._edit(edit)

    def add_first(self, new: Credential) -> bool:
        """Append a key when the file is missing or blank; return whether it was."""

        def edit(lines: list[Line]) -> bool:
            if any(line.raw.strip() for line in lines):
                return False
            lines[:] = [_line(_record(new))]
            return True

        return self._edit(edit)

    def set_enabled(self, access_key: str, enabled: bool) -> None:
        """Enable or disable a key.  CredentialError when there is none."""
        self._edit(lambda lines: _replace(lines, access_key, {"enabled": enabled}))

    def rotate(self, access_key: str) -> Secret:
        """Give a key a new secret and return it; the old one is gone."""
        secret = _new_secret()
        self._edit(lambda lines: _replace(lines, access_key, {"secret_key": secret.reveal()}))
        return secret

    def delete(self, access_key: str) -> None:
        """Revoke a key for good: what stays is a disabled line without the secret."""
        self._edit(lambda lines: _replace(lines, access_key, {"secret_key": None, "enabled": False}))

    def _edit(self, edit: Callable[[list[Line]], T]) -> T:
        """Let ``edit`` change the lines in place; they are written when it returns.  It may be called again."""
        answers: list[T] = []

        def change(data: bytes | None) -> bytes | None:
            lines, _ = _lines(data or b"")
            before = list(lines)
            answers.append(edit(lines))
            return None if lines == before else b"".join(line.raw + b"\n" for line in lines)

        self.place.change(change)
        return answers[-1]


def _replace(lines: list[Line], access_key: str, changes: Mapping[str, Any]) -> None:
    """Put one changed line where the last one of a key was and drop the others, whose secrets would stay behind."""
    mine = [i for i, line in enumerate(lines) if line.credential and line.credential.access_key == access_key]
    last = lines[mine[-1]] if mine else None
    if last is None or last.record is None or last.credential is None or last.credential.deleted:
        raise CredentialError(f"{access_key}: no such key; see `credential list`")
    lines[mine[-1]] = _line({k: v for k, v in {**last.record, **changes}.items() if v is not None})
    for i in reversed(mine[:-1]):
        del lines[i]


def _record(new: Credential) -> dict[str, Any]:
    secret = new.secret.reveal() if new.secret else None
    record = {"access_key": new.access_key, "secret_key": secret, "created_at": new.created_at, "enabled": new.enabled}
    record |= {"description": new.description, "user": new.user, "policy": new.policy}
    return {name: value for name, value in record.items() if value is not None}


def _line(record: dict[str, Any]) -> Line:
    return parse(json.dumps(record, ensure_ascii=False).encode())


def _new_secret() -> Secret:
    return Secret("".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(40)))
