import pytest

from s3proto.errors import AccessDenied, InvalidArgument
from s3proto.request import parse_date, whole_number
from tests.s3_requests import NOW, request


def test_a_request_without_a_caller_has_no_principal() -> None:
    with pytest.raises(AccessDenied):
        _ = request("GET", "/", principal=None).principal


def test_version_ids() -> None:
    assert request("GET", "/bucket/k").version_id is None
    assert request("GET", "/bucket/k?versionId=v").version_id == "v"
    with pytest.raises(InvalidArgument):
        _ = request("GET", "/bucket/k?versionId=").version_id


def test_location_is_the_address_as_sent() -> None:
    assert request("PUT", "/bucket/a%20b?x").location() == "http://s3.example/bucket/a%20b"


def test_dates_of_both_forms() -> None:
    assert parse_date("Tue, 14 Nov 2023 22:13:20 GMT") == parse_date("2023-11-14T22:13:20.900Z") == NOW
    assert parse_date("soon") is None


def test_whole_number() -> None:
    assert [whole_number(text, "n", default=7, most=9) for text in (None, "", "0", "9", "10")] == [7, 7, 0, 9, 9]
