"""Who sent a request, how its body is vouched for, and whether they may do what they ask.

Rules: the only module that knows all forms of authentication; each form's syntax and arithmetic is in ``sigv4`` and
``sigv2``, secrets are with the driver.  Anonymous is an identity without principal and goes the same way: CheckAccess
decides.  Nothing is asked before the claim is well-formed and within its dates.

Follows "Authenticating Requests (AWS Signature Version 4)", "Signing and Authenticating REST Requests (AWS signature
version 2)", "Verifying bucket ownership with bucket owner condition", "Browser-Based Uploads Using POST".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol, TypeVar

from s3proto import acl, form, post_form, post_policy, sigv2, sigv4
from s3proto.body import body_is_declared
from s3proto.bucket_policy import PER_KEY
from s3proto.checksums import ALGORITHMS
from s3proto.commands import CheckAccess, LookupSigningKey, ReceiveForm, SignV2, Steps
from s3proto.context import Context
from s3proto.errors import (
    AccessDenied,
    InvalidAccessKeyId,
    InvalidArgument,
    InvalidPolicyDocument,
    InvalidToken,
    MissingContentLength,
    NoSuchKey,
    S3Error,
)
from s3proto.form import FormDecoder
from s3proto.http import Headers, RequestHead, remembered
from s3proto.model import Access, ObjectAttributes, ObjectInfo, OpenedObject, Principal
from s3proto.names import Target, parse_copy_source, parse_query
from s3proto.policy import CONDITION_KEYS, resource_name
from s3proto.post_form import PostForm
from s3proto.sigv4 import ChunkSeed, PayloadKind, PayloadSpec, payload_kind
from s3proto.tagging import HEADER

Found = TypeVar("Found", ObjectInfo, OpenedObject)
Seen = TypeVar("Seen", covariant=True)

_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Identity:
    """The outcome of authentication."""

    principal: Principal | None
    """None for anonymous."""
    payload: PayloadSpec
    head: RequestHead
    """The head that was signed; a presigned URL's x-amz-* parameters are headers here, as AWS takes them.

    A form's fields are headers, too.
    """
    form: PostForm | None = None
    """What is uploaded by a browser's form; None for every other request."""


def authenticate(head: RequestHead, target: Target, context: Context) -> Steps[Identity]:
    """Verify the request's signature, whichever form it has, or find it anonymous.

    Raises InvalidAccessKeyId, SignatureDoesNotMatch, InvalidToken, InvalidArgument, and what the parsers of ``sigv4``
    and ``sigv2`` raise.
    """
    settings, now = context.settings, context.now
    known: tuple[Headers | None, sigv4.Claim] | None = head.memo.get("claim")
    if known is not None:
        hoisted, claim = known
        signed = head if hoisted is None else replace(head, headers=hoisted)
        return (yield from _verify_v4(head, signed, claim, context))
    pairs = parse_query(head.raw_query)
    query = dict(reversed(pairs))
    authorization = head.headers.get("authorization")
    by_query_v4 = "X-Amz-Algorithm" in query or "X-Amz-Credential" in query or "X-Amz-Signature" in query
    by_query_v2 = "Signature" in query or "AWSAccessKeyId" in query
    if (authorization is not None) + by_query_v4 + by_query_v2 > 1 or len(head.headers.all("authorization")) > 1:
        raise _several_mechanisms()
    if "x-amz-security-token" in head.headers or any(name.lower() == "x-amz-security-token" for name in query):
        raise InvalidToken()

    if by_query_v4:
        claim = sigv4.parse_presigned(query, head, settings)
        return (yield from _verify_v4(head, _hoist(head, pairs), claim, context))
    if by_query_v2:
        return (yield from _verify_v2(head, _hoist(head, pairs), target, pairs, sigv2.parse_presigned(query, now)))
    if authorization is None:
        return Identity(None, _payload(head), head)
    mechanism = authorization.partition(" ")[0]
    if mechanism in (sigv4.ALGORITHM, sigv4.ALGORITHM_V4A):
        return (yield from _verify_v4(head, head, sigv4.parse_authorization(head, settings), context))
    if mechanism == "AWS":
        claim_v2 = sigv2.parse_authorization(head, settings, now)
        return (yield from _verify_v2(head, head, target, pairs, claim_v2))
    if not authorization:
        raise AccessDenied()
    raise InvalidArgument("Unsupported Authorization Type", ArgumentName="Authorization", ArgumentValue=mechanism)


