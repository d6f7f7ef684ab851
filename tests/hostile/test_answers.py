"""What a client or another tool puts in comes back in a response that is one response: no line of its own, no markup.

Follows "GetObject" (response-* parameters), "Working with object metadata" (Amazon S3), RFC 9110 5.5 (field values).
"""

from __future__ import annotations

from urllib.parse import quote
from xml.etree import ElementTree

import pytest

from tests.gateway import Gateway
from tests.hostile.wire import call, head_bytes, signed, signed_fields, wire

pytestmark = pytest.mark.compat

OVERRIDES = ["cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires"]
EVIL = ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rX-Evil: 1", "a\0b", "a\x1bb", "\u4e2d", "\u2028"]


@pytest.mark.parametrize("name", OVERRIDES)
@pytest.mark.parametrize("value", EVIL, ids=ascii)
def test_overrides_that_no_header_can_carry(gateway: Gateway, name: str, value: str) -> None:
    for method in ("GET", "HEAD"):
        answer = call(gateway, method, f"/bkt/k?response-{name}={quote(value)}")
        assert answer.status == 400 and "x-evil" not in answer.headers


def test_overrides(gateway: Gateway) -> None:
    answer = call(gateway, "GET", "/bkt/k?response-content-type=a%09b&response-expires=%C3%A9")
    assert (answer.headers["content-type"], answer.headers["expires"]) == ("a\tb", "\xe9")


def test_metadata_comes_back_as_it_was_sent(gateway: Gateway) -> None:
    values = {
        "latin": "caf\xe9",
        "chinese": "\xe4\xb8\xad",
        "words": "=?UTF-8?B?Y2Fmw6k=?=",
        "markup": "<a>&\"'",
        "tab": "a\tb",
    }
    headers = {f"x-amz-meta-{name}": value for name, value in values.items()}
    assert call(gateway, "PUT", "/bkt/meta", b"x", headers).status == 200
    got = call(gateway, "HEAD", "/bkt/meta").headers
    assert {name: got[f"x-amz-meta-{name}"] for name in values} == values


@pytest.mark.parametrize("size", [2049, 20_000])
def test_metadata_has_an_end(gateway: Gateway, size: int) -> None:
    headers = {"x-amz-meta-a": "x" * size}
    assert call(gateway, "PUT", "/bkt/meta", b"x", headers).told == (400, "MetadataTooLarge")


KEYS = ["<b>&amp;\"'", "]]>", "\x01\x1f", "\ufffe\uffff", "\r\n", "\x7f\x80", "\u2028", "😀", "%00%0a", "<!--", "a\0b"]


@pytest.mark.parametrize("key", KEYS, ids=ascii)
def test_an_error_parses_whatever_it_quotes(gateway: Gateway, key: str) -> None:
    answer = call(gateway, "GET", f"/bkt/{quote(key)}")
    assert answer.told == (404, "NoSuchKey")  # .told has parsed it
    (shown,) = answer.texts("Key")
    clean = "".join("\ufffd" if c in "\0\x01\x1f\ufffe\uffff" else c for c in key)
    assert shown == clean
    for query in ("?uploadId=", "?versionId=", "?partNumber=1&uploadId="):
        assert call(gateway, "GET" if "part" not in query else "PUT", f"/bkt/k{query}{quote(key)}").status in (400, 404)
    assert call(gateway, "PUT", "/bkt/c", None, {"x-amz-copy-source": f"/bkt/{quote(key)}"}).told == (404, "NoSuchKey")


@pytest.mark.parametrize("key", KEYS, ids=ascii)
def test_listings_parse_when_asked_to(gateway: Gateway, key: str) -> None:
    assert call(gateway, "PUT", f"/bkt/quoted/{quote(key)}", b"x").status == 200
    query = f"encoding-type=url&prefix={quote('quoted/' + key)}"
    for more in ("", "&list-type=2&start-after=a", "&versions", "&delimiter=/", f"&marker=a&delimiter={quote(key)}"):
        answer = call(gateway, "GET", f"/bkt?{query}{more}")
        assert ElementTree.fromstring(answer.body) is not None
        found = answer.texts("Contents/Key") + answer.texts("Version/Key") + answer.texts("CommonPrefixes/Prefix")
        assert found == [quote(f"quoted/{key}", safe="/")]
    assert call(gateway, "DELETE", f"/bkt/quoted/{quote(key)}").status == 204


def test_ids_are_never_told_twice(gateway: Gateway) -> None:
    seen = set()
    for _ in range(20):
        with wire(gateway) as to:
            seen |= {to.ask(signed(gateway, "GET", "/bkt/k")).headers["x-amz-request-id"] for _ in range(10)}
    assert len(seen) == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "fields",
    [
        {"range": "bytes=" + ",".join(f"{n}-{n}" for n in range(1000))},
        {"range": f"bytes={'9' * 5000}-"},
        {"range": "bytes=٣-"},
        {"range": "bytes=-0"},
        {"range": "bytes=1_0-"},
        {"if-match": '"' * 5000},
        {"if-none-match": ",".join(["a"] * 2000)},
        {"if-modified-since": "Thu, 99 Foo 99999 99:99:99 GMT"},
        {"if-range": "\xff"},
        {"expect": "\xff"},
        {"connection": ",,,\xff"},
        {"accept-encoding": "gzip;q=\xff"},
    ],
    ids=lambda fields: "-".join(fields),
)
def test_strange_questions(gateway: Gateway, method: str, fields: dict[str, str]) -> None:
    fields = {name: value.encode().decode("latin-1") for name, value in fields.items()}
    data = head_bytes(method, "/bkt/k", [*signed_fields(gateway, method, "/bkt/k"), *fields.items()])
    with wire(gateway) as to:
        assert to.ask(data, method).status in (200, 412, 416)
        assert to.ask(signed(gateway, "GET", "/bkt/k")).body == b"old"
