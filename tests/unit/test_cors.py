"""CORS rules: reading and writing them, which one counts, and what browsers are told, by script."""

from __future__ import annotations

import pytest

from s3proto import cors, errors
from s3proto.commands import (
    AllowEarlyHead,
    CheckAccess,
    CopyObject,
    GetBucketCors,
    HeadBucket,
    LookupSigningKey,
    OpenObject,
    PutBucketCors,
    ReceiveDocument,
)
from s3proto.cors import VARY, Crossing
from s3proto.http import Response
from s3proto.model import Access, CorsRule, Document
from s3proto.operations.responses import XML_TYPE
from s3proto.protocol import serve
from tests.drive import Step, drive
from tests.s3_requests import CONTEXT, KEY, call, head, info, opened, signed, texts, tree

ORIGIN = "<AllowedOrigin>http://a</AllowedOrigin>"
METHOD = "<AllowedMethod>GET</AllowedMethod>"
PAGE = "https://www.example.com"
RULE = CorsRule((PAGE,), ("GET", "PUT"), ("x-amz-*", "Content-Type"), ("ETag", "x-amz-meta-m"), 3000, "one")
OPEN = CorsRule(("*",), ("GET",))


def configuration(*rules: str) -> bytes:
    inner = "".join(f"<CORSRule>{rule}</CORSRule>" for rule in rules)
    return f'<CORSConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inner}</CORSConfiguration>'.encode()


# ------------------------------------------------------------------------------------------- the document


def test_a_document_is_read() -> None:
    text = """<?xml version="1.0"?>
    <CORSConfiguration>
      <CORSRule>
        <ID> one </ID><AllowedOrigin> https://www.example.com </AllowedOrigin>
        <AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod>
        <AllowedHeader>x-amz-*</AllowedHeader><AllowedHeader>Content-Type</AllowedHeader>
        <ExposeHeader>ETag</ExposeHeader><ExposeHeader>x-amz-meta-m</ExposeHeader>
        <MaxAgeSeconds>3000</MaxAgeSeconds><Unknown/>
      </CORSRule>
      <CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule>
    </CORSConfiguration>"""
    assert cors.parse(text.encode()) == (RULE, OPEN)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<CORSConfiguration>",
        b"<CORSRule/>",
        configuration(),
        configuration(""),
        configuration(ORIGIN),
        configuration(METHOD),
        configuration(ORIGIN + METHOD, METHOD),
        configuration("<AllowedOrigin> </AllowedOrigin>" + METHOD),
        configuration(ORIGIN + METHOD + "<AllowedHeader/>"),
        configuration(ORIGIN + METHOD + "<ExposeHeader/>"),
        configuration(ORIGIN + METHOD + "<MaxAgeSeconds>soon</MaxAgeSeconds>"),
        configuration(ORIGIN + METHOD + "<MaxAgeSeconds>-1</MaxAgeSeconds>"),
        configuration(ORIGIN + METHOD + "<MaxAgeSeconds>2147483648</MaxAgeSeconds>"),
        configuration(ORIGIN + METHOD + "<MaxAgeSeconds>1</MaxAgeSeconds>" * 2),
        configuration(ORIGIN + METHOD + "<ID>a</ID><ID>b</ID>"),
        configuration(ORIGIN + METHOD + f"<ID>{'x' * 256}</ID>"),
    ],
)
def test_malformed_documents(document: bytes) -> None:
    with pytest.raises(errors.MalformedXML):
        cors.parse(document)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("<AllowedMethod>PATCH</AllowedMethod>", "HTTP method in CORS config. Unsupported method is PATCH"),
        ("<AllowedMethod>get</AllowedMethod>", "HTTP method in CORS config. Unsupported method is get"),
        ("<AllowedMethod/>", "Found unsupported HTTP method in CORS config. Unsupported method is "),
        ("<AllowedOrigin>*.*</AllowedOrigin>", 'AllowedOrigin "*.*" can not have more than one wildcard.'),
        ("<AllowedHeader>x-*-*</AllowedHeader>", 'AllowedHeader "x-*-*" can not have more than one wildcard.'),
        ("<ExposeHeader>x-*</ExposeHeader>", 'ExposeHeader "x-*" contains wildcard. We currently do not support'),
        ("<ExposeHeader>a b</ExposeHeader>", 'ExposeHeader "a b" contains invalid character.'),
        ("<ExposeHeader>a\nb: c</ExposeHeader>", "contains invalid character."),
    ],
)
def test_rules_that_cannot_be(rule: str, words: str) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        cors.parse(configuration(ORIGIN + METHOD + rule))
    assert words in caught.value.detail


