"""What was written, what was answered, and therefore what may be seen.

Every version of an object says who it is in each of its bytes: the body repeats 32 bytes made of the version's name,
the metadata and the Content-Type name it too.  So a body of two versions, or one with another's attributes, shows.

A ledger holds, for every key, the writes that were begun, with the time when each began and when it was answered
(never, for one that a kill cut off).  A state that was seen between two moments is *permitted* when some write made it
that had begun by then, and no other answered write lies wholly between that one and the sight.  That is the whole
judge: for readers under load, for listings, and after a kill.

Rules: knows no server.  Safe for many threads.  Times are time.monotonic() seconds.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from tests.crash.client import Answer

BLOCK = 32
METADATA = "x-amz-meta-version"


class Segment(NamedTuple):
    """A run of bytes of one origin: a body, or a part."""

    name: str
    size: int

    def data(self) -> bytes:
        block = hashlib.sha256(self.name.encode()).digest()
        return (block * (self.size // BLOCK + 1))[: self.size]


@dataclass(frozen=True)
class Version:
    """One thing that was written under one key."""

    name: str
    key: str
    segments: tuple[Segment, ...]
    multipart: bool = False

    @property
    def size(self) -> int:
        return sum(segment.size for segment in self.segments)

    @property
    def body(self) -> bytes:
        return b"".join(segment.data() for segment in self.segments)

    @cached_property
    def etag(self) -> str:
        if not self.multipart:
            return md5(self.body)
        digests = b"".join(hashlib.md5(s.data()).digest() for s in self.segments)
        return f"{md5(digests)}-{len(self.segments)}"

    @property
    def headers(self) -> dict[str, str]:
        """What is sent with it, and must come back."""
        return {METADATA: self.name, "content-type": f"application/x-{self.name}"}

    def faults(self, answer: Answer, first: int = 0, length: int | None = None) -> Iterator[str]:
        """What in an answer that calls itself this version is not this version's.  HEAD: ``length`` 0."""
        for name, value in self.headers.items():
            if answer.headers.get(name) != value:
                yield f"{name} is {answer.headers.get(name)!r}"
        if answer.etag != self.etag:
            yield f"ETag is {answer.etag}, not {self.etag}"
        wanted = self.body[first:] if length is None else self.body[first : first + length]
        if answer.body != wanted:
            at = next((i for i, (a, b) in enumerate(zip(answer.body, wanted)) if a != b), None)
            where = "" if at is None else f", other bytes from {first + at} on"
            yield f"{len(answer.body)} bytes, not {len(wanted)}{where}"


