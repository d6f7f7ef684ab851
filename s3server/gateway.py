"""The table of commands: which method answers which question of the core.

Rules: one row per command of s3proto.commands (a test compares) and one for our own CheckHealth, one dict lookup
per command, no branching on operations.  The store answers storage commands in its own words: a method per command,
in snake case; it maps the file system's errors.  What a request opens is closed when it ends, by its ExitStack.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Protocol, TypeAlias

from s3proto import commands
from s3proto.commands import BodyTarget, Command
from s3proto.model import Document, OpenedObject, Received, SignatureV2, SigningKey
from s3server.admin import CheckHealth, Health, Verdict
from s3server.receive import BodySource, Receiver
from s3server.spool import MemoryBudget, Sink, Spool

SLOW = 0.002
"""Seconds: a command whose kind took longer of late is not performed in the loop's thread."""


class Store(Protocol):
    """What the gateway needs of ``s3server.store.ObjectStore`` besides a method per storage command."""

    def begin_body(self, target: BodyTarget, expected_size: int | None) -> Sink: ...

    def open_object(self, command: commands.OpenObject) -> OpenedObject: ...

    def health(self) -> Mapping[str, str]: ...


class Credentials(Protocol):
    """What the gateway needs of ``s3server.credentials.CredentialStore``."""

    def signing_key(self, command: commands.LookupSigningKey) -> SigningKey | None: ...

    def sign_v2(self, command: commands.SignV2) -> SignatureV2 | None: ...


class Request(Protocol):
    """The side of a request that commands touch: implemented by each driver."""

    @property
    def opened(self) -> ExitStack:
        """Closes what was opened for this request, at its end."""

    @property
    def body(self) -> BodySource: ...

    @property
    def body_arrived(self) -> bool:
        """Whether all of the body lies in memory already, so that receiving it will not wait."""

    access_key_id: str
    """Who the request says it comes from; for the access log."""

    def allow_early_head(self, headers: tuple[tuple[str, str], ...]) -> None:
        """From now on the driver may send a 200 head and white space."""


Handler: TypeAlias = Callable[["Gateway", Request, Any], Any]


class Gateway:
    """Answers commands; one per process, used by all its threads."""

    def __init__(
        self, store: Store, credentials: Credentials, receiver: Receiver, budget: MemoryBudget, memory_threshold: int
    ) -> None:
        """``memory_threshold``: bodies up to this many bytes wait in memory."""
        self._store = store
        self._credentials = credentials
        self._receiver = receiver
        self._budget = budget
        self._memory_threshold = memory_threshold
        self._health = Health(store.health)
        self._methods: dict[type[Command[Any]], Callable[[Any], Any]] = {
            kind: getattr(store, name) for kind, name in STORAGE.items()
        }
        # Writes are assumed to flush until they are seen not to.
        self._seconds = {kind: 0.0 if kind in READS else 1.0 for kind in STORAGE}

    def perform(self, request: Request, command: Command[Any]) -> Any:
        """Answer one command.  Raises S3Errors; anything else is a defect (or a lost connection)."""
        kind = type(command)
        method = self._methods.get(kind)
        if method is None:
            return HANDLERS[kind](self, request, command)
        begun = time.monotonic()
        answer = method(command)
        self.took(kind, time.monotonic() - begun)
        if kind is commands.OpenObject:
            request.opened.callback(answer.content.close)
        return answer

    def took(self, kind: type[Command[Any]], seconds: float) -> None:
        """Take note of how long a storage command took."""
        before = self._seconds[kind]
        self._seconds[kind] = before + (seconds - before) / 8

    def is_quick(self, request: Request, command: Command[Any]) -> bool:
        """Whether a command may be performed in the loop's own thread: it will not wait, as far as can be told."""
        kind = type(command)
        seconds = self._seconds.get(kind)
        if seconds is not None:
            return seconds < SLOW
        if kind in RECEIVES:
            return request.body_arrived
        return kind is commands.LookupSigningKey or kind is commands.SignV2

    def _signing_key(self, request: Request, command: commands.LookupSigningKey) -> SigningKey | None:
        request.access_key_id = command.access_key_id
        return self._credentials.signing_key(command)

    def _sign_v2(self, request: Request, command: commands.SignV2) -> SignatureV2 | None:
        request.access_key_id = command.access_key_id
        return self._credentials.sign_v2(command)

    def _receive_body(self, request: Request, command: commands.ReceiveBody) -> Received:
        expected = command.decoder.expected_size
        spool = Spool(
            lambda: self._store.begin_body(command.target, expected), self._budget, self._memory_threshold, expected
        )
        request.opened.callback(spool.close)
        return self._receiver.body(request.body, command.decoder, command.digests, spool, command.limit, command.begun)

    def _receive_form(self, request: Request, command: commands.ReceiveForm) -> None:
        self._receiver.form(request.body, command.decoder)

    def _receive_document(self, request: Request, command: commands.ReceiveDocument) -> Document:
        return self._receiver.document(request.body, command.decoder, command.digests, command.limit, request.opened)

    def _allow_early_head(self, request: Request, command: commands.AllowEarlyHead) -> None:
        request.allow_early_head(command.headers)

    def _check_health(self, request: Request, command: CheckHealth) -> Verdict:
        return self._health.check()


