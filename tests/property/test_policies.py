"""Policies: patterns against a plain model, and any document is a policy or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3proto.policy import CONDITION_KEYS, Policy, PolicyError, matches, parse, policy_of

few = st.text("ab*?", max_size=8)


def model(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(model(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and model(pattern[1:], text[1:])


@given(few, st.text("ab", max_size=8))
def test_patterns(pattern: str, text: str) -> None:
    assert matches(pattern, text) is model(pattern, text)


@given(st.text(max_size=20))
def test_a_text_is_a_pattern_of_itself(text: str) -> None:
    literally = "".join(f"${{{c}}}" if c in "*?$" else c for c in text)
    assert matches(literally, text) and not matches(literally, text + "x")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(["s3:*", "*", "Allow", "Deny"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
nearly = st.fixed_dictionaries(
    {
        "Statement": st.lists(
            st.dictionaries(st.sampled_from("Effect Action NotAction Resource Condition".split()), anything)
        )
    }
)


@given(anything | nearly)
def test_any_document_is_a_policy_or_refused(document: Any) -> None:
    for read in (policy_of, lambda said: parse(json.dumps(said))):
        try:
            policy = read(document)
        except PolicyError as error:
            assert str(error) and "\n" not in str(error)
        else:
            assert isinstance(policy, Policy)


def test_errors_are_one_line() -> None:
    for said in ({"\n": 1}, {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "${\n}"}}):
        with pytest.raises(PolicyError) as refused:
            policy_of(said)
        assert str(refused.value).isprintable()


actions = st.sampled_from(["s3:GetObject", "s3:Get*", "s3:*", "*", "s3:PutObject"])
resources = st.sampled_from(["*", "arn:aws:s3:::b", "arn:aws:s3:::b/*", "arn:aws:s3:::b/a*"])
statements = st.fixed_dictionaries(
    {"Effect": st.sampled_from(["Allow", "Deny"]), "Action": actions, "Resource": resources},
    optional={"Condition": st.just({"StringEquals": {"s3:prefix": "p"}})},
)


@given(st.lists(statements, min_size=1, max_size=5), st.sampled_from(["s3:GetObject", "s3:PutObject"]), st.booleans())
def test_denial_wins_and_order_means_nothing(said: list[dict[str, Any]], action: str, conditional: bool) -> None:
    values = {"s3:prefix": "p"} if conditional else {}
    resource = "arn:aws:s3:::b/abc"

    def decided(chosen: list[dict[str, Any]]) -> bool:
        return bool(chosen) and policy_of({"Statement": chosen}).allows(action, resource, "", lambda: values)

    speaking = [each for each in said if decided([{**each, "Effect": "Allow"}])]
    expected = bool(speaking) and all(each["Effect"] == "Allow" for each in speaking)
    assert decided(said) is expected and decided(said[::-1]) is expected


def test_condition_keys_are_lower_case() -> None:
    assert all(key == key.lower() for key in CONDITION_KEYS)
