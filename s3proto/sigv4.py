"""Signature Version 4: the header form, the presigned form, and the signatures of chunks and trailers.

Rules: pure.  Secrets never come here, only keys derived for one day, region and service; signatures are compared in
constant time; whatever a client sent wrong is an S3Error with AWS's code and words.

How it works: ``parse_authorization``, ``parse_presigned`` or ``parse_form`` turns what was sent into a Claim (syntax,
scope, dates all checked), the driver finds the key of the claim's scope, ``verify`` compares.  The canonical request is
made from the target exactly as sent: decoded and encoded once, never twice (S3 differs from other services here).

Follows "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)", "... Using Query
Parameters", "Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks",
"... Including Trailing Headers", "Authenticating Requests in Browser-Based Uploads Using POST".  Left out: SigV4A
(ECDSA), session tokens.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from functools import lru_cache
from hashlib import sha256
from typing import Literal
from urllib.parse import quote_from_bytes, unquote_to_bytes

from s3proto.context import Settings
from s3proto.dates import iso_date, parse_http_date, parse_iso
from s3proto.errors import (
    AccessDenied,
    AuthorizationHeaderMalformed,
    AuthorizationQueryParametersError,
    InvalidArgument,
    InvalidRequest,
    PresignedExpiresOutOfRange,
    RequestNotImplemented,
    RequestTimeTooSkewed,
    S3Error,
    SignatureDoesNotMatch,
)
from s3proto.http import RequestHead

ALGORITHM = "AWS4-HMAC-SHA256"
ALGORITHM_V4A = "AWS4-ECDSA-P256-SHA256"
SERVICE = "s3"
MAX_EXPIRES = 604_800
"""Seconds that a presigned URL may live: a week."""
FORM_FIELDS = ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature")
"""What a browser's form carries besides its policy."""
EMPTY_SHA256 = sha256(b"").hexdigest()


# ---------------------------------------------------------------------------------------------- payloads


class PayloadKind(Enum):
    """How a body is vouched for; the value is what x-amz-content-sha256 says (but for HASHED)."""

    HASHED = "(64 hexadecimal digits)"
    UNSIGNED = "UNSIGNED-PAYLOAD"
    UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    CHUNKS_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"


_KINDS = {kind.value: kind for kind in PayloadKind if kind is not PayloadKind.HASHED}
_SHA256_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ChunkSeed:
    """What the signatures of a body's chunks are chained to."""

    key: bytes = field(repr=False)
    amz_date: str
    scope: str
    signature: str
    """The request's own signature, hexadecimal."""


@dataclass(frozen=True, slots=True)
class PayloadSpec:
    """The form of a request's body, as its signer declared it."""

    kind: PayloadKind = PayloadKind.UNSIGNED
    sha256: str | None = None
    """HASHED: what the whole body must hash to, lower-case hexadecimal."""
    seed: ChunkSeed | None = None
    """CHUNKS and CHUNKS_TRAILER."""

    @property
    def aws_chunked(self) -> bool:
        """True when the body is content-coded: chunks, maybe signed, maybe followed by trailers."""
        return self.kind not in (PayloadKind.HASHED, PayloadKind.UNSIGNED)


def payload_kind(value: str) -> PayloadKind:
    """Read x-amz-content-sha256.  Raises InvalidArgument, RequestNotImplemented (SigV4A's chunks)."""
    if _SHA256_HEX.fullmatch(value):
        return PayloadKind.HASHED
    if kind := _KINDS.get(value):
        return kind
    if value.startswith("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"):
        raise RequestNotImplemented("SigV4A is not supported.", Header="x-amz-content-sha256")
    raise InvalidArgument(
        f"x-amz-content-sha256 must be {', '.join(_KINDS)} or a valid sha256 value.",
        ArgumentName="x-amz-content-sha256",
        ArgumentValue=value,
    )