def test_a_hundred_rules_and_no_more() -> None:
    assert len(cors.parse(configuration(*[ORIGIN + METHOD] * 100))) == 100
    with pytest.raises(errors.InvalidRequest, match="allowed limit of 100 rules"):
        cors.parse(configuration(*[ORIGIN + METHOD] * 101))
    with pytest.raises(errors.MaxMessageLengthExceeded):
        cors.parse(configuration(ORIGIN + METHOD + f"<ID>{' ' * 65536}</ID>"))


# ------------------------------------------------------------------------------------------ which rule counts


@pytest.mark.parametrize(
    ("pattern", "origin", "meets"),
    [
        ("*", "null", True),
        ("http://a", "http://a", True),
        ("http://a", "http://A", False),
        ("http://a", "http://a:80", False),
        ("start*end", "startend", True),
        ("start*end", "start12end", True),
        ("start*end", "0startend", False),
        ("aba*ba", "aba", False),
        ("https://*.example.com", "https://x.y.example.com", True),
        ("https://*.example.com", "https://example.com", False),
        ("http://a.b", "http://axb", False),
    ],
)
def test_patterns(pattern: str, origin: str, meets: bool) -> None:
    rule = CorsRule((pattern,), ("GET",))
    assert (cors.find((rule,), Crossing(origin, "GET", ())) == rule) is meets


def test_one_rule_must_allow_all() -> None:
    rules = (CorsRule(("http://a",), ("PUT",)), CorsRule(("http://b",), ("GET",), ("x-b",)), OPEN)
    assert cors.find(rules, Crossing("http://a", "PUT", ())) == rules[0]
    assert cors.find(rules, Crossing("http://a", "GET", ())) == OPEN
    assert cors.find(rules, Crossing("http://b", "GET", ("x-b",))) == rules[1]
    for refused in (("http://a", "GET", ("x-b",)), ("http://b", "PUT", ()), ("http://b", "GET", ("x-b", "x-c"))):
        assert cors.find(rules, Crossing(*refused)) is None


def test_a_hundred_headers_and_no_more() -> None:
    rule = CorsRule(("*",), ("GET",), ("*",))
    assert cors.find((rule,), Crossing("http://a", "GET", tuple(map(str, range(100))))) == rule
    assert cors.find((rule,), Crossing("http://a", "GET", tuple(map(str, range(101))))) is None


# --------------------------------------------------------------------------------------------- operations


def test_the_configuration_is_told() -> None:
    response = call("GET", "/bucket?cors", script=[(GetBucketCors("bucket", fresh=True), (RULE, OPEN))])
    assert tree(response).tag == "CORSConfiguration" and texts(response, "CORSRule/AllowedOrigin") == [PAGE, "*"]
    first = next(tree(response).iter("CORSRule"))
    assert [(element.tag, element.text) for element in first] == [
        ("AllowedHeader", "x-amz-*"),
        ("AllowedHeader", "Content-Type"),
        ("AllowedMethod", "GET"),
        ("AllowedMethod", "PUT"),
        ("AllowedOrigin", PAGE),
        ("ExposeHeader", "ETag"),
        ("ExposeHeader", "x-amz-meta-m"),
        ("ID", "one"),
        ("MaxAgeSeconds", "3000"),
    ]


def test_there_is_none() -> None:
    with pytest.raises(errors.NoSuchCORSConfiguration) as caught:
        call("GET", "/bucket?cors", script=[(GetBucketCors, ())])
    assert caught.value.fields == {"BucketName": "bucket"}


def test_the_configuration_is_replaced_and_deleted() -> None:
    document: Step = (ReceiveDocument, Document(cors.document((RULE, OPEN))))
    put = call("PUT", "/bucket?cors", script=[document, (PutBucketCors("bucket", (RULE, OPEN)), None)])
    assert (put.status, put.body) == (200, b"")
    delete = call("DELETE", "/bucket?cors", script=[(PutBucketCors("bucket", ()), None)])
    assert (delete.status, delete.body) == (204, b"")
    with pytest.raises(errors.MissingRequestBodyError):
        call("PUT", "/bucket?cors", script=[(ReceiveDocument, Document(b""))])


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_its_owner_sees_and_changes_it(method: str) -> None:
    action = "s3:GetBucketCORS" if method == "GET" else "s3:PutBucketCORS"
    script: list[Step] = [(CheckAccess(None, action, "bucket"), Access.DENIED)]
    assert drive(serve(head(method, "/bucket?cors"), CONTEXT), script).error_code == "AccessDenied"