@dataclass(eq=False)
class Write:
    """One change of one key, from its request to its answer."""

    state: Version | None
    """What is there afterwards; None: nothing."""
    begun: float
    ended: float = math.inf
    acknowledged: bool = False
    doubted: bool = False
    """It was acknowledged by somebody who may have forgotten it."""


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@dataclass
class Ledger:
    """All keys of one bucket."""

    violations: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """What happened, by name."""
    phase: str = "load"
    """Told with each violation."""

    def __post_init__(self) -> None:
        self._mutex = threading.Lock()
        self._numbers = itertools.count(1)
        self._writes: dict[str, list[Write]] = defaultdict(lambda: [Write(None, -math.inf, -math.inf, True)])
        self._versions: dict[str, Version] = {}
        self._replaced: set[tuple[str, str]] = set()

    # --------------------------------------------------------------------------------------------- writing

    def name(self) -> str:
        """A name for a new version."""
        return f"v{next(self._numbers)}"

    def version(self, key: str, size: int) -> Version:
        """A new version of ``size`` bytes of its own."""
        name = self.name()
        return self.known(Version(name, key, (Segment(f"{key} {name}", size),)))

    def known(self, version: Version) -> Version:
        """Take note of a version before it is written."""
        with self._mutex:
            self._versions[version.name] = version
        return version

    def begin(self, key: str, state: Version | None, before: Write | None = None) -> Write:
        """``before``: the same write when it was tried first: it may have taken place at any time since."""
        write = Write(state, before.begun if before else time.monotonic())
        with self._mutex:
            self._writes[key].append(write)
        return write

    def end(self, key: str, write: Write, *, done: bool | None) -> None:
        """``done``: True: acknowledged; False: refused, without any effect; None: nobody can tell."""
        with self._mutex:
            if done is False:
                self._writes[key].remove(write)
            else:
                write.ended, write.acknowledged = time.monotonic(), bool(done)

    def replaced(self, key: str, etag: str) -> None:
        """A write with If-Match of this ETag was acknowledged: the only one, where ETags never come again."""
        with self._mutex:
            twice = (key, etag) in self._replaced
            self._replaced.add((key, etag))
        if twice:
            self.violation(f"{key!r}: two writes with If-Match {etag} were both acknowledged: one is lost")

    def doubt(self, since: float, until: float) -> None:
        """Whoever kept the store may have forgotten what was acknowledged between two moments."""
        with self._mutex:
            for write in itertools.chain.from_iterable(self._writes.values()):
                if write.acknowledged and since <= write.ended <= until:
                    write.acknowledged, write.doubted = False, True
            self._replaced.clear()  # versions that were replaced may be back

    def killed(self) -> None:
        """Whoever has no answer now will not get one: what was cut off has ended, one way or the other."""
        now = time.monotonic()
        with self._mutex:
            for writes in self._writes.values():
                for write in writes:
                    write.ended = min(write.ended, now)

    # -------------------------------------------------------------------------------------------- judging

    def keys(self) -> list[str]:
        with self._mutex:
            return sorted(self._writes)

    def latest(self, key: str) -> Version | None:
        """What was acknowledged last."""
        with self._mutex:
            return max((w for w in self._writes[key] if w.acknowledged), key=lambda w: w.ended).state

    def permitted(self, key: str, since: float, until: float) -> list[Version | None]:
        """The states that a look at the key between two moments may show."""
        with self._mutex:
            writes = list(self._writes[key])
        answered = [w for w in writes if w.acknowledged and w.ended < since]
        newest = max(w.begun for w in answered)  # nothing that had ended before this one began can be seen any more
        return [w.state for w in writes if w.begun <= until and w.ended >= newest]

    def judge(self, key: str, answer: Answer, since: float, first: int = 0, length: int | None = None) -> None:
        """Record what is wrong with the answer to a GET or HEAD that was asked at ``since``."""
        permitted = self.permitted(key, since, time.monotonic())
        if answer.status == 404:
            if None not in permitted:
                self.violation(f"{key!r}: {answer.code or 404}, but it must be one of {_names(permitted)}")
            return
        if answer.status not in (200, 206):
            self.refused("GET", answer)
            return
        version = self._versions.get(answer.headers.get(METADATA, ""))
        if version is None:
            self.violation(f"{key!r}: an object that nobody wrote: {answer.headers}")
            return
        if version not in permitted:
            self.violation(f"{key!r}: {version.name}, but it must be one of {_names(permitted)}")
        for fault in version.faults(answer, first, length):
            self.violation(f"{key!r}: {version.name}, but {fault}")

    def settle(self, key: str, answer: Answer) -> None:
        """From now on the key's history is the write that was just seen."""
        state = self._versions.get(answer.headers.get(METADATA, "")) if answer.status == 200 else None
        now = time.monotonic()
        with self._mutex:
            newest = max(self._writes[key], key=lambda write: write.ended)
            forgotten = newest.doubted and newest.state != state
            seen = [write for write in self._writes[key] if write.state == state]
            last = max(seen, key=lambda write: write.begun, default=Write(state, now))
            self._writes[key] = [Write(state, last.begun, min(last.ended, now), True)]
        if forgotten:
            self.count("acknowledged changes forgotten")

    def violation(self, text: str) -> None:
        with self._mutex:
            self.violations.append(f"{self.phase}: {text}")

    def count(self, name: str, number: int = 1) -> None:
        with self._mutex:
            self.counts[name] += number

    def refused(self, what: str, answer: Answer) -> None:
        """SlowDown is counted (it may happen, hardly ever); any other refusal that reaches this is a violation.

        Complete may have begun its answer with 200 when it finds out.
        """
        self.count(f"{answer.status} {answer.code}")
        if answer.status != 503 and (answer.status, answer.code) != (200, "SlowDown"):
            self.violation(f"{what}: {answer.status} {answer.body[:500]!r}")


def _names(states: list[Version | None]) -> str:
    return ", ".join("nothing" if state is None else state.name for state in states)
