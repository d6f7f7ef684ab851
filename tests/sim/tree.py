"""The name space of the simulated cluster: inodes, names, attributes, locks.  Pure but for its given clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from curvinefs.curvine.errors import Kind, Refused
from tests.sim.errors import common, exists, not_empty, not_found

DIR, FILE, LINK = 0, 1, 2
NO_REPLACE, EXCHANGE = 1, 2


@dataclass
class Block:
    id: int
    length: int = 0
    workers: list[tuple[int, int]] = field(default_factory=list)
    """Worker and storage type of each replica that was committed."""


@dataclass
class Inode:
    id: int
    file_type: int
    mtime: int
    mode: int = 0
    owner: str = ""
    group: str = ""
    x_attr: dict[str, bytes] = field(default_factory=dict)
    nlink: int = 1
    atime: int = 0
    ctime: int | None = None
    children: dict[str, Inode] = field(default_factory=dict)
    target: str | None = None
    replicas: int = 0
    block_size: int = 0
    storage_type: int = 4
    state: int = 1
    """Where its bytes are: 1 the cluster, 2 mounted storage, 3 both."""
    length: int = 0
    blocks: list[Block] = field(default_factory=list)
    sequence: int = 0
    writers: set[str] = field(default_factory=set)
    locks: list[Lock] = field(default_factory=list)

    @property
    def is_dir(self) -> bool:
        return self.file_type == DIR


@dataclass(frozen=True)
class Lock:
    client_id: str
    owner_id: int
    pid: int
    acquire_time: int
    lock_type: int
    lock_flags: int
    start: int
    end: int

    @property
    def key(self) -> str:
        """The real table is keyed by the two joined, which mixes up ("A1", 2) and ("A", 12)."""
        return f"{self.client_id}{self.owner_id}"


@dataclass(frozen=True)
class Wanted:
    """What CreateFile and Mkdir say of the new inode."""

    mode: int
    owner: str = ""
    group: str = ""
    x_attr: tuple[tuple[str, bytes], ...] = ()
    create_parent: bool = False
    replicas: int = 0
    block_size: int = 0
    storage_type: int = 4
    client_name: str = ""


def parts_of(path: str) -> list[str]:
    """Components; empty ones in the middle count as names, as on the real master."""
    if not path.startswith("/"):
        raise common(f"Absolute path required, but got {path}")
    if path == "/":
        return []
    if path.endswith("/"):
        raise common(f"Path {path} is invalid")
    return path[1:].split("/")


def above(path: str) -> str:
    return path.rpartition("/")[0] or "/"


class Tree:
    def __init__(self, now: Callable[[], int]) -> None:
        """``now``: milliseconds."""
        self.now = now
        self.root = Inode(1000, DIR, now(), mode=0o777, nlink=2)
        self.by_id: dict[int, Inode] = {1000: self.root}
        self.last_id = 1000
        self.poisoned = False
        """A nameless directory was made: the journal cannot be replayed any more."""
        self.freed: list[Block] = []
        """Blocks of inodes that are gone; for the workers to delete."""

    # -- finding

    def find(self, path: str) -> Inode | None:
        inode = self.root
        for name in parts_of(path):
            child = inode.children.get(name)
            if child is None:
                return None
            inode = child
        return inode

    def get(self, path: str) -> Inode:
        inode = self.find(path)
        if inode is None:
            raise not_found(path)
        return inode

    def get_by_id(self, path: str, inode_id: int) -> Inode:
        if inode_id <= 0:
            return self.get(path)
        inode = self.by_id.get(inode_id)
        if inode is None:
            raise not_found(path)
        return inode

    # -- making

    def mkdir(self, path: str, wanted: Wanted) -> Inode:
        if path == "/":
            raise common("Not allowed to create the root")
        there = self.find(path)
        if there is not None:
            if there.is_dir and wanted.create_parent:
                return there
            raise exists(path)
        return self._add(path, wanted, self._new(DIR, wanted))

    def create(self, path: str, wanted: Wanted, *, truncate: bool) -> Inode:
        there = self.find(path)
        if there is not None:
            if there.is_dir:
                raise common(f"{path}  already exists as a dir")
            if not truncate:
                raise exists(path)
            self.freed += [block for block in there.blocks if block.workers]  # the others leak
            there.blocks, there.length, there.mtime = [], 0, self.now()
            there.replicas, there.block_size = wanted.replicas, wanted.block_size
            there.writers.add(wanted.client_name)
            return there
        inode = self._new(FILE, wanted)
        inode.writers.add(wanted.client_name)
        return self._add(path, wanted, inode)

    def _new(self, file_type: int, wanted: Wanted) -> Inode:
        now = self.now()
        return Inode(
            0,
            file_type,
            now,
            mode=wanted.mode,
            owner=wanted.owner,
            group=wanted.group,
            x_attr=dict(wanted.x_attr),
            nlink=2 if file_type == DIR else 1,
            atime=now,
            replicas=wanted.replicas,
            block_size=wanted.block_size,
            storage_type=wanted.storage_type,
        )

    def _add(self, path: str, wanted: Wanted, inode: Inode) -> Inode:
        return self._attach(self._parent(path, wanted), path.rpartition("/")[2], inode)

    def _attach(self, parent: Inode, name: str, inode: Inode) -> Inode:
        self.last_id += 1
        inode.id = self.last_id
        self.by_id[inode.id] = parent.children[name] = inode
        parent.mtime = self.now()
        if inode.is_dir:
            parent.nlink += 1
        return inode

    def _parent(self, path: str, wanted: Wanted) -> Inode:
        names = parts_of(path)[:-1]
        if not wanted.create_parent and self.find(above(path)) is None:
            raise common(f"Parent directory doesn't exist: {above(path)}")
        inode = self.root
        for depth, name in enumerate(names):
            here = "/" + "/".join(names[: depth + 1])
            child = inode.children.get(name)
            if child is None:
                plain = Wanted(wanted.mode, wanted.owner, wanted.group, create_parent=True)
                self.poisoned |= not name
                child = self._attach(inode, name, self._new(DIR, plain))
            if not child.is_dir:
                raise common(f"Parent path is not a directory: {here}")
            inode = child
        return inode

    def symlink(self, target: str, path: str, mode: int, *, force: bool) -> None:
        there = self.find(path)
        if there is not None:
            if force and there.file_type == LINK:
                return  # a success that changes nothing
            raise exists(path)
        inode = self._new(LINK, Wanted(mode))
        inode.target = target
        self._add(path, Wanted(mode, create_parent=True), inode)

    def link(self, source: str, destination: str) -> None:
        inode = self.get(source)
        if inode.is_dir:
            raise common(f"Cannot create link to directory: {source}")
        if self.find(destination) is not None:
            raise exists(destination)
        parent = self._parent(destination, Wanted(0o755, create_parent=True))
        parent.children[destination.rpartition("/")[2]] = inode
        parent.mtime = inode.ctime = self.now()
        inode.nlink += 1

    # -- renaming and removing

    def rename(self, source: str, destination: str, flags: int) -> bool:
        if source == "/":
            raise common("Cannot rename root path")
        inode = self.get(source)
        if source == destination:
            return False
        there = self.find(destination)
        if flags == EXCHANGE:
            self._exchange(source, inode, destination, there)
            return True
        if destination.startswith(source + "/"):
            raise Refused(
                Kind.INVALID_ARGUMENT, f"cannot rename {source} to {destination}: destination is under source"
            )
        self._check_parent(source, inode, destination)
        if there is not None:
            self._check_replaced(inode, destination, there, flags)
        here, parent = self.get(above(source)), self.get(above(destination))
        del here.children[source.rpartition("/")[2]]
        if there is not None and there is not inode:  # a link of the same file keeps its count too high
            self._unlink(there)
        parent.children[destination.rpartition("/")[2]] = inode
        here.mtime = parent.mtime = self.now()
        return True

    def _check_parent(self, source: str, inode: Inode, destination: str) -> None:
        names = parts_of(destination)[:-1]
        parent = self.root
        for depth, name in enumerate(names):
            child = parent.children.get(name)
            if child is None:
                raise common(f"Parent {'/' + '/'.join(names[: depth + 1])} does not exist")
            if not child.is_dir:
                # The trap: an error, and the source is gone.
                del self.get(above(source)).children[source.rpartition("/")[2]]
                self.by_id.pop(inode.id, None)
                raise common(f"Path not a dir: {name}")
            parent = child

    def _check_replaced(self, inode: Inode, destination: str, there: Inode, flags: int) -> None:
        if flags & NO_REPLACE:
            raise exists(destination)
        if there.is_dir and not inode.is_dir:
            raise Refused(Kind.IS_A_DIRECTORY, f"{destination} is a directory")
        if inode.is_dir and not there.is_dir:
            raise Refused(Kind.NOT_A_DIRECTORY, f"{destination} is not a directory")
        if there.children:
            raise not_empty(destination)

    def _exchange(self, source: str, inode: Inode, destination: str, there: Inode | None) -> None:
        if there is None:
            raise not_found(destination)
        if destination.startswith(source + "/") or source.startswith(destination + "/"):
            raise Refused(Kind.INVALID_ARGUMENT, f"cannot rename {source} to {destination}: one is below the other")
        here, parent = self.get(above(source)), self.get(above(destination))
        here.children[source.rpartition("/")[2]] = there
        parent.children[destination.rpartition("/")[2]] = inode
        here.mtime = parent.mtime = self.now()

    def delete(self, path: str, *, recursive: bool) -> tuple[int, int]:
        """How many files and bytes went."""
        if path == "/":
            raise common("The root is not allowed to be deleted")
        inode = self.get(path)
        if inode.children and not recursive:
            raise not_empty(path)
        parent = self.get(above(path))
        del parent.children[path.rpartition("/")[2]]
        parent.mtime = self.now()
        return self._unlink(inode)

    def _unlink(self, inode: Inode) -> tuple[int, int]:
        files = size = 0
        for child in inode.children.values():
            below = self._unlink(child)
            files, size = files + below[0], size + below[1]
        inode.nlink -= 1
        if inode.is_dir:
            self.by_id.pop(inode.id, None)
        elif inode.nlink == 0:
            self.by_id.pop(inode.id, None)
            self.freed += inode.blocks
            files, size = files + 1, size + sum(block.length for block in inode.blocks)
        return files, size

    # -- locks

    def set_lock(self, inode: Inode, lock: Lock, expire_ms: int) -> Lock | None:
        """The lock in the way, or None."""
        now = self.now()
        inode.locks = [held for held in inode.locks if now - held.acquire_time <= expire_ms]
        unlock = lock.lock_type == 2
        conflict = None if unlock else self.lock_in_way(inode, lock)
        if conflict is not None:
            return conflict
        kept = []
        for held in inode.locks:
            same = held.key == lock.key and held.lock_flags == lock.lock_flags
            if not (same and (lock.lock_flags == 1 or _overlap(held, lock))):
                kept.append(held)
        if not unlock:
            kept.append(lock)
        inode.locks = kept
        return None

    @staticmethod
    def lock_in_way(inode: Inode, lock: Lock) -> Lock | None:
        for held in inode.locks:
            if (held.client_id, held.owner_id) == (lock.client_id, lock.owner_id):
                continue
            if held.lock_flags != lock.lock_flags or 1 not in (held.lock_type, lock.lock_type):
                continue
            if lock.lock_flags == 1 or _overlap(held, lock):
                return held
        return None


def _overlap(one: Lock, other: Lock) -> bool:
    return one.start <= other.end and other.start <= one.end
