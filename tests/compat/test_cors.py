"""Cross-origin requests as browsers send them: what a page may read.

Rules come through boto3; preflights and requests of pages are plain HTTP, as boto3 sends no Origin.  Gateways have two
processes: a change made through one must reach the other.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from tests.compat import clients
from tests.compat.test_boto3 import code
from tests.gateway import Gateway

pytestmark = pytest.mark.compat

PAGE = "https://www.example.com"
RULES: list[dict[str, Any]] = [
    {
        "ID": "the page",
        "AllowedOrigins": [PAGE, "http://*.example.com"],
        "AllowedMethods": ["GET", "PUT"],
        "AllowedHeaders": ["content-type", "x-amz-*"],
        "ExposeHeaders": ["ETag", "x-amz-request-id"],
        "MaxAgeSeconds": 3000,
    },
    {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"]},
]
LARGE: list[dict[str, Any]] = [
    {"AllowedOrigins": [f"https://{n}.example.com"], "AllowedMethods": ["GET"], "AllowedHeaders": ["x" * 70] * 5}
    for n in range(100)
]
"""Some 60 KB: far more than an attribute of a file holds."""
VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def ask(gateway: Gateway, method: str, url: str, body: bytes | None = None, **fields: str) -> Answer:
    """What a browser is answered; each time on a new connection, so by either process."""
    parts = urlsplit(url)
    with closing(gateway.connect()) as connection:
        headers = {"Host": f"127.0.0.1:{gateway.port}"} | {n.replace("_", "-"): v for n, v in fields.items()}
        connection.request(method, f"{parts.path}?{parts.query}" if parts.query else parts.path, body, headers)
        response = connection.getresponse()
        return Answer(response.status, {n.lower(): v for n, v in response.getheaders()}, response.read())


def preflight(gateway: Gateway, target: str, origin: str = PAGE, method: str = "GET", headers: str = "") -> Answer:
    asked: dict[str, Any] = {"Access_Control_Request_Headers": headers} if headers else {}
    return ask(gateway, "OPTIONS", target, Origin=origin, Access_Control_Request_Method=method, **asked)


def allowed(answer: Answer) -> str | None:
    return answer.headers.get("access-control-allow-origin")


def put(client: Any, bucket: str, rules: list[dict[str, Any]]) -> None:
    client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})


def test_the_configuration_comes_and_goes(client: Any, bucket: str) -> None:
    def missing() -> None:
        with pytest.raises(ClientError) as caught:
            client.get_bucket_cors(Bucket=bucket)
        assert code(caught) == "NoSuchCORSConfiguration"

    missing()
    for rules in (RULES, LARGE, RULES[:1]):
        put(client, bucket, rules)
        assert client.get_bucket_cors(Bucket=bucket)["CORSRules"] == rules
    for _ in range(2):
        client.delete_bucket_cors(Bucket=bucket)
        missing()
    put(client, bucket, RULES)
    client.delete_bucket(Bucket=bucket)
    with pytest.raises(ClientError, match="NoSuchBucket"):
        client.get_bucket_cors(Bucket=bucket)
    client.create_bucket(Bucket=bucket)
    missing()


def test_what_is_refused(client: Any, bucket: str) -> None:
    for rule, expected in (
        ({"AllowedMethods": ["PATCH"], "AllowedOrigins": ["*"]}, "InvalidRequest"),
        ({"AllowedMethods": ["GET"], "AllowedOrigins": ["*.*"]}, "InvalidRequest"),
        ({"AllowedMethods": ["GET"], "AllowedOrigins": []}, "MalformedXML"),
    ):
        with pytest.raises(ClientError) as caught:
            put(client, bucket, [rule])
        assert code(caught) == expected
    with pytest.raises(ClientError) as caught:
        put(client, bucket, RULES[1:] * 101)
    assert code(caught) == "InvalidRequest"


def test_it_is_the_owner_s(gateway: Gateway, client: Any, bucket: str) -> None:
    put(client, bucket, RULES)
    with closing(clients.s3(gateway, gateway.users["bob"])) as bob:
        for refused in (
            lambda: bob.get_bucket_cors(Bucket=bucket),
            lambda: bob.delete_bucket_cors(Bucket=bucket),
            lambda: put(bob, bucket, LARGE),
        ):
            with pytest.raises(ClientError) as caught:
                refused()
            assert code(caught) == "AccessDenied"
    for method in ("GET", "PUT", "DELETE"):
        assert b"AccessDenied" in ask(gateway, method, f"/{bucket}?cors").body
    assert client.get_bucket_cors(Bucket=bucket)["CORSRules"] == RULES


def test_preflights(gateway: Gateway, client: Any, bucket: str) -> None:
    """Each sees the rules that were put last, whichever process it meets."""
    target = f"/{bucket}/key"
    refused = preflight(gateway, target)
    assert refused.status == 403 and b"CORS is not enabled for this bucket." in refused.body
    put(client, bucket, RULES)
    for _ in range(8):
        answer = preflight(gateway, target, method="PUT", headers="content-type,x-amz-date")
        told = {name: value for name, value in answer.headers.items() if name.startswith("access-") or name == "vary"}
        assert (
            answer.status == 200
            and answer.body == b""
            and told
            == {
                "access-control-allow-origin": PAGE,
                "access-control-allow-methods": "GET, PUT",
                "access-control-allow-headers": "content-type, x-amz-date",
                "access-control-expose-headers": "ETag, x-amz-request-id",
                "access-control-max-age": "3000",
                "access-control-allow-credentials": "true",
                "vary": VARY,
            }
        )
    assert allowed(preflight(gateway, target, "http://x.example.com")) == "http://x.example.com"
    assert allowed(preflight(gateway, f"/{bucket}", "http://elsewhere")) == "*"
    for origin, method, headers in ((PAGE, "DELETE", ""), ("http://x", "PUT", ""), (PAGE, "GET", "range")):
        refused = preflight(gateway, target, origin, method, headers)
        assert refused.status == 403 and b"This CORS request is not allowed." in refused.body
        assert allowed(refused) is None
    assert preflight(gateway, target, method="PATCH").status == ask(gateway, "OPTIONS", target).status == 400
    assert preflight(gateway, "/no-such-bucket/key").status == 404
    client.delete_bucket_cors(Bucket=bucket)
    for _ in range(8):
        assert preflight(gateway, target).status == 403


def test_a_page_reads_writes_and_is_told_what_went_wrong(gateway: Gateway, client: Any, bucket: str) -> None:
    put(client, bucket, RULES)
    where = {"Bucket": bucket, "Key": "k"}
    url = {name: client.generate_presigned_url(name, where) for name in ("put_object", "get_object", "head_object")}
    assert preflight(gateway, url["put_object"], method="PUT").status == 200
    written = ask(gateway, "PUT", url["put_object"], b"by a page", Origin=PAGE)
    assert (written.status, allowed(written)) == (200, PAGE) and written.headers["etag"]
    read = ask(gateway, "GET", url["get_object"], Origin="http://elsewhere")
    assert (read.status, allowed(read), read.body) == (200, "*", b"by a page") and read.headers["vary"] == VARY
    piece = ask(gateway, "GET", url["get_object"], Origin=PAGE, Range="bytes=3-3")
    assert (piece.status, allowed(piece), piece.body) == (206, PAGE, b"a")
    unchanged = ask(gateway, "GET", url["get_object"], Origin=PAGE, If_None_Match=written.headers["etag"])
    assert (unchanged.status, allowed(unchanged)) == (304, PAGE)
    for wrong in (ask(gateway, "GET", f"/{bucket}/k", Origin=PAGE), ask(gateway, "GET", f"/{bucket}", Origin=PAGE)):
        assert (wrong.status, allowed(wrong)) == (403, PAGE) and b"AccessDenied" in wrong.body
    forged = ask(gateway, "GET", f"{url['get_object']}x", Origin=PAGE)
    assert (forged.status, allowed(forged)) == (403, PAGE)
    # No rule for HEAD, and none for PUT from elsewhere: done as ever, but nothing for the page to see.
    for answer in (
        ask(gateway, "HEAD", url["head_object"], Origin=PAGE),
        ask(gateway, "PUT", url["put_object"], b"by a page", Origin="http://elsewhere"),
    ):
        assert (answer.status, allowed(answer), answer.headers["vary"]) == (200, None, VARY)
    plain = ask(gateway, "GET", url["get_object"])
    assert (plain.status, allowed(plain), plain.headers.get("vary")) == (200, None, None)
