"""What a master can do, one method each, with a guard for every trap that it has.

Rules
- Every path passes ``paths``, and ``mounts`` where something is looked for or made; every required field is sent.
- What a lost reply leaves in doubt is settled here, by looking: by the inode where we know it.
- A rename is sent only to a master that has lived since it told what is at the source, or is asked again: one that died
  may have forgotten that the file was completed, and an empty one would be published.
- A rename never goes below a file: the master would answer an error *and drop the source*.
- A block size is below 4 GiB (the master cuts it to 32 bits); a length is the sum of blocks that workers
  acknowledged (the master believes any commit); a commit names its workers.
- Files under construction are found by their path, which is random: a master that lost its last moments gives inode
  ids out again, so by its id a lost file would be another client's.
- Creating is CreateFile with CREAT alone, which is exclusive; OpenFile never is.  TRUNC only before the first block.
- Not used, for what they do on this server: recursive Delete, ListStatus, Symlink, batches, Cancel.

Raises FsError everywhere.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from google.protobuf.message import Message

from curvinefs.api import (
    AlreadyExists,
    Corrupt,
    FsError,
    IsADirectory,
    LockTimeout,
    NotADirectory,
    NotFound,
    RenameFlag,
    Unavailable,
)
from curvinefs.curvine.errors import BlocksForgotten, Refused, Renewed, ReplyLost, fs_error, least_block_size
from curvinefs.curvine.master import Life, Master
from curvinefs.curvine.mounts import Mounts
from curvinefs.curvine.options import Options, component_of
from curvinefs.curvine.paths import checked, listable, split
from curvinefs.curvine.retry import Code
from curvinefs.proto import curvine_pb2 as pb

M = TypeVar("M", bound=Message)

_WRONLY_CREAT, _TRUNC = 0x41, 0x200
_WRITE_LOCK, _UNLOCK, _PLOCK = 1, 2, 0
_FILE = 1
_TRIES = 3
"""Lost replies to one change before we give up, unless patience ends before."""
_DISCARDS = 8
"""Temporary files to delete, that could not be before, on the way of making one."""
MAX_BLOCK_SIZE = 2**32 - 1
_SEQUENCE_BITS = 24


class Commit(NamedTuple):
    """A block that workers have acknowledged."""

    block_id: int
    length: int
    locations: tuple[tuple[int, int], ...]
    """Worker id and storage type of each replica."""


class Known(NamedTuple):
    """What is known to be under a path, and which master said so."""

    inode: int
    len: int
    is_complete: bool
    life: Life | None

    def is_at(self, status: pb.FileStatusProto | None) -> bool:
        """Whether that is it; the length of a directory is how many entries it has."""
        return status is not None and (status.id, status.len, status.is_complete) == self[:3]


def block_id(inode: int, number: int) -> int:
    return inode << _SEQUENCE_BITS | number


def inode_of(block: int) -> int:
    return block >> _SEQUENCE_BITS


class LockRange(NamedTuple):
    """One lock: a holder and the single byte of the lock file that stands for its name."""

    client_id: str
    """All of one length and not ending in a digit: the master's table mixes up others."""
    owner_id: int
    place: int


