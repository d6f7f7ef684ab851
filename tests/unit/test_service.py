import pytest

from s3proto.commands import ListBuckets
from s3proto.errors import InvalidArgument
from s3proto.listing import make_token
from s3proto.model import BucketInfo, BucketPage
from tests.s3_requests import BUCKET_INFO, NOW, OWNER, PRINCIPAL, call, texts


def test_list_buckets() -> None:
    response = call("GET", "/?x-id=ListBuckets", script=[(ListBuckets(PRINCIPAL), BucketPage((BUCKET_INFO,), False))])
    assert texts(response, "Buckets/Bucket/Name") == ["bucket"]
    assert texts(response, "Buckets/Bucket/CreationDate") == ["2023-11-14T22:13:20.000Z"]
    assert texts(response, "Buckets/Bucket/BucketRegion") == ["us-east-1"]
    assert texts(response, "Owner/ID") == [OWNER.id] and texts(response, "Owner/DisplayName") == ["alice"]
    assert texts(response, "ContinuationToken") == texts(response, "Prefix") == []


def test_pages() -> None:
    page = BucketPage((BucketInfo("ab", NOW, OWNER),), True)
    response = call("GET", "/?max-buckets=1&prefix=a", script=[(ListBuckets(PRINCIPAL, "a", "", 1), page)])
    [token] = texts(response, "ContinuationToken")
    assert token == make_token("ab") and texts(response, "Prefix") == ["a"]
    call("GET", f"/?continuation-token={token}", script=[(ListBuckets(PRINCIPAL, "", "ab"), BucketPage((), True))])


def test_another_region_has_none_of_our_buckets() -> None:
    assert texts(call("GET", "/?bucket-region=eu-west-1"), "Buckets/Bucket") == []


@pytest.mark.parametrize("query", ["max-buckets=0", "max-buckets=10001", "max-buckets=x", "continuation-token=x"])
def test_wrong_parameters(query: str) -> None:
    with pytest.raises(InvalidArgument):
        call("GET", f"/?{query}")
