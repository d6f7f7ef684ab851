"""A simulated master: requests in, the tree behind.  The masters of a cluster share one state; one of them leads."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence

from google.protobuf.message import DecodeError, Message

from curvinefs.curvine.errors import Kind, Refused
from curvinefs.curvine.frames import Frame
from curvinefs.proto import curvine_pb2 as pb
from tests.sim.errors import common
from tests.sim.server import Server
from tests.sim.tree import FILE, LINK, Block, Inode, Lock, Tree, Wanted, above
from tests.sim.worker import Worker

_CREAT, _TRUNC, _WRITES = 0x40, 0x200, 0x3
_NAMES = {
    2: "Mkdir",
    3: "Delete",
    4: "CreateFile",
    5: "OpenFile",
    7: "FileStatus",
    8: "ListStatus",
    9: "Exists",
    10: "Rename",
    11: "AddBlock",
    12: "CompleteFile",
    13: "GetBlockLocations",
    14: "GetFilesystemInfo",
    15: "SetAttr",
    16: "Symlink",
    17: "Link",
    19: "AssignWorker",
    20: "GetLock",
    21: "SetLock",
    27: "ListOptions",
    33: "GetMountTable",
}
_REMEMBERED = {3, 4, 5, 10}
"""Codes whose success the retry cache knows."""
_NEVER_SETTLED = {15, 16, 17}
"""Codes that it remembers as running for ever."""


class State:
    """What masters agree on, and the switches of the cluster's behaviour."""

    def __init__(self, now: Callable[[], int], min_block_size: int) -> None:
        self.now = now
        self.tree = Tree(now)
        self.workers: dict[int, Worker] = {}
        self.dead_to_master: set[int] = set()
        """Workers that are missed: no new blocks for them."""
        self.min_block_size = min_block_size
        self.lock_expire_ms = 300_000
        self.delete_delay_s = 1.2
        self.sets_attributes_on_complete = True
        self.cache: dict[int, bool] = {}
        """The leader's retry cache: request id -> succeeded (False: still running)."""
        self.turn = 0
        self.mounts: dict[str, int] = {}
        """Mount points and their write types."""

    def doom(self, blocks: Iterable[Block]) -> None:
        for block in blocks:
            for worker in self.workers.values():
                worker.doom(block.id, self.delete_delay_s)

    def doom_freed(self) -> None:
        freed, self.tree.freed = self.tree.freed, []
        self.doom(freed)


