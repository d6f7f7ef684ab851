"""Keys survive the wire in every encoding; any text gives a target or an S3Error."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from s3proto.context import Settings
from s3proto.errors import S3Error
from s3proto.http import Headers, RequestHead
from s3proto.names import (
    Target,
    check_bucket_name,
    is_bucket_name,
    parse_copy_source,
    parse_query,
    parse_target,
    percent_decode,
    uri_encode,
)
from tests.strategies import bucket_names, keys

SETTINGS = Settings(domain="s3.local")
RAW = st.text(st.characters(max_codepoint=0xFF), max_size=40)


@given(bucket_names(), keys())
def test_targets_round_trip(bucket: str, key: str) -> None:
    for encoded in (uri_encode(key, safe="/"), uri_encode(key)):
        path_style = RequestHead("GET", f"/{bucket}/{encoded}?x", Headers([("host", "s3.local")]))
        assert parse_target(path_style, SETTINGS) == Target(bucket, key)
        virtual = RequestHead("GET", f"/{encoded}", Headers([("host", f"{bucket}.s3.local:9900")]))
        assert parse_target(virtual, SETTINGS) == Target(bucket, key, True)


@given(bucket_names(), keys(), st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=10))
def test_copy_sources_round_trip(bucket: str, key: str, version_id: str | None) -> None:
    value = f"{bucket}/{uri_encode(key, safe='/')}"
    if version_id is not None:
        value += f"?versionId={uri_encode(version_id)}"
    assert parse_copy_source(value) == parse_copy_source(f"/{value}") == (bucket, key, version_id)


@given(st.lists(st.tuples(keys(), st.text(st.characters(codec="utf-8"), max_size=10)), max_size=5))
def test_queries_round_trip(pairs: list[tuple[str, str]]) -> None:
    raw = "&".join(f"{uri_encode(name)}={uri_encode(value)}" for name, value in pairs)
    assert parse_query(raw) == pairs and parse_query(raw.replace("%20", "+")) == pairs


@given(RAW, RAW)
def test_any_text_is_understood_or_refused(raw: str, host: str) -> None:
    head = RequestHead("GET", f"/{raw}", Headers([("host", host)]))
    for parse in (lambda: parse_target(head, SETTINGS), lambda: parse_query(raw), lambda: parse_copy_source(raw)):
        try:
            parse()
        except S3Error:
            pass


@given(RAW)
def test_decoded_text_is_unicode(raw: str) -> None:
    try:
        percent_decode(raw).encode("utf-8")
    except S3Error:
        pass


@given(bucket_names())
def test_a_bucket_that_can_be_made_can_be_addressed(name: str) -> None:
    check_bucket_name(name)
    assert is_bucket_name(name)
