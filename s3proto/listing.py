"""The five listings of a bucket: their parameters, their tokens, their documents.

Rules: plain functions; pages come from the store in byte order of whole keys and are only written down here.  Rows
are written as text at once (xml.Markup): a page has up to a thousand.

A continuation token is opaque to clients: version, CRC-32 and text of the last key or prefix answered, in URL-safe
base64.  It holds no state of ours, so any instance can go on from it; a changed one is refused.

Follows "ListObjects", "ListObjectsV2", "ListObjectVersions", "ListMultipartUploads", "ListParts" (API Reference).
"""

from __future__ import annotations

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from s3proto import xml
from s3proto.checksums import elements as checksum_elements
from s3proto.dates import iso_date
from s3proto.errors import InvalidArgument
from s3proto.model import ListPage, ObjectRow, Owner, PartPage, Upload, UploadPage
from s3proto.names import uri_encode
from s3proto.request import whole_number

MAX_PAGE = 1000
EMPTY_PAGE = ListPage((), (), False)
EMPTY_UPLOADS = UploadPage((), (), False)
EMPTY_PARTS = PartPage((), False)

Encoder = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Listing:
    """Parameters that all listings of keys share, as sent."""

    prefix: str
    delimiter: str
    limit: int
    """Rows wanted, 0 .. 1000; 0 asks for an empty page."""
    url_encoded: bool

    @property
    def encode(self) -> Encoder:
        """How keys, prefixes, markers and delimiters are written."""
        return _url_encode if self.url_encoded else _as_it_is


def parse(query: Mapping[str, str], limit_name: str = "max-keys") -> Listing:
    """Return the shared parameters.  Raises InvalidArgument."""
    encoding = query.get("encoding-type")
    if encoding and encoding != "url":
        raise InvalidArgument(
            "Invalid Encoding Method specified in Request", ArgumentName="encoding-type", ArgumentValue=encoding
        )
    return Listing(
        prefix=query.get("prefix", ""),
        delimiter=query.get("delimiter", ""),
        limit=whole_number(query.get(limit_name), limit_name, default=MAX_PAGE, most=MAX_PAGE),
        url_encoded=bool(encoding),
    )


def _as_it_is(text: str) -> str:
    return text


def _url_encode(text: str) -> str:
    return uri_encode(text, "/")


# ------------------------------------------------------------------------------------------------- tokens


def make_token(last: str) -> str:
    """Return the token to continue after the key or prefix ``last``."""
    data = last.encode()
    return urlsafe_b64encode(b"\x01" + zlib.crc32(data).to_bytes(4, "big") + data).decode().rstrip("=")


def read_token(token: str, name: str = "continuation-token") -> str:
    """Return what the token continues after.  Raises InvalidArgument for one that we did not make."""
    try:
        data = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        last = data[5:].decode()
    except ValueError:
        last = None
    if last is None or make_token(last) != token:
        raise InvalidArgument(
            "The continuation token provided is incorrect", ArgumentName=name, ArgumentValue=token
        ) from None
    return last


# ---------------------------------------------------------------------------------------------- documents


def _owner(name: str, owner: Owner) -> xml.Markup:
    return xml.Markup(
        f"<{name}><ID>{xml.escape(owner.id)}</ID>"
        f"<DisplayName>{xml.escape(owner.display_name)}</DisplayName></{name}>"
    )


def _object_rows(page: ListPage, encode: Encoder, owner: Owner | None) -> list[xml.Markup]:
    owner_text = _owner("Owner", owner) if owner else ""
    escape, rows = xml.escape, []
    for row in page.objects:
        whose = owner_text if row.owner is None or owner is None else _owner("Owner", row.owner)
        rows.append(
            xml.Markup(
                f"<Contents><Key>{escape(encode(row.key))}</Key>"
                f"<LastModified>{iso_date(row.last_modified)}</LastModified>"
                f"<ETag>&quot;{escape(row.etag)}&quot;</ETag>{_checksums(row)}<Size>{row.size}</Size>"
                f"{whose}<StorageClass>{escape(row.storage_class)}</StorageClass></Contents>"
            )
        )
    return rows


def _checksums(row: ObjectRow) -> str:
    if not row.checksum_algorithms:
        return ""
    text = "".join(f"<ChecksumAlgorithm>{name}</ChecksumAlgorithm>" for name in row.checksum_algorithms)
    return f"{text}<ChecksumType>{row.checksum_type}</ChecksumType>" if row.checksum_type else text


def _prefix_rows(prefixes: tuple[str, ...], encode: Encoder) -> list[xml.Node]:
    return [("CommonPrefixes", (("Prefix", encode(prefix)),)) for prefix in prefixes]


def _shared(listing: Listing) -> list[xml.Node | None]:
    return [
        ("Delimiter", listing.encode(listing.delimiter)) if listing.delimiter else None,
        ("EncodingType", "url") if listing.url_encoded else None,
    ]


def objects_v1(bucket: str, listing: Listing, marker: str, page: ListPage, owner: Owner) -> bytes:
    """Write ListObjects.  NextMarker comes with a delimiter only: without, the last key serves.

    Prefix is never URL-encoded here, whatever AWS's page says: botocore decodes every other element of this listing.
    """
    encode = listing.encode
    return xml.document(
        "ListBucketResult",
        [
            ("Name", bucket),
            ("Prefix", xml.printable(listing.prefix)),
            ("Marker", encode(marker)),
            ("NextMarker", encode(page.last)) if page.truncated and listing.delimiter else None,
            ("MaxKeys", listing.limit),
            *_shared(listing),
            ("IsTruncated", page.truncated),
            *_object_rows(page, encode, owner),
            *_prefix_rows(page.prefixes, encode),
        ],
    )


