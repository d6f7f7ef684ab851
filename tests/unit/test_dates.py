"""s3proto.dates."""

from __future__ import annotations

import pytest

from s3proto.dates import http_date, iso_date, parse_http_date, parse_iso

HTTP = {
    "Sun, 06 Nov 1994 08:49:37 GMT": 784111777,
    "Sunday, 06-Nov-94 08:49:37 GMT": 784111777,
    "Sun Nov  6 08:49:37 1994": 784111777,
    "Tue, 27 Mar 2007 19:36:42 +0000": 1175024202,
    "tue, 7 jul 2020 21:53:04 gmt": 1594158784,
    "Thursday, 01-Jan-70 00:00:00 GMT": 0,
    "Friday, 01-Jan-69 00:00:00 GMT": 3124224000,
    "Tue, 07 Jul 1950 21:53:04 GMT": -614916416,
    "Sat, 31 Dec 2016 23:59:60 GMT": 1483228799,
    "Fri, 30 Feb 2024 00:00:00 GMT": None,
    "Fri, 01 Foo 2024 00:00:00 GMT": None,
    "Fri, 01 Mar 0000 00:00:00 GMT": None,
    "Fri, 01 Mar 2024 24:00:00 GMT": None,
    "Fri, 01 Mar 2024 00:00:00 GMT ": None,
    "Fri, 01 Mar 2024 00:00:00 PST": None,
    "Fri, 0\u0661 Mar 2024 00:00:00 GMT": None,
    "": None,
    "Bad Date": None,
}
ISO = {
    "2026-01-02T03:04:05.000Z": 1767323045,
    "2026-01-02T03:04:05.5Z": 1767323045.5,
    "2026-01-02T03:04:05Z": 1767323045,
    "2026-01-02t03:04:05z": 1767323045,
    "2026-01-02T03:04:05": 1767323045,
    "2026-01-02T04:04:05+01:00": 1767323045,
    "20260102T030405Z": 1767323045,
    "2026-01-02": 1767312000,
    "2026-13-02": None,
    "20261302T030405Z": None,
    "2026-01-02 03:04:05Z": None,
    "20260102": None,
    "2026-01-02T03:04:05.Z": None,
    "\u0662026-01-02": None,
    "": None,
}


@pytest.mark.parametrize("text, seconds", HTTP.items())
def test_parse_http_date(text: str, seconds: int | None) -> None:
    assert parse_http_date(text) == seconds


@pytest.mark.parametrize("text, seconds", ISO.items())
def test_parse_iso(text: str, seconds: float | None) -> None:
    assert parse_iso(text) == seconds


def test_http_date() -> None:
    assert http_date(784111777.9) == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert http_date(-5) == "Thu, 01 Jan 1970 00:00:00 GMT" and http_date(1e30) == "Fri, 31 Dec 9999 23:59:59 GMT"


def test_iso_date() -> None:
    assert iso_date(1767323045) == "2026-01-02T03:04:05.000Z" and iso_date(1767323045.125) == "2026-01-02T03:04:05.125Z"
    assert iso_date(-1e30) == "1970-01-01T00:00:00.000Z" and iso_date(1e30) == "9999-12-31T23:59:59.000Z"
