"""Forms that no browser sends: each gets AWS's error before it has cost more than its first bytes, and changes nothing.

Follows "POST Object", "Browser-Based Uploads Using POST" (Amazon S3 API Reference).
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from s3proto import sigv4
from s3proto.form import MAX_FORM
from tests.form_kit import BOUNDARY, CONTENT_TYPE, NEVER, encode, part, sign_v2, sign_v4
from tests.gateway import Gateway
from tests.hostile.wire import Answer, amz_date, call, head_bytes, wire

pytestmark = pytest.mark.compat

B = BOUNDARY.encode()
GIB = 1 << 30
OLD = b"old"


def signed(gateway: Gateway, fields: dict[str, str], bucket: str = "forms", **more: object) -> dict[str, str]:
    date, who = amz_date(), gateway.owner
    key = sigv4.signing_key(who.secret_key, date[:8], gateway.region)
    return sign_v4(fields, bucket, key, who.access_key, date=date, **more)  # type: ignore[arg-type]


def post(
    gateway: Gateway,
    body: bytes,
    *,
    content_type: str = CONTENT_TYPE,
    length: int | None = None,
    target: str = "/forms",
) -> Answer:
    """Send a head and ``body``; ``length``: what Content-Length promises beyond that."""
    fields = [("Host", f"127.0.0.1:{gateway.port}"), ("Content-Type", content_type)]
    fields.append(("Content-Length", str(len(body) if length is None else length)))
    with wire(gateway) as to:
        return to.ask(head_bytes("POST", target, fields) + body)


@pytest.fixture(scope="module", autouse=True)
def bucket(gateway: Gateway) -> None:
    """Ours alone, with an object ``k``."""
    assert call(gateway, "PUT", "/forms").status == 200
    assert call(gateway, "PUT", "/forms/k", OLD).status == 200


@pytest.fixture(autouse=True)
def nothing_has_changed(gateway: Gateway, bucket: None) -> Iterator[None]:
    buckets = sorted(gateway.data.iterdir())
    yield
    assert call(gateway, "GET", "/forms?list-type=2").texts("Contents/Key") == ["k"]
    assert call(gateway, "GET", "/forms/k").body == OLD
    assert sorted(gateway.data.iterdir()) == buckets


@pytest.mark.parametrize(
    "content_type",
    [
        *("multipart/form-data", "multipart/form-data; boundary=", 'multipart/form-data; boundary="'),
        *("multipart/form-data; boundary=" + "x" * n for n in (71, 10_000)),
        *("multipart/form-data; boundary=a\xff", 'multipart/form-data; boundary="a\tb"'),
    ],
)
def test_boundaries(gateway: Gateway, content_type: str) -> None:
    body = encode({"key": "new"}, b"x", boundary="x")
    assert post(gateway, body, content_type=content_type).told == (400, "MalformedPOSTRequest")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "multipart/mixed; boundary=x", "application/x-www-form-urlencoded"]
)
def test_no_forms(gateway: Gateway, content_type: str) -> None:
    assert post(gateway, b"key=new", content_type=content_type).told == (412, "PreconditionFailed")


ENDLESS = {
    "preamble": b"x" * MAX_FORM,
    "nul": b"\0" * MAX_FORM,
    "line-ends": b"\r\n" * MAX_FORM,
    "almost-delimiters": (b"\r\n--" + B[:-1]) * 1000,
    "head": b"--" + B + b"\r\nX: " + b"y" * MAX_FORM,
    "heads": b"--" + B + b"\r\n" + b"X: y\r\n" * MAX_FORM,
    "backslashes": b"--" + B + b'\r\nContent-Disposition: form-data; name="' + b"\\" * MAX_FORM,
    "parameters": b"--" + B + b"\r\nContent-Disposition: form-data" + b"; a=b" * MAX_FORM,
    "blanks": b"--" + B + b" " * MAX_FORM,
    "field": part("key", b"x" * MAX_FORM),
    "fields": b"".join(part(f"x-ignore-{n}", "x") for n in range(1000)),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_before_the_file_there_is_little_room(gateway: Gateway, name: str) -> None:
    """The rest never comes: nobody waits for it."""
    assert post(gateway, ENDLESS[name], length=GIB).told == (400, "MaxPostPreDataLengthExceededError")


BROKEN = {
    "empty": b"",
    "no-form": b"key=new",
    "garbage-after-delimiter": b"--" + B + b"\0\r\n",
    "no-head": b"--" + B + b"\r\n\r\nx\r\n",
    "no-name": b"--" + B + b"\r\nContent-Disposition: form-data\r\n\r\nx\r\n",
    "unclosed-quote": b"--" + B + b'\r\nContent-Disposition: form-data; name="\\"\r\n\r\nx\r\n',
    "not-utf8": part("key", b"\xff\xfe"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_malformed(gateway: Gateway, name: str) -> None:
    assert post(gateway, BROKEN[name]).told == (400, "MalformedPOSTRequest")


def test_no_file_and_two_keys(gateway: Gateway) -> None:
    assert post(gateway, encode({"key": "new"}, None)).told == (400, "InvalidArgument")
    assert post(gateway, encode([("key", "new"), ("Key", "newer")], b"x")).told == (400, "InvalidArgument")
    assert post(gateway, encode({}, b"x")).told == (400, "InvalidArgument")


def test_files_that_do_not_end(gateway: Gateway) -> None:
    whole = encode(signed(gateway, {"key": "new"}), b"x")
    end = whole.rindex(b"--" + B)
    for body in (whole[:end], whole[:-5], whole[: end + 2 + len(B)], whole[:-4] + b"x" * MAX_FORM):
        assert post(gateway, body).told == (400, "MalformedPOSTRequest")
    with wire(gateway) as to:
        fields = [("Host", "x"), ("Content-Type", CONTENT_TYPE), ("Content-Length", str(len(whole) + 1))]
        to.send(head_bytes("POST", "/forms", fields) + whole)
        to.half_close()
        assert to.answer().told == (400, "IncompleteBody")


def test_refused_before_its_file_is_sent(gateway: Gateway) -> None:
    """What is too large for its policy, or not allowed at all, is never received."""
    small = [{"bucket": "forms"}, {"key": "new"}, ["content-length-range", 0, 1000]]
    fields = signed(gateway, {"key": "new"}, conditions=small)
    begun = encode(fields, b"x" * 10_000).removesuffix(b"--" + B + b"--\r\n")
    assert post(gateway, begun, length=GIB).told == (400, "EntityTooLarge")
    begun = encode({"key": "new"}, b"x" * 10_000)[:-100]
    assert post(gateway, begun, length=GIB).told == (403, "AccessDenied")


def test_signatures_of_something_else(gateway: Gateway) -> None:
    """What a key has signed for one purpose is good for no other."""
    date, who = amz_date(), gateway.owner
    key = sigv4.signing_key(who.secret_key, date[:8], gateway.region)
    good = signed(gateway, {"key": "new"})
    to_sign = f"{sigv4.ALGORITHM}\n{date}\n{date[:8]}/{gateway.region}/s3/aws4_request\n{'0' * 64}"
    other = good | {"policy": to_sign, "x-amz-signature": sigv4.sign(key, to_sign)}
    assert post(gateway, encode(other, b"x")).told == (400, "InvalidPolicyDocument")
    assert post(gateway, encode(good | {"policy": ""}, b"x")).told == (403, "SignatureDoesNotMatch")
    assert post(gateway, encode(good, b"x"), target="/elsewhere").told == (403, "AccessDenied")
    v2 = sign_v2({"key": "new"}, "forms", who.secret_key, who.access_key, expiration=NEVER.replace("2099", "2001"))
    assert post(gateway, encode(v2, b"x")).told == (403, "AccessDenied")


@pytest.mark.parametrize("key", ["../k", "..", "/", "a\0b", ".s3~tmp.x", "../../system/x"])
def test_keys_that_mean_something_to_file_systems(gateway: Gateway, key: str) -> None:
    fields = signed(
        gateway, {"key": "${filename}/" + key}, conditions=[{"bucket": "forms"}, ["starts-with", "$key", ""]]
    )
    assert post(gateway, encode(fields, b"new", "C:\\../..\\passwd")).told == (204, None)
    target = "/forms/" + quote("passwd/" + key, safe="/~")
    assert call(gateway, "GET", target).body == b"new"
    assert call(gateway, "DELETE", target).status == 204


def test_the_connection_goes_on(gateway: Gateway) -> None:
    head = [("Host", "x"), ("Content-Type", CONTENT_TYPE)]
    body = encode({"key": "new"}, b"x" * 1000)
    request = head_bytes("POST", "/forms", [*head, ("Content-Length", str(len(body)))]) + body
    with wire(gateway) as to:
        to.send(request * 3)
        assert [to.answer().told for _ in range(3)] == [(403, "AccessDenied")] * 3
