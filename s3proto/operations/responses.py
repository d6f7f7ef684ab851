"""Building responses: XML documents, empty answers, errors.

Rules: the only place that knows Content-Type of documents and the shape of ``<Error>``.

Follows "Error responses" (Amazon S3 API Reference).
"""

from __future__ import annotations

from s3proto import xml
from s3proto.context import Context
from s3proto.errors import S3Error
from s3proto.http import RequestHead, Response
from s3proto.metadata import header_text
from s3proto.model import Owner

Pairs = list[tuple[str, str]]

XML_TYPE = ("Content-Type", "application/xml")


def document_response(document: bytes, headers: Pairs | None = None) -> Response:
    """Answer 200 with a document that is written already."""
    return Response(200, [XML_TYPE, *(headers or [])], document)


def xml_response(root: str, content: xml.Children, headers: Pairs | None = None) -> Response:
    """Answer 200 with a document."""
    return document_response(xml.document(root, content), headers)


def owner_element(name: str, owner: Owner) -> xml.Node:
    """Return an ``<Owner>`` or ``<Initiator>``."""
    return name, (("ID", owner.id), ("DisplayName", owner.display_name))


def version_header(version_id: str | None, name: str = "x-amz-version-id") -> Pairs:
    """Return the header that names a version, nothing in a bucket without versions.

    DeleteObject tells a client's own version id back, which may be any text.
    """
    return [] if version_id is None else [(name, header_text(version_id))]


def error_response(
    error: S3Error, head: RequestHead, bucket: str | None, key: str | None, context: Context
) -> Response:
    """Answer ``error``: its document always parses, whatever the request's names hold.

    HEAD and 304 have no body.
    """
    headers = list(error.headers)
    if head.method == "HEAD" and bucket and key is None and error.code == "AccessDenied":
        headers.append(("x-amz-bucket-region", context.settings.region))  # SDKs ask for it without a signature
    if head.method == "HEAD" or error.status == 304:
        return Response(error.status, headers, b"", error.code)
    fields = dict(error.fields)
    if bucket and error.code.startswith(("NoSuchBucket", "Bucket")):
        fields.setdefault("BucketName", bucket)
    if key and error.code in ("NoSuchKey", "NoSuchVersion"):
        fields.setdefault("Key", key)
    fields.setdefault("Resource", head.raw_path)
    document = xml.document(
        "Error",
        [
            ("Code", error.code),
            ("Message", xml.printable(error.detail)),
            *((name, xml.printable(value)) for name, value in fields.items()),
            ("RequestId", context.request_id),
            ("HostId", context.host_id),
        ],
        namespace=False,
    )
    return Response(error.status, [XML_TYPE, *headers], document, error.code)
