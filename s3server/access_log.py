"""One line per request, written after its last byte.

    TIME INFO curvine_s3_gateway.access: request-id client access-key-id "METHOD target" status error-code bytes-in
    bytes-out milliseconds

(one line).  TIME is the request's arrival; ``-`` stands for nothing.

Rules: no secret ever (signatures, tokens and credentials in a query are replaced by
``...``); a client cannot write a line of its own (whatever is not printable ASCII is escaped).  A request only
appends a tuple; formatting and writing happen a batch at a time (``flush``, called by the worker's housekeeping), and
not at all when the logger ``curvine_s3_gateway.access`` is above INFO.

Follows "Amazon S3 server access log format" in what is recorded, not in the format.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple, TextIO

NAME = "curvine_s3_gateway.access"
LOGGER = logging.getLogger(NAME)
BATCH = 512
"""Entries that wait at most; the request that adds one more writes them."""
MAX_TARGET = 2048
"""Characters of a target that are logged."""

_SECRETS = re.compile(r"(?i)((?:^|[?&])(?:x-amz-signature|x-amz-security-token|x-amz-credential|signature)=)[^&]*")
_UNPRINTABLE = re.compile(r'[^\x21-\x7e]|["\\]')


class Entry(NamedTuple):
    """What one request left behind."""

    time: float
    """POSIX seconds at its arrival."""
    request_id: str
    peer: str
    access_key_id: str
    """As claimed by the request; "" for none."""
    method: str
    target: str
    """As sent."""
    status: int
    error_code: str | None
    bytes_in: int
    """Body bytes, transport framing removed."""
    bytes_out: int
    """Body bytes."""
    seconds: float
    operation: str | None = None
    """AWS's name, for metrics; None where the request means none."""


def escape(text: str) -> str:
    """Return ``text`` as one printable word without quotes."""
    return _UNPRINTABLE.sub(lambda m: "".join(f"%{b:02X}" for b in m[0].encode("latin-1", "replace")), text)


def safe_target(target: str) -> str:
    """Return a request target without secrets, escaped and cut to MAX_TARGET characters."""
    if len(target) <= MAX_TARGET:
        return _safe(target)
    return escape(_SECRETS.sub(r"\1...", target)[:MAX_TARGET] + "...")


@lru_cache(maxsize=1024)
def _safe(target: str) -> str:
    """Targets come again, presigned ones above all, whose long queries cost the most."""
    return escape(_SECRETS.sub(r"\1...", target) if "?" in target else target)


def write_to(stream: TextIO) -> None:
    """Let the access log go to ``stream`` as it is: its lines carry time and name already."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    LOGGER.handlers[:] = [handler]
    LOGGER.propagate = False


class AccessLog:
    """Collects entries of all threads of a process."""

    def __init__(self, logger: logging.Logger = LOGGER, also: Callable[[Sequence[Entry]], None] | None = None) -> None:
        """``also``: gets every batch, one at a time, whether or not it is logged."""
        self._logger = logger
        self._also = also
        self._entries: list[Entry] = []
        self._lock = threading.Lock()
        self._second = -1
        self._stamp = ""

    @property
    def enabled(self) -> bool:
        """Whether entries are wanted at all: ask before making one."""
        return self._also is not None or self._logger.isEnabledFor(logging.INFO)

    def add(self, entry: Entry) -> None:
        self._entries.append(entry)  # atomic under the GIL
        if len(self._entries) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what has been collected, as one record of many lines."""
        with self._lock:
            entries, self._entries = self._entries, []
            if entries and self._also is not None:
                self._also(entries)
            if entries and self._logger.isEnabledFor(logging.INFO):
                self._logger.info("%s", "\n".join([self.line(entry) for entry in entries]))

    def line(self, entry: Entry) -> str:
        """Format one entry, without line end."""
        second = int(entry.time)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return (
            f"{self._stamp}.{int(entry.time % 1 * 1000):03d}Z INFO {NAME}: {entry.request_id} {entry.peer}"
            f' {escape(entry.access_key_id) or "-"} "{escape(entry.method)} {safe_target(entry.target)}" {entry.status}'
            f' {entry.error_code or "-"} {entry.bytes_in} {entry.bytes_out} {entry.seconds * 1000:.1f}'
        )
