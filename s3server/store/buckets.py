"""The object store: buckets and keys over a curvinefs file system, one method for each storage command.

Rules
- A method takes its command and answers what the command's docstring says; every FsError becomes an S3Error by one
  table (s3server.store.objects), and nowhere else.
- What the kind of file system could decide hides behind curvinefs.api: there is no ``if`` about it here.
- Nothing is kept in memory between two commands but the list of left-overs that were met: any process can serve any
  request, and a killed one leaves nothing half done (docs/architecture.md, sections 3 and 4).

Three layers: s3server.store.objects, s3server.store.multipart, and here what concerns buckets as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping

from curvinefs.api import AlreadyExists, DirectoryNotEmpty, FileKind, FsError, NotADirectory, NotFound, RenameFlag
from s3proto import commands as c
from s3proto import errors as e
from s3proto.acl import bucket_access
from s3proto.bucket_policy import BucketPolicy, access
from s3proto.model import Access, BucketInfo, BucketPage, CorsRule, Pairs
from s3server.store.keypath import TEMPORARY
from s3server.store.listing import Walker, any_key
from s3server.store.multipart import Multipart
from s3server.store.objects import log, mapped
from s3server.store.publish import temporary_name
from s3server.store.settings import POLICY
from s3server.store.state import ROOT, remove_tree

CREATE_ATTEMPTS = 10
"""How often CreateBucket tries anew when the bucket of that name goes while it looks."""


class ObjectStore(Multipart):
    """See the module's rules.

    ``uploads_fs``: another file system where parts wait (``multipart_temp``); None: in the store itself.
    ``now``: POSIX seconds.
    """

    # ------------------------------------------------------------------------------------------ access

    @mapped
    def check_access(self, command: c.CheckAccess) -> Access:
        who, name = command.principal, command.bucket
        if name is None or command.action == "s3:CreateBucket":
            return Access.DENIED if who is None else Access.OWNER
        access = self._access(command, name, fresh=False)
        if access in (Access.DENIED, Access.OBJECT):  # as of a second ago: what was granted since then holds at once
            access = self._access(command, name, fresh=True)
        return access

    def _access(self, command: c.CheckAccess, name: str, *, fresh: bool) -> Access:
        bucket = self.buckets.known(name, fresh=fresh)
        if command.expected_owner is not None and command.expected_owner != bucket.info.owner.id:
            return Access.DENIED
        if POLICY.name not in bucket.documents:
            return bucket_access(command.principal, command.action, bucket.info)
        policy, actions = self.policy.get(name, fresh=False), (command.action, *command.besides)
        return access(command.principal, actions, bucket.info, command.key, policy, command.values)

    # ----------------------------------------------------------------------------------------- buckets

    @mapped
    def list_buckets(self, command: c.ListBuckets) -> BucketPage:
        found: list[BucketInfo] = []
        for bucket in self.buckets.all():
            info = bucket.info
            if info.name <= command.after or not info.name.startswith(command.prefix):
                continue
            if not command.principal.administrator and info.owner.id != command.principal.owner.id:
                continue
            if len(found) == command.limit:
                return BucketPage(tuple(found), True)
            found.append(info)
        return BucketPage(tuple(found), False)

    @mapped
    def create_bucket(self, command: c.CreateBucket) -> BucketInfo:
        for _ in range(CREATE_ATTEMPTS):
            try:
                return self.buckets.create(command.bucket, command.owner, self._now(), command.acl)
            except AlreadyExists:
                pass
            try:
                owner = self.buckets.find(command.bucket).info.owner
            except e.NoSuchBucket:
                if self._is_file(f"/{command.bucket}"):
                    raise e.BucketAlreadyExists(BucketName=command.bucket) from None
                continue  # deleted at this moment
            if owner.id == command.owner.id:
                try:
                    self.fs.flush(f"/{command.bucket}")
                except NotFound:
                    continue
                raise e.BucketAlreadyOwnedByYou(BucketName=command.bucket)
            raise e.BucketAlreadyExists(BucketName=command.bucket)
        raise e.OperationAborted(BucketName=command.bucket)

    def _is_file(self, path: str) -> bool:
        try:
            return self.fs.status(path).kind is not FileKind.DIRECTORY
        except NotFound:
            return False

    @mapped
    def head_bucket(self, command: c.HeadBucket) -> BucketInfo:
        return self.buckets.find(command.bucket).info

    @mapped
    def put_bucket_acl(self, command: c.PutBucketAcl) -> None:
        self.buckets.set_acl(command.bucket, command.acl)

    @mapped
    def get_bucket_cors(self, command: c.GetBucketCors) -> tuple[CorsRule, ...]:
        return self.cors.get(command.bucket, fresh=command.fresh)

    @mapped
    def put_bucket_cors(self, command: c.PutBucketCors) -> None:
        self.cors.put(command.bucket, command.rules, self._now())

    @mapped
    def get_bucket_tagging(self, command: c.GetBucketTagging) -> Pairs:
        return self.tags.get(command.bucket, fresh=True)

    @mapped
    def put_bucket_tagging(self, command: c.PutBucketTagging) -> None:
        self.tags.put(command.bucket, command.tags, self._now())

    @mapped
    def get_bucket_policy(self, command: c.GetBucketPolicy) -> BucketPolicy | None:
        return self.policy.get(command.bucket, fresh=True)

    @mapped
    def put_bucket_policy(self, command: c.PutBucketPolicy) -> None:
        bucket = self.buckets.find(command.bucket).info
        if bucket_access(command.principal, "s3:PutBucketPolicy", bucket) is not Access.OWNER:
            raise e.AccessDenied
        self.policy.put(command.bucket, command.policy, self._now())

    @mapped
    def delete_bucket(self, command: c.DeleteBucket) -> None:
        bucket = self.buckets.find(command.bucket)
        if any_key(Walker(self.fs, command.bucket)):
            raise e.BucketNotEmpty(BucketName=command.bucket)
        try:
            with self.fs.deferred():
                self._remove_empty(f"/{command.bucket}")
                self.buckets.remove(command.bucket)
        except (DirectoryNotEmpty, NotADirectory):
            raise e.BucketNotEmpty(BucketName=command.bucket) from None
        except NotFound:
            raise e.NoSuchBucket(BucketName=command.bucket) from None
        if bucket.id is not None:
            for fs in {id(f): f for f in (self.fs, self.uploads.fs)}.values():
                try:
                    with fs.deferred():
                        remove_tree(fs, f"{ROOT}/b/{bucket.id}")
                except FsError as error:
                    log.warning("state of a deleted bucket stays until the next sweep: %s", error)

    def _remove_empty(self, path: str) -> None:
        """Remove empty directories and what is unfinished below ``path``, bottom-up.

        A PUT whose unfinished file goes finds no bucket when it publishes; a published one makes the bucket stay.
        """
        for entry in list(self.fs.list(path)):
            below = f"{path}/{entry.name}"
            try:
                if entry.kind is FileKind.DIRECTORY and entry.name.startswith(TEMPORARY):
                    aside = f"{path}/{temporary_name()}"
                    self.fs.rename(below, aside, RenameFlag.NO_REPLACE)  # so nobody publishes it half removed
                    remove_tree(self.fs, aside)
                elif entry.kind is FileKind.DIRECTORY:
                    self._remove_empty(below)
                    self.fs.delete_directory(below)
                elif entry.name.startswith(TEMPORARY):
                    self.fs.delete(below)
            except (NotFound, NotADirectory, DirectoryNotEmpty):
                continue

    # ------------------------------------------------------------------------------------------- health

    def health(self) -> Mapping[str, str]:
        """Facts about the store.  Raises curvinefs' Unavailable (or another FsError) when it cannot serve."""
        return self.fs.check()

    def close(self) -> None:
        self.fs.close()
        if self.uploads.fs is not self.fs:
            self.uploads.fs.close()
