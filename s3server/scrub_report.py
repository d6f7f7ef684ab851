"""What a scrub shows: progress while it reads, and the report at its end.

Rules: text only; nothing is asked of the store.  Keys are shown so that they take one line and leave terminals alone.
"""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TextIO

from s3server.scrub_state import PAST, Run
from s3server.store.examine import Finding, Outcome

LINE_SECONDS = 30.0
"""Between two lines of progress where no terminal shows them."""
DRAW_SECONDS = 0.25
COST_OF_OBJECT = 256 * 1024
"""Bytes that could be read in the time that it takes to open an object: only for the estimate of what is left."""


def say(text: str) -> None:
    """One line on standard error."""
    print(f"curvine-s3-gateway: {_line(text)}", file=sys.stderr, flush=True)


class Progress:
    """One line on a terminal, drawn again and again; elsewhere a line now and then."""

    def __init__(self, out: TextIO, done: Run) -> None:
        self.drawn = out.isatty()
        self.rest: tuple[int, int] | None = None
        """Objects and bytes that there were to read when this run began, once they are counted."""
        self._out = out
        self._done = done
        self._began = self._next = time.monotonic()
        if not self.drawn:
            self._next += LINE_SECONDS
        self._objects = done.objects

    def show(self, now: float, size: int) -> None:
        """``size``: bytes read by now in this run, also of objects that are not dealt with yet."""
        if now < self._next:
            return
        self._next = now + (DRAW_SECONDS if self.drawn else LINE_SECONDS)
        line = self._line(now - self._began, size)
        if self.drawn:
            self._out.write(f"\r{line[: shutil.get_terminal_size().columns - 1]}\x1b[K")
        else:
            self._out.write(f"{line}\n")
        self._out.flush()

    def clear(self) -> None:
        """Make room for another line."""
        if self.drawn:
            self._out.write("\r\x1b[K")

    def _line(self, seconds: float, size: int) -> str:
        line = f"{counted(self._done)}, {size / 2**20 / max(seconds, 0.001):.0f} MiB/s"
        if self.rest is None:
            return line
        objects = self._done.objects - self._objects
        done = size + objects * COST_OF_OBJECT
        total = max(self.rest[1] + self.rest[0] * COST_OF_OBJECT, done)
        return f"{line}, {done / max(total, 1):.0%}, {duration((total - done) / max(done, 1) * seconds)} left"


def report(out: TextIO, name: str, done: Run) -> None:
    """Say what was read, and list the findings."""
    print(f"Scrubbed {name} in {duration(done.seconds)}: {counted(done)}", file=out)
    for outcome in Outcome:
        if number := done.counts[outcome]:
            print(f"{number:12,}  {outcome}", file=out)
    for finding in done.findings:
        print("\n" + _listed(finding), file=out)
    if done.unlisted:
        print(f"\n... and {done.unlisted:,} more, not listed", file=out)
    if done.found:
        kinds = Counter(finding.kind for finding in done.findings)
        print("\n" + ", ".join(f"{kind}: {number:,}" for kind, number in kinds.items()), file=out)
    out.flush()


def _listed(finding: Finding) -> str:
    rows = [f"{finding.kind.upper()}  {shown(finding.bucket, finding.key)}"]
    if finding.etag:
        rows.append(f'  version:  ETag "{finding.etag}", last modified {_utc(finding.modified)}')
    return "\n".join([*rows, f"  expected: {_line(finding.expected)}", f"  found:    {_line(finding.found)}"])


def shown(bucket: str, key: str) -> str:
    """An object as S3 clients name it, on one line."""
    return _line(f"s3://{bucket}/{key}")


def behind(done: Run) -> str:
    """Where a run has come to, to follow a verb."""
    bucket, key = done.at
    if not bucket:
        return ""
    return f" behind the bucket {bucket}" if key == PAST else f" behind {shown(bucket, key)}"


def counted(done: Run) -> str:
    """How much was read, and found."""
    return f"{_number(done.objects, 'object')}, {_size(done.size)}, {_number(done.found, 'finding')}"


def duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _number(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _size(size: float) -> str:
    if size < 1024:
        return f"{size:,.0f} bytes"
    unit = min(4, int(math.log2(size)) // 10)
    return f"{size / 1024**unit:,.1f} {'KMGT'[unit - 1]}iB"


def _utc(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):  # files of other programs have any time
        return str(seconds)


def _line(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