def _verify_v4(head: RequestHead, hoisted: RequestHead, claim: sigv4.Claim, context: Context) -> Steps[Identity]:
    # Never a head in its own memo: nothing but a collection of cycles would free it.
    head.memo["claim"] = None if hoisted is head else hoisted.headers, claim
    sigv4.check_dates(claim, context.settings, context.now)
    signing = yield from LookupSigningKey(claim.access_key_id, claim.date, claim.region, sigv4.SERVICE)
    if signing is None:
        raise InvalidAccessKeyId(AWSAccessKeyId=claim.access_key_id)
    sigv4.verify(head, claim, signing.key)
    seed = ChunkSeed(signing.key, claim.amz_date, claim.scope, claim.signature)
    return Identity(signing.principal, _payload(head, claim.payload_hash, seed), hoisted)


def _verify_v2(
    head: RequestHead, hoisted: RequestHead, target: Target, query: list[tuple[str, str]], claim: sigv2.Claim
) -> Steps[Identity]:
    to_sign = b""
    for to_sign in sigv2.strings_to_sign(head, target, query, claim):
        signed = yield from SignV2(claim.access_key_id, to_sign)
        if signed is None:
            raise InvalidAccessKeyId(AWSAccessKeyId=claim.access_key_id)
        if sigv2.matches(claim, signed.signature):
            return Identity(signed.principal, _payload(head), hoisted)
    raise sigv2.mismatch(claim, to_sign)


def _several_mechanisms() -> InvalidArgument:
    return InvalidArgument(
        "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string "
        "parameter or the Authorization header should be specified",
        ArgumentName="Authorization",
    )


def authenticate_form(head: RequestHead, bucket: str, context: Context) -> Steps[Identity]:
    """Receive the fields of a browser's form; verify its policy and what that says of them, or find it anonymous.

    Raises PreconditionFailed (no form), what FormDecoder raises, InvalidArgument (a field is missing),
    InvalidAccessKeyId, SignatureDoesNotMatch, InvalidPolicyDocument, AccessDenied.
    """
    if "authorization" in head.headers:
        raise _several_mechanisms()
    decoder = FormDecoder(form.boundary(head.headers.get("content-type")))
    if not body_is_declared(head):
        raise MissingContentLength()
    yield from ReceiveForm(decoder)
    fields = post_form.expanded(decoder.fields, decoder.filename)
    key = post_form.key_of(fields)
    principal, smallest, largest = None, 0, None
    if not fields.keys().isdisjoint(_SIGNED_FORM):
        principal = yield from _signer(fields, head, context)
        policy = post_policy.parse(fields["policy"])
        post_policy.check(policy, fields, bucket, context.now)
        smallest, largest = policy.smallest, policy.largest
    meant = replace(head, headers=post_form.headers_of(fields, head.headers), memo={})  # the next form has others
    opened = PostForm(fields, key, decoder.boundary, decoder.begun, smallest, largest)
    return Identity(principal, PayloadSpec(), meant, opened)


_SIGNED_FORM = ("policy", *sigv4.FORM_FIELDS, *sigv2.FORM_FIELDS)


