"""Cross-origin resource sharing: a bucket's rules, which of them a browser's request meets, and what it is told then.

Rules: pure functions of values.  The first rule that allows the origin, the method and all headers together counts;
nothing is put together from several.  Origins are compared as they are, names of headers without regard to case.  A
pattern is plain text with at most one ``*``, which stands for any text, also for none.

Follows "Using cross-origin resource sharing (CORS)" (Amazon S3 User Guide), "PutBucketCors" (API Reference).
"""

from __future__ import annotations

from typing import NamedTuple

from s3proto import xml
from s3proto.errors import InvalidRequest, MalformedXML
from s3proto.http import MAX_FIELDS, RequestHead, is_token
from s3proto.model import CorsRule

MAX_RULES = 100
MAX_DOCUMENT = 64 * 1024
"""Bytes of a CORSConfiguration that a client sends."""
MAX_WRITTEN = 8 * MAX_DOCUMENT
"""Bytes of one that ``document`` writes: every character may have to be escaped (``&#xd;``)."""
METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD")
VARY = ("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method")
"""For what answers differ by the origin: caches must not give one page what was meant for another."""
_MAX_ID = 255


# ----------------------------------------------------------------------------------------- the configuration


def parse(document: bytes, max_bytes: int = MAX_DOCUMENT) -> tuple[CorsRule, ...]:
    """Return the rules of a CORSConfiguration.  Raises MalformedXML, InvalidRequest, MaxMessageLengthExceeded."""
    rules = tuple(map(_rule, xml.parse(document, "CORSConfiguration", max_bytes=max_bytes).all("CORSRule")))
    if not rules:
        raise MalformedXML
    if len(rules) > MAX_RULES:
        raise InvalidRequest(f"The number of CORS rules should not exceed allowed limit of {MAX_RULES} rules.")
    return rules


def _rule(element: xml.Element) -> CorsRule:
    rule = CorsRule(
        origins=_texts(element, "AllowedOrigin"),
        methods=_texts(element, "AllowedMethod"),
        headers=_texts(element, "AllowedHeader"),
        exposed=_texts(element, "ExposeHeader"),
        max_age=_max_age(element.get("MaxAgeSeconds")),
        id=(element.get("ID") or "").strip() or None,
    )
    if not rule.methods or not rule.origins or "" in rule.origins + rule.headers + rule.exposed:
        raise MalformedXML
    if len(rule.id or "") > _MAX_ID:
        raise MalformedXML
    for method in rule.methods:
        if method not in METHODS:
            raise InvalidRequest(f"Found unsupported HTTP method in CORS config. Unsupported method is {method}")
    for name, patterns in (("AllowedOrigin", rule.origins), ("AllowedHeader", rule.headers)):
        for pattern in patterns:
            if pattern.count("*") > 1:
                raise InvalidRequest(f'{name} "{pattern}" can not have more than one wildcard.')
    for header in rule.exposed:
        if "*" in header:
            raise InvalidRequest(
                f'ExposeHeader "{header}" contains wildcard. We currently do not support wildcard for ExposeHeader.'
            )
        if not is_token(header):
            raise InvalidRequest(f'ExposeHeader "{header}" contains invalid character.')
    return rule


def _texts(rule: xml.Element, name: str) -> tuple[str, ...]:
    return tuple(element.text.strip() for element in rule.all(name))


def _max_age(text: str | None) -> int | None:
    text = (text or "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) < 2**31):
        raise MalformedXML
    return int(text)


def document(rules: tuple[CorsRule, ...]) -> bytes:
    """Write the CORSConfiguration that ``parse`` reads."""
    return xml.document("CORSConfiguration", [("CORSRule", _rule_elements(rule)) for rule in rules])


def _rule_elements(rule: CorsRule) -> xml.Children:
    return [
        *(("AllowedHeader", header) for header in rule.headers),
        *(("AllowedMethod", method) for method in rule.methods),
        *(("AllowedOrigin", origin) for origin in rule.origins),
        *(("ExposeHeader", header) for header in rule.exposed),
        None if rule.id is None else ("ID", rule.id),
        None if rule.max_age is None else ("MaxAgeSeconds", rule.max_age),
    ]


# ---------------------------------------------------------------------------------------------- its requests


class Crossing(NamedTuple):
    """What a browser does, or asks whether it may do, for a page of another origin."""

    origin: str
    method: str
    headers: tuple[str, ...]
    """Lower-case names that it asks for."""


def crossing(head: RequestHead) -> Crossing | None:
    """Return what a request says of itself, None when it comes from no browser (no Origin).

    The method that it asks for counts before its own, also outside of preflights.
    """
    headers = head.headers
    if (origin := headers.get("origin")) is None:
        return None
    names = (headers.joined("access-control-request-headers") or "").lower().split(",")
    asked = dict.fromkeys(name for name in map(str.strip, names) if name)
    return Crossing(origin, headers.get("access-control-request-method") or head.method, tuple(asked))


def find(rules: tuple[CorsRule, ...], asked: Crossing) -> CorsRule | None:
    """Return the rule that allows what is asked, None when there is none."""
    if len(asked.headers) > MAX_FIELDS:
        return None  # no request can have so many: not worth the time of comparing them with all patterns
    for rule in rules:
        if (
            asked.method in rule.methods
            and any(_matches(pattern, asked.origin) for pattern in rule.origins)
            and _allows(rule, asked.headers)
        ):
            return rule
    return None


def _allows(rule: CorsRule, headers: tuple[str, ...]) -> bool:
    if not headers or "*" in rule.headers:
        return True
    patterns = [pattern.lower() for pattern in rule.headers]
    return all(any(_matches(pattern, header) for pattern in patterns) for header in headers)


def _matches(pattern: str, text: str) -> bool:
    before, star, after = pattern.partition("*")
    if not star:
        return pattern == text
    return len(text) >= len(before) + len(after) and text.startswith(before) and text.endswith(after)


def response_headers(rule: CorsRule, asked: Crossing) -> list[tuple[str, str]]:
    """Return what a browser is told that meets ``rule``, in an answer to a preflight or to the request itself.

    An origin that only ``*`` allows is not named, so no credentials go with it.
    """
    open_to_all = next(pattern for pattern in rule.origins if _matches(pattern, asked.origin)) == "*"
    told = [("Access-Control-Allow-Origin", "*" if open_to_all else asked.origin)]
    told.append(("Access-Control-Allow-Methods", ", ".join(rule.methods)))
    if asked.headers:
        told.append(("Access-Control-Allow-Headers", ", ".join(asked.headers)))
    if rule.exposed:
        told.append(("Access-Control-Expose-Headers", ", ".join(rule.exposed)))
    if rule.max_age is not None:
        told.append(("Access-Control-Max-Age", str(rule.max_age)))
    if not open_to_all:
        told.append(("Access-Control-Allow-Credentials", "true"))
    return [*told, VARY]