# --------------------------------------------------------------------------------------------- preflights

LOOK = GetBucketCors("bucket", fresh=True)


def preflight(target: str, headers: dict[str, str], *script: Step) -> Response:
    return drive(serve(head("OPTIONS", target, headers), CONTEXT), script)


def asking(origin: str = PAGE, method: str = "PUT", headers: str | None = None) -> dict[str, str]:
    fields = {"origin": origin, "access-control-request-method": method}
    return fields if headers is None else fields | {"access-control-request-headers": headers}


def test_a_preflight() -> None:
    response = preflight("/bucket/key", asking(headers="content-type, X-Amz-Date,,x-amz-date"), (LOOK, (OPEN, RULE)))
    assert (response.status, response.body, response.headers) == (
        200,
        b"",
        [
            ("Access-Control-Allow-Origin", PAGE),
            ("Access-Control-Allow-Methods", "GET, PUT"),
            ("Access-Control-Allow-Headers", "content-type, x-amz-date"),
            ("Access-Control-Expose-Headers", "ETag, x-amz-meta-m"),
            ("Access-Control-Max-Age", "3000"),
            ("Access-Control-Allow-Credentials", "true"),
            VARY,
        ],
    )


def test_who_is_let_in_with_everybody_brings_no_credentials() -> None:
    response = preflight("/bucket", asking(method="GET"), (LOOK, (OPEN,)))
    assert response.headers == [("Access-Control-Allow-Origin", "*"), ("Access-Control-Allow-Methods", "GET"), VARY]
    named = CorsRule((PAGE, "*"), ("GET",))
    told = dict(preflight("/bucket", asking(method="GET"), (LOOK, (named,))).headers)
    assert (told["Access-Control-Allow-Origin"], told["Access-Control-Allow-Credentials"]) == (PAGE, "true")
    told = dict(preflight("/bucket", asking("null", "GET"), (LOOK, (named,))).headers)
    assert told["Access-Control-Allow-Origin"] == "*" and "Access-Control-Allow-Credentials" not in told


@pytest.mark.parametrize(
    ("target", "headers", "script", "status", "code", "words"),
    [
        ("/bucket", {}, [], 400, "BadRequest", "Insufficient information. Origin request header needed."),
        ("/bucket", asking(""), [(LOOK, (RULE,))], 403, "AccessForbidden", "is not allowed."),
        ("/bucket", {"origin": PAGE}, [], 400, "BadRequest", "Invalid Access-Control-Request-Method: null"),
        ("/bucket", asking(method="PATCH"), [], 400, "BadRequest", "Invalid Access-Control-Request-Method: PATCH"),
        ("/bucket", asking(method="put"), [], 400, "BadRequest", "Invalid Access-Control-Request-Method: put"),
        ("/bucket", asking(), [(LOOK, ())], 403, "AccessForbidden", "CORS is not enabled for this bucket."),
        ("/", asking(), [], 403, "AccessForbidden", "CORS is not enabled for this bucket."),
        ("/bucket", asking("http://x"), [(LOOK, (RULE,))], 403, "AccessForbidden", "This CORS request is not allowed."),
        ("/bucket", asking(method="POST"), [(LOOK, (RULE,))], 403, "AccessForbidden", "is not allowed."),
        ("/bucket", asking(headers="range"), [(LOOK, (RULE,))], 403, "AccessForbidden", "is not allowed."),
        ("/bucket", asking(), [(LOOK, errors.NoSuchBucket())], 404, "NoSuchBucket", "does not exist"),
        ("/bucket/%zz", asking(), [], 400, "InvalidURI", "couldn't be parsed"),
    ],
)
def test_preflights_that_are_refused(
    target: str, headers: dict[str, str], script: list[Step], status: int, code: str, words: str
) -> None:
    response = preflight(target, headers, *script)
    assert (response.status, response.error_code, texts(response, "Code")) == (status, code, [code])
    assert words in texts(response, "Message")[0] and not any(n.startswith("Access") for n, _ in response.headers)


