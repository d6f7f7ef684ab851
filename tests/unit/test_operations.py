"""The table: every row can be reached, no request has two, nothing that AWS knows falls through to another row."""

from itertools import product
from pathlib import Path

import pytest

from s3proto.errors import InvalidArgument, InvalidRequest, MethodNotAllowed, RequestNotImplemented, S3Error
from s3proto.http import Headers
from s3proto.operations import BUCKET, OBJECT, OPERATIONS, SERVICE, SUB_RESOURCES, Operation, Resource, resolve
from tests.drive import drive
from tests.s3_requests import call, request


def parameters(row: Operation) -> dict[str, str]:
    pairs = (condition.partition("=") for condition in row.query)
    return {name: value for name, _, value in pairs}


def headers(row: Operation) -> Headers:
    return Headers([(row.header, "x")] if row.header else [])


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.name)
def test_every_row_is_reached(row: Operation) -> None:
    assert resolve(row.method, row.resource, parameters(row), headers(row)) is row
    decorated = parameters(row) | dict.fromkeys(row.accepts, "1") | {"x-id": row.name, "prefix": "p"}
    assert resolve(row.method, row.resource, decorated, headers(row)) is row


def test_names_are_unique() -> None:
    assert len({row.name for row in OPERATIONS}) == len(OPERATIONS)


def test_no_two_rows_can_hold_equally() -> None:
    """Rows with as many conditions never hold together, unless they name each other's sub-resources."""
    for one, other in product(OPERATIONS, OPERATIONS):
        if one is other or (one.method, one.resource, one.rank) != (
            other.method,
            other.resource,
            other.rank,
        ):
            continue
        both = parameters(one) | parameters(other)
        if any(name in both and both[name] != value for name, value in parameters(one).items()):
            continue  # they want different values
        met = resolve(one.method, one.resource, both, Headers([*headers(one), *headers(other)]))
        assert met.name == "NotImplemented", (one.name, other.name, met.name)


def test_conditions_are_known_sub_resources() -> None:
    for row in OPERATIONS:
        assert {condition.partition("=")[0] for condition in row.query} | set(row.accepts) <= SUB_RESOURCES


@pytest.mark.parametrize("name", sorted(SUB_RESOURCES))
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize("resource", Resource)
def test_a_sub_resource_is_never_ignored(method: str, resource: Resource, name: str) -> None:
    row = resolve(method, resource, {name: "1"}, Headers())
    mentioned = {condition.partition("=")[0] for condition in row.query} | set(row.accepts)
    assert row.name == "NotImplemented" or name in mentioned


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("PUT", "/bucket?lifecycle"),
        ("DELETE", "/bucket?lifecycle"),
        ("PUT", "/bucket/key?versionId=x"),
        ("GET", "/bucket?analytics"),
        ("GET", "/bucket/key?torrent"),
        ("POST", "/bucket/key?restore"),
        ("POST", "/bucket/key?select&select-type=2"),
    ],
)
def test_what_aws_has_and_we_have_not(method: str, target: str) -> None:
    with pytest.raises(RequestNotImplemented):
        call(method, target)


@pytest.mark.parametrize(
    ("method", "target", "error"),
    [
        ("GET", "/bucket/key?uploads", InvalidRequest),
        ("GET", "/bucket/key?versions", InvalidRequest),
        ("PUT", "/bucket/key?partNumber=1", InvalidArgument),
    ],
)
def test_what_means_nothing_to_aws_either(method: str, target: str, error: type[S3Error]) -> None:
    with pytest.raises(error):
        call(method, target)


@pytest.mark.parametrize(
    ("method", "resource", "allow"),
    [
        ("PATCH", OBJECT, "DELETE, GET, HEAD, PUT"),
        ("POST", OBJECT, "DELETE, GET, HEAD, PUT"),
        ("PATCH", BUCKET, "DELETE, GET, HEAD, POST, PUT"),
        ("DELETE", SERVICE, "GET"),
        ("TRACE", OBJECT, "DELETE, GET, HEAD, PUT"),
    ],
)
def test_methods_that_aws_has_not(method: str, resource: Resource, allow: str) -> None:
    with pytest.raises(MethodNotAllowed) as caught:
        resolve(method, resource, {}, Headers())
    assert caught.value.fields == {"Method": method, "ResourceType": resource.value}
    assert caught.value.headers == [("Allow", allow)]


def test_the_documented_matrix_is_the_table() -> None:
    """docs/supported-s3.md has a row for every operation, in this order, and no other."""
    text = (Path(__file__).parents[2] / "docs" / "supported-s3.md").read_text()
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    assert [cells[1].strip(" `") for cells in rows] == [row.name for row in OPERATIONS]


def test_not_implemented_names_the_parameter() -> None:
    asked = request("GET", "/bucket?inventory&id=1")
    with pytest.raises(RequestNotImplemented) as caught:
        drive(resolve("GET", BUCKET, asked.query, asked.headers).run(asked))
    assert caught.value.fields == {"QueryParameter": "inventory"}
