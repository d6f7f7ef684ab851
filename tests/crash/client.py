"""A small S3 client for load: one connection, Signature Version 4, answers as they are.

botocore is the judge of the protocol elsewhere; here it would be most of the load, and it retries what a test of
crashes must see.  Rules: no retries, no interpretation; a client is used by one thread.

Follows "Create a signed AWS API request" (Amazon S3, Signature Version 4).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import socket
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import quote

from tests.gateway import Gateway, User

SIGNED_BODY = 1 << 16
"""Bodies up to this many bytes are signed; larger ones go as UNSIGNED-PAYLOAD, so both ways are taken."""
TIMEOUT = 30.0
NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class Lost(Exception):
    """No answer: the connection could not be made, broke, or was silent for TIMEOUT."""


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def etag(self) -> str:
        return self.headers.get("etag", "").strip('"')

    @property
    def code(self) -> str:
        """The S3 error code, or "" where the body has none (a completed upload can fail under a 200)."""
        document = self.body.lstrip()  # white space keeps a long completion alive
        if b"<Error>" not in document[:200]:
            return "" if self.status < 300 else str(self.status)
        return ET.fromstring(document).findtext("Code", "")

    @property
    def done(self) -> bool:
        return self.status < 300 and not self.code

    @property
    def server(self) -> str:
        """Names the process that answered."""
        return self.headers.get("x-amz-id-2", "")

    def xml(self) -> ET.Element:
        """The document without its namespace."""
        return ET.fromstring(self.body.decode().lstrip().replace(f' xmlns="{NAMESPACE[1:-1]}"', ""))


class Client:
    """Speaks to one gateway as one user; connects when first used, and anew after Lost."""

    def __init__(self, gateway: Gateway, user: User | None = None) -> None:
        self._gateway = gateway
        self._user = user or gateway.owner
        self._connection: http.client.HTTPConnection | None = None
        self._signing: tuple[str, bytes] = ("", b"")
        self.servers: set[str] = set()
        """The processes that have answered."""

    def request(
        self,
        method: str,
        bucket: str,
        key: str | None = None,
        query: Mapping[str, str] | None = None,
        body: bytes | memoryview = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and read the whole answer.  Raises Lost."""
        path = f"/{bucket}" + ("" if key is None else f"/{quote(key, safe='/~')}")
        text = "&".join(f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in sorted((query or {}).items()))
        signed = self._signed(method, path, text, body, headers or {})
        try:
            if self._connection is None:
                self._connection = self._gateway.connect(TIMEOUT)
                self._connection.connect()
                self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(BrokenPipeError):  # refused before all of the body was sent: the answer is waiting
                self._connection.request(method, f"{path}?{text}" if text else path, body or None, signed)
            response = self._connection.getresponse()
            answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Lost(f"{method} {path}?{text}: {type(error).__name__}: {error}") from error
        self.servers.add(answer.server)
        return answer

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _signed(
        self, method: str, path: str, query: str, body: bytes | memoryview, headers: Mapping[str, str]
    ) -> dict[str, str]:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        digest = hashlib.sha256(body).hexdigest() if len(body) <= SIGNED_BODY else "UNSIGNED-PAYLOAD"
        made = {k.lower(): v for k, v in headers.items()}
        made |= {"host": f"127.0.0.1:{self._gateway.port}", "x-amz-date": stamp, "x-amz-content-sha256": digest}
        made["content-length"] = str(len(body))
        names = sorted(made.keys() - {"content-length"})
        canonical = "\n".join([method, path, query, *[f"{n}:{made[n]}" for n in names], "", ";".join(names), digest])
        scope = f"{stamp[:8]}/{self._gateway.region}/s3/aws4_request"
        to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        signature = hmac.digest(self._signing_key(scope), to_sign.encode(), "sha256").hex()
        credential = f"{self._user.access_key}/{scope}"
        made["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={';'.join(names)}, Signature={signature}"
        )
        return made

    def _signing_key(self, scope: str) -> bytes:
        if self._signing[0] != scope:
            key = f"AWS4{self._user.secret_key}".encode()
            for part in scope.split("/"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._signing = (scope, key)
        return self._signing[1]

    # ------------------------------------------------------------------------------------------ S3's words

    def get(self, bucket: str, key: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.request("GET", bucket, key, headers=headers)

    def put(
        self, bucket: str, key: str, body: bytes | memoryview = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        return self.request("PUT", bucket, key, body=body, headers=headers)

    def delete(self, bucket: str, key: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.request("DELETE", bucket, key, headers=headers)

    def delete_objects(self, bucket: str, keys: list[str]) -> Answer:
        root = ET.Element("Delete")
        for key in keys:
            ET.SubElement(ET.SubElement(root, "Object"), "Key").text = key
        body = ET.tostring(root)
        headers = {"content-md5": base64.b64encode(hashlib.md5(body).digest()).decode()}
        return self.request("POST", bucket, query={"delete": ""}, body=body, headers=headers)

    def create_upload(self, bucket: str, key: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.request("POST", bucket, key, {"uploads": ""}, headers=headers)

    def upload_part(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        number: int,
        body: bytes | memoryview = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        query = {"partNumber": str(number), "uploadId": upload_id}
        return self.request("PUT", bucket, key, query, body, headers)

    def complete(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        parts: Mapping[int, str],
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """``parts``: number -> ETag."""
        root = ET.Element("CompleteMultipartUpload")
        for number, etag in sorted(parts.items()):
            part = ET.SubElement(root, "Part")
            ET.SubElement(part, "PartNumber").text = str(number)
            ET.SubElement(part, "ETag").text = f'"{etag}"'
        return self.request("POST", bucket, key, {"uploadId": upload_id}, ET.tostring(root), headers)

    def abort(self, bucket: str, key: str, upload_id: str) -> Answer:
        return self.request("DELETE", bucket, key, {"uploadId": upload_id})

    def parts(self, bucket: str, key: str, upload_id: str) -> dict[int, str] | None:
        """Number -> ETag of an unfinished upload, None when there is no such upload.  At most 1000 parts."""
        answer = self.request("GET", bucket, key, {"uploadId": upload_id})
        if answer.code == "NoSuchUpload":
            return None
        assert answer.done, answer
        return {int(_text(p, "PartNumber")): _text(p, "ETag").strip('"') for p in answer.xml().iter("Part")}

    def page(self, bucket: str, query: Mapping[str, str]) -> Page:
        """One page of ListObjectsV2.  AssertionError unless it is answered."""
        answer = self.request("GET", bucket, query={"list-type": "2", **query})
        assert answer.done, answer
        root = answer.xml()
        rows = tuple(
            Row(_text(row, "Key"), int(_text(row, "Size")), _text(row, "ETag").strip('"'))
            for row in root.iter("Contents")
        )
        prefixes = tuple(_text(p, "Prefix") for p in root.iter("CommonPrefixes"))
        return Page(rows, prefixes, root.findtext("NextContinuationToken"))

    def pages(self, bucket: str, prefix: str = "", delimiter: str = "", size: int = 1000) -> list[Page]:
        """All pages of ListObjectsV2."""
        query = {"prefix": prefix, "delimiter": delimiter, "max-keys": str(size)}
        found = [self.page(bucket, query)]
        while found[-1].token is not None:
            found.append(self.page(bucket, {**query, "continuation-token": found[-1].token}))
        return found


class Row(NamedTuple):
    key: str
    size: int
    etag: str


class Page(NamedTuple):
    rows: tuple[Row, ...]
    prefixes: tuple[str, ...]
    token: str | None
    """Where the next page begins; None for the last one."""


def _text(element: ET.Element, name: str) -> str:
    return element.findtext(name) or ""
