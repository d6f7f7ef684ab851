"""What a line says, and what it never says."""

from __future__ import annotations

import logging
import sys

import pytest

from s3server.access_log import BATCH, LOGGER, MAX_TARGET, NAME, AccessLog, Entry, safe_target, write_to

ENTRY = Entry(1767225600.25, "REQ", "127.0.0.1:1", "AKIA1", "GET", "/b/k", 200, None, 1, 2, 0.0015)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> AccessLog:
    caplog.set_level(logging.INFO)
    return AccessLog(logging.getLogger("test.access"))


def test_a_line(log: AccessLog) -> None:
    assert log.line(ENTRY) == f'2026-01-01T00:00:00.250Z INFO {NAME}: REQ 127.0.0.1:1 AKIA1 "GET /b/k" 200 - 1 2 1.5'
    refused = ENTRY._replace(access_key_id="", status=403, error_code="AccessDenied", time=1767225601.0)
    assert (
        log.line(refused)
        == f'2026-01-01T00:00:01.000Z INFO {NAME}: REQ 127.0.0.1:1 - "GET /b/k" 403 AccessDenied 1 2 1.5'
    )


@pytest.mark.parametrize(
    "target, shown",
    [
        ("/b/k?a=b", "/b/k?a=b"),
        ("/b?X-Amz-Signature=abc&x=1", "/b?X-Amz-Signature=...&x=1"),
        ("/b?AWSAccessKeyId=K&Signature=abc%3D&Expires=1", "/b?AWSAccessKeyId=K&Signature=...&Expires=1"),
        ("/b?x=1&x-amz-security-token=t", "/b?x=1&x-amz-security-token=..."),
        ("/b?X-Amz-Credential=K%2F2026", "/b?X-Amz-Credential=..."),
        ("/Signature=1", "/Signature=1"),
        ('/"\\\n\u00e9', "/%22%5C%0A%E9"),
        ("/" + "a" * MAX_TARGET, "/" + "a" * (MAX_TARGET - 1) + "..."),
    ],
)
def test_targets(target: str, shown: str) -> None:
    assert safe_target(target) == shown


def test_no_client_writes_a_line_of_its_own(log: AccessLog) -> None:
    line = log.line(ENTRY._replace(access_key_id='A" 200\n', target='/" 500', method="G\rT"))
    assert line.count('"') == 2 and line.isprintable()


def test_entries_are_written_in_batches(log: AccessLog, caplog: pytest.LogCaptureFixture) -> None:
    assert log.enabled
    for _ in range(BATCH - 1):
        log.add(ENTRY)
    assert not caplog.records
    log.add(ENTRY)
    assert [record.getMessage() for record in caplog.records] == ["\n".join([log.line(ENTRY)] * BATCH)]
    log.add(ENTRY)
    log.flush()
    log.flush()
    assert [record.getMessage() for record in caplog.records][1:] == [log.line(ENTRY)]


def test_lines_are_written_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        write_to(sys.stdout)
        LOGGER.setLevel(logging.INFO)
        log = AccessLog()
        log.add(ENTRY)
        log.add(ENTRY)
        log.flush()
        assert capsys.readouterr().out == f"{log.line(ENTRY)}\n" * 2
    finally:
        LOGGER.handlers.clear()
        LOGGER.propagate = True
        LOGGER.setLevel(logging.NOTSET)


def test_a_level_above_info_wants_none(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "test.access")
    assert not AccessLog(logging.getLogger("test.access")).enabled


def test_batches_are_told_of_whether_logged_or_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "test.access")
    told: list[Entry] = []
    log = AccessLog(logging.getLogger("test.access"), told.extend)
    assert log.enabled
    log.add(ENTRY)
    log.add(ENTRY)
    log.flush()
    log.flush()
    assert told == [ENTRY, ENTRY] and not caplog.records
