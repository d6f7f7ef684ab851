"""Policies of buckets against a plain model, and any document is a policy or refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import product
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from s3proto import acl
from s3proto.bucket_policy import LOCKED, PER_KEY, BucketPolicy, access, parse
from s3proto.errors import MalformedPolicy
from s3proto.model import Access, BucketInfo, Owner, Principal
from tests.property.test_policies import anything
from tests.strategies import changed

ALICE, BOB, CAROL = (
    Principal(Owner(letter * 64, name), "AKIA") for letter, name in zip("abc", ("ann", "bob", "carol"))
)
ROOT = Principal(Owner("d" * 64, "curvine"), "AKIA", administrator=True)
SOMEBODY = st.sampled_from([None, ALICE, BOB, CAROL, ROOT])
ACTIONS = st.sampled_from(
    "s3:GetObject s3:PutObject s3:DeleteObject s3:ListBucket s3:PutObjectAcl s3:PutBucketPolicy s3:GetBucketAcl".split()
)
KEYS = st.sampled_from([None, "a", "ab", "home/bob/x", "home//x"])
SECURE = st.sampled_from(["true", "false"])

PRINCIPALS = st.sampled_from(
    [
        "*",
        {"AWS": "*"},
        {"AWS": "arn:aws:iam::1:user/bob"},
        {"CanonicalUser": "c" * 64},
        {"AWS": ["arn:aws:iam:::user/x/ann"]},
    ]
)
WHO = {"*": None, "arn:aws:iam::1:user/bob": "bob", "c" * 64: "carol", "arn:aws:iam:::user/x/ann": "ann"}
STATEMENTS = st.fixed_dictionaries(
    {
        "Effect": st.sampled_from(["Allow", "Deny"]),
        "Principal": PRINCIPALS,
        "Action": st.sampled_from(
            ["s3:*", "s3:Get*", "s3:PutObject", "*", "s3:DeleteObject", "s3:*Version", "s3:*Policy"]
        ),
        "Resource": st.sampled_from([f"arn:aws:s3:::b{rest}" for rest in ("", "/*", "/a", "/home/${aws:username}/*")]),
    },
    optional={"Condition": st.just({"Bool": {"aws:SecureTransport": "true"}})},
)
POLICIES = st.lists(STATEMENTS, min_size=1, max_size=4)


def made(said: Sequence[dict[str, Any]]) -> BucketPolicy:
    return parse(json.dumps({"Version": "2012-10-17", "Statement": list(said)}).encode(), "b")


def speaks(said: dict[str, Any], who: Principal | None, action: str, key: str | None, secure: str) -> bool:
    principal = said["Principal"]
    named = principal if isinstance(principal, str) else next(iter(principal.values()))
    name = WHO[named[0] if isinstance(named, list) else named]
    if name is not None and (who is None or who.owner.display_name != name):
        return False
    pattern = said["Action"]
    if not {
        "*": True,
        "s3:*": True,
        "s3:Get*": action.startswith("s3:Get"),
        "s3:*Policy": action.endswith("Policy"),
        "s3:*Version": action.endswith("Version"),
    }.get(pattern, action == pattern):
        return False
    tail = said["Resource"].removeprefix("arn:aws:s3:::b")
    if tail == "":
        fits = key is None
    elif tail == "/*":
        fits = key is not None
    elif tail == "/a":
        fits = key == "a"
    else:
        fits = who is not None and key is not None and key.startswith(f"home/{who.owner.display_name}/")
    return fits and ("Condition" not in said or secure == "true")


@given(POLICIES, SOMEBODY, ACTIONS, KEYS, SECURE, st.sampled_from(acl.BUCKET_ACLS))
def test_as_the_guide_says(
    said: list[dict[str, Any]], who: Principal | None, action: str, key: str | None, secure: str, canned: str
) -> None:
    if key is None and action in PER_KEY:
        return
    bucket = BucketInfo("b", 0.0, ALICE.owner, acl=canned)
    found = access(who, [action], bucket, key, made(said), lambda: {"aws:securetransport": secure})
    by_acl = acl.bucket_access(who, action, bucket)
    effects = {each["Effect"] for each in said if speaks(each, who, action, key, secure)}
    if by_acl is Access.OWNER and action == "s3:PutBucketPolicy":
        assert found is Access.OWNER
    elif "Deny" in effects:
        assert found is Access.DENIED
    elif by_acl is Access.OWNER or not effects:
        assert found is by_acl
    else:
        assert found is Access.GUEST


@given(POLICIES, SOMEBODY, SECURE, st.sampled_from(acl.BUCKET_ACLS))
def test_each_key_is_asked_about_where_any_may_be_allowed(
    said: list[dict[str, Any]], who: Principal | None, secure: str, canned: str
) -> None:
    bucket, policy = BucketInfo("b", 0.0, ALICE.owner, acl=canned), made(said)
    found = access(who, ["s3:DeleteObject"], bucket, None, policy, dict)
    assert found in (Access.EACH_KEY, Access.DENIED)
    for key, action in product(("a", "ab", "home/bob/x"), ("s3:DeleteObject", "s3:DeleteObjectVersion")):
        single = access(who, [action], bucket, key, policy, lambda: {"aws:securetransport": secure})
        assert found is Access.EACH_KEY or single is Access.DENIED


@given(POLICIES, st.lists(ACTIONS, min_size=1, max_size=3), SOMEBODY, KEYS)
def test_what_goes_with_an_action_is_needed_too(
    said: list[dict[str, Any]], actions: list[str], who: Principal | None, key: str | None
) -> None:
    bucket, policy = BucketInfo("b", 0.0, Owner("e" * 64, "eve")), made(said)
    together = access(who, actions, bucket, key, policy, dict)
    alone = [access(who, [each], bucket, key, policy, dict) for each in actions]
    if together is Access.GUEST:
        assert all(each is Access.GUEST for each in alone)


@given(SOMEBODY, ACTIONS, KEYS)
def test_a_policy_that_cannot_be_read_lets_nobody_in(who: Principal | None, action: str, key: str | None) -> None:
    bucket = BucketInfo("b", 0.0, ALICE.owner, acl="public-read-write")
    found = access(who, [action], bucket, key, LOCKED, dict)
    if who in (ALICE, ROOT) and action == "s3:PutBucketPolicy":
        assert found is Access.OWNER
    elif key is None and action in PER_KEY:
        assert found is Access.EACH_KEY or found is Access.DENIED
    else:
        assert found is Access.DENIED


nearly = st.fixed_dictionaries(
    {
        "Statement": st.lists(
            st.dictionaries(st.sampled_from("Effect Action Principal Resource Condition Sid".split()), anything)
        )
    }
)


@given((anything | nearly).map(lambda said: json.dumps(said).encode()) | st.binary(max_size=40))
def test_any_document_is_a_policy_or_refused(document: bytes) -> None:
    try:
        policy = parse(document, "b")
    except MalformedPolicy as error:
        assert "\n" not in error.detail
    else:
        assert policy.text.encode() == document and parse(document, "b") == policy


@given(POLICIES.map(lambda said: made(said).text.encode()).flatmap(changed))
def test_damaged_documents(document: bytes) -> None:
    with suppress(MalformedPolicy):
        parse(document, "b")
