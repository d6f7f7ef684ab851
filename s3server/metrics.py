"""What a gateway has done, counted for ``/metrics`` of the admin listener.

Each worker counts into its own part of memory that all workers share, so any of them can tell the sum, and a worker
that is started again goes on where the dead one stopped.

Rules: made before the fork.  Counting happens when the access log is written, a batch at a time, by one thread of a
process at a time (``access_log.AccessLog.flush``): a request pays nothing for it.  Names of operations and of errors
come from tables of the core, so what a client sends adds no series.

Follows "Metric and label naming" (Prometheus); prometheus_client writes the text.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from s3proto.errors import S3Error
from s3proto.operations import OPERATIONS
from s3server.access_log import Entry

PREFIX = "curvine_s3"
NONE = "none"
"""Operation of a request that means none, and name of an error that the tables do not have."""
NAMES = (NONE, *sorted({row.name for row in OPERATIONS}))
CODES = (NONE, *sorted({each.code for each in S3Error.__subclasses__()}))
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of classes of durations, seconds, inclusive."""
GAUGES = ("connections", "buffered_bytes")
"""What a worker says of itself now and then."""

_STATUSES = 6
_SECONDS = _STATUSES
_MICROSECONDS = _SECONDS + len(BOUNDS) + 1
_IN, _OUT, _ROW = _MICROSECONDS + 1, _MICROSECONDS + 2, _MICROSECONDS + 3
_ERRORS = len(NAMES) * _ROW
_GAUGES = _ERRORS + len(CODES)
_WORKER = _GAUGES + len(GAUGES)
_NAME_AT = {name: at * _ROW for at, name in enumerate(NAMES)}
_CODE_AT = {code: _ERRORS + at for at, code in enumerate(CODES)}


class Metrics:
    """Counters of all workers."""

    def __init__(self, workers: int) -> None:
        self._workers = range(workers)
        self._numbers = memoryview(mmap.mmap(-1, max(1, workers) * _WORKER * 8)).cast("Q")

    def count(self, worker: int, entries: Iterable[Entry]) -> None:
        """Add what requests left behind.  One thread of each worker at a time."""
        numbers = self._numbers[worker * _WORKER : (worker + 1) * _WORKER]
        for entry in entries:
            row = _NAME_AT.get(entry.operation or NONE, 0)
            numbers[row + min(entry.status // 100, _STATUSES - 1)] += 1
            numbers[row + _SECONDS + bisect_left(BOUNDS, entry.seconds)] += 1
            numbers[row + _MICROSECONDS] += max(0, round(entry.seconds * 1e6))
            numbers[row + _IN] += entry.bytes_in
            numbers[row + _OUT] += entry.bytes_out
            if entry.error_code is not None:
                numbers[_CODE_AT.get(entry.error_code, _ERRORS)] += 1

    def say(self, worker: int, values: Mapping[str, int]) -> None:
        """Set gauges of a worker; those of a dead one are set to nothing."""
        for at, name in enumerate(GAUGES):
            self._numbers[worker * _WORKER + _GAUGES + at] = values.get(name, 0)

    def collect(self) -> Iterator[Metric]:
        """Everything, as prometheus_client's registries ask for it."""
        sums = [sum(self._numbers[worker * _WORKER + at] for worker in self._workers) for at in range(_WORKER)]
        requests = CounterMetricFamily(f"{PREFIX}_requests", "Requests answered", labels=("operation", "status"))
        seconds = HistogramMetricFamily(
            f"{PREFIX}_request_seconds",
            "Time from a request's head to the last byte of its answer",
            labels=("operation",),
        )
        received = CounterMetricFamily(f"{PREFIX}_received_bytes", "Bytes of request bodies", labels=("operation",))
        sent = CounterMetricFamily(f"{PREFIX}_sent_bytes", "Bytes of response bodies", labels=("operation",))
        for name, row in _NAME_AT.items():
            if not any(sums[row : row + _STATUSES]):
                continue
            for status, count in enumerate(sums[row : row + _STATUSES]):
                if count:
                    requests.add_metric((name, f"{status}xx"), count)
            running = accumulate(sums[row + _SECONDS : row + _MICROSECONDS])
            buckets = list(zip((*map(str, BOUNDS), "+Inf"), running))
            seconds.add_metric((name,), buckets, sums[row + _MICROSECONDS] / 1e6)
            received.add_metric((name,), sums[row + _IN])
            sent.add_metric((name,), sums[row + _OUT])
        failed = CounterMetricFamily(f"{PREFIX}_errors", "Errors answered", labels=("code",))
        for code, at in _CODE_AT.items():
            if sums[at]:
                failed.add_metric((code,), sums[at])
        yield from (requests, seconds, received, sent, failed)
        for at, name in enumerate(GAUGES):
            yield GaugeMetricFamily(
                f"{PREFIX}_{name}", f"{name.replace('_', ' ').capitalize()} now", sums[_GAUGES + at]
            )


class StoreFacts:
    """What the store says of itself, as metrics."""

    def __init__(self, reason: str | None, facts: Mapping[str, str]) -> None:
        """``reason``: why it does not serve, or None."""
        self._up = reason is None
        self._facts = facts

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(f"{PREFIX}_store_up", "1 while the store answers", int(self._up))
        for name, value in self._facts.items():
            if value.isdecimal():
                what = f"{name.replace('_', ' ').capitalize()} of the store"
                yield GaugeMetricFamily(f"{PREFIX}_store_{name}", what, int(value))
