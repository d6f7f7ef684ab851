"""Dates of HTTP and of S3's XML, to and from POSIX seconds.

Rules: pure; no clock, no locale.  Seconds are UTC.  Formatting never fails: what no calendar holds is clamped.
Follows RFC 9110 5.6.7 (HTTP-date in its three forms), ISO 8601 as S3 writes it.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LAST_SECOND = 253402300799  # 9999-12-31T23:59:59Z: files from elsewhere carry any mtime
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}
_CLOCK = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_ZONE = r"(?:GMT|UTC|[+-]0000)"  # the SigV2 documentation's own examples say +0000
_HTTP_DATES = tuple(
    re.compile(pattern, re.ASCII | re.IGNORECASE)
    for pattern in (
        rf"[a-z]{{3}}, (?P<day>\d\d?) (?P<month>[a-z]{{3}}) (?P<year>\d{{4}}) {_CLOCK} {_ZONE}",  # IMF-fixdate
        rf"[a-z]{{6,9}}, (?P<day>\d\d)-(?P<month>[a-z]{{3}})-(?P<year>\d\d) {_CLOCK} {_ZONE}",  # RFC 850
        rf"[a-z]{{3}} (?P<month>[a-z]{{3}}) (?P<day>[ \d]\d) {_CLOCK} (?P<year>\d{{4}})",  # asctime
    )
)
_ISO = re.compile(
    r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)?|\d{8}T\d{6}Z", re.ASCII | re.IGNORECASE
)


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(min(max(seconds, 0), _LAST_SECOND), timezone.utc)


def http_date(seconds: float) -> str:
    """Return POSIX seconds as an IMF-fixdate, ``Thu, 01 Jan 1970 00:00:00 GMT``; fractions are dropped."""
    return _http_date(int(min(max(seconds, 0), _LAST_SECOND)))


@lru_cache(maxsize=1024)
def _http_date(seconds: int) -> str:
    date = _utc(seconds)
    return (
        f"{_DAYS[date.weekday()]}, {date.day:02} {_MONTHS[date.month - 1]} {date.year:04} "
        f"{date.hour:02}:{date.minute:02}:{date.second:02} GMT"
    )


def iso_date(seconds: float) -> str:
    """Return POSIX seconds as S3's XML has them, ``2026-01-02T03:04:05.000Z``."""
    milliseconds = int(min(max(seconds, 0), _LAST_SECOND) * 1000 + 1e-3)  # what was stored as n/1000 stays n
    return f"{_minute(milliseconds // 60_000)}{milliseconds // 1000 % 60:02}.{milliseconds % 1000:03}Z"


@lru_cache(maxsize=1024)
def _minute(minutes: int) -> str:
    """The text up to the seconds: the entries of a listing share few of them."""
    return datetime.fromtimestamp(minutes * 60, timezone.utc).strftime("%Y-%m-%dT%H:%M:")


def parse_http_date(text: str) -> int | None:
    """Return the POSIX seconds of any of RFC 9110's three forms (negative before 1970), None for anything else.

    The day of the week is not compared.  Two-digit years 70 to 99 are the last century (POSIX).
    """
    for pattern in _HTTP_DATES:
        if found := pattern.fullmatch(text):
            break
    else:
        return None
    year = int(found["year"])
    if len(found["year"]) == 2:
        year += 1900 if year >= 70 else 2000
    second = min(int(found["second"]), 59) if found["second"] == "60" else int(found["second"])
    try:
        month = _MONTH_NUMBERS[found["month"].lower()]
        date = datetime(
            year, month, int(found["day"]), int(found["hour"]), int(found["minute"]), second, tzinfo=timezone.utc
        )
    except (KeyError, ValueError):
        return None
    return (date - _EPOCH) // timedelta(seconds=1)


def parse_iso(text: str) -> float | None:
    """Return the POSIX seconds of an ISO 8601 date: S3's form, the basic form of signatures (``20260102T030405Z``),
    a date alone.  Without a zone it is UTC.  None for anything else.
    """
    if not _ISO.fullmatch(text):
        return None
    try:
        date = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=timezone.utc)
    return (date - _EPOCH).total_seconds()
