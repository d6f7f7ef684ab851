"""CORS rules against a plain model: written and read they are the same, and nobody is let in whom no rule names."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from s3proto import cors
from s3proto.cors import METHODS, Crossing
from s3proto.errors import InvalidRequest, MalformedXML
from s3proto.http import parse_head, response_head
from s3proto.model import CorsRule
from tests.strategies import TOKEN, VALUES, changed, cors_rules

RULES = st.lists(cors_rules(), min_size=1, max_size=4).map(tuple)


@given(RULES)
def test_what_is_written_is_read(rules: tuple[CorsRule, ...]) -> None:
    document = cors.document(rules)
    assert cors.parse(document, cors.MAX_WRITTEN) == rules
    assert cors.document(cors.parse(document, cors.MAX_WRITTEN)) == document


@given(RULES.map(cors.document).flatmap(changed) | st.binary(max_size=50))
def test_any_document_gives_rules_that_can_be_kept_or_one_error(document: bytes) -> None:
    try:
        rules = cors.parse(document)
    except (MalformedXML, InvalidRequest):
        return
    written = cors.document(rules)
    assert len(written) <= cors.MAX_WRITTEN and cors.parse(written, cors.MAX_WRITTEN) == rules


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)


@st.composite
def _asked(draw: st.DrawFn, rules: tuple[CorsRule, ...]) -> Crossing:
    """Anything, or what comes near to a rule."""
    rule = draw(st.sampled_from(rules))
    filled = draw(VALUES)
    origin = draw(st.sampled_from([pattern.replace("*", filled) for pattern in rule.origins]) | VALUES)
    names = st.sampled_from([pattern.replace("*", "x").lower() for pattern in rule.headers] or ["x"]) | TOKEN
    return Crossing(origin, draw(st.sampled_from([*METHODS, "PATCH"])), tuple(draw(st.lists(names, max_size=2))))


@given(st.data(), RULES)
def test_the_first_rule_that_allows_all(data: st.DataObject, rules: tuple[CorsRule, ...]) -> None:
    asked = data.draw(_asked(rules))
    allowing = [
        rule
        for rule in rules
        if asked.method in rule.methods
        and any(_pattern(pattern).fullmatch(asked.origin) for pattern in rule.origins)
        and all(any(_pattern(p.lower()).fullmatch(header) for p in rule.headers) for header in asked.headers)
    ]
    rule = cors.find(rules, asked)
    assert rule == (allowing[0] if allowing else None)
    if rule is None:
        return
    told = dict(cors.response_headers(rule, asked))
    origin = told["Access-Control-Allow-Origin"]
    assert origin == "*" and "*" in rule.origins or origin == asked.origin
    assert ("Access-Control-Allow-Credentials" in told) is (origin != "*")
    assert asked.method in told["Access-Control-Allow-Methods"].split(", ")


@given(RULES, VALUES, VALUES | st.just("GET"), VALUES)
def test_no_request_breaks_a_head(rules: tuple[CorsRule, ...], origin: str, method: str, names: str) -> None:
    fields = f"Origin: {origin}\r\nAccess-Control-Request-Method: {method}\r\nAccess-Control-Request-Headers: {names}"
    head = parse_head(f"OPTIONS /b HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n".encode("latin-1"))
    asked = cors.crossing(head)
    assert asked is not None
    if (rule := cors.find(rules, asked)) is not None:
        told = cors.response_headers(rule, asked)
        assert response_head(200, told).count(b"\r\n") == len(told) + 2
