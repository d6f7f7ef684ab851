"""What is counted, and how it is told."""

from __future__ import annotations

import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from s3server.access_log import Entry
from s3server.metrics import BOUNDS, CODES, NAMES, Metrics, StoreFacts

GET = Entry(0.0, "R", "peer", "AKIA", "GET", "/b/k", 200, None, 3, 70, 0.004, "GetObject")
DENIED = GET._replace(status=403, error_code="AccessDenied", operation="PutObject", bytes_in=0)

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def told(*collectors: Metrics | StoreFacts) -> Samples:
    """What a scraper reads."""
    registry = CollectorRegistry(auto_describe=False)
    for each in collectors:
        registry.register(each)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name.removeprefix("curvine_s3_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_sums_of_all_workers() -> None:
    metrics = Metrics(2)
    metrics.count(0, [GET, GET, DENIED])
    metrics.count(1, [GET._replace(seconds=100.0)])
    metrics.say(0, {"connections": 3, "buffered_bytes": 10})
    metrics.say(1, {"connections": 4})
    found = told(metrics)
    assert found["requests_total", (("operation", "GetObject"), ("status", "2xx"))] == 3
    assert found["requests_total", (("operation", "PutObject"), ("status", "4xx"))] == 1
    assert found["errors_total", (("code", "AccessDenied"),)] == 1
    assert found["received_bytes_total", (("operation", "GetObject"),)] == 9
    assert found["sent_bytes_total", (("operation", "GetObject"),)] == 210
    buckets = {
        le: found["request_seconds_bucket", (("le", le), ("operation", "GetObject"))]
        for le in ("0.0025", "0.005", "60.0", "+Inf")
    }
    assert buckets == {"0.0025": 0, "0.005": 2, "60.0": 2, "+Inf": 3}
    assert found["request_seconds_count", (("operation", "GetObject"),)] == 3
    assert found["request_seconds_sum", (("operation", "GetObject"),)] == pytest.approx(100.008)
    assert (found["connections", ()], found["buffered_bytes", ()]) == (7, 10)
    metrics.say(0, {})
    assert told(metrics)["connections", ()] == 4


def test_what_a_dead_worker_counted_stays() -> None:
    metrics = Metrics(1)
    child = os.fork()
    if not child:
        metrics.count(0, [GET])
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    metrics.count(0, [GET])
    assert told(metrics)["requests_total", (("operation", "GetObject"), ("status", "2xx"))] == 2


entries = st.builds(
    Entry,
    time=st.floats(0, 4e9),
    request_id=st.just("R"),
    peer=st.just("p"),
    access_key_id=st.text(max_size=3),
    method=st.text(max_size=3),
    target=st.text(max_size=3),
    status=st.integers(100, 599),
    error_code=st.none() | st.sampled_from(CODES) | st.text(max_size=5),
    bytes_in=st.integers(0, 2**40),
    bytes_out=st.integers(0, 2**40),
    seconds=st.floats(-1, 1e6) | st.sampled_from(BOUNDS),
    operation=st.none() | st.sampled_from(NAMES) | st.text(max_size=5),
)


@given(st.lists(entries, max_size=8))
def test_nothing_a_client_sends_adds_a_series_or_is_lost(given_entries: list[Entry]) -> None:
    metrics = Metrics(1)
    metrics.count(0, given_entries)
    found = told(metrics)
    assert sum(v for (name, _), v in found.items() if name == "requests_total") == len(given_entries)
    assert sum(v for (name, _), v in found.items() if name == "received_bytes_total") == sum(
        e.bytes_in for e in given_entries
    )
    assert sum(v for (name, _), v in found.items() if name == "errors_total") == sum(
        e.error_code is not None for e in given_entries
    )
    for (name, labels), value in found.items():
        values = dict(labels)
        assert values.get("operation", NAMES[0]) in NAMES and values.get("code", CODES[0]) in CODES
        if name == "request_seconds_bucket" and not math.isinf(float(values["le"])):
            expected = [
                e
                for e in given_entries
                if (e.operation if e.operation in NAMES else NAMES[0]) == values["operation"]
                and e.seconds <= float(values["le"])
            ]
            assert value == len(expected)


def test_store() -> None:
    found = told(StoreFacts(None, {"free_bytes": "12", "type": "ext4"}))
    assert found == {("store_up", ()): 1, ("store_free_bytes", ()): 12}
    assert told(StoreFacts("gone", {})) == {("store_up", ()): 0}