class Master:
    def __init__(self, state: State, leads: Callable[[Master], bool], mutex: object) -> None:
        self.state = state
        self._leads = leads
        self._mutex = mutex
        self.server = Server(lambda: self._handle)
        self.server.forget = self._forget
        self._calls: dict[int, tuple[type[Message], Callable[..., Message]]] = {
            2: (pb.MkdirRequest, self._mkdir),
            3: (pb.DeleteRequest, self._delete),
            4: (pb.CreateFileRequest, self._create),
            5: (pb.OpenFileRequest, self._open),
            7: (pb.GetFileStatusRequest, self._status),
            8: (pb.ListStatusRequest, self._list_status),
            9: (pb.ExistsRequest, self._exists),
            10: (pb.RenameRequest, self._rename),
            11: (pb.AddBlockRequest, self._add_block),
            12: (pb.CompleteFileRequest, self._complete),
            13: (pb.GetBlockLocationsRequest, self._locations),
            14: (pb.GetFilesystemInfoRequest, self._info),
            15: (pb.SetAttrRequest, self._set_attr),
            16: (pb.SymlinkRequest, self._symlink),
            17: (pb.LinkRequest, self._link),
            19: (pb.AssignWorkerRequest, self._assign),
            20: (pb.GetLockRequest, self._get_lock),
            21: (pb.SetLockRequest, self._set_lock),
            27: (pb.ListOptionsRequest, self._list_options),
            33: (pb.GetMountTableRequest, self._mount_table),
        }

    def _handle(self, frame: Frame) -> tuple[bytes, bytes]:
        code, req_id = frame.prefix.code, frame.prefix.req_id
        if not self._leads(self):
            raise Refused(
                Kind.NOT_LEADER, f"Not a leader master, code={_NAMES.get(code, 'Undefined')}, client_ip=127.0.0.1"
            )
        if code not in self._calls:
            raise common("Unsupported operation")
        kind, call = self._calls[code]
        try:
            request = kind.FromString(frame.header)
        except DecodeError:
            raise Refused(Kind.COMMON, "failed to decode Protobuf message: invalid varint") from None
        with self._mutex:  # type: ignore[attr-defined]
            answer = self._once(code, req_id, request, call)
            self.state.doom_freed()
        return answer.SerializeToString(), b""

    def _once(self, code: int, req_id: int, request: Message, call: Callable[..., Message]) -> Message:
        """The retry cache: keyed by the id alone, whatever was asked with it."""
        cache = self.state.cache
        if code in _REMEMBERED | _NEVER_SETTLED and req_id in cache:
            if not cache[req_id]:
                raise Refused(Kind.IN_PROGRESS, f"Request {req_id} in progress")
            return self._repeat(code, request)
        if code in _NEVER_SETTLED:
            cache[req_id] = False
        answer = call(request)
        if code in _REMEMBERED:
            cache[req_id] = True
        return answer

    def _forget(self, req_id: int) -> None:
        if self.state.cache.get(req_id):
            del self.state.cache[req_id]

    def _repeat(self, code: int, request: Message) -> Message:
        if isinstance(request, pb.CreateFileRequest):
            return pb.CreateFileResponse(file_status=self._show(request.path))
        if isinstance(request, pb.OpenFileRequest):
            return pb.OpenFileResponse(file_blocks=self._blocks(request.path))
        if isinstance(request, pb.RenameRequest):
            return pb.RenameResponse(result=True)
        return pb.DeleteResponse(res=pb.FreeResultProto(inodes=0, bytes=0))

    # -- what replies are made of

    def _show(self, path: str, inode: Inode | None = None) -> pb.FileStatusProto:
        inode = inode or self.state.tree.get(path)
        status = pb.FileStatusProto(
            id=inode.id,
            path=path,
            name=path.rpartition("/")[2],
            is_dir=inode.is_dir,
            mtime=inode.mtime,
            atime=inode.atime,
            children_num=len(inode.children),
            is_complete=not inode.is_dir and not inode.writers,
            len=len(inode.children) if inode.is_dir else inode.length,
            replicas=inode.replicas,
            block_size=inode.block_size,
            file_type=inode.file_type,
            x_attr=inode.x_attr,
            storage_policy=pb.StoragePolicyProto(
                storage_type=inode.storage_type, ttl_ms=0, ttl_action=0, ufs_mtime=0, state=inode.state
            ),
            owner=inode.owner,
            group=inode.group,
            mode=inode.mode,
            target=inode.target,
            nlink=inode.nlink,
        )
        if inode.ctime is not None and inode.ctime != inode.mtime:
            status.ctime = inode.ctime
        return status

    def _address(self, worker_id: int) -> pb.WorkerAddressProto:
        worker = self.state.workers[worker_id]
        return pb.WorkerAddressProto(
            worker_id=worker_id,
            hostname=worker.hostname,
            ip_addr="127.0.0.1",
            rpc_port=worker.server.port,
            web_port=9002,
        )

    def _located(self, block: Block, length: int, workers: Sequence[int]) -> pb.LocatedBlockProto:
        return pb.LocatedBlockProto(
            block=pb.ExtendedBlockProto(id=block.id, block_size=length, storage_type=4, file_type=FILE),
            offset=0,
            locs=[self._address(worker) for worker in workers],
            has_spdk=False,
        )

    def _blocks(self, path: str) -> pb.FileBlocksProto:
        inode = self.state.tree.get(path)
        if inode.is_dir:
            raise common(f"Not a file: {path}")
        full = [block.length == inode.block_size for block in inode.blocks]
        for number, block in enumerate(inode.blocks):
            if not full[number] and any(later.length for later in inode.blocks[number + 1 :]):
                raise common(f"block status abnormal, block {block.id}")
            if block.length and not any(worker in self.state.workers for worker, _ in block.workers):
                raise common(f"block {block.id} all replicas has been lost")
        located = [self._located(b, b.length, [worker for worker, _ in b.workers]) for b in inode.blocks]
        return pb.FileBlocksProto(status=self._show(path), block_locs=located)

    # -- names

    def _mkdir(self, request: pb.MkdirRequest) -> Message:
        opts = request.opts
        wanted = Wanted(opts.mode, opts.owner, opts.group, tuple(opts.x_attr.items()), opts.create_parent)
        inode = self.state.tree.mkdir(request.path, wanted)
        self._poison(request.path)
        return pb.MkdirResponse(flag=False, status=self._show(request.path, inode))

    def _poison(self, path: str) -> None:
        self.state.tree.poisoned |= "//" in path

    def _create(self, request: pb.CreateFileRequest) -> Message:
        if not request.flags & _CREAT:
            raise common("CreateFile requires O_CREAT")
        return pb.CreateFileResponse(file_status=self._show(request.path, self._make(request)))

    def _make(self, request: pb.CreateFileRequest | pb.OpenFileRequest) -> Inode:
        opts = request.opts
        if len(request.path.encode()) > 8000 or request.path.count("/") + 1 > 1000:
            raise common(f"Path too long: {request.path[:40]}")
        if not 1 <= opts.replicas < 100:
            raise common(f"The replica number {opts.replicas} needs to be between 1 and 100")
        if not self.state.min_block_size <= opts.block_size < 100 * 2**30:
            raise common(f"Block size needs to be between {self.state.min_block_size} and {100 * 2**30}")
        wanted = Wanted(
            opts.mode,
            opts.owner,
            opts.group,
            tuple(opts.x_attr.items()),
            opts.create_parent,
            opts.replicas,
            opts.block_size & 0xFFFFFFFF,
            opts.storage_policy.storage_type,
            opts.client_name,
        )
        return self.state.tree.create(request.path, wanted, truncate=bool(request.flags & _TRUNC))

    def _open(self, request: pb.OpenFileRequest) -> Message:
        if request.flags & _WRITES:
            inode = self.state.tree.find(request.path)
            if inode is None or request.flags & _TRUNC:
                if not request.flags & _CREAT and inode is None:
                    self.state.tree.get(request.path)
                self._make(request)
            else:
                inode.writers.add(request.opts.client_name)
        return pb.OpenFileResponse(file_blocks=self._blocks(request.path))

    def _status(self, request: pb.GetFileStatusRequest) -> Message:
        return pb.GetFileStatusResponse(status=self._show(request.path))

    def _exists(self, request: pb.ExistsRequest) -> Message:
        return pb.ExistsResponse(exists=self.state.tree.find(request.path) is not None)

    def _children(self, path: str) -> list[pb.FileStatusProto]:
        inode = self.state.tree.get(path)
        if not inode.is_dir:
            return [self._show(path, inode)]
        base = "" if path == "/" else path
        names = sorted(inode.children, key=lambda name: name.encode())
        return [self._show(f"{base}/{name}", inode.children[name]) for name in names]

    def _list_status(self, request: pb.ListStatusRequest) -> Message:
        path = request.path
        if not _is_glob(path):
            return pb.ListStatusResponse(statuses=self._children(path))
        directory = self.state.tree.get(above(path))
        names = fnmatch.filter(sorted(directory.children), path.rpartition("/")[2])
        found = [each for name in names for each in self._children(f"{above(path).rstrip('/')}/{name}")]
        return pb.ListStatusResponse(statuses=found)

    def _mount_table(self, request: pb.GetMountTableRequest) -> Message:
        mounts = self.state.mounts.items()
        return pb.GetMountTableResponse(
            mount_table=[pb.MountInfoProto(cv_path=path, write_type=kind) for path, kind in mounts]
        )

    def _list_options(self, request: pb.ListOptionsRequest) -> Message:
        options = request.options
        if options.HasField("limit") and options.limit < 0:
            raise common("list options limit must be greater than 0")
        if _is_glob(request.path):
            raise common(f"list_options does not support glob pattern, path {request.path}")
        found = self._children(request.path)
        if self.state.tree.get(request.path).is_dir:
            after = options.start_after.encode()
            found = [status for status in found if status.name.encode() > after]
        if options.HasField("limit"):
            found = found[: options.limit]
        return pb.ListOptionsResponse(statuses=found)

    def _rename(self, request: pb.RenameRequest) -> Message:
        return pb.RenameResponse(result=self.state.tree.rename(request.src, request.dst, request.flags & 3))

    def _delete(self, request: pb.DeleteRequest) -> Message:
        files, size = self.state.tree.delete(request.path, recursive=request.recursive)
        return pb.DeleteResponse(res=pb.FreeResultProto(inodes=files, bytes=size))

    def _symlink(self, request: pb.SymlinkRequest) -> Message:
        self.state.tree.symlink(request.target, request.link, request.mode, force=request.force)
        return pb.SymlinkResponse()

    def _link(self, request: pb.LinkRequest) -> Message:
        self.state.tree.link(request.src_path, request.dst_path)
        return pb.LinkResponse()

    def _set_attr(self, request: pb.SetAttrRequest) -> Message:
        inode = self.state.tree.get(request.path)
        self._apply(inode, request.opts)
        inode.ctime = self.state.now()
        return pb.SetAttrResponse(status=self._show(request.path, inode))

    @staticmethod
    def _apply(inode: Inode, opts: pb.SetAttrOptsProto) -> None:
        inode.x_attr.update(opts.add_x_attr)
        for name in opts.remove_x_attr:
            inode.x_attr.pop(name, None)
        for name in ("owner", "group", "mode", "atime", "mtime"):
            if opts.HasField(name):
                setattr(inode, name, getattr(opts, name))

    # -- blocks

    def _choose(self, replicas: int, exclude: Iterable[int], client: str, block_size: int) -> list[int]:
        state = self.state
        alive = [worker for worker in state.workers if worker not in state.dead_to_master]
        if not alive:
            raise common("No workers available")
        fit = [w for w in alive if w not in exclude and state.workers[w].free_bytes() > block_size]
        if not fit:
            raise common("No available worker found")
        state.turn += 1
        order = fit[state.turn % len(fit) :] + fit[: state.turn % len(fit)]
        order.sort(key=lambda worker: state.workers[worker].hostname != client)
        return order[:replicas]

    def _add_block(self, request: pb.AddBlockRequest) -> Message:
        inode = self.state.tree.get_by_id(request.path, request.inode_id)
        if inode.file_type != FILE:
            raise common(f"Not a file: {request.path}")
        numbers = {block.id: number for number, block in enumerate(inode.blocks)}
        following = 0
        if request.HasField("last_block"):
            following = numbers.get(request.last_block.id, len(inode.blocks) - 1) + 1  # unknown: appends
        if following < len(inode.blocks):
            block = inode.blocks[following]
            return self._located(block, block.length, [worker for worker, _ in block.workers])
        self._commit(inode, request.commit_blocks, request.file_len, check=bool(request.commit_blocks))
        workers = self._choose(
            inode.replicas, request.exclude_workers, request.client_address.hostname, inode.block_size
        )
        block = Block(inode.id << 24 | inode.sequence)
        inode.sequence += 1
        inode.blocks.append(block)
        return self._located(block, 0, workers)

    def _assign(self, request: pb.AssignWorkerRequest) -> Message:
        inode = self.state.tree.get(request.path)
        block = next((block for block in inode.blocks if block.id == request.block.id), None)
        if block is None:
            raise common(f"Not found block, block_id = {request.block.id}")
        client = request.client_address.hostname
        workers = self._choose(inode.replicas, request.exclude_workers, client, inode.block_size)
        return pb.AssignWorkerResponse(block=self._located(block, block.length, workers))

    def _commit(self, inode: Inode, commits: Iterable[pb.CommitBlockProto], length: int, *, check: bool) -> None:
        known = {block.id: block for block in inode.blocks}
        lengths = {block.id: block.length for block in inode.blocks}
        for commit in commits:
            if commit.block_id not in known:
                raise common(f"Not found block, block_id = {commit.block_id}")
            lengths[commit.block_id] = max(lengths[commit.block_id], commit.block_len)
        total = sum(lengths.values())
        if inode.blocks and check and max(length, inode.length) != total:
            raise common(f"Complete len is not equal to the sum of blocks, {length} != {total}")
        for commit in commits:
            block = known[commit.block_id]
            block.length = lengths[commit.block_id]
            block.workers = [(each.worker_id, each.storage_type) for each in commit.locations]
        inode.length = max(length, inode.length)
        inode.mtime = self.state.now()

    def _complete(self, request: pb.CompleteFileRequest) -> Message:
        inode = self.state.tree.get_by_id(request.path, request.inode_id)
        if inode.file_type != FILE:
            raise common(f"Not a file: {request.path}")
        self._commit(inode, request.commit_blocks, request.len, check=True)
        if not request.only_flush:
            inode.writers.discard(request.client_name)
            if self.state.sets_attributes_on_complete and request.HasField("set_attr_opts"):
                self._apply(inode, request.set_attr_opts)
        return pb.CompleteFileResponse(result=True)

    def _locations(self, request: pb.GetBlockLocationsRequest) -> Message:
        inode = self.state.tree.get(request.path)
        if inode.file_type == LINK:
            return pb.GetBlockLocationsResponse(blocks=pb.FileBlocksProto(status=self._show(request.path, inode)))
        return pb.GetBlockLocationsResponse(blocks=self._blocks(request.path))

    # -- locks, cluster

    def _lock_of(self, lock: pb.FileLockProto) -> Lock:
        return Lock(
            lock.client_id,
            lock.owner_id,
            lock.pid,
            self.state.now(),
            lock.lock_type,
            lock.lock_flags,
            lock.start,
            lock.end,
        )

    def _get_lock(self, request: pb.GetLockRequest) -> Message:
        inode = self.state.tree.get(request.path)
        return pb.GetLockResponse(conflict=_lock_proto(Tree.lock_in_way(inode, self._lock_of(request.lock))))

    def _set_lock(self, request: pb.SetLockRequest) -> Message:
        inode = self.state.tree.get(request.path)
        conflict = self.state.tree.set_lock(inode, self._lock_of(request.lock), self.state.lock_expire_ms)
        return pb.SetLockResponse(conflict=_lock_proto(conflict))

    def _info(self, request: pb.GetFilesystemInfoRequest) -> Message:
        state = self.state
        inodes = list(state.tree.by_id.values())
        answer = pb.GetFilesystemInfoResponse(
            active_master=f"localhost:{self.server.port}",
            journal_nodes=["1,localhost:8996"],
            inode_dir_num=sum(inode.is_dir for inode in inodes),
            inode_file_num=sum(not inode.is_dir for inode in inodes),
            block_num=sum(len(inode.blocks) for inode in inodes),
            capacity=sum(worker.capacity for worker in state.workers.values()),
            available=sum(worker.free_bytes() for worker in state.workers.values()),
            fs_used=0,
            non_fs_used=0,
            reserved_bytes=0,
        )
        for worker_id in state.workers:
            listed = answer.lost_workers if worker_id in state.dead_to_master else answer.live_workers
            worker = state.workers[worker_id]
            listed.add(
                address=self._address(worker_id),
                capacity=worker.capacity,
                available=worker.free_bytes(),
                fs_used=0,
                non_fs_used=0,
            )
        answer.compatibility.server.release_version = "0.2.0"
        answer.compatibility.compatibility_mode = 1
        return answer


def _lock_proto(lock: Lock | None) -> pb.FileLockProto | None:
    if lock is None:
        return None
    return pb.FileLockProto(
        client_id=lock.client_id,
        owner_id=lock.owner_id,
        pid=lock.pid,
        acquire_time=lock.acquire_time,
        lock_type=lock.lock_type,
        lock_flags=lock.lock_flags,
        start=lock.start,
        end=lock.end,
    )


def _is_glob(path: str) -> bool:
    """Whether the master takes it for a pattern: it has a special character, and what they open is closed."""
    return bool(re.search(r"[*?]|\\.|\[[^\]]+\]|\{[^}]*\}", path))
