"""The core under any input: requests that nobody would send, answers that any store could give.

What must hold: serve() ends with one well-formed Response or asks a command; nothing touches the store before
CheckAccess said yes; no exception but the driver's own comes out.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from s3proto import commands, errors, model
from s3proto.acl import BUCKET_ACLS, OBJECT_ACLS
from s3proto.bucket_policy import LOCKED
from s3proto.commands import AllowEarlyHead, CheckAccess, Command, LookupSigningKey, ReceiveForm, SignV2
from s3proto.form import FormDecoder
from s3proto.http import Headers, Response, Span
from s3proto.operations import BUCKET, OBJECT, OPERATIONS, SERVICE, SUB_RESOURCES, Resource, resolve
from s3proto.protocol import serve
from tests.drive import run
from tests.form_kit import CONTENT_TYPE, encode, sign_v4
from tests.s3_requests import CONTEXT, KEY, OWNER, head, signed
from tests.strategies import cors_rules

METHODS = st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "X"])
LATIN_1 = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20)
NUMBERS = st.sampled_from(["", "0", "1", "2", "10000", "10001", "-1", "x", "9" * 30])
# A listing of keys that XML cannot carry is not XML 1.0, as on AWS: docs/supported-s3.md.
XML_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=8)
VALUES = NUMBERS | LATIN_1 | st.sampled_from(["*", '"e"', "url", "ENABLED", "true", "CRC32", "bucket/key", "COPY"])
DECORATIONS = st.sampled_from(
    "prefix delimiter marker max-keys continuation-token key-marker version-id-marker max-parts max-uploads"
    " part-number-marker encoding-type response-expires start-after fetch-owner upload-id-marker x-id".split()
)
PARAMETERS = st.sampled_from([*sorted(SUB_RESOURCES), "X-Amz-Signature", "Signature"]) | DECORATIONS
MD5_OF_ZEROS = "AAAAAAAAAAAAAAAAAAAAAA=="
NAMES = st.sampled_from(
    "range if-match if-none-match if-modified-since if-range content-length content-md5 x-amz-checksum-crc32"
    " x-amz-trailer x-amz-sdk-checksum-algorithm x-amz-checksum-algorithm x-amz-checksum-type x-amz-checksum-mode"
    " x-amz-copy-source x-amz-copy-source-range x-amz-copy-source-if-match x-amz-metadata-directive x-amz-meta-m"
    " x-amz-object-attributes x-amz-max-parts x-amz-acl x-amz-storage-class x-amz-mp-object-size"
    " x-amz-if-match-size x-amz-if-match-last-modified-time content-encoding transfer-encoding x-amz-tagging"
    " x-amz-bucket-object-lock-enabled x-amz-expected-bucket-owner origin access-control-request-method"
    " access-control-request-headers".split()
)
PATHS = st.sampled_from(["/", "/bucket", "/bucket/", "/bucket/key", "/bucket/a%20b//c"]) | LATIN_1.map("/{}".format)


HEADERS = st.dictionaries(NAMES, VALUES | NUMBERS, max_size=3)
Asked = tuple[str, str, dict[str, str]]


@st.composite
def wild(draw: st.DrawFn) -> Asked:
    """A request that means nothing in particular."""
    pairs = draw(st.lists(st.tuples(PARAMETERS, VALUES), max_size=3))
    query = "&".join(f"{name}={quote(value)}" for name, value in pairs)
    return draw(METHODS), draw(PATHS).replace("?", "%3F") + (f"?{query}" if query else ""), draw(HEADERS)


@st.composite
def meant(draw: st.DrawFn) -> Asked:
    """A request for one of the operations, decorated with what may be wrong for it."""
    row = draw(st.sampled_from(OPERATIONS))
    query = draw(st.dictionaries(st.sampled_from([*row.accepts, "x-id"]) | DECORATIONS, VALUES, max_size=2))
    for condition in row.query:
        name, _, value = condition.partition("=")
        query[name] = value or "1"
    path = {SERVICE: "/", BUCKET: "/bucket", OBJECT: "/bucket/a%20b//c"}[row.resource]
    headers = {
        "content-length": "3",
        "content-md5": MD5_OF_ZEROS,
        "x-amz-object-attributes": "ETag,Checksum,ObjectParts",
    }
    headers |= {row.header: "bucket/key"} if row.header else {}
    headers |= {"content-type": CONTENT_TYPE} if row.name == "PostObject" else {}
    text = "&".join(f"{name}={quote(value)}" for name, value in query.items())
    return row.method, f"{path}?{text}", headers | (draw(HEADERS) if draw(st.booleans()) else {})


# ------------------------------------------------------------------------------------------------ answers

STRANGER = model.Owner("b" * 64, "bob")
SIZES = st.integers(0, 2**50)
TIMES = st.floats(0, 4e9)
HEX = st.text("0123456789abcdef", min_size=32, max_size=32)
SUMS = st.sampled_from([(), (("CRC32", "AAAAAA=="),), (("SHA256", "x-2"),)])
CHECKSUMS = st.builds(model.Checksums, SUMS, st.sampled_from([None, "FULL_OBJECT", "COMPOSITE"]))
ATTRIBUTES = st.builds(
    model.ObjectAttributes,
    st.none() | st.text(max_size=5),
    st.lists(st.tuples(st.sampled_from(["expires", "cache-control", "other"]), st.text(max_size=5)), max_size=2).map(
        tuple
    ),
    st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=2).map(tuple),
    st.sampled_from(["STANDARD", "GLACIER"]),
    st.sampled_from(OBJECT_ACLS),
    st.sampled_from([None, OWNER, STRANGER]),
)
PARTS = st.builds(model.Part, st.integers(1, 10_000), SIZES, HEX, TIMES, SUMS, st.just("id"))
PART_TUPLES = st.lists(PARTS, max_size=3, unique_by=lambda part: part.number).map(lambda p: tuple(sorted(p)))
INFOS = st.builds(
    model.ObjectInfo, XML_TEXT, SIZES, HEX, TIMES, ATTRIBUTES, CHECKSUMS, st.none(), st.none() | PART_TUPLES
)
REGIONS = st.sampled_from(["us-east-1", "eu-west-1"])
BUCKETS = st.builds(model.BucketInfo, st.just("bucket"), TIMES, st.just(OWNER), REGIONS, st.sampled_from(BUCKET_ACLS))
UPLOADS = st.builds(
    model.Upload,
    XML_TEXT,
    st.just("id"),
    TIMES,
    st.just(OWNER),
    ATTRIBUTES,
    st.sampled_from([None, "CRC32", "SHA256", "OTHER"]),
    st.sampled_from([None, "FULL_OBJECT", "COMPOSITE"]),
    st.none() | st.builds(model.Completed, HEX, CHECKSUMS, HEX),
)
CLASSES = st.sampled_from(["STANDARD", "GLACIER"])
ROWS = st.builds(
    model.ObjectRow,
    XML_TEXT,
    SIZES,
    HEX,
    TIMES,
    CLASSES,
    st.sampled_from([(), ("CRC32",)]),
    st.none(),
    st.sampled_from([None, STRANGER]),
)
DIGESTS = {"md5": bytes(16), "sha256": bytes(32), "sha1": bytes(20), "crc32": bytes(4), "crc32c": bytes(4)}
DIGESTS["crc64nvme"] = bytes(8)
DOCUMENTS = st.binary(max_size=20) | st.sampled_from(
    [
        b"<Delete><Object><Key>k</Key></Object></Delete>",
        b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part></CompleteMultipartUpload>",
        b"<CreateBucketConfiguration/>",
        b"<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule>"
        b"</CORSConfiguration>",
        b"<AccessControlPolicy><Owner><ID>"
        + OWNER.id.encode()
        + b"</ID></Owner><AccessControlList><Grant><Grantee><ID>"
        + OWNER.id.encode()
        + b"</ID></Grantee><Permission>FULL_CONTROL</Permission></Grant></AccessControlList></AccessControlPolicy>",
    ]
)


FORM_NAMES = st.sampled_from(
    "key acl Content-Type x-amz-meta-m x-amz-storage-class x-amz-checksum-crc32 tagging policy signature AWSAccessKeyId"
    " success_action_redirect success_action_status x-amz-date x-amz-server-side-encryption".split()
)
FORM_VALUES = (
    VALUES | XML_TEXT | st.sampled_from(["k/${filename}", "private", "http://h/p?q#f", "200", "201", "AAAAAA=="])
)


@st.composite
def forms(draw: st.DrawFn) -> bytes:
    """A form, signed or not, that may mean anything."""
    fields = {"key": "k"} | draw(st.dictionaries(FORM_NAMES, FORM_VALUES, max_size=4))
    if draw(st.booleans()):
        fields = sign_v4(fields, "bucket", KEY.key)
    return encode(fields, b"abc") if draw(st.integers(0, 9)) else draw(st.binary(max_size=20))


def fed(decoder: FormDecoder, body: bytes) -> errors.S3Error | None:
    """What a driver does for ReceiveForm."""
    try:
        decoder.feed(memoryview(body))
        decoder.finish()
    except errors.S3Error as error:
        return error
    return None


CORS_RULES = st.lists(cors_rules(), max_size=2).map(tuple)


def pages(rows: st.SearchStrategy[Any], page: Callable[..., Any]) -> st.SearchStrategy[Any]:
    prefixes = st.lists(XML_TEXT, max_size=2).map(tuple)
    return st.builds(page, st.lists(rows, max_size=3).map(tuple), prefixes, st.booleans(), XML_TEXT)


ERRORS = st.sampled_from(
    [errors.NoSuchKey, errors.NoSuchBucket, errors.PreconditionFailed, errors.SlowDown, errors.IncompleteBody]
)
ANSWERS: dict[type[Command[Any]], st.SearchStrategy[Any]] = {
    LookupSigningKey: st.sampled_from([KEY, KEY, KEY, None]),
    SignV2: st.none(),
    CheckAccess: st.sampled_from(model.Access),
    AllowEarlyHead: st.none(),
    commands.ReceiveBody: st.builds(model.Received, st.just("content"), SIZES, st.just(DIGESTS)),
    ReceiveForm: forms(),
    commands.ReceiveDocument: st.builds(model.Document, DOCUMENTS, st.just(DIGESTS)),
    commands.ListBuckets: st.builds(model.BucketPage, st.lists(BUCKETS, max_size=2).map(tuple), st.booleans()),
    commands.CreateBucket: BUCKETS,
    commands.HeadBucket: BUCKETS,
    commands.PutBucketAcl: st.none(),
    commands.GetBucketTagging: st.sampled_from([(), (("k", "v"),)]),
    commands.PutBucketTagging: st.none(),
    commands.GetBucketPolicy: st.sampled_from([None, LOCKED]),
    commands.PutBucketPolicy: st.none(),
    commands.PutObjectTagging: st.none(),
    commands.GetBucketCors: CORS_RULES,
    commands.PutBucketCors: st.none(),
    commands.DeleteBucket: st.none(),
    commands.ListObjects: pages(ROWS, model.ListPage),
    commands.HeadObject: INFOS,
    commands.OpenObject: st.builds(model.OpenedObject, INFOS, st.just("content")),
    commands.PutObject: INFOS,
    commands.PutObjectAcl: st.none(),
    commands.CopyObject: INFOS,
    commands.DeleteObject: st.builds(model.DeleteResult, XML_TEXT, st.none() | st.text(max_size=3), st.none()),
    commands.DeleteObjects: st.lists(
        st.builds(model.DeleteResult, XML_TEXT, st.none() | XML_TEXT, st.none() | ERRORS.map(lambda error: error())),
        max_size=2,
    ).map(tuple),
    commands.CreateMultipartUpload: st.just("id"),
    commands.HeadUpload: UPLOADS,
    commands.UploadPart: PARTS,
    commands.UploadPartCopy: PARTS,
    commands.ListParts: st.builds(model.PartPage, PART_TUPLES, st.booleans()),
    commands.ListMultipartUploads: pages(
        st.builds(model.UploadRow, XML_TEXT, st.just("id"), TIMES, st.just(OWNER), CLASSES, st.none(), st.none()),
        model.UploadPage,
    ),
    commands.CompleteMultipartUpload: INFOS,
    commands.AbortMultipartUpload: st.none(),
}
BEFORE_ACCESS = (LookupSigningKey, SignV2, CheckAccess, ReceiveForm, commands.GetBucketCors)


def test_every_command_has_answers() -> None:
    found = {value for value in vars(commands).values() if isinstance(value, type) and issubclass(value, Command)}
    assert ANSWERS.keys() == found - {Command}


def check(response: Response, method: str) -> None:
    assert 200 <= response.status < 600
    for name, value in response.headers:
        assert name and not set(name) - set(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~")
        assert not any(c < " " and c != "\t" or c == "\x7f" for c in value) and value.encode("latin-1") is not None
    if isinstance(response.body, Span):
        assert method == "GET" and response.body.length >= 0 <= response.body.first
    elif response.body and dict(response.headers).get("Content-Type") == "application/json":
        json.loads(response.body)
    elif response.body:
        ElementTree.fromstring(response.body)
        assert method != "HEAD" and response.status != 304
    if response.status >= 300 and response.status != 303:  # where a form has somebody sent
        assert response.error_code


@settings(max_examples=400, deadline=None)
@given(wild() | meant() | meant(), st.sampled_from([True, True, True, False]), st.data())
def test_any_request_and_any_answers_give_one_response(asked: Asked, is_signed: bool, data: st.DataObject) -> None:
    allowed = False

    def answer(command: Command[Any]) -> object:
        nonlocal allowed
        assert allowed or isinstance(command, BEFORE_ACCESS), f"{command!r} before access"
        if data.draw(st.integers(0, 9)) == 9:
            return data.draw(ERRORS)()
        reply = data.draw(ANSWERS[type(command)])
        if isinstance(command, ReceiveForm):
            return fed(command.decoder, reply)
        if isinstance(command, CheckAccess):
            allowed = reply is not model.Access.DENIED
        return reply

    check(run(serve((signed if is_signed else head)(*asked), CONTEXT), answer), asked[0])


@settings(max_examples=300, deadline=None)
@given(METHODS, st.sampled_from(Resource), st.dictionaries(PARAMETERS, VALUES, max_size=4), HEADERS)
def test_any_method_target_and_headers_give_an_operation_or_an_error(
    method: str, resource: Resource, query: dict[str, str], headers: dict[str, str]
) -> None:
    try:
        operation = resolve(method, resource, query, Headers(headers.items()))
    except errors.MethodNotAllowed:
        return
    named = {condition.partition("=")[0] for condition in operation.query} | set(operation.accepts)
    assert operation.name == "NotImplemented" or SUB_RESOURCES.intersection(query) <= named