def test_a_refusal_names_method_and_resource() -> None:
    response = preflight("/bucket/key", asking("http://x"), (LOOK, (RULE,)))
    assert texts(response, "Method") == ["PUT"] and texts(response, "ResourceType") == ["OBJECT"]
    assert texts(preflight("/bucket", asking("http://x"), (LOOK, (RULE,))), "ResourceType") == ["BUCKET"]


# ---------------------------------------------------------------------------------------- actual requests

KNOWN: Step = (LookupSigningKey, KEY)
LET_IN: Step = (CheckAccess, Access.OWNER)
RULES: Step = (GetBucketCors("bucket"), (RULE,))
TOLD = ("Access-Control-Allow-Origin", PAGE)


def crossing(method: str, target: str, *script: Step, **headers: str) -> Response:
    fields = {"origin": PAGE} | {name.replace("_", "-"): value for name, value in headers.items()}
    return drive(serve(signed(method, target, fields), CONTEXT), script)


def test_every_answer_can_be_read_by_the_page() -> None:
    found = crossing("GET", "/bucket/key", RULES, KNOWN, LET_IN, (OpenObject, opened()))
    missing = crossing("GET", "/bucket/key", RULES, KNOWN, LET_IN, (OpenObject, errors.NoSuchKey()))
    unknown = crossing("GET", "/bucket/key", RULES, (LookupSigningKey, None))
    unchanged = crossing("GET", "/bucket/key", RULES, KNOWN, LET_IN, (OpenObject, opened()), if_none_match="*")
    assert [r.status for r in (found, missing, unknown, unchanged)] == [200, 404, 403, 304]
    for response in (found, missing, unknown, unchanged):
        assert TOLD in response.headers and VARY in response.headers
        assert ("Access-Control-Expose-Headers", "ETag, x-amz-meta-m") in response.headers


def test_what_no_rule_allows_is_answered_all_the_same() -> None:
    for origin, rules in (("http://x", (RULE,)), (PAGE, (CorsRule((PAGE,), ("PUT",)),))):
        script: list[Step] = [(GetBucketCors("bucket"), rules), KNOWN, LET_IN, (OpenObject, opened())]
        response = crossing("GET", "/bucket/key", *script, origin=origin)
        assert response.status == 200 and VARY in response.headers
        assert not any(name.startswith("Access") for name, _ in response.headers)


def test_without_rules_or_bucket_nothing_is_added() -> None:
    plain = drive(serve(signed("GET", "/bucket/key"), CONTEXT), [KNOWN, LET_IN, (OpenObject, opened())])
    none = crossing("GET", "/bucket/key", (GetBucketCors, ()), KNOWN, LET_IN, (OpenObject, opened()))
    assert none == plain
    none_there = errors.NoSuchBucket()
    gone = crossing("GET", "/bucket", (GetBucketCors, none_there), KNOWN, (CheckAccess, none_there))
    assert gone.error_code == "NoSuchBucket" and gone.headers == [XML_TYPE]
    assert crossing("GET", "/", KNOWN, (CheckAccess, Access.DENIED)).error_code == "AccessDenied"


def test_a_store_that_does_not_answer() -> None:
    assert crossing("GET", "/bucket/key", (GetBucketCors, errors.SlowDown())).error_code == "SlowDown"


def test_an_early_head_has_them_too() -> None:
    response = crossing(
        "PUT",
        "/bucket/key",
        RULES,
        KNOWN,
        LET_IN,
        LET_IN,
        (OpenObject, opened()),
        (AllowEarlyHead((XML_TYPE, *cors.response_headers(RULE, Crossing(PAGE, "PUT", ())))), None),
        (CopyObject, info()),
        x_amz_copy_source="bucket/other",
    )
    assert response.status == 200 and TOLD in response.headers


def test_the_method_that_is_asked_for_counts_first() -> None:
    get: Step = (GetBucketCors("bucket"), (OPEN,))
    script: list[Step] = [get, KNOWN, (CheckAccess, Access.DENIED)]
    told = dict(crossing("PUT", "/bucket/key", *script, access_control_request_method="GET").headers)
    assert told["Access-Control-Allow-Methods"] == "GET"
    assert "Access-Control-Allow-Methods" not in dict(crossing("PUT", "/bucket/key", *script).headers)


def test_who_comes_from_no_page_asks_nothing() -> None:
    script: list[Step] = [KNOWN, LET_IN, (HeadBucket, errors.NoSuchBucket())]
    assert drive(serve(signed("HEAD", "/bucket"), CONTEXT), script).headers == []
