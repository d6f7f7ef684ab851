"""Recorded conversations, replayed against the simulated cluster.

What a recording took for granted (files made before it) is made first: from the statuses, blocks and bytes that it
shows, and from ``TAKEN_FOR_GRANTED`` where it shows nothing.  Ids are renamed on the way, as the replies name them.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf.message import Message

from curvinefs.curvine.frames import Frame, Prefix, allocate, decode_error, decode_prefix, encode, receive
from curvinefs.proto import curvine_pb2 as pb
from tests.sim.cluster import Cluster
from tests.sim.tree import DIR, FILE, Block, Inode

DIRECTORY = Path(__file__).with_suffix("")

TAKEN_FOR_GRANTED: Mapping[str, tuple[str, ...]] = {
    "badrequests": ("a",),
    "cli-put-short-circuit": ("/i/",),
    "cli-put": ("/i/",),
    "cli-mkdir": ("/i/",),
    "delete-nonempty": ("d/", "d/e/", "a=aaa", "e/"),
    "exchange": ("a=aaa", "b=bbbb"),
    "exists": ("a", "d/"),
    "links": ("a=aaa",),
    "mkdir": ("/tr/other/",),
    "not-found": ("a",),
    "rename-replace": ("a=aaa", "b=bbb"),
    "rename-errors": ("a", "b", "d/", "d/k", "e/"),
    "list-glob-trap": ("g[a]/x", "ga/other"),
    "lock": ("a",),
}
_SHOWS_NOTHING = {"exchange", "links", "rename-replace"}
"""Recordings whose statuses are those of files that were moved on the way."""
_PAIRS: Mapping[int, tuple[type[Message], type[Message] | None]] = {
    2: (pb.MkdirRequest, pb.MkdirResponse),
    3: (pb.DeleteRequest, pb.DeleteResponse),
    4: (pb.CreateFileRequest, pb.CreateFileResponse),
    5: (pb.OpenFileRequest, pb.OpenFileResponse),
    7: (pb.GetFileStatusRequest, pb.GetFileStatusResponse),
    8: (pb.ListStatusRequest, pb.ListStatusResponse),
    9: (pb.ExistsRequest, pb.ExistsResponse),
    10: (pb.RenameRequest, pb.RenameResponse),
    11: (pb.AddBlockRequest, pb.LocatedBlockProto),
    12: (pb.CompleteFileRequest, pb.CompleteFileResponse),
    13: (pb.GetBlockLocationsRequest, pb.GetBlockLocationsResponse),
    14: (pb.GetFilesystemInfoRequest, None),
    15: (pb.SetAttrRequest, pb.SetAttrResponse),
    16: (pb.SymlinkRequest, pb.SymlinkResponse),
    17: (pb.LinkRequest, pb.LinkResponse),
    20: (pb.GetLockRequest, pb.GetLockResponse),
    21: (pb.SetLockRequest, pb.SetLockResponse),
    27: (pb.ListOptionsRequest, pb.ListOptionsResponse),
    80: (pb.BlockWriteRequest, pb.BlockWriteResponse),
    81: (pb.BlockReadRequest, pb.BlockReadResponse),
}
_IDS = {"id", "block_id", "inode_id", "worker_id"}
_VARY = {"mtime", "atime", "ctime", "acquire_time", "rpc_port", "web_port", "ip_addr"}
_RUNNING = 3
_TRUNC = 0x200


class Line(NamedTuple):
    """One recorded frame."""

    asks: bool
    peer: str
    raw: bytes
    frame: Frame

    @property
    def message(self) -> Message | None:
        """What the header says, None where there is none or it cannot be told."""
        prefix = self.frame.prefix
        if not self.frame.header or prefix.code not in _PAIRS:
            return None
        kind = _PAIRS[prefix.code][0 if self.asks else 1]
        if prefix.status & 0xF == _RUNNING:
            kind = pb.DataHeaderProto
        try:
            return kind.FromString(self.frame.header) if kind is not None else None
        except Exception:  # noqa: B902  recorded nonsense: it is sent as it is
            return None


def load(path: Path) -> list[Line]:
    lines = []
    for text in path.read_text().splitlines():
        fields = json.loads(text)
        raw = bytes.fromhex(fields["hex"])
        prefix = decode_prefix(raw[:22])
        header = raw[22 : 22 + prefix.header_len]
        frame = Frame(prefix, header, memoryview(raw[22 + prefix.header_len :]))
        lines.append(Line(fields["dir"] == "c2s", fields["peer"], raw, frame))
    return lines


class Replay:
    """Plays the client's part of a recording and compares what comes back."""

    def __init__(self, name: str, lines: list[Line], cluster: Cluster) -> None:
        self._name = name
        self._lines = lines
        self._cluster = cluster
        self._ids: dict[int, int] = {}
        self._sockets: dict[tuple[str, int], socket.socket] = {}
        self._set_up()

    def run(self) -> list[str]:
        """The differences."""
        differences: list[str] = []
        answers = [line for line in self._lines if not line.asks]
        try:
            for line in self._lines:
                if not line.asks:
                    continue
                prefix = line.frame.prefix
                recorded = next(
                    a for a in answers if a.frame.prefix[2] == prefix.code and _ids(a.frame.prefix) == _ids(prefix)
                )
                answers.remove(recorded)
                answer = self._exchange(line)
                self._write_near(line, answer)
                differences += [f"{prefix.code} {line.message}: {each}" for each in self._compare(recorded, answer)]
        finally:
            for each in self._sockets.values():
                each.close()
        return differences

    def _exchange(self, line: Line) -> Line:
        message = line.message
        header = line.frame.header if message is None else self._renamed(message).SerializeToString()
        prefix = line.frame.prefix
        connection = self._connection(line)
        connection.sendall(
            encode(prefix.code, prefix.status, prefix.req_id, prefix.seq_id, header, len(line.frame.data))
            + line.frame.data
        )
        steps = receive(allocate)
        buffer = next(steps)
        try:
            while True:
                count = connection.recv_into(buffer)
                assert count, "the connection ended"
                buffer = steps.send(count)
        except StopIteration as done:
            return Line(False, line.peer, b"", done.value)

    def _write_near(self, asked: Line, answer: Line) -> None:
        """Where the worker granted a path, the recorded client wrote the block without a frame."""
        granted = answer.message
        if isinstance(granted, pb.BlockWriteResponse) and granted.path:
            req_id = asked.frame.prefix.req_id
            last = [line for line in self._lines if line.asks and line.frame.prefix.req_id == req_id][-1].message
            assert isinstance(last, pb.BlockWriteRequest)
            Path(granted.path).write_bytes(bytes(last.block.block_size))

    def _connection(self, line: Line) -> socket.socket:
        key = (line.peer, line.frame.prefix.req_id if line.peer == "worker" else 0)
        if key not in self._sockets:
            server = (self._cluster.workers if line.peer == "worker" else self._cluster.masters)[0].server
            self._sockets[key] = socket.create_connection(("127.0.0.1", server.port), 10)
        return self._sockets[key]

    # -- renaming

    def _renamed(self, message: Message) -> Message:
        copy = type(message)()
        copy.CopyFrom(message)
        for holder, name, value in _numbers(copy):
            setattr(holder, name, self._ids.get(value, value))
        return copy

    # -- comparing

    def _compare(self, recorded: Line, answer: Line) -> Iterator[str]:
        want, got = recorded.frame.prefix, answer.frame.prefix
        if want.status != got.status or want.seq_id != got.seq_id:
            yield f"{got} instead of {want}, {bytes(answer.frame.data)!r} {bytes(recorded.frame.data[:200])!r}"
        elif want.is_error:
            kind, text = decode_error(recorded.frame.data)
            text = re.sub(r"\d{9,}", lambda found: str(self._ids.get(int(found[0]), found[0])), text)
            theirs = decode_error(answer.frame.data)
            if kind != theirs[0] or _plain(text) != _plain(theirs[1]):
                yield f"{theirs} instead of {(kind, text)}"
        elif recorded.frame.data != answer.frame.data:
            yield "other bytes"
        else:
            one, other = recorded.message, answer.message
            if (one is None) != (other is None) and recorded.frame.prefix.code != 14:
                yield f"{other} instead of {one}"
            elif one is not None and other is not None:
                yield from self._differ(one, other, "")

    def _differ(self, one: Message, other: Message, at: str) -> Iterator[str]:
        names = [field.name for field in one.DESCRIPTOR.fields]
        for field in one.DESCRIPTOR.fields:
            name = field.name
            mine, theirs = getattr(one, name), getattr(other, name)
            if name in ("x_attr",):
                if dict(mine) != dict(theirs):
                    yield f"{at}{name}: {theirs} instead of {mine}"
            elif hasattr(mine, "add"):
                if len(mine) != len(theirs):
                    yield f"{at}{name}: {len(theirs)} instead of {len(mine)}"
                for number, pair in enumerate(zip(mine, theirs)):
                    yield from self._differ(*pair, f"{at}{name}[{number}].")
            elif isinstance(mine, Message):
                if one.HasField(name) != other.HasField(name):
                    yield f"{at}{name}: is or is not there"
                elif one.HasField(name):
                    yield from self._differ(mine, theirs, f"{at}{name}.")
            elif name in _IDS:
                if self._ids.setdefault(mine, theirs) != theirs:
                    yield f"{at}{name}: {theirs} instead of {self._ids[mine]} for {mine}"
            elif name == "path" and "storage_type" in names:
                if _place(mine, self._ids) != _place(theirs, {}):
                    yield f"{at}{name}: {theirs} instead of {mine}"
            elif name not in _VARY and (mine != theirs or one.HasField(name) != other.HasField(name)):
                yield f"{at}{name}: {theirs!r} instead of {mine!r}"

    # -- what was there before

    def _set_up(self) -> None:
        base = f"/tr/{self._name}"
        self._make(base, True)
        if self._name not in _SHOWS_NOTHING:
            for look in (_blocks, _bare_statuses):  # what shows the bytes first
                self._look(look)
        for name in TAKEN_FOR_GRANTED.get(self._name, ()):
            path, _, data = name.partition("=")
            path = path if path.startswith("/") else f"{base}/{path}"
            inode = self._make(path.rstrip("/"), path.endswith("/"))
            if data:
                self._fill(inode, [(None, data.encode())], 4096)

    def _look(self, look: Callable[[Message], Iterator[pb.FileBlocksProto]]) -> None:
        made: set[str] = set()
        for line in self._lines:
            message = line.message
            if line.asks and isinstance(message, pb.CreateFileRequest | pb.OpenFileRequest | pb.MkdirRequest):
                if not isinstance(message, pb.OpenFileRequest) or message.flags & _TRUNC:
                    made.add(message.path)
                self._make(message.path.rpartition("/")[0] or "/", True, unless=made)
            elif line.asks and isinstance(message, pb.RenameRequest):
                made.add(message.dst)
            elif not line.asks and message is not None:
                for shown in look(message):
                    self._learn(shown, made, opened=isinstance(message, pb.OpenFileResponse))

    def _learn(self, shown: pb.FileBlocksProto, made: set[str], *, opened: bool) -> None:
        status = shown.status
        if status.path in made or any(status.path.startswith(path + "/") for path in made) or status.id in self._ids:
            return
        inode = self._make(status.path, status.is_dir)
        self._ids[status.id] = inode.id
        inode.mode, inode.block_size, inode.replicas = status.mode, status.block_size, status.replicas
        inode.owner, inode.group = status.owner, status.group
        inode.x_attr = {} if self._name == "xattr" else dict(status.x_attr)
        inode.writers = set() if status.is_complete or status.is_dir or opened else {"somebody"}
        if status.len and not status.is_dir:
            pieces: list[tuple[int | None, bytes]] = [(b.block.id, self._bytes(b.block)) for b in shown.block_locs]
            self._fill(inode, pieces or [(None, bytes(status.len))], status.block_size)

    def _make(self, path: str, is_dir: bool, unless: set[str] | None = None) -> Inode:
        tree = self._cluster.state.tree
        inode = tree.root
        names = [name for name in path.split("/") if name]
        for depth, name in enumerate(names):
            last = depth == len(names) - 1
            here = "/" + "/".join(names[: depth + 1])
            if name not in inode.children:
                if unless is not None and (here in unless or depth > 1):
                    return inode
                tree.last_id += 1
                kind = DIR if is_dir or not last else FILE
                child = Inode(tree.last_id, kind, tree.now(), mode=0o755 if kind == DIR else 0o644)
                child.nlink, child.atime, child.block_size = 2 if kind == DIR else 1, tree.now(), 4096
                child.replicas = int(kind == FILE)
                if kind == DIR:
                    child.block_size = 0
                    inode.nlink += 1
                tree.by_id[child.id] = inode.children[name] = child
            inode = inode.children[name]
        return inode

    def _fill(self, inode: Inode, pieces: list[tuple[int | None, bytes]], block_size: int) -> None:
        worker = self._cluster.workers[0]
        inode.block_size = block_size
        for recorded, data in pieces:
            block = Block(inode.id << 24 | inode.sequence, len(data), [(worker.id, 4)])
            inode.sequence += 1
            inode.blocks.append(block)
            inode.length += len(data)
            path = worker.active(block.id)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            if recorded is not None:
                self._ids[recorded] = block.id

    def _bytes(self, block: pb.ExtendedBlockProto) -> bytes:
        """What the recording shows of a block's bytes."""
        data = bytearray(block.block_size)
        for line in self._lines:
            message = line.message
            if line.asks and isinstance(message, pb.BlockReadRequest) and message.id == block.id and message.len:
                position = message.off
                for other in self._lines:
                    prefix = other.frame.prefix
                    if prefix.req_id != line.frame.prefix.req_id or prefix.status & 0xF != _RUNNING:
                        continue
                    moved = other.message
                    if other.asks and isinstance(moved, pb.DataHeaderProto):
                        position = moved.offset
                    elif not other.asks and not prefix.is_error:
                        data[position : position + len(other.frame.data)] = other.frame.data
                        position += len(other.frame.data)
        return bytes(data[: block.block_size])


