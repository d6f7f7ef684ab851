"""Requests for tests of the core: heads, signed heads, requests as operations see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from xml.etree import ElementTree

from s3proto import sigv4
from s3proto.auth import Identity
from s3proto.context import Context, Settings
from s3proto.http import Headers, RequestHead, Response
from s3proto.model import Access, BucketInfo, ObjectAttributes, ObjectInfo, OpenedObject, Owner, Principal, SigningKey
from s3proto.names import parse_query, parse_target
from s3proto.operations import BUCKET, OBJECT, SERVICE, resolve
from s3proto.request import S3Request
from s3proto.sigv4 import PayloadSpec
from tests.drive import Step, drive

NOW = 1_700_000_000.0
OWNER = Owner("a" * 64, "alice")
PRINCIPAL = Principal(OWNER, "AKIAEXAMPLE")
KEY = SigningKey(b"\x01" * 32, PRINCIPAL)
CONTEXT = Context(NOW, "0123456789ABCDEF", "host-id")
BUCKET_INFO = BucketInfo("bucket", NOW, OWNER)
MD5 = "d41d8cd98f00b204e9800998ecf8427e"


def head(method: str, target: str, headers: Mapping[str, str] | None = None) -> RequestHead:
    return RequestHead(method, target, Headers([("host", "s3.example"), *(headers or {}).items()]))


def signed(
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    context: Context = CONTEXT,
    key: SigningKey = KEY,
) -> RequestHead:
    """A head with a signature of version 4 that ``key`` made."""
    date = "20231114T221320Z"  # NOW
    items = {"host": "s3.example", "x-amz-date": date, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"} | dict(headers or {})
    names = ";".join(sorted(items))
    scope = f"{date[:8]}/{context.settings.region}/s3/aws4_request"
    claim = sigv4.Claim(
        "AKIAEXAMPLE", date[:8], context.settings.region, date, names, "", items["x-amz-content-sha256"], NOW
    )
    unsigned = RequestHead(method, target, Headers(items.items()))
    signature = sigv4.sign(key.key, sigv4.string_to_sign(claim, sigv4.canonical_request(unsigned, claim)))
    authorization = f"AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/{scope}, SignedHeaders={names}, Signature={signature}"
    return RequestHead(method, target, Headers([*items.items(), ("authorization", authorization)]))


def request(
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    *,
    settings: Settings | None = None,
    principal: Principal | None = PRINCIPAL,
    access: Access = Access.OWNER,
) -> S3Request:
    """An authenticated request of somebody with ``access``."""
    asked = head(method, target, headers)
    context = Context(NOW, CONTEXT.request_id, CONTEXT.host_id, settings or Settings())
    found = parse_target(asked, context.settings)
    query = dict(reversed(parse_query(asked.raw_query)))
    return S3Request(
        asked, found.bucket or "", found.key or "", query, Identity(principal, PayloadSpec(), asked), access, context
    )


def call(
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    script: Iterable[Step] = (),
    *,
    settings: Settings | None = None,
    principal: Principal | None = PRINCIPAL,
    access: Access = Access.OWNER,
) -> Response:
    """Resolve an authenticated request and drive its operation by ``script``; S3Errors come out."""
    asked = request(method, target, headers, settings=settings, principal=principal, access=access)
    resource = OBJECT if asked.key else BUCKET if asked.bucket else SERVICE
    return drive(resolve(method, resource, asked.query, asked.headers).run(asked), script)


def info(key: str = "key", size: int = 10, **changes: object) -> ObjectInfo:
    values: dict[str, object] = {"etag": MD5, "last_modified": NOW, "attributes": ObjectAttributes("text/plain")}
    return ObjectInfo(key, size, **(values | changes))  # type: ignore[arg-type]


def opened(key: str = "key", size: int = 10, **changes: object) -> OpenedObject:
    return OpenedObject(info(key, size, **changes), content="handle")


def tree(response: Response) -> ElementTree.Element:
    """The body as XML, namespaces dropped."""
    assert isinstance(response.body, bytes)
    root = ElementTree.fromstring(response.body)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def texts(response: Response, path: str) -> list[str]:
    """The texts of all elements at ``path`` below the root."""
    return [element.text or "" for element in tree(response).findall(path)]