HANDLERS: dict[type[Command[Any]], Handler] = {
    commands.LookupSigningKey: Gateway._signing_key,
    commands.SignV2: Gateway._sign_v2,
    commands.ReceiveBody: Gateway._receive_body,
    commands.ReceiveForm: Gateway._receive_form,
    commands.ReceiveDocument: Gateway._receive_document,
    commands.AllowEarlyHead: Gateway._allow_early_head,
    CheckHealth: Gateway._check_health,
}

STORAGE: dict[type[Command[Any]], str] = {
    commands.CheckAccess: "check_access",
    commands.ListBuckets: "list_buckets",
    commands.CreateBucket: "create_bucket",
    commands.HeadBucket: "head_bucket",
    commands.PutBucketAcl: "put_bucket_acl",
    commands.GetBucketCors: "get_bucket_cors",
    commands.PutBucketCors: "put_bucket_cors",
    commands.GetBucketTagging: "get_bucket_tagging",
    commands.PutBucketTagging: "put_bucket_tagging",
    commands.GetBucketPolicy: "get_bucket_policy",
    commands.PutBucketPolicy: "put_bucket_policy",
    commands.DeleteBucket: "delete_bucket",
    commands.ListObjects: "list_objects",
    commands.HeadObject: "head_object",
    commands.OpenObject: "open_object",
    commands.PutObject: "put_object",
    commands.PutObjectAcl: "put_object_acl",
    commands.PutObjectTagging: "put_object_tagging",
    commands.CopyObject: "copy_object",
    commands.DeleteObject: "delete_object",
    commands.DeleteObjects: "delete_objects",
    commands.CreateMultipartUpload: "create_multipart_upload",
    commands.HeadUpload: "head_upload",
    commands.UploadPart: "upload_part",
    commands.UploadPartCopy: "upload_part_copy",
    commands.ListParts: "list_parts",
    commands.ListMultipartUploads: "list_multipart_uploads",
    commands.CompleteMultipartUpload: "complete_multipart_upload",
    commands.AbortMultipartUpload: "abort_multipart_upload",
}

RECEIVES = frozenset({commands.ReceiveBody, commands.ReceiveForm, commands.ReceiveDocument})
READS = frozenset(
    {
        commands.CheckAccess,
        commands.ListBuckets,
        commands.HeadBucket,
        commands.GetBucketCors,
        commands.GetBucketTagging,
        commands.GetBucketPolicy,
        commands.ListObjects,
        commands.HeadObject,
        commands.OpenObject,
        commands.HeadUpload,
        commands.ListParts,
        commands.ListMultipartUploads,
    }
)
