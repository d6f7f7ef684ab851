"""Whose key is it, and does it sign right: the running gateway's view of the credentials file.

Rules
- A lookup is a dictionary hit, also in the thread that serves all connections: so a thread of its own looks at the
  file, is waited for PATIENCE_S at most, once in an interval, and till it is done all go on with what is known.
- The file is looked at again when ``refresh_interval`` has passed since the last look, and at once by ``refresh``
  (SIGHUP).  When it cannot be read, or has vanished, the last known keys stay in force and the log says so once.
- Secrets leave this module only as derived signing keys; those live in the snapshot of the file that they come from, so
  a revoked key takes its derived keys along.

Follows "Create a signed AWS API request" (Signature Version 4, derive a signing key) and "Signing and authenticating
REST requests" (Signature Version 2).
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from s3proto import policy, sigv4
from s3proto.commands import LookupSigningKey, SignV2
from s3proto.model import Principal, SignatureV2, SigningKey
from s3server import credentials_file, process
from s3server.credentials_file import Contents, Credential, Secret, place_of
from s3server.credentials_place import CredentialError, Place
from s3server.store.state import ADMINISTRATOR, owner_of

log = logging.getLogger("curvine_s3_gateway.auth")

PATIENCE_S = 1.0
"""Enough where the file can be read at all; a store without a master takes longer to say so."""
MAX_DERIVED = 4096
"""Derived keys kept; a client chooses date and region of its scope, so there must be an end."""


def principal(credential: Credential) -> Principal:
    """Return who signs with a key; one whose policy makes no sense may do nothing."""
    owner = ADMINISTRATOR if credential.user is None else owner_of(credential.user)
    limits: policy.Policy | None = None
    try:
        limits = credentials_file.policy_of(credential)
    except policy.PolicyError as error:
        log.error("%s: its policy %s; it may do nothing", credential.access_key, error)
        limits = policy.NOTHING
    return Principal(owner, credential.access_key, administrator=credential.user is None, policy=limits)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """The enabled keys of one state of the file, and what was derived from them."""

    keys: dict[str, tuple[Secret, Principal]] = field(default_factory=dict)
    identity: tuple[int, ...] | None = None
    """What tells this state from the next; None for no file."""
    derived: dict[LookupSigningKey, SigningKey] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a gateway says of its cache, for ``credential stats``."""

    pid: int
    started: int
    """``process.start_ticks`` of the PID, so that a recycled one is not taken for it."""
    path: str
    keys: int
    """Enabled keys."""
    checked_at: float
    """When the file was looked at last (POSIX seconds)."""
    loaded_at: float
    """When it was read last (POSIX seconds)."""


class CredentialStore:
    """The enabled keys of a file, kept fresh; safe for many threads.

    Raises CredentialError when the file exists and cannot be read at the start; a missing one is an empty set.
    """

    def __init__(
        self,
        where: Path | Place,
        refresh_interval: float,
        stats_file: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``refresh_interval`` and the monotonic ``clock`` are in seconds; ``stats_file`` is rewritten at each look."""
        self._place, self._interval, self._stats_file, self._clock = (
            place_of(where),
            refresh_interval,
            stats_file,
            clock,
        )
        self._lock = threading.Lock()
        self._unreachable = False
        self._loaded_at = time.time()
        self._snapshot = self._take(credentials_file.read(self._place))
        self._due = clock() + refresh_interval
        self._write_stats()

    def signing_key(self, command: LookupSigningKey) -> SigningKey | None:
        """Return the SigV4 key of an enabled access key for one scope."""
        snapshot = self._fresh()
        if known := snapshot.derived.get(command):
            return known
        if (entry := snapshot.keys.get(command.access_key_id)) is None:
            log.debug("no enabled key %r", command.access_key_id)
            return None
        secret, who = entry
        key = SigningKey(sigv4.signing_key(secret.reveal(), command.date, command.region, command.service), who)
        if len(snapshot.derived) >= MAX_DERIVED:
            snapshot.derived.clear()
        snapshot.derived[command] = key
        return key

    def sign_v2(self, command: SignV2) -> SignatureV2 | None:
        """Return the HMAC-SHA1 that an enabled access key would give."""
        if (entry := self._fresh().keys.get(command.access_key_id)) is None:
            log.debug("no enabled key %r", command.access_key_id)
            return None
        secret, who = entry
        return SignatureV2(hmac.digest(secret.reveal().encode(), command.string_to_sign, "sha1"), who)

    def refresh(self) -> None:
        """Look at the file now; where it takes long, when it answers."""
        self._due = self._clock()
        self._fresh()

    def _fresh(self) -> _Snapshot:
        if self._clock() >= self._due and self._lock.acquire(blocking=False):
            thread = threading.Thread(target=self._look, name="looks at the credentials", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no threads left: the next one tries
                self._lock.release()
            else:
                thread.join(PATIENCE_S)
        return self._snapshot

    def _look(self) -> None:
        try:
            self._refresh()
        finally:
            self._lock.release()

    def _refresh(self) -> None:
        self._due = self._clock() + self._interval
        try:
            known = self._snapshot.identity
            found = self._place.identity()
            if found is None and known is not None:
                raise CredentialError(f"{self._place.label} has gone")
            if found != known:
                self._snapshot = self._take(credentials_file.read(self._place))
                self._loaded_at = time.time()
                log.info("%s: %d keys enabled", self._place.label, len(self._snapshot.keys))
            if self._unreachable:
                log.info("%s: readable again", self._place.label)
            self._unreachable = False
        except CredentialError as error:
            if not self._unreachable:
                log.error("credentials: %s; going on with the last known %d keys", error, len(self._snapshot.keys))
                self._unreachable = True
        self._write_stats()

    def _take(self, contents: Contents) -> _Snapshot:
        for bad in contents.bad:
            log.warning("%s: skipped %s", self._place.label, bad)
        usable = (c for c in contents.credentials.values() if c.enabled)
        keys = {c.access_key: (c.secret, principal(c)) for c in usable if c.secret}
        return _Snapshot(keys, contents.kept.identity if contents.kept else None)

    def _write_stats(self) -> None:
        if self._stats_file is None:
            return
        pid = os.getpid()
        started = process.start_ticks(pid) or 0
        stats = CacheStats(pid, started, self._place.label, len(self._snapshot.keys), time.time(), self._loaded_at)
        temporary = self._stats_file.with_name(f"{self._stats_file.name}.{pid}")
        with suppress(OSError):  # a hint for people: a read-only home must not stop requests
            temporary.write_text(json.dumps(asdict(stats)), "utf-8")
            temporary.replace(self._stats_file)


def running_stats(path: Path) -> CacheStats | None:
    """Return what a gateway that still runs wrote to its stats file, None where there is no such gateway."""
    try:
        stats = CacheStats(**json.loads(path.read_text("utf-8")))
        return stats if process.start_ticks(stats.pid) == stats.started else None
    except (OSError, ValueError, TypeError):
        return None