# ------------------------------------------------------------------------------------------------ claims


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says about its signature; everything in it is well-formed (its dates: ``check_dates``)."""

    access_key_id: str
    date: str
    """YYYYMMDD."""
    region: str
    amz_date: str
    """YYYYMMDDTHHMMSSZ."""
    signed_headers: str
    """Lower-case names joined by semicolons, as sent."""
    signature: str
    payload_hash: str
    """Last line of the canonical request."""
    signed_at: float = 0.0
    """``amz_date`` in POSIX seconds."""
    lifetime: int | None = None
    """Seconds from then on that a presigned URL is good for; None for the header form."""

    @property
    def presigned(self) -> bool:
        return self.lifetime is not None

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{SERVICE}/aws4_request"


def check_dates(claim: Claim, settings: Settings, now: float) -> None:
    """Raise RequestTimeTooSkewed (a presigned URL: AccessDenied) unless the claim holds at ``now``, POSIX seconds."""
    if claim.lifetime is None:
        if abs(now - claim.signed_at) > settings.max_skew:
            skew = settings.max_skew * 1000
            raise RequestTimeTooSkewed(
                RequestTime=claim.amz_date, ServerTime=iso_date(now), MaxAllowedSkewMilliseconds=skew
            )
        return
    if now > claim.signed_at + claim.lifetime:
        expired = iso_date(claim.signed_at + claim.lifetime)
        fields = {"X-Amz-Expires": claim.lifetime, "Expires": expired, "ServerTime": iso_date(now)}
        raise AccessDenied("Request has expired", **fields)
    if claim.signed_at > now + settings.max_skew:
        raise AccessDenied("Request is not yet valid", **{"X-Amz-Date": claim.amz_date, "ServerTime": iso_date(now)})


def parse_authorization(head: RequestHead, settings: Settings) -> Claim:
    """Read the Authorization header.

    Raises AuthorizationHeaderMalformed, AccessDenied (no date, a header that is not signed), InvalidRequest
    (a body without x-amz-content-sha256), InvalidArgument, RequestNotImplemented.
    """
    headers = head.headers
    algorithm, _, rest = (headers.get("authorization") or "").partition(" ")
    if algorithm == ALGORITHM_V4A:
        raise RequestNotImplemented("SigV4A is not supported.", Header="Authorization")
    parts = {}
    for part in rest.split(","):
        name, _, value = part.strip(" \t").partition("=")
        parts[name] = value
    credential = parts.get("Credential")
    signed_headers = parts.get("SignedHeaders")
    signature = parts.get("Signature")
    if not (credential and signed_headers and signature):
        raise AuthorizationHeaderMalformed(
            "The authorization header is malformed; the authorization header requires three components: "
            "Credential, SignedHeaders, and Signature."
        )
    amz_date, seconds = _request_date(head)
    access_key_id, date, region = _credential(credential, amz_date, head, settings, "header")
    _check_signed_headers(head, signed_headers, AuthorizationHeaderMalformed)
    payload_hash = headers.get("x-amz-content-sha256")
    if payload_hash is None:
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            raise InvalidRequest("Missing required header for this request: x-amz-content-sha256")
        payload_hash = EMPTY_SHA256  # AWS insists on the header; curl --aws-sigv4 before 8 does not send it
    payload_kind(payload_hash)
    return Claim(access_key_id, date, region, amz_date, signed_headers, signature, payload_hash, seconds)


def _request_date(head: RequestHead) -> tuple[str, float]:
    """Return the request's time as YYYYMMDDTHHMMSSZ and in POSIX seconds."""
    text = head.headers.get("x-amz-date") or head.headers.get("date") or ""
    if (seconds := _parse_amz_date(text)) is not None:
        return text, seconds
    if (from_http := parse_http_date(text)) is not None and from_http >= 0:
        return f"{datetime.fromtimestamp(from_http, timezone.utc):%Y%m%dT%H%M%SZ}", from_http
    raise AccessDenied("AWS authentication requires a valid Date or x-amz-date header")


def _parse_amz_date(text: str) -> float | None:
    """Return the POSIX seconds of ``YYYYMMDDTHHMMSSZ``, None for anything else."""
    return parse_iso(text) if len(text) == 16 and text[8] == "T" and text[15] == "Z" else None


_PRESIGNED = ("Algorithm", "Credential", "Signature", "Date", "SignedHeaders", "Expires")


def parse_presigned(query: Mapping[str, str], head: RequestHead, settings: Settings) -> Claim:
    """Read the X-Amz-* parameters of a presigned URL; ``query`` is decoded.

    Raises AuthorizationQueryParametersError, PresignedExpiresOutOfRange, AccessDenied (a header that is not signed),
    InvalidArgument, RequestNotImplemented.
    """
    values = [query.get(f"X-Amz-{name}") for name in _PRESIGNED]
    algorithm, credential, signature, amz_date, signed_headers, expires = (value or "" for value in values)
    if not all(values):
        raise AuthorizationQueryParametersError(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
            "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
        )
    if algorithm == ALGORITHM_V4A:
        raise RequestNotImplemented("SigV4A is not supported.", QueryParameter="X-Amz-Algorithm")
    if algorithm != ALGORITHM:
        raise AuthorizationQueryParametersError(f'X-Amz-Algorithm only supports "{ALGORITHM}"')
    signed_at = _long_date(amz_date)
    access_key_id, date, region = _credential(credential, amz_date, head, settings, "query")
    lifetime = _lifetime(expires)
    _check_signed_headers(head, signed_headers, AuthorizationQueryParametersError)
    payload_hash = (
        head.headers.get("x-amz-content-sha256")
        or query.get("X-Amz-Content-Sha256")
        or query.get("x-amz-content-sha256")
        or PayloadKind.UNSIGNED.value
    )
    payload_kind(payload_hash)
    return Claim(access_key_id, date, region, amz_date, signed_headers, signature, payload_hash, signed_at, lifetime)


