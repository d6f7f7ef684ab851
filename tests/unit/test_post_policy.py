"""Policies of forms: how they may be written, what holds, and what is refused with which words."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from s3proto.errors import AccessDenied, InvalidPolicyDocument
from s3proto.post_policy import Match, Policy, Range, check, parse
from tests.form_kit import policy

NOW = 1_700_000_000.0


def parsed(*conditions: Any) -> Policy:
    return parse(policy(conditions))


def holds(conditions: list[Any], fields: dict[str, str], now: float = NOW) -> bool:
    try:
        check(parsed(*conditions), fields, "bucket", now)
    except AccessDenied:
        return False
    return True


def test_the_example_of_the_documentation() -> None:
    conditions = [
        {"bucket": "bucket"},
        ["starts-with", "$key", "user/user1/"],
        {"acl": "public-read"},
        {"success_action_redirect": "http://bucket.example/ok.html"},
        ["starts-with", "$Content-Type", "image/"],
        {"x-amz-meta-uuid": "14365123651274"},
        ["starts-with", "$x-amz-meta-tag", ""],
    ]
    fields = {"key": "user/user1/a", "acl": "public-read", "success_action_redirect": "http://bucket.example/ok.html"}
    fields |= {"content-type": "image/jpeg", "x-amz-meta-uuid": "14365123651274", "policy": "x", "x-amz-signature": "x"}
    assert holds(conditions, fields) and holds(conditions, fields | {"x-amz-meta-tag": "any"})
    for name, value in {
        "key": "user/user2/a",
        "acl": "private",
        "content-type": "text/x",
        "x-amz-meta-uuid": "",
    }.items():
        assert not holds(conditions, fields | {name: value})
    assert not holds(conditions, {name: value for name, value in fields.items() if name != "acl"})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"aCl": "Private"}, Match("eq", "aCl", "Private")),
        (["eq", "$acl", "private"], Match("eq", "acl", "private")),
        (["StArTs-WiTh", "$KeY", "foo"], Match("starts-with", "KeY", "foo")),
        (["content-length-range", 0, 1024], Range(0, 1024)),
        (["Content-Length-Range", "1", "2"], Range(1, 2)),
    ],
)
def test_conditions(condition: Any, expected: Match | Range) -> None:
    assert parsed(condition).conditions == (expected,)


@pytest.mark.parametrize(
    ("conditions", "fields", "expected"),
    [
        ([{"aCl": "private"}], {"acl": "private"}, True),
        ([{"acl": "private"}], {"acl": "Private"}, False),
        ([{"acl": "private"}], {}, False),
        ([{"acl": ""}], {}, True),
        ([["starts-with", "$x", ""]], {}, True),
        ([["starts-with", "$x", "a"]], {}, False),
        ([["starts-with", "$x", "a"], {"x": "ab"}], {"x": "ab"}, True),
        ([["starts-with", "$x", "a"], {"x": "ab"}], {"x": "ac"}, False),
        ([["starts-with", "$Content-Type", "image/"]], {"content-type": "image/a, image/b"}, True),
        ([["starts-with", "$Content-Type", "image/"]], {"content-type": "image/a,text/b"}, False),
        ([["starts-with", "$x", "a"]], {"x": "a,b"}, True),
        ([], {"policy": "p", "signature": "s", "awsaccesskeyid": "k", "x-amz-signature": "s", "file": "f"}, True),
        ([], {"x-amz-checksum-sha256": "x"}, True),
        ([], {"x-amz-meta-a": ""}, False),
        ([], {"x-amz-date": "x"}, False),
    ],
)
def test_what_holds(conditions: list[Any], fields: dict[str, str], expected: bool) -> None:
    assert holds([{"bucket": "bucket"}, *conditions], fields) is expected


def test_the_bucket_is_that_of_the_address() -> None:
    assert not holds([{"bucket": "other"}], {"bucket": "other"})
    assert holds([["starts-with", "$bucket", "buck"]], {"bucket": "other"})
    assert not holds([], {}), "the bucket must be named"


@pytest.mark.parametrize(
    ("conditions", "fields", "words"),
    [
        ([{"acl": "é"}], {}, 'Policy Condition failed: ["eq", "$acl", "é"]'),
        ([["starts-with", "$Key", "a"]], {}, 'Policy Condition failed: ["starts-with", "$Key", "a"]'),
        ([], {"b": "", "a": ""}, "Extra input fields: a, b, bucket"),
    ],
)
def test_words(conditions: list[Any], fields: dict[str, str], words: str) -> None:
    with pytest.raises(AccessDenied) as caught:
        check(parsed(*conditions), fields, "bucket", NOW)
    assert caught.value.detail == f"Invalid according to Policy: {words}"


def test_sizes() -> None:
    assert (parsed().smallest, parsed().largest) == (0, None)
    several = parsed(["content-length-range", 1, 10], ["content-length-range", 0, 5])
    assert (several.smallest, several.largest) == (1, 5)


def test_expiration() -> None:
    text = policy([{"bucket": "bucket"}], "2023-11-14T22:13:20Z")
    check(parse(text), {}, "bucket", NOW)
    with pytest.raises(AccessDenied, match="Invalid according to Policy: Policy expired."):
        check(parse(text), {}, "bucket", NOW + 1)


def base64(document: Any) -> str:
    return b64encode(json.dumps(document).encode()).decode()


NO_LISTS: list[Any] = [{}, None, "x", 1]
NO_CONDITIONS: list[Any] = [
    *({}, {"a": 1}, {"a": "b", "c": "d"}, [], ["eq", "$a"], ["eq", "a", "b"], ["eq", "$a", 1], "x", 1, None),
    *(["ends-with", "$a", "b"], ["content-length-range", 0], ["content-length-range", -1, 0]),
    *(["content-length-range", 0, 1.5], ["content-length-range", 0, True], ["content-length-range", 0, "x"]),
    ["content-length-range", 0, 10**19],
]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "%",
        "ü",
        "eyJ9",
        b64encode(b"\xff").decode(),
        policy([]) + "\n",
        policy([])[:8] + "\r\n" + policy([])[8:],
        b64encode(b"[" * 15_000).decode(),
        b64encode(b"9" * 15_000).decode(),
        base64([]),
        base64({"conditions": []}),
        base64({"EXPIRATION": "2099-01-01T00:00:00Z", "conditions": []}),
        *(
            base64({"expiration": when, "conditions": []})
            for when in (1, None, "", "2099-01-01", "2099-01-01 00:00:00Z")
        ),
        *(base64({"expiration": when, "conditions": []}) for when in ("2099-01-01T00:00:00", "2099-13-01T00:00:00Z")),
        base64({"expiration": "2099-01-01T00:00:00Z"}),
        base64({"expiration": "2099-01-01T00:00:00Z", "CONDITIONS": []}),
        *(base64({"expiration": "2099-01-01T00:00:00Z", "conditions": what}) for what in NO_LISTS),
        *(policy([condition]) for condition in NO_CONDITIONS),
    ],
)
def test_what_is_no_policy(text: str) -> None:
    with pytest.raises(InvalidPolicyDocument):
        parse(text)
