"""All operations, and which one a request means.

Rules: the rows are the only list of operations (docs/supported-s3.md is compared with it by a test).  A sub-resource
that AWS knows is part of the question whatever the method: ``DELETE ?lifecycle`` must never delete a bucket.
Parameters that AWS does not know, and those that only decorate (``x-id``), are ignored.

Follows "Actions" (Amazon S3 API Reference).
"""

from __future__ import annotations

from collections.abc import Mapping

from s3proto.commands import Steps
from s3proto.errors import InvalidArgument, InvalidRequest, MethodNotAllowed, RequestNotImplemented, S3Error
from s3proto.http import Headers, Response
from s3proto.operations import (
    acls,
    buckets,
    configuration,
    copies,
    cors,
    forms,
    multipart,
    objects,
    policies,
    service,
    tagging,
)
from s3proto.operations.operation import BUCKET, OBJECT, SERVICE, Operation, Resource
from s3proto.request import S3Request

__all__ = ["BUCKET", "OBJECT", "OPERATIONS", "SERVICE", "SUB_RESOURCES", "Operation", "Resource", "resolve"]

OPERATIONS: tuple[Operation, ...] = (
    *service.OPERATIONS,
    *buckets.OPERATIONS,
    *acls.OPERATIONS,
    *cors.OPERATIONS,
    *tagging.OPERATIONS,
    *policies.OPERATIONS,
    *configuration.OPERATIONS,
    *objects.OPERATIONS,
    *copies.OPERATIONS,
    *forms.OPERATIONS,
    *multipart.OPERATIONS,
)

SUB_RESOURCES = frozenset(
    # on buckets
    "abac accelerate acl analytics cors delete encryption intelligent-tiering inventory lifecycle list-type location"
    " logging metadataAnnotationTable metadataConfiguration metadataInventoryTable metadataJournalTable metadataTable"
    " metrics notification object-lock ownershipControls policy policyStatus publicAccessBlock replication"
    " requestPayment session tagging uploads versioning versions website"
    # on objects
    " annotation append attributes legal-hold partNumber renameObject restore retention select select-type torrent"
    " uploadId versionId".split()
)
"""Parameters that choose another operation or another thing to operate on."""

_BY_ADDRESS: dict[tuple[str, Resource], list[Operation]] = {}
for _row in sorted(OPERATIONS, key=lambda row: row.rank, reverse=True):
    _BY_ADDRESS.setdefault((_row.method, _row.resource), []).append(_row)


def resolve(method: str, resource: Resource, query: Mapping[str, str], headers: Headers) -> Operation:
    """Return the operation that a request means.

    One that AWS has and we have not is an Operation too: its function raises NotImplemented once the caller is known.
    Raises MethodNotAllowed where AWS has none.
    """
    rows = _BY_ADDRESS.get((method, resource), [])
    asked = SUB_RESOURCES.intersection(query)
    for row in rows:
        if (row.header is None or row.header in headers) and all(_holds(c, query) for c in row.query):
            named = {condition.partition("=")[0] for condition in row.query}
            return row if asked <= named.union(row.accepts) else _UNSUPPORTED
    if asked and method in _METHODS:
        return _UNSUPPORTED
    allowed = sorted({row.method for row in OPERATIONS if row.resource is resource and not row.conditions})
    error = MethodNotAllowed(Method=method, ResourceType=resource.value)
    error.headers.append(("Allow", ", ".join(allowed)))
    raise error


def _holds(condition: str, query: Mapping[str, str]) -> bool:
    name, equals, value = condition.partition("=")
    return name in query and (not equals or query[name] == value)


def _not_implemented(request: S3Request) -> Steps[Response]:
    """Refuse an operation that AWS has.  The command before it makes a missing object a missing object."""
    yield from ()
    asked = sorted(SUB_RESOURCES.intersection(request.query))
    if request.key and len(asked) == 1 and (refused := _MEANINGLESS.get((request.head.method, asked[0]))):
        kind, words = refused
        raise kind(words, ArgumentName=asked[0], ArgumentValue=request.query[asked[0]])
    raise RequestNotImplemented(QueryParameter=asked[0]) if asked else RequestNotImplemented()


_MEANINGLESS: dict[tuple[str, str], tuple[type[S3Error], str]] = {
    ("GET", "uploads"): (InvalidRequest, "Key is not expected for the GET method ?uploads subresource"),
    ("GET", "versions"): (InvalidRequest, "There is no such thing as the ?versions sub-resource for a key"),
    ("PUT", "partNumber"): (InvalidArgument, "This operation does not accept partNumber without uploadId"),
}
"""What AWS itself refuses for a key."""

_METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")
_UNSUPPORTED = Operation("NotImplemented", "", SERVICE, "s3:*", _not_implemented)