class Calls:
    def __init__(self, master: Master, options: Options) -> None:
        self.master = master
        self._options = options
        self._policy = pb.StoragePolicyProto(
            storage_type=options.storage_type, ttl_ms=0, ttl_action=0, ufs_mtime=0, state=1
        )
        self._component = component_of(options)
        self.mounts = Mounts(self._mount_table, options.mounts_fresh_s)
        self._discarded: deque[tuple[str, int | None]] = deque(maxlen=10_000)
        self._sets_attributes: bool | None = None
        """Whether CompleteFile takes attributes (since v0.4.1); None: not yet tried."""
        self.least_block_size = 1  # what the master has been found to insist on

    def _call(self, code: Code, request: Message, reply: type[M], what: str) -> M:
        try:
            return self.master.call(code, request, reply)
        except Refused as error:
            raise fs_error(error, what) from error
        except ReplyLost as error:
            raise Unavailable(f"{what}: {error}") from error

    def _tries(self) -> Iterator[None]:
        give_up = time.monotonic() + self._options.master_patience_s
        for _ in range(_TRIES):
            yield
            if time.monotonic() > give_up:
                return

    def _served(self, path: str) -> str:
        """The path itself.  InvalidPath, NotServed."""
        self.mounts.check(checked(path))
        return path

    # -- looking

    def status(self, path: str) -> pb.FileStatusProto:
        """NotFound, also below a file."""
        request = pb.GetFileStatusRequest(path=self._served(path))
        return self._call(Code.FILE_STATUS, request, pb.GetFileStatusResponse, path).status

    def find(self, path: str) -> pb.FileStatusProto | None:
        try:
            return self.status(path)
        except NotFound:
            return None

    def locations(self, path: str) -> pb.FileBlocksProto:
        """Status and blocks.  NotFound, IsADirectory; Unavailable when a block's workers are gone."""
        request = pb.GetBlockLocationsRequest(path=self._served(path))
        return self._call(Code.GET_BLOCK_LOCATIONS, request, pb.GetBlockLocationsResponse, path).blocks

    def page(self, path: str, start_after: str, limit: int) -> Sequence[pb.FileStatusProto]:
        """Up to ``limit`` entries with names above ``start_after``, in byte order; a file gives itself.

        InvalidPath where the master would take the path for a pattern.
        """
        options = pb.ListOptionsProto(limit=limit, start_after=start_after or None)
        request = pb.ListOptionsRequest(path=self._served(listable(path)), options=options)
        return self._call(Code.LIST_OPTIONS, request, pb.ListOptionsResponse, path).statuses

    def info(self) -> pb.GetFilesystemInfoResponse:
        request = pb.GetFilesystemInfoRequest(component_info=self._component)
        return self._call(Code.GET_FILESYSTEM_INFO, request, pb.GetFilesystemInfoResponse, "cluster")

    def _mount_table(self) -> Sequence[pb.MountInfoProto]:
        request = pb.GetMountTableRequest()
        return self._call(Code.GET_MOUNT_TABLE, request, pb.GetMountTableResponse, "mounts").mount_table

    # -- names

    def mkdir(self, path: str, x_attr: Mapping[str, bytes]) -> None:
        """AlreadyExists, NotFound, NotADirectory."""
        split(self._served(path))
        options = pb.MkdirOptsProto(
            create_parent=False,
            mode=0o777 & ~self._options.umask,
            x_attr=dict(x_attr),
            storage_policy=self._policy,
            owner="",
            group="",
        )
        request = pb.MkdirRequest(path=path, opts=options)
        doubt: ReplyLost | None = None
        for _ in self._tries():
            try:
                self.master.call(Code.MKDIR, request, pb.MkdirResponse)
                return
            except Refused as error:
                refusal = fs_error(error, path)
                if doubt is not None and isinstance(refusal, AlreadyExists):
                    # Ours, unless somebody made one with the same attributes in the same moment.
                    there = self.find(path)
                    if there is not None and there.is_dir and dict(there.x_attr) == dict(x_attr):
                        return
                raise refusal from error
            except ReplyLost as error:
                doubt = error
        raise Unavailable(f"{path}: {doubt}") from doubt

    def delete(self, path: str, inode: int | None = None) -> None:
        """A file or empty directory.  NotFound, DirectoryNotEmpty.

        ``inode``: what the caller knows to be there; after a lost reply nothing else is deleted.
        """
        split(self._served(path))
        request = pb.DeleteRequest(path=path, recursive=False)
        doubt: ReplyLost | None = None
        for _ in self._tries():
            try:
                self.master.call(Code.DELETE, request, pb.DeleteResponse)
                return
            except Refused as error:
                refusal = fs_error(error, path)
                if doubt is not None and isinstance(refusal, NotFound):
                    return  # by the attempt whose answer was lost
                raise refusal from error
            except ReplyLost as error:
                doubt = error
                if inode is not None and getattr(self.find(path), "id", None) != inode:
                    return
        raise Unavailable(f"{path}: {doubt}") from doubt

    def discard(self, path: str, inode: int | None) -> None:
        """Delete a temporary file: now or, where no master answers, when one makes the next files.

        ``inode`` None: it may have been made, nothing was written to it.
        """
        if self.master.hopeless:
            self._discarded.append((path, inode))
            return
        try:
            there = self.find(path) if inode is None else None
            if inode is None and (there is None or there.is_dir or there.is_complete or there.len):
                return
            self.delete(path, inode)
        except (Unavailable, LockTimeout):
            self._discarded.append((path, inode))
        except FsError:
            pass  # gone already; else hidden by its name, and swept

    def _discard_others(self) -> None:
        """There is a master again."""
        for _ in range(min(len(self._discarded), _DISCARDS)):
            try:
                path, inode = self._discarded.popleft()
            except IndexError:
                return  # other threads do the same
            try:
                there = self.find(path)
            except FsError:
                self._discarded.append((path, inode))
                return
            if there is not None and inode in (there.id, None):
                self.discard(path, inode)

    def rename(self, source: str, destination: str, flags: RenameFlag, known: Known) -> None:
        """``known``: what the caller knows to be at ``source``; nothing else is renamed, whatever a master forgot.

        NotFound, AlreadyExists, IsADirectory, NotADirectory, DirectoryNotEmpty, InvalidPath (below itself).
        Between looking at another parent directory and renaming into it, it may become a file, and the source is lost:
        the caller holds a file of its own there (see FileSystem.Writer).
        """
        parent, _ = split(destination)
        if parent != split(source)[0]:
            self.want_directory(parent)
        request = pb.RenameRequest(src=source, dst=destination, flags=int(flags))
        doubt: Exception | None = None
        life = known.life
        for _ in self._tries():
            try:
                self.master.call(Code.RENAME, request, pb.RenameResponse, life=life)
                return
            except Refused as error:
                raise fs_error(error, f"{source} -> {destination}") from error
            except (Renewed, ReplyLost) as error:
                if isinstance(error, ReplyLost) and known.is_at(self.find(destination)):
                    return
                if not known.is_at(self.find(source)):
                    raise Unavailable(f"{source}: the master forgot it, or somebody removed it") from error
                doubt, life = error, self.life
        raise Unavailable(f"{source} -> {destination}: {doubt}") from doubt

    @property
    def life(self) -> Life | None:
        """See Master.life."""
        return self.master.life

    def link(self, source: str, destination: str) -> None:
        """NotFound, AlreadyExists, IsADirectory."""
        self.want_directory(split(destination)[0])  # the master would make it
        request = pb.LinkRequest(src_path=checked(source), dst_path=destination)
        doubt: ReplyLost | None = None
        for _ in self._tries():
            try:
                self.master.call(Code.LINK, request, pb.LinkResponse)
                return
            except Refused as error:
                refusal = fs_error(error, f"{source} = {destination}")
                if isinstance(refusal, IsADirectory) and self.find(destination) is not None:
                    refusal = AlreadyExists(destination)
                raise refusal from error
            except ReplyLost as error:
                doubt = error
                here, there = self.find(source), self.find(destination)
                if here is not None and there is not None and here.id == there.id:
                    return
        raise Unavailable(f"{source} = {destination}: {doubt}") from doubt

    def want_directory(self, path: str) -> None:
        """NotFound, NotADirectory."""
        if not self.status(path).is_dir:
            raise NotADirectory(path)

    def set_attributes(
        self, path: str, x_attr: Mapping[str, bytes | None], mtime_ms: int | None = None
    ) -> pb.FileStatusProto:
        options = _attribute_options(x_attr, mtime_ms)
        request = pb.SetAttrRequest(path=checked(path), opts=options)
        return self._call(Code.SET_ATTR, request, pb.SetAttrResponse, path).status

    # -- files

    def create(
        self, path: str, block_size: int, client_name: str, *, again: int | None = None, exact: bool = False
    ) -> pb.FileStatusProto:
        """A new file, or with ``again`` the file of that inode, still without blocks, with another block size.

        Unless ``exact``, a block size is raised to ``least_block_size``.  AlreadyExists, NotFound, NotADirectory.
        """
        split(self._served(path))
        if not 0 < block_size <= MAX_BLOCK_SIZE:
            raise ValueError(f"a block of {block_size} bytes")
        block_size = block_size if exact else max(block_size, self.least_block_size)
        options = pb.CreateFileOptsProto(
            create_flag=0,
            create_parent=False,
            file_type=_FILE,
            replicas=self._options.replicas,
            block_size=block_size,
            storage_policy=self._policy,
            client_name=client_name,
            mode=0o666 & ~self._options.umask,
            owner="",
            group="",
            sync_ufs_meta=False,
            ufs_len=0,
        )
        flags = _WRONLY_CREAT | (0 if again is None else _TRUNC)
        request = pb.CreateFileRequest(path=path, opts=options, flags=flags)
        try:
            status = self._call(Code.CREATE_FILE, request, pb.CreateFileResponse, path).file_status
        except IsADirectory as error:
            raise AlreadyExists(str(error)) from error
        except Corrupt as error:
            if exact or not block_size < (least := least_block_size(error)) <= MAX_BLOCK_SIZE:
                raise
            self.least_block_size = least
            return self.create(path, least, client_name, again=again)
        self._discard_others()
        if again is not None and status.id != again:
            self.delete(path)
            raise Unavailable(f"{path}: somebody removed it")
        if status.block_size not in (0, block_size):
            raise Corrupt(f"{path}: blocks of {status.block_size} instead of {block_size} bytes")
        return status

    def add_block(
        self,
        path: str,
        inode: int,
        client_name: str,
        last: int | None,
        *,
        commits: Sequence[Commit] = (),
        length: int = 0,
        avoid: Iterable[int] = (),
    ) -> pb.LocatedBlockProto:
        """The block after ``last``, an existing block of this file (None: the first), newly allocated or not.

        ``commits`` records finished blocks, ``length`` is the file's with them.  Locations are empty for a block that
        was allocated before and is not recorded: see assign.
        """
        request = pb.AddBlockRequest(
            path=checked(path),
            commit_blocks=[_commit(commit) for commit in commits],
            exclude_workers=avoid,
            located=True,
            client_address=self._client(client_name),
            file_len=length,
        )
        if last is not None:
            request.last_block.CopyFrom(pb.ExtendedBlockProto(id=last, block_size=0, storage_type=4, file_type=_FILE))
        located = self._call(Code.ADD_BLOCK, request, pb.LocatedBlockProto, path)
        wanted = block_id(inode, 0) if last is None else last + 1
        if located.block.id != wanted:
            raise BlocksForgotten(f"{path}: block {located.block.id} instead of {wanted}")
        return located

    def assign(
        self, path: str, block: pb.ExtendedBlockProto, client_name: str, avoid: Iterable[int]
    ) -> pb.LocatedBlockProto:
        """Other workers for a block that is not recorded yet."""
        request = pb.AssignWorkerRequest(
            path=checked(path), block=block, exclude_workers=avoid, client_address=self._client(client_name)
        )
        return self._call(Code.ASSIGN_WORKER, request, pb.AssignWorkerResponse, path).block

    def complete(
        self,
        path: str,
        client_name: str,
        length: int,
        commits: Sequence[Commit],
        *,
        recorded: int = 0,
        x_attr: Mapping[str, bytes] | None = None,
        mtime_ms: int | None = None,
    ) -> Life | None:
        """Publish ``length`` bytes, of which earlier calls recorded ``recorded``, and attributes with them.

        The life of the master that knows of it.
        """
        if length != recorded + sum(commit.length for commit in commits):
            raise ValueError(f"{length} bytes, but blocks of {recorded} + {commits}")
        dressed = bool(x_attr) or mtime_ms is not None
        options = _attribute_options(x_attr or {}, mtime_ms) if dressed else None
        request = pb.CompleteFileRequest(
            path=checked(path),
            len=length,
            client_name=client_name,
            commit_blocks=[_commit(commit) for commit in commits],
            only_flush=False,
            set_attr_opts=options,
            return_file_blocks=False,
        )
        try:
            self._call(Code.COMPLETE_FILE, request, pb.CompleteFileResponse, path)
            life = self.life
            if options is not None and not self._sets_attributes:
                self._settle_attributes(path, x_attr or {}, mtime_ms)
        except NotFound as error:
            # It was there when we made it: removed, moved, or forgotten by a master that died.
            raise Unavailable(str(error)) from error
        return life

    def _settle_attributes(self, path: str, x_attr: Mapping[str, bytes], mtime_ms: int | None) -> None:
        """Find out, once, whether CompleteFile takes attributes; set them if it does not."""
        if self._sets_attributes is None:
            status = self.status(path)
            self._sets_attributes = (mtime_ms is None or status.mtime == mtime_ms) and all(
                status.x_attr.get(name) == value for name, value in x_attr.items()
            )
        if not self._sets_attributes:
            self.set_attributes(path, x_attr, mtime_ms)

    # -- locks

    def set_lock(self, path: str, lock: LockRange, *, release: bool = False) -> pb.FileLockProto | None:
        """Take or release; the lock that is in the way, or None.  NotFound: there is no such lock file."""
        request = pb.SetLockRequest(
            path=checked(path),
            lock=pb.FileLockProto(
                client_id=lock.client_id,
                owner_id=lock.owner_id,
                pid=0,
                acquire_time=0,
                lock_type=_UNLOCK if release else _WRITE_LOCK,
                lock_flags=_PLOCK,
                start=lock.place,
                end=lock.place,
            ),
        )
        answer = self._call(Code.SET_LOCK, request, pb.SetLockResponse, path)
        return answer.conflict if answer.HasField("conflict") else None

    def _client(self, client_name: str) -> pb.ClientAddressProto:
        return pb.ClientAddressProto(
            client_name=client_name, hostname=self._options.hostname, ip_addr="127.0.0.1", port=0
        )


def _commit(commit: Commit) -> pb.CommitBlockProto:
    if not commit.locations:
        raise ValueError(f"block {commit.block_id} without a worker that has it")
    return pb.CommitBlockProto(
        block_id=commit.block_id,
        block_len=commit.length,
        locations=[
            pb.BlockLocationProto(worker_id=worker, storage_type=storage) for worker, storage in commit.locations
        ],
    )


def _attribute_options(x_attr: Mapping[str, bytes | None], mtime_ms: int | None) -> pb.SetAttrOptsProto:
    return pb.SetAttrOptsProto(
        recursive=False,
        mtime=mtime_ms,
        add_x_attr={name: value for name, value in x_attr.items() if value is not None},
        remove_x_attr=[name for name, value in x_attr.items() if value is None],
    )
