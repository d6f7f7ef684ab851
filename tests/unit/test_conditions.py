import pytest

from s3proto import conditions
from s3proto.conditions import Guard, WriteCondition
from s3proto.dates import http_date
from s3proto.errors import ConditionalRequestConflict, NotModified, PreconditionFailed, RequestNotImplemented
from s3proto.http import Headers
from tests.s3_requests import MD5, NOW, info

BEFORE, EXACT, AFTER = (http_date(NOW + seconds) for seconds in (-1, 0, 1))
READS = [
    ({}, None),
    ({"if-match": f'"{MD5}"'}, None),
    ({"if-match": MD5}, None),
    ({"if-match": "*"}, None),
    ({"if-match": f'"x", "{MD5}"'}, None),
    ({"if-match": '"x"'}, PreconditionFailed),
    ({"if-match": f'W/"{MD5}"'}, PreconditionFailed),
    ({"if-match": ""}, PreconditionFailed),
    ({"if-none-match": '"x"'}, None),
    ({"if-none-match": f'W/"{MD5}"'}, NotModified),
    ({"if-none-match": "*"}, NotModified),
    ({"if-modified-since": BEFORE}, None),
    ({"if-modified-since": EXACT}, NotModified),
    ({"if-modified-since": AFTER}, NotModified),
    ({"if-unmodified-since": BEFORE}, PreconditionFailed),
    ({"if-unmodified-since": EXACT}, None),
    ({"if-unmodified-since": "yesterday"}, None),
    ({"if-modified-since": "tomorrow"}, None),
    # precedence: an ETag makes its date count for nothing
    ({"if-match": MD5, "if-unmodified-since": BEFORE}, None),
    ({"if-none-match": "x", "if-modified-since": EXACT}, None),
    ({"if-match": "x", "if-none-match": MD5}, PreconditionFailed),
]


@pytest.mark.parametrize(("headers", "error"), READS)
def test_reads(headers: dict[str, str], error: type[Exception] | None) -> None:
    found = info(last_modified=NOW + 0.7)
    if error is None:
        conditions.check_read(Headers(headers.items()), found)
    else:
        with pytest.raises(error):
            conditions.check_read(Headers(headers.items()), found)


@pytest.mark.parametrize(("headers", "error"), READS)
def test_copy_sources_fail_with_412_only(headers: dict[str, str], error: type[Exception] | None) -> None:
    prefixed = Headers((f"x-amz-copy-source-{name}", value) for name, value in headers.items())
    if error is None:
        conditions.check_copy_source(prefixed, info())
    else:
        with pytest.raises(PreconditionFailed):
            conditions.check_copy_source(prefixed, info())


@pytest.mark.parametrize(
    ("value", "applies"),
    [(None, True), (f'"{MD5}"', True), ('"x"', False), (EXACT, True), (BEFORE, False), (AFTER, False)],
)
def test_if_range(value: str | None, applies: bool) -> None:
    assert conditions.range_applies(Headers([("if-range", value)] if value else []), info()) is applies


@pytest.mark.parametrize(
    ("condition", "exists", "guard"),
    [
        (WriteCondition(), True, Guard()),
        (WriteCondition(if_match=MD5), True, Guard(if_match=MD5)),
        (WriteCondition(if_match="*"), True, Guard(if_match="*")),
        (WriteCondition(if_match="x"), True, None),
        (WriteCondition(if_match="x"), False, Guard(if_match="x")),
        (WriteCondition(if_none_match="*"), True, None),
        (WriteCondition(if_none_match="*"), False, Guard(if_none_match="*")),
        (WriteCondition(if_none_match=MD5), True, None),
        (WriteCondition(if_none_match="x"), True, Guard(if_match=MD5, conflict=True)),
        (WriteCondition(if_none_match="x"), False, Guard(if_none_match="*", conflict=True)),
        (WriteCondition(if_match=MD5, if_none_match="x"), True, Guard(if_match=MD5, conflict=True)),
        (WriteCondition(if_match=MD5, if_none_match="x"), False, Guard(if_match=MD5)),
    ],
)
def test_guards_of_writes(condition: WriteCondition, exists: bool, guard: Guard | None) -> None:
    current = info() if exists else None
    if guard is None:
        with pytest.raises(PreconditionFailed):
            condition.guard(current)
    else:
        assert condition.guard(current) == guard


def test_losing_a_derived_guard_is_a_conflict() -> None:
    error = PreconditionFailed()
    assert Guard(if_match="x").lost(error) is error
    assert isinstance(Guard(if_match="x", conflict=True).lost(error), ConditionalRequestConflict)


def test_parse_write() -> None:
    parsed = conditions.parse_write(Headers([("if-match", '"a"'), ("if-none-match", "*")]))
    assert parsed == WriteCondition("a", "*") and parsed and not WriteCondition()


@pytest.mark.parametrize(
    "header", [("if-match", '"a", "b"'), ("if-modified-since", EXACT), ("if-unmodified-since", EXACT)]
)
def test_conditions_that_writes_have_not(header: tuple[str, str]) -> None:
    with pytest.raises(RequestNotImplemented):
        conditions.parse_write(Headers([header]))
