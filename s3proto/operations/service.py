"""Operations on the service: ListBuckets.

Follows "ListBuckets" (Amazon S3 API Reference).
"""

from __future__ import annotations

from s3proto import commands, listing, xml
from s3proto.commands import Steps
from s3proto.dates import iso_date
from s3proto.errors import InvalidArgument
from s3proto.http import Response
from s3proto.model import BucketPage
from s3proto.operations.operation import SERVICE, Operation
from s3proto.operations.responses import owner_element, xml_response
from s3proto.request import S3Request, whole_number

MAX_BUCKETS = 10_000


def list_buckets(request: S3Request) -> Steps[Response]:
    query, region = request.query, request.settings.region
    limit = whole_number(query.get("max-buckets"), "max-buckets", default=MAX_BUCKETS, most=MAX_BUCKETS + 1)
    if not 1 <= limit <= MAX_BUCKETS:
        raise InvalidArgument(
            f"Argument max-buckets must be an integer between 1 and {MAX_BUCKETS}",
            ArgumentName="max-buckets",
            ArgumentValue=query["max-buckets"],
        )
    token, prefix = query.get("continuation-token"), query.get("prefix", "")
    after = listing.read_token(token) if token else ""
    if query.get("bucket-region", region) == region:
        page = yield from commands.ListBuckets(request.principal, prefix, after, limit)
    else:
        page = BucketPage((), False)  # every bucket of a gateway is in its region
    continues = page.truncated and page.buckets
    buckets: list[xml.Node] = [
        (
            "Bucket",
            (
                ("Name", bucket.name),
                ("CreationDate", iso_date(bucket.created)),
                ("BucketRegion", bucket.region),
            ),
        )
        for bucket in page.buckets
    ]
    return xml_response(
        "ListAllMyBucketsResult",
        [
            owner_element("Owner", request.principal.owner),
            ("Buckets", buckets),
            ("ContinuationToken", listing.make_token(page.buckets[-1].name)) if continues else None,
            ("Prefix", prefix) if "prefix" in query else None,
        ],
    )


OPERATIONS = (Operation("ListBuckets", "GET", SERVICE, "s3:ListAllMyBuckets", list_buckets),)