def objects_v2(
    bucket: str, listing: Listing, token: str | None, start_after: str | None, page: ListPage, owner: Owner | None
) -> bytes:
    """Write ListObjectsV2; ``owner`` where fetch-owner asked for it, ``token`` and ``start_after`` as sent."""
    encode = listing.encode
    return xml.document(
        "ListBucketResult",
        [
            ("Name", bucket),
            ("Prefix", encode(listing.prefix)),
            ("ContinuationToken", token) if token is not None else None,
            ("NextContinuationToken", make_token(page.last)) if page.truncated else None,
            ("StartAfter", encode(start_after)) if start_after is not None else None,
            ("KeyCount", len(page.objects) + len(page.prefixes)),
            ("MaxKeys", listing.limit),
            *_shared(listing),
            ("IsTruncated", page.truncated),
            *_object_rows(page, encode, owner),
            *_prefix_rows(page.prefixes, encode),
        ],
    )


def object_versions(
    bucket: str, listing: Listing, key_marker: str, version_id_marker: str, page: ListPage, owner: Owner
) -> bytes:
    """Write ListObjectVersions of a bucket that never had versioning: each object is its own ``null`` version."""
    encode = listing.encode
    ends_with_key = bool(page.objects) and page.objects[-1].key == page.last
    versions: list[xml.Node] = [
        (
            "Version",
            (
                ("Key", encode(row.key)),
                ("VersionId", "null"),
                ("IsLatest", True),
                ("LastModified", iso_date(row.last_modified)),
                ("ETag", f'"{row.etag}"'),
                xml.Markup(_checksums(row)),
                ("Size", row.size),
                ("StorageClass", row.storage_class),
                _owner("Owner", row.owner or owner),
            ),
        )
        for row in page.objects
    ]
    return xml.document(
        "ListVersionsResult",
        [
            ("Name", bucket),
            ("Prefix", encode(listing.prefix)),
            ("KeyMarker", encode(key_marker)),
            ("VersionIdMarker", version_id_marker),
            ("NextKeyMarker", encode(page.last)) if page.truncated else None,
            ("NextVersionIdMarker", "null") if page.truncated and ends_with_key else None,
            ("MaxKeys", listing.limit),
            *_shared(listing),
            ("IsTruncated", page.truncated),
            *versions,
            *_prefix_rows(page.prefixes, encode),
        ],
    )


def multipart_uploads(bucket: str, listing: Listing, key_marker: str, upload_id_marker: str, page: UploadPage) -> bytes:
    """Write ListMultipartUploads; whoever began an upload owns what will come of it."""
    encode = listing.encode
    uploads: list[xml.Node] = [
        (
            "Upload",
            (
                ("Key", encode(row.key)),
                ("UploadId", row.upload_id),
                _owner("Initiator", row.owner),
                _owner("Owner", row.owner),
                ("StorageClass", row.storage_class),
                ("Initiated", iso_date(row.initiated)),
                ("ChecksumAlgorithm", row.checksum_algorithm) if row.checksum_algorithm else None,
                ("ChecksumType", row.checksum_type) if row.checksum_type else None,
            ),
        )
        for row in page.uploads
    ]
    return xml.document(
        "ListMultipartUploadsResult",
        [
            ("Bucket", bucket),
            ("KeyMarker", encode(key_marker)),
            ("UploadIdMarker", upload_id_marker),
            ("NextKeyMarker", encode(page.next_key)) if page.truncated else None,
            ("NextUploadIdMarker", page.next_upload_id) if page.truncated else None,
            ("Prefix", encode(listing.prefix)),
            ("MaxUploads", listing.limit),
            *_shared(listing),
            ("IsTruncated", page.truncated),
            *uploads,
            *_prefix_rows(page.prefixes, encode),
        ],
    )


def parts(bucket: str, upload: Upload, after: int, limit: int, page: PartPage) -> bytes:
    """Write ListParts; ``after`` is the part-number-marker."""
    rows: list[xml.Node] = [
        (
            "Part",
            (
                ("PartNumber", part.number),
                ("LastModified", iso_date(part.last_modified)),
                ("ETag", f'"{part.etag}"'),
                ("Size", part.size),
                *checksum_elements(part.checksums),
            ),
        )
        for part in page.parts
    ]
    return xml.document(
        "ListPartsResult",
        [
            ("Bucket", bucket),
            ("Key", xml.printable(upload.key)),
            ("UploadId", upload.upload_id),
            ("PartNumberMarker", after),
            ("NextPartNumberMarker", page.parts[-1].number if page.parts else 0),
            ("MaxParts", limit),
            ("IsTruncated", page.truncated),
            *rows,
            _owner("Initiator", upload.owner),
            _owner("Owner", upload.owner),
            ("StorageClass", upload.attributes.storage_class),
            ("ChecksumAlgorithm", upload.checksum_algorithm) if upload.checksum_algorithm else None,
            ("ChecksumType", upload.checksum_type) if upload.checksum_type else None,
        ],
    )
