"""Policies of keys: what a document says, and what is refused of one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from s3proto.policy import (
    CANNED,
    MAX_BYTES,
    MAX_SEARCHED,
    NOTHING,
    Policy,
    PolicyError,
    matches,
    parse,
    policy_of,
    resource_name,
)

ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def may(policy: Policy, action: str, bucket: str | None = "b", key: str | None = None, **values: str) -> bool:
    said = {name.replace("__", ":").replace("_", "-"): value for name, value in values.items()}
    return policy.allows(f"s3:{action}", resource_name(bucket, key), "ann", lambda: said)


def made(*statements: dict[str, Any]) -> Policy:
    return policy_of({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("*", "", True),
        ("", "", True),
        ("", "a", False),
        ("a*c", "abc", True),
        ("a*c", "ac", True),
        ("a*c", "abcd", False),
        ("a*a", "a", False),
        ("*b*b*", "abab", True),
        ("*b*b*", "ab", False),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("*?", "", False),
        ("a*?c", "abc", True),
        ("a.c", "abc", False),
        ("*\n*", "a\nb", True),
        ("home/${aws:username}/*", "home/ann/x", True),
        ("home/${aws:username}/*", "home/bob/x", False),
        ("a${*}b", "a*b", True),
        ("a${*}b", "axb", False),
        ("a${?}${$}b", "a?$b", True),
        ("*a" * 30, "a" * 1000 + "b", False),
        ("*b?d*", "abcde", True),
        ("*b?d*", "abde", False),
        ("*.?[*", "x.y[z", True),
        ("?${*}?*${aws:username}?", "a*b-ann!", True),
        ("?${*}?*${aws:username}?", "a*b-ann", False),
    ],
)
def test_patterns(pattern: str, text: str, fits: bool) -> None:
    assert matches(pattern, text, "ann") is fits


def test_what_would_take_long_to_find_is_refused() -> None:
    def of(*patterns: str) -> dict[str, Any]:
        return {**ALL, "Resource": [f"arn:aws:s3:::{each}" for each in patterns]}

    made(of("*" + "?" * MAX_SEARCHED + "*", "b/*" + "a" * 9_000 + "*", "b/" + "?" * 9_000))
    for refused in (
        [of("*" + "?" * MAX_SEARCHED + "*?*")],
        [of("*" + "?" * MAX_SEARCHED + "*"), of("*?*")],
        [of("*" + "a" * MAX_SEARCHED + "\ud801*")],
        [{**ALL, "Condition": {"StringLike": {"aws:Referer": "*a" + "?" * MAX_SEARCHED + "*"}}}],
    ):
        with pytest.raises(PolicyError, match="question mark"):
            made(*refused)


def test_a_user_s_name_is_no_pattern() -> None:
    assert not matches("home/${aws:username}/x", "home/bob/x", "*")
    assert matches("home/${aws:username}/x", "home/*/x", "*")


def test_effects() -> None:
    policy = made(ALL, {"Effect": "Deny", "Action": "s3:Delete*", "Resource": "arn:aws:s3:::b/keep/*"})
    assert may(policy, "GetObject", key="keep/k") and may(policy, "DeleteObject", key="k")
    assert not may(policy, "DeleteObject", key="keep/k")
    assert may(made({**ALL, "Action": "S3:getOBJECT"}), "GetObject"), "actions have no case"
    assert not may(made({**ALL, "Resource": "arn:aws:s3:::B/*"}), "GetObject", key="k"), "resources have"


def test_what_is_left_out() -> None:
    but = made({"Effect": "Allow", "NotAction": ["s3:Put*", "s3:Delete*"], "NotResource": "arn:aws:s3:::b/secret/*"})
    assert may(but, "GetObject", key="k") and may(but, "ListBucket")
    assert not may(but, "PutObject", key="k") and not may(but, "GetObject", key="secret/k")


def test_resources() -> None:
    one = made({**ALL, "Resource": ["arn:aws:s3:::b", "arn:aws:s3:::b/pre/*"]})
    assert may(one, "ListBucket") and may(one, "GetObject", key="pre/k")
    assert not may(one, "GetObject", key="k") and not may(one, "ListAllMyBuckets", bucket=None)
    assert not may(one, "GetObject", bucket="bb", key="pre/k")
    assert may(made({**ALL, "Resource": "arn:aws:s3:::*"}), "ListAllMyBuckets", bucket=None)


CONDITIONS: list[tuple[dict[str, Any], dict[str, str], bool]] = [
    ({"StringEquals": {"s3:prefix": ["a/", "b/"]}}, {"s3__prefix": "b/"}, True),
    ({"StringEquals": {"s3:prefix": "a/"}}, {"s3__prefix": "a/b"}, False),
    ({"StringEquals": {"s3:prefix": "a/"}}, {}, False),
    ({"StringEqualsIfExists": {"s3:prefix": "a/"}}, {}, True),
    ({"StringLike": {"S3:PREFIX": "${aws:username}/*"}}, {"s3__prefix": "ann/x"}, True),
    ({"StringNotLike": {"s3:prefix": "ann/*"}}, {"s3__prefix": "ann/x"}, False),
    ({"StringNotEquals": {"s3:prefix": ["a", "b"]}}, {"s3__prefix": "b"}, False),
    ({"StringNotEquals": {"s3:prefix": ["a", "b"]}}, {}, True),
    ({"StringEqualsIgnoreCase": {"aws:UserAgent": "X"}}, {"aws__useragent": "x"}, True),
    ({"StringNotEqualsIgnoreCase": {"aws:UserAgent": "X"}}, {"aws__useragent": "x"}, False),
    ({"NumericLessThanEquals": {"s3:max-keys": 10}}, {"s3__max_keys": "10"}, True),
    ({"NumericLessThanEquals": {"s3:max-keys": "10"}}, {"s3__max_keys": "11"}, False),
    ({"NumericLessThan": {"s3:max-keys": "10"}}, {"s3__max_keys": "ten"}, False),
    ({"NumericGreaterThan": {"s3:max-keys": 10}}, {"s3__max_keys": "11"}, True),
    ({"NumericGreaterThanEquals": {"s3:max-keys": 10}}, {"s3__max_keys": "9"}, False),
    ({"NumericEquals": {"s3:max-keys": 10}}, {"s3__max_keys": "10.0"}, True),
    ({"NumericNotEquals": {"s3:max-keys": 10}}, {"s3__max_keys": "10.0"}, False),
    ({"Bool": {"aws:SecureTransport": True}}, {"aws__securetransport": "true"}, True),
    ({"Bool": {"aws:SecureTransport": "true"}}, {"aws__securetransport": "false"}, False),
    ({"Null": {"s3:prefix": "true"}}, {}, True),
    ({"Null": {"s3:prefix": False}}, {}, False),
    ({"StringEquals": {"s3:prefix": "a", "s3:delimiter": "/"}}, {"s3__prefix": "a"}, False),
]


@pytest.mark.parametrize(("condition", "values", "holds"), CONDITIONS)
def test_conditions(condition: dict[str, Any], values: dict[str, str], holds: bool) -> None:
    assert may(made({**ALL, "Condition": condition}), "ListBucket", **values) is holds


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"Effect": "allow"}, "Effect"),
        ({"Action": []}, "one or more strings"),
        ({"Action": 7}, "one or more strings"),
        ({"Action": "GetObject"}, "is no action"),
        ({"NotAction": "*"}, "either Action or NotAction"),
        ({"Resource": "b/*"}, "arn:aws:s3:::"),
        ({"Resource": "arn:aws:s3:::${aws:sourceip}/*"}, "aws:sourceip} is not supported"),
        ({"Principal": "*"}, "Principal is not supported"),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "1.2.3.4"}}}, "'IpAddress' is not supported"),
        ({"Condition": {"StringEquals": {"aws:SourceIp": "1.2.3.4"}}}, "'aws:SourceIp' is not supported"),
        ({"Condition": {"ForAnyValue:StringEquals": {"s3:prefix": "a"}}}, "is not supported"),
        ({"Condition": {"NullIfExists": {"s3:prefix": "true"}}}, "is not supported"),
        ({"Condition": {"StringEquals": {"s3:prefix": []}}}, "one or more strings"),
        ({"Condition": {"StringEquals": "a"}}, "object of objects"),
        ({"Condition": ["a"]}, "object of objects"),
    ],
)
def test_what_cannot_be_decided_by_is_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(PolicyError, match=f"^Statement 2: .*{why}"):
        made(ALL, {**ALL, **change})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "JSON"),
        (b"\xff", "JSON"),
        ("[]", "object"),
        ("{}", "Statement"),
        ('{"Statement": []}', "Statement"),
        ('{"Statement": ["a"]}', "Statement 1: must be an object"),
        ('{"Version": "1", "Statement": []}', "Version"),
        ('{"Statement": {}, "Statement": {}}', "twice"),
        ('{"Statement": [], "Else": 1}', "Else is not supported"),
        ("[" * 5000, "JSON"),
        (" " * MAX_BYTES + "{}", "longer"),
    ],
)
def test_what_is_no_document(text: str | bytes, why: str) -> None:
    with pytest.raises(PolicyError, match=why):
        parse(text)


@pytest.mark.parametrize(
    ("action", "values"),
    [
        ("GetObject", {"s3:prefix": "a"}),
        ("PutObject", {"s3:delimiter": "a"}),
        ("ListBucketMultipartUploads", {"s3:max-keys": "a"}),
        ("GetObject", {"s3:x-amz-acl": "a"}),
        ("GetObject", {"s3:x-amz-copy-source": "a"}),
        ("DeleteObject", {"s3:x-amz-storage-class": "a"}),
        ("ListBucketVersions", {"s3:versionid": "a"}),
    ],
)
def test_what_a_client_adds_to_another_request_does_not_count(action: str, values: dict[str, str]) -> None:
    policy = made({**ALL, "Condition": {"StringEquals": dict.fromkeys(values, "a")}})
    assert not policy.allows(f"s3:{action}", resource_name("b", "k"), "ann", lambda: values)
    policy = made({**ALL, "Condition": {"StringNotEquals": dict.fromkeys(values, "a")}})
    assert policy.allows(f"s3:{action}", resource_name("b", "k"), "ann", lambda: values)


def test_by_name() -> None:
    reading, writing, both = CANNED["readonly"], CANNED["writeonly"], CANNED["readwrite"]
    for action in ("GetObject", "ListBucket", "ListAllMyBuckets", "GetBucketLocation"):
        assert may(reading, action) and may(both, action) and not may(writing, action)
    for action in ("PutObject", "AbortMultipartUpload"):
        assert may(writing, action) and may(both, action) and not may(reading, action)
    for action in ("DeleteObject", "CreateBucket", "DeleteBucket", "PutObjectAcl"):
        assert may(both, action) and not may(reading, action) and not may(writing, action)
    assert not may(NOTHING, "GetObject")


def test_a_document_as_text() -> None:
    assert parse(json.dumps({"Statement": ALL})) == made(ALL)