def _signer(fields: Mapping[str, str], head: RequestHead, context: Context) -> Steps[Principal]:
    """Verify the signature of a form's policy, whichever form it has."""
    if "x-amz-security-token" in fields:
        raise InvalidToken()
    v4, v2 = (not fields.keys().isdisjoint(names) for names in (sigv4.FORM_FIELDS, sigv2.FORM_FIELDS))
    if v4 and v2:
        raise _several_mechanisms()
    policy = post_form.required(fields, "policy")
    for name in sigv4.FORM_FIELDS if v4 else sigv2.FORM_FIELDS:
        post_form.required(fields, name)
    if not policy.isascii():
        raise InvalidPolicyDocument()
    if v4:
        claim = sigv4.parse_form(fields, head, context.settings)
        signing = yield from LookupSigningKey(claim.access_key_id, claim.date, claim.region, sigv4.SERVICE)
        if signing is None:
            raise InvalidAccessKeyId(AWSAccessKeyId=claim.access_key_id)
        sigv4.verify_policy(policy, claim, signing.key)
        return signing.principal
    to_sign = policy.encode("ascii")
    claim_v2 = sigv2.Claim(fields["awsaccesskeyid"], fields["signature"], "")
    signed = yield from SignV2(claim_v2.access_key_id, to_sign)
    if signed is None:
        raise InvalidAccessKeyId(AWSAccessKeyId=claim_v2.access_key_id)
    if not sigv2.matches(claim_v2, signed.signature):
        raise sigv2.mismatch(claim_v2, to_sign)
    return signed.principal


def _payload(head: RequestHead, payload_hash: str | None = None, seed: ChunkSeed | None = None) -> PayloadSpec:
    """Tell the form of the body; without a SigV4 claim it is what the headers say, and no chunk can be signed."""
    if payload_hash is None:
        payload_hash = head.headers.get("x-amz-content-sha256") or PayloadKind.UNSIGNED.value
    kind = payload_kind(payload_hash)
    match kind:
        case PayloadKind.HASHED:
            return PayloadSpec(kind, sha256=payload_hash)
        case PayloadKind.CHUNKS | PayloadKind.CHUNKS_TRAILER:
            if seed is None:
                raise AccessDenied("Signed chunks need a request signed with signature version 4")
            return PayloadSpec(kind, seed=seed)
        case PayloadKind.UNSIGNED if _is_aws_chunked(head):
            # botocore, when it signs with version 2 or not at all, sends trailers and says so only like this.
            return PayloadSpec(PayloadKind.UNSIGNED_TRAILER)
    return PayloadSpec(kind)


def _is_aws_chunked(head: RequestHead) -> bool:
    if "x-amz-decoded-content-length" not in head.headers:
        return False
    codings = (head.headers.joined("content-encoding") or "").lower().split(",")
    return "aws-chunked" in [name.strip(" \t") for name in codings]


_NOT_HOISTED = frozenset(
    f"x-amz-{name}" for name in "algorithm credential date expires signature signedheaders content-sha256".split()
) | frozenset({"x-amz-sdk-checksum-algorithm", *(row.header for row in ALGORITHMS.values())})
"""Checksums: AWS does not look at them, for SDKs sign that of an empty body when they do not have the real one."""


def _hoist(head: RequestHead, query: list[tuple[str, str]]) -> RequestHead:
    """Make headers of a presigned URL's x-amz-* parameters; a header that was sent wins."""
    hoisted = [
        (name.lower(), value.encode("utf-8").decode("latin-1"))
        for name, value in query
        if name[:6].lower() == "x-amz-" and name.lower() not in _NOT_HOISTED and name.lower() not in head.headers
    ]
    return replace(head, headers=Headers([*head.headers, *hoisted])) if hoisted else head


def authorize(
    identity: Identity,
    action: str,
    bucket: str | None = None,
    key: str | None = None,
    *,
    owner_header: str = "x-amz-expected-bucket-owner",
    tags: bool = False,
    said: Mapping[str, str] = _NOTHING,
) -> Steps[Access]:
    """Require that the sender may do ``action`` (``s3:GetObject``), for OBJECT as far as the object itself lets him.

    ``owner_header`` names the header with the expected owner of ``bucket`` (a copy's source has its own).  ``tags``:
    s3:PutObject gives tags, though no header does.  ``said``: what conditions of policies are about and
    the request does not say, or says of something else.

    Raises AccessDenied, NoSuchBucket.
    """
    headers = identity.head.headers
    besides = tuple(each for name, each in _BESIDES.get(action, ()) if headers.get(name) or tags and name == HEADER)
    if not (bucket and key is None and action in PER_KEY):
        for each in (action, *besides):
            if not permitted(identity, each, bucket, key, said):
                raise AccessDenied()
    access = yield from CheckAccess(
        identity.principal,
        action,
        bucket,
        key,
        headers.get(owner_header),
        besides,
        cache(lambda: _condition_values(identity, said)),
    )
    if access is Access.DENIED:
        raise AccessDenied()
    return access