def _ids(prefix: Prefix) -> tuple[int, int, int]:
    return prefix.req_id, prefix.seq_id, prefix.status & 0xF


def _plain(text: str) -> str:
    """Without the source line that ends it."""
    return re.sub(r"\([\w/.-]+\.rs:\d+\)$", "", text)


def _place(path: str, ids: Mapping[int, int]) -> str:
    """The end of a block file's path, with its id renamed."""
    found = re.search(r"(staging|active)/.*blk_(\d+)$", path)
    return f"{found[1]} {ids.get(int(found[2]), int(found[2]))}" if found else path


def _numbers(message: Message) -> Iterator[tuple[Any, str, int]]:
    for field, value in message.ListFields():
        if hasattr(value, "add"):
            for each in value:
                yield from _numbers(each)
        elif isinstance(value, Message):
            yield from _numbers(value)
        elif field.name in _IDS:
            yield message, field.name, value


def _blocks(message: Message) -> Iterator[pb.FileBlocksProto]:
    if isinstance(message, pb.GetBlockLocationsResponse):
        yield message.blocks
    elif isinstance(message, pb.OpenFileResponse):
        yield message.file_blocks


def _bare_statuses(message: Message) -> Iterator[pb.FileBlocksProto]:
    if isinstance(message, pb.ListStatusResponse | pb.ListOptionsResponse):
        for status in message.statuses:
            yield pb.FileBlocksProto(status=status)
    elif isinstance(message, pb.GetFileStatusResponse | pb.SetAttrResponse):
        yield pb.FileBlocksProto(status=message.status)
