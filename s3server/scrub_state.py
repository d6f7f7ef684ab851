"""How far a scrub has come: kept in a small file, so that the next one goes on where this one was stopped.

Rules: one file under CURVINE_HOME for each store and bucket, replaced as a whole, removed when a run has come to its
end; one that cannot be read counts as none.  A position is a bucket and a key: everything up to it, in the order of
listings, has been dealt with.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from s3server.config import ServerConfig
from s3server.filesystems import masters
from s3server.store.examine import Finding, Verdict

KEPT_FINDINGS = 10_000
"""Findings that the report lists; beyond them they are only counted."""
PAST = chr(0x10FFFF)
"""Behind every key of a bucket."""


class Busy(Exception):
    """Another scrub of the same store runs on this machine."""


@dataclass
class Run:
    """What was done so far, over all interruptions."""

    at: tuple[str, str] = ("", "")
    """Bucket and key that were dealt with last."""
    counts: Counter[str] = field(default_factory=Counter)
    """Objects by their Outcome."""
    size: int = 0
    """Bytes read."""
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    unlisted: int = 0
    """Findings beyond KEPT_FINDINGS."""

    @property
    def objects(self) -> int:
        return self.counts.total()

    @property
    def found(self) -> int:
        """How many findings."""
        return len(self.findings) + self.unlisted

    def add(self, at: tuple[str, str], verdict: Verdict) -> None:
        self.counts[verdict.outcome.value] += 1
        self.size += verdict.size
        self.add_findings(at, verdict.findings)

    def add_findings(self, at: tuple[str, str], findings: tuple[Finding, ...]) -> None:
        room = KEPT_FINDINGS - len(self.findings)
        self.findings += findings[:room]
        self.unlisted += len(findings[room:])
        self.at = at


class Position:
    """The file that keeps a Run of one store and bucket (None: all buckets)."""

    def __init__(self, config: ServerConfig, bucket: str | None) -> None:
        self._what = [store_name(config), bucket]
        digest = hashlib.sha256(json.dumps(self._what).encode()).hexdigest()[:16]
        self.path = config.home / f"curvine-s3-gateway.scrub.{digest}"

    def load(self) -> Run | None:
        """None when there is none, or none that can be read."""
        try:
            f: dict[str, Any] = json.loads(self.path.read_bytes())
            if f.pop("of") != self._what:
                return None
            bucket, key = f["at"]
            findings = [Finding(*row) for row in f["findings"]]
            return Run(**{**f, "at": (bucket, key), "counts": Counter(f["counts"]), "findings": findings})
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            return None

    def save(self, run: Run) -> None:
        """Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}")
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump({"of": self._what, **vars(run)}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)

    def remove(self) -> None:
        with suppress(OSError):
            self.path.unlink()


def store_name(config: ServerConfig) -> str:
    """The same for one store, however it is spelt."""
    if config.store.startswith("curvine:"):
        return " ".join(sorted(f"{host}:{port}" for host, port in masters(config.store)))
    return str(config.store_path.resolve())


@contextmanager
def alone(config: ServerConfig) -> Iterator[None]:
    """Keep other scrubs of the same store on this machine out.  Raises Busy.

    A name in the abstract namespace goes with its process, however that ends, and leaves nothing behind.
    """
    digest = hashlib.sha256(store_name(config).encode()).hexdigest()[:32]
    with socket.socket(socket.AF_UNIX) as held:
        try:
            held.bind(f"\0curvine-s3-gateway.scrub.{digest}")
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise Busy from None
        yield