def parse_form(fields: Mapping[str, str], head: RequestHead, settings: Settings) -> Claim:
    """Read the x-amz-* fields of a browser's form (by lower-case name, all there): its policy is what is signed.

    How long the form is good for is said by its policy.  Raises AuthorizationQueryParametersError,
    RequestNotImplemented.
    """
    algorithm, credential, amz_date, signature = (fields[name] for name in FORM_FIELDS)
    if algorithm == ALGORITHM_V4A:
        raise RequestNotImplemented("SigV4A is not supported.", Header=FORM_FIELDS[0])
    if algorithm != ALGORITHM:
        raise AuthorizationQueryParametersError(f'X-Amz-Algorithm only supports "{ALGORITHM}"')
    signed_at = _long_date(amz_date)
    access_key_id, date, region = _credential(credential, amz_date, head, settings, "query")
    return Claim(access_key_id, date, region, amz_date, "", signature, "", signed_at)


def _long_date(amz_date: str) -> float:
    if (seconds := _parse_amz_date(amz_date)) is None:
        raise AuthorizationQueryParametersError(
            "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""
        )
    return seconds


def _lifetime(expires: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", expires):
        raise AuthorizationQueryParametersError("X-Amz-Expires should be a number")
    seconds = int(expires)
    if seconds > MAX_EXPIRES:
        raise PresignedExpiresOutOfRange(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than "
            f"{MAX_EXPIRES} seconds"
        )
    if seconds < 1:
        raise PresignedExpiresOutOfRange("X-Amz-Expires must be " + ("non-negative" if seconds else "at least 1"))
    return seconds


def _credential(
    credential: str, amz_date: str, head: RequestHead, settings: Settings, form: Literal["header", "query"]
) -> tuple[str, str, str]:
    """Split a credential into access key id, date and region, and check its scope."""

    def malformed(what: str) -> S3Error:
        if form == "header":
            return AuthorizationHeaderMalformed(f"The authorization header is malformed; {what}")
        return AuthorizationQueryParametersError(f"Error parsing the X-Amz-Credential parameter; {what}")

    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or not parts[0]:
        raise malformed('the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".')
    access_key_id, date, region, service, terminal = parts
    if terminal != "aws4_request":
        raise malformed(f'incorrect terminal "{terminal}". This endpoint uses "aws4_request".')
    if service != SERVICE:
        raise malformed(f'incorrect service "{service}". This endpoint belongs to "{SERVICE}".')
    if not (len(date) == 8 and date.isascii() and date.isdigit()):
        raise malformed(
            f'incorrect date format "{date}". This date in the credential must be in the format "yyyyMMdd".'
        )
    if region != settings.region and not _asks_for_region(region, head):
        error = malformed(f"the region '{region}' is wrong; expecting '{settings.region}'")
        error.fields["Region"] = settings.region
        error.headers.append(("x-amz-bucket-region", settings.region))  # HEAD has no body: SDKs look here
        raise error
    if date != amz_date[:8]:
        raise malformed(f'Invalid credential date "{date}". This date is not the same as X-Amz-Date: "{amz_date[:8]}".')
    return access_key_id, date, region


def _asks_for_region(region: str, head: RequestHead) -> bool:
    """GetBucketLocation is how clients learn the region: AWS takes us-east-1 there, whatever the bucket's is."""
    return region == "us-east-1" and head.method == "GET" and head.raw_query.split("=")[0] == "location"


def _check_signed_headers(head: RequestHead, signed_headers: str, malformed: type[S3Error]) -> None:
    """Require that host and every x-amz-* header are signed, each name once (a repeat could blow up what we hash)."""
    names = signed_headers.split(";")
    signed = set(names)
    if len(signed) != len(names) or not signed_headers.isascii() or signed_headers != signed_headers.lower():
        raise malformed("The SignedHeaders must be lower-case names, each one once.")
    unsigned = [name for name, _ in head.headers if name[:6] == "x-amz-" and name not in signed]
    if "host" not in signed:
        unsigned.append("host")
    if unsigned:
        raise AccessDenied(
            "There were headers present in the request which were not signed", HeadersNotSigned=", ".join(unsigned)
        )


# -------------------------------------------------------------------------------------------- signatures


def signing_key(secret: str, date: str, region: str, service: str = SERVICE) -> bytes:
    """Derive the key of one day (YYYYMMDD), region and service from a secret access key."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode("latin-1"), "sha256")
    return key


def sign(key: bytes, string_to_sign: str) -> str:
    """Return the hexadecimal HMAC-SHA256 of text whose characters are bytes (latin-1)."""
    return hmac.digest(key, string_to_sign.encode("latin-1"), "sha256").hex()


def canonical_request(head: RequestHead, claim: Claim) -> str:
    """Return the canonical request as latin-1 text: what the client must have hashed."""
    path, _, query = head.target.partition("?")
    values = head.headers.folded()
    lines = []
    for name in claim.signed_headers.split(";"):
        value = values.get(name, "")
        if "  " in value or "\t" in value:
            value = " ".join([word for word in value.replace("\t", " ").split(" ") if word])
        lines.append(f"{name}:{value}\n")
    return (
        f"{head.method}\n{canonical_path(path)}\n{canonical_query(query, claim.presigned)}\n"
        f"{''.join(lines)}\n{claim.signed_headers}\n{claim.payload_hash}"
    )


_CANONICAL_PATH = re.compile(r"[A-Za-z0-9/._~-]*")


def canonical_path(raw_path: str) -> str:
    """Encode a raw path as S3 signs it: each byte once, slashes plain, nothing normalised."""
    if _CANONICAL_PATH.fullmatch(raw_path):
        return raw_path
    return quote_from_bytes(unquote_to_bytes(raw_path.encode("latin-1")), safe="/")


def canonical_query(raw_query: str, presigned: bool = False) -> str:
    """Encode and sort a raw query by name, then value; a presigned URL's own signature is left out."""
    pairs = sorted([_canonical_parameter(item) for item in raw_query.split("&") if item])
    return "&".join([f"{name}={value}" for name, value in pairs if not (presigned and name == "X-Amz-Signature")])


@lru_cache(maxsize=128)
def _canonical_parameter(item: str) -> tuple[str, str]:
    """Remembered for the same reason as in ``names.parse_query``."""
    name, _, value = item.partition("=")
    return _canonical_text(name), _canonical_text(value)


_PLAIN = re.compile(r"[A-Za-z0-9._~-]*")


def _canonical_text(raw: str) -> str:
    if _PLAIN.fullmatch(raw):
        return raw
    return quote_from_bytes(unquote_to_bytes(raw.replace("+", " ").encode("latin-1")), "")


def string_to_sign(claim: Claim, canonical: str) -> str:
    """Return what the signing key signs."""
    hashed = sha256(canonical.encode("latin-1")).hexdigest()
    return f"{ALGORITHM}\n{claim.amz_date}\n{claim.scope}\n{hashed}"


def verify(head: RequestHead, claim: Claim, key: bytes) -> None:
    """Raise SignatureDoesNotMatch unless ``key`` made the claim's signature over this head."""
    if head.memo.get("verified") == (claim.signature, key):
        return
    canonical = canonical_request(head, claim)
    to_sign = string_to_sign(claim, canonical)
    if not same_signature(sign(key, to_sign), claim.signature):
        shown = {"CanonicalRequest": canonical, "CanonicalRequestBytes": canonical.encode("latin-1").hex(" ")}
        raise _mismatch(claim, to_sign, **shown)
    head.memo["verified"] = (claim.signature, key)


def verify_policy(policy: str, claim: Claim, key: bytes) -> None:
    """Raise SignatureDoesNotMatch unless ``key`` made the claim's signature over a form's policy (ASCII)."""
    if not same_signature(sign(key, policy), claim.signature):
        raise _mismatch(claim, policy)


def _mismatch(claim: Claim, to_sign: str, **shown: str) -> SignatureDoesNotMatch:
    return SignatureDoesNotMatch(
        AWSAccessKeyId=claim.access_key_id,
        StringToSign=to_sign,
        SignatureProvided=claim.signature,
        StringToSignBytes=to_sign.encode("latin-1").hex(" "),
        **shown,
    )


def same_signature(ours: str, theirs: str) -> bool:
    """Compare in constant time; ``theirs`` may hold anything."""
    return hmac.compare_digest(ours.encode("latin-1"), theirs.encode("utf-8", "replace"))


class ChunkSigner:
    """The chain of signatures through a body: each covers its chunk and the signature before it."""

    __slots__ = ("_seed", "_previous")

    def __init__(self, seed: ChunkSeed) -> None:
        self._seed = seed
        self._previous = seed.signature

    def chunk(self, payload_sha256: str) -> str:
        """Return the signature of the next chunk, whose bytes have this hash (hexadecimal)."""
        return self._next(f"{ALGORITHM}-PAYLOAD", f"{EMPTY_SHA256}\n{payload_sha256}")

    def trailer(self, trailer: bytes) -> str:
        """Return the signature of the trailing headers: ``name:value`` lines, each ended by LF."""
        return self._next(f"{ALGORITHM}-TRAILER", sha256(trailer).hexdigest())

    def _next(self, algorithm: str, hashes: str) -> str:
        seed = self._seed
        self._previous = sign(seed.key, f"{algorithm}\n{seed.amz_date}\n{seed.scope}\n{self._previous}\n{hashes}")
        return self._previous
