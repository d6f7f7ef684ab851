"""Health: asked seldom, answered soon, and only where no bucket is meant."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest

from curvinefs.api import Unavailable
from s3proto.http import Headers, RequestHead
from s3server import admin
from s3server.admin import Health, Verdict, health_steps, is_health_request
from s3server.driver import run

PATIENCE = 10.0


@pytest.mark.parametrize(
    "method, target, host, domain, expected",
    [
        ("GET", "/healthz", "h", None, True),
        ("HEAD", "/healthz?x=1", "h", None, True),
        ("GET", "/healthz", None, "s3.example.com", True),
        ("GET", "/healthz", "s3.example.com:9900", "s3.example.com", True),
        ("GET", "/healthz", "bucket.S3.example.com:9900", "s3.example.com", False),
        ("GET", "/healthz", "bucket.s3.example.com.", "s3.example.com", False),
        ("GET", "/healthz", "bucket.s3.example.com", "S3.example.com", False),
        ("GET", "/healthz/", "h", None, False),
        ("GET", "/healthzz", "h", None, False),
        ("PUT", "/healthz", "h", None, False),
        ("GET", "/", "h", None, False),
    ],
)
def test_what_asks_for_health(method: str, target: str, host: str | None, domain: str | None, expected: bool) -> None:
    head = RequestHead(method, target, Headers([("host", host)] if host else []))
    assert is_health_request(head, domain) == expected


class Probe:
    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self) -> Mapping[str, str]:
        self.asked += 1
        assert self.gate.wait(PATIENCE)
        if self.error:
            raise self.error
        return {"leader": "m1:8995"}


def test_an_answer_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "KEPT", 1000.0)
    probe = Probe()
    health = Health(probe)
    assert health.check().reason is None and health.check().reason is None and probe.asked == 1


def test_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "KEPT", 0.0)
    probe = Probe()
    health = Health(probe)
    probe.error = Unavailable("no disk")
    assert health.check().reason == "no disk"
    probe.error = None
    assert health.check().reason is None


def test_a_store_that_hangs_costs_a_bounded_time_and_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "PATIENCE", 0.01)
    probe = Probe()
    probe.gate.clear()
    health = Health(probe)
    for _ in range(3):
        assert health.check().reason == "the store does not answer"
    assert probe.asked == 1
    probe.gate.set()
    monkeypatch.setattr(admin, "PATIENCE", PATIENCE)
    assert health.check().reason is None


@pytest.mark.parametrize(
    "verdict, draining, status, body",
    [
        (Verdict(), False, 200, b"ok\n"),
        (Verdict("a\nb"), False, 503, b"a b\n"),
        (Verdict(), True, 503, b"shutting down\n"),
    ],
)
def test_answers(verdict: Verdict, draining: bool, status: int, body: bytes) -> None:
    response = run(health_steps(draining), lambda command: verdict)
    assert (response.status, response.body) == (status, body)


def test_what_the_store_says_of_itself_stands_in_headers() -> None:
    assert Health(Probe()).check() == (None, {"leader": "m1:8995"})
    verdict = Verdict(None, {"leader": "m\u00fc\r\n1:8995", "free_bytes": "7"})
    headers = run(health_steps(False), lambda command: verdict).headers
    assert headers[-2:] == [("x-store-leader", "m???1:8995"), ("x-store-free-bytes", "7")]