def of_version(action: str, version_id: str | None) -> str:
    """The action that IAM has for a named version of an object (``s3:GetObjectVersionAcl``)."""
    return action if version_id is None else action.replace("Object", "ObjectVersion")


_BESIDES = {
    "s3:PutObject": (("x-amz-acl", "s3:PutObjectAcl"), (HEADER, "s3:PutObjectTagging")),
    "s3:CreateBucket": (("x-amz-acl", "s3:PutBucketAcl"),),
    "s3:GetObjectAttributes": (("x-amz-object-attributes", "s3:GetObject"),),
    "s3:GetObjectVersionAttributes": (("x-amz-object-attributes", "s3:GetObjectVersion"),),
}
"""What a header that is not empty asks for besides."""


def permitted(
    identity: Identity, action: str, bucket: str | None, key: str | None, said: Mapping[str, str] = _NOTHING
) -> bool:
    """Tell whether the policy of the key that signed lets it do ``action``; true where it has none."""
    principal = identity.principal
    if principal is None or (policy := principal.policy) is None:
        return True
    values = cache(lambda: _condition_values(identity, said))
    return policy.allows(action, resource_name(bucket, key), principal.owner.display_name, values)


def _condition_values(identity: Identity, said: Mapping[str, str]) -> dict[str, str]:
    """What conditions of policies are about (``policy.CONDITION_KEYS``), as far as the request says it."""
    head = identity.head
    owner = None if identity.principal is None else identity.principal.owner
    query = remembered(head, "query", lambda: dict(reversed(parse_query(head.raw_query))))
    found: dict[str, str | None] = {
        "aws:securetransport": "true" if head.secure else "false",
        "aws:username": None if owner is None else owner.display_name,
        "aws:userid": None if owner is None else owner.id,
        "aws:referer": head.headers.get("referer"),
        "aws:useragent": head.headers.get("user-agent"),
        "s3:versionid": query.get("versionId"),
    }
    for name in CONDITION_KEYS.difference(found):
        plain = name.removeprefix("s3:")
        found[name] = head.headers.get(plain) if plain.startswith("x-amz-") else query.get(plain)
    if (source := found["s3:x-amz-copy-source"]) is not None:
        with suppress(S3Error):  # the operation refuses it
            bucket, key, version_id = parse_copy_source(source)
            found["s3:x-amz-copy-source"] = f"{bucket}/{key}" + (f"?versionId={version_id}" if version_id else "")
    found.update(said)
    return {name: value for name, value in found.items() if value is not None}


class _Look(Protocol[Seen]):
    """A command about one key that raises NoSuchKey."""

    @property
    def key(self) -> str: ...

    def __iter__(self) -> Steps[Seen]: ...


def reading(
    identity: Identity,
    access: Access,
    bucket: str,
    look: _Look[Found],
    lets: Callable[[Principal | None, ObjectAttributes], bool] = acl.may_read,
) -> Steps[Found]:
    """Look an object up or open it, for somebody with ``access`` to it, and answer it if it ``lets`` him.

    The version that was found is the one that is asked, so nobody reads by the ACL of another one.  Raises AccessDenied
    and what the command raises.
    """
    found = yield from looking(identity, access, bucket, look)
    info = found.info if isinstance(found, OpenedObject) else found
    if access is Access.OBJECT and not lets(identity.principal, info.attributes):
        raise AccessDenied()
    return found


def looking(identity: Identity, access: Access, bucket: str, look: _Look[Seen]) -> Steps[Seen]:
    """Answer what the command does; that an object is missing is told only to those who may list its name.

    Raises AccessDenied and what the command raises.
    """
    try:
        return (yield from look)
    except NoSuchKey:
        said = {"s3:prefix": look.key}
        if access is not Access.OWNER or not permitted(identity, "s3:ListBucket", bucket, None, said):
            yield from authorize(identity, "s3:ListBucket", bucket, said=said)
        raise
