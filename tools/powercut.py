#!/usr/bin/env python3
"""Cut the power under the local store and look whether it kept its word.

Makes an ext4 image, runs processes and threads that change it through ``LocalFileSystem(durability="full")`` and, while
they do, shuts the file system down without writing its journal (EXT4_IOC_SHUTDOWN, as xfstests does).  What was
not flushed is gone then.  After mounting again every change that was acknowledged must be there, and of every file
either the old or the new whole contents with their attributes.  It does not test the disk's own write cache.

    powercut.py [--rounds N] [--changes N] [--seed N]      as root; needs curvinefs on the Python path

Exit: 0 all kept, 1 something lost (said on stderr), 77 cannot run here (why: on stderr).
Each worker reports on a pipe: the paths that it is about to touch, then what they are after the change.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from curvinefs.api import AlreadyExists, FileKind, FsError, NotFound, PartRef, RenameFlag
from curvinefs.local import LocalFileSystem

EXT4_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
NOLOGFLUSH = 2
PROCESSES = 2
THREADS = 2
MTIME = 1_600_000_000_000_000_000
DIRECTORY = -1
"""In place of a file's version."""

Version = int | None
"""What is at a path: a file's version, DIRECTORY, or nothing."""


def why_not() -> str | None:
    """Why it cannot run here; None when it can."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("mkfs.ext4", "mount", "umount"):
        if shutil.which(program) is None:
            return f"needs {program}"
    if not os.path.exists("/dev/loop-control"):
        return "needs loop devices"
    return None


def contents(path: str, version: int) -> bytes:
    line = f"{path} {version}\n".encode()
    return line * (1 + version * 7919 % 400)


class Worker:
    """Random changes below a directory of its own, and in directories that all workers make at once."""

    def __init__(self, fs: LocalFileSystem, name: str, seed: int, report: int) -> None:
        self._fs = fs
        self._home = f"/{name}"
        self._name = name
        self._random = random.Random(seed)
        self._report = report
        self._versions = itertools.count(1)
        self._serial = itertools.count()
        self._there: dict[str, Version] = {}

    def run(self) -> None:
        """Until the file system is gone."""
        changes = [self.put] * 5 + [self.delete, self.delete, self.mkdir, self.move, self.link, self.turn]
        changes += [self.parts, self.put_shared, self.put_shared, self.delete_some]
        with suppress(FsError):
            self._change([self._home], lambda: self._fs.mkdir(self._home), {self._home: DIRECTORY})
            while True:
                self._random.choice(changes)()

    def _change(self, touched: list[str], action: object, after: dict[str, Version]) -> None:
        assert callable(action)
        self._say({"touch": touched})
        action()
        self._say({"after": after})
        self._there.update(after)

    def _say(self, what: dict[str, object]) -> None:
        line = json.dumps({"worker": self._name, **what}).encode() + b"\n"
        assert len(line) < 4096  # PIPE_BUF: lines of several writers do not mix
        os.write(self._report, line)

    def _pick(self, directory: bool) -> str | None:
        paths = [p for p, v in self._there.items() if v is not None and (v == DIRECTORY) == directory]
        return self._random.choice(paths) if paths else None

    def _write(self, path: str, version: int, flags: RenameFlag = RenameFlag.REPLACE) -> None:
        parent, _, name = path.rpartition("/")
        data = contents(path, version)
        with closing(self._fs.create(f"{parent}/.s3~tmp.{self._name}.{next(self._serial)}")) as writer:
            writer.write(data)
            writer.complete({"user.s3": b"%d %s" % (version, path.encode())}, MTIME + version)
            writer.rename(name, flags)

    def _fresh(self) -> str:
        home = self._pick(directory=True)
        return f"{home}/n{next(self._serial)}"

    def put(self) -> None:
        path = self._fresh() if self._random.random() < 0.5 else self._pick(directory=False) or self._fresh()
        version = next(self._versions)
        self._change([path], lambda: self._write(path, version), {path: version})

    def put_shared(self) -> None:
        """Into a directory that another process may have made, but not yet flushed, a moment ago."""
        number = next(self._serial)
        upper, lower = f"/shared{number // 12}", f"/shared{number // 12}/{number // 4}"
        path, version = f"{lower}/{self._name}.{number}", next(self._versions)

        def action() -> None:
            for directory in (upper, lower):
                with suppress(AlreadyExists):
                    self._fs.mkdir(directory)
            self._write(path, version, RenameFlag.NO_REPLACE)

        self._change([path], action, {path: version})
        self._there.pop(path)  # not to be moved: others do not know it

    def mkdir(self) -> None:
        path = self._fresh()
        x_attr = {"user.s3": b"d"} if self._random.random() < 0.5 else None
        self._change([path], lambda: self._fs.mkdir(path, x_attr), {path: DIRECTORY})

    def delete(self) -> None:
        path = self._pick(directory=False)
        if path:
            self._change([path], lambda: self._fs.delete(path), {path: None})

    def delete_some(self) -> None:
        paths = sorted({path for path in (self._pick(directory=False) for _ in range(5)) if path})

        def action() -> None:
            with self._fs.deferred():
                for path in paths:
                    self._fs.delete(path)

        self._change(paths, action, dict.fromkeys(paths))

    def move(self) -> None:
        """A finished file from one directory to another."""
        source, path, version = self._fresh(), self._fresh(), next(self._versions)

        def action() -> None:
            parent, _, name = source.rpartition("/")
            with closing(self._fs.create(f"{parent}/.s3~tmp.move{next(self._serial)}")) as writer:
                writer.write(contents(path, version))
                writer.complete({"user.s3": b"%d %s" % (version, path.encode())}, MTIME + version)
                writer.rename(name)
            self._fs.rename(source, path)

        self._change([source, path], action, {source: None, path: version})

    def link(self) -> None:
        source, path = self._pick(directory=False), self._fresh()
        if source:
            # What it holds says the old path, so it goes again; the source must stay.
            self._change([path], lambda: self._fs.link(source, path), {path: None})
            self._change([path], lambda: self._fs.delete(path), {path: None})

    def turn(self) -> None:
        """A file becomes a directory with the file's new version in it, as the store does for ``a`` and ``a/b``."""
        path = self._pick(directory=False)
        if not path:
            return
        hidden = f"{path.rpartition('/')[0]}/.s3~tmp.turn{next(self._serial)}"
        inner, version = f"{path}/self", next(self._versions)

        def action() -> None:
            self._fs.mkdir(hidden, {"user.s3": b"d"})
            with closing(self._fs.create(f"{hidden}/.s3~tmp.1")) as writer:
                writer.write(contents(inner, version))
                writer.complete({"user.s3": b"%d %s" % (version, inner.encode())}, MTIME + version)
                writer.rename("self")
            self._fs.rename(hidden, path, RenameFlag.EXCHANGE)
            self._fs.delete(hidden)

        self._change([path, inner], action, {path: DIRECTORY, inner: version})

    def parts(self) -> None:
        path, version = self._fresh(), next(self._versions)
        data = contents(path, version)
        half = (len(data) + 1) // 2

        def action() -> None:
            hidden = f"{self._home}/.s3~tmp.parts{next(self._serial)}"
            self._fs.create_parted(hidden, half)
            refs = []
            for place, piece in enumerate((data[:half], data[half:])):
                writer = self._fs.open_part(hidden, place, len(piece))
                assert writer is not None
                with closing(writer):
                    writer.write(piece)
                    refs.append(PartRef(place, len(piece), writer.complete()))
            x_attr = {"user.s3": b"%d %s" % (version, path.encode())}
            assert self._fs.join_parts(hidden, refs, x_attr, MTIME + version)
            self._fs.rename(hidden, path)

        self._change([path], action, {path: version})


class Promises:
    """What the workers said."""

    def __init__(self) -> None:
        self.changes = 0
        self._after: dict[str, Version] = {}
        self._in_flight: dict[str, list[str]] = {}

    def hear(self, line: bytes) -> None:
        said = json.loads(line)
        if "touch" in said:
            self._in_flight[said["worker"]] = said["touch"]
        else:
            self._after.update(said["after"])
            del self._in_flight[said["worker"]]
            self.changes += 1

    def broken(self, fs: LocalFileSystem) -> Iterator[str]:
        """Acknowledged changes that are not there, and files that nobody wrote."""
        unsure = {path for paths in self._in_flight.values() for path in paths}
        for path, promised in sorted(self._after.items()):
            found = self._found(fs, path)
            if found != promised and path not in unsure:
                yield f"{path}: {promised} was acknowledged, there is {found}"
        for path in sorted(unsure):
            found = self._found(fs, path)
            if isinstance(found, str) and not found.startswith("the file of"):  # that may be a link
                yield f"{path}: {found}"

    def _found(self, fs: LocalFileSystem, path: str) -> Version | str:
        try:
            status = fs.status(path)
        except (FsError, NotFound):
            return None
        if status.kind is FileKind.DIRECTORY:
            return DIRECTORY
        version, _, written_as = status.x_attr.get("user.s3", b"0 nothing").decode().partition(" ")
        wanted = contents(written_as, int(version))
        with closing(fs.open(path)) as file:
            buffer = memoryview(bytearray(max(len(wanted), status.len)))
            if bytes(buffer[: file.readinto(0, buffer)]) != wanted or status.mtime_ns != MTIME + int(version):
                return f"contents that are not version {version}"
        return int(version) if written_as == path else f"the file of {written_as}"


@contextmanager
def mounted(image: Path, where: Path) -> Iterator[None]:
    subprocess.run(["mount", "-o", "loop", image, where], check=True, capture_output=True)
    try:
        yield
    finally:
        if subprocess.run(["umount", where], capture_output=True).returncode:
            subprocess.run(["umount", "-l", where], capture_output=True)


def cut_power(where: Path) -> None:
    fd = os.open(where, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, NOLOGFLUSH.to_bytes(4, "little"))
    finally:
        os.close(fd)


def start(where: Path, number: int, seed: int, report: int) -> int:
    """One process of workers; answers its id."""
    child = os.fork()
    if child:
        return child
    try:
        with suppress(FsError):
            fs = LocalFileSystem(str(where / "store"))
            workers = [Worker(fs, f"w{number}{thread}", seed + thread, report) for thread in range(THREADS)]
            threads = [threading.Thread(target=worker.run) for worker in workers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        os._exit(0)


def one_round(work: Path, changes: int, seed: int, block: int) -> tuple[int, list[str]]:
    """Acknowledged changes, and those that were lost.  ``block``: bytes of the file system's blocks."""
    image, where = work / "image", work / "mounted"
    where.mkdir(exist_ok=True)
    with open(image, "wb") as file:
        file.truncate(128 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-b", str(block), image], check=True, capture_output=True)
    promises = Promises()
    with mounted(image, where):
        LocalFileSystem(str(where / "store")).close()
        reports, report = os.pipe()
        children = [start(where, number, seed + 100 * number, report) for number in range(PROCESSES)]
        os.close(report)
        with os.fdopen(reports, "rb") as lines:
            for line in lines:
                promises.hear(line)
                if promises.changes == changes:
                    cut_power(where)
        for child in children:
            os.waitpid(child, 0)
    if promises.changes < changes:
        return promises.changes, ["the workers ended before the power was cut"]
    with mounted(image, where), closing(LocalFileSystem(str(where / "store"), durability="none")) as fs:
        return promises.changes, list(promises.broken(fs))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--changes", type=int, default=400, help="acknowledged before the power is cut")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    reason = why_not()
    if reason:
        print(reason, file=sys.stderr)
        return 77
    with tempfile.TemporaryDirectory(prefix="powercut.") as work:
        for number in range(options.rounds):
            seed = options.seed + 1000 * number
            try:
                # Small blocks have no room for attributes: then they lie in records of ours.
                block = 1024 if number % 2 else 4096
                changes, broken = one_round(Path(work), options.changes + 37 * number, seed, block)
            except subprocess.CalledProcessError as error:
                print(f"{error.cmd[0]}: {error.stderr.decode(errors='replace').strip()}", file=sys.stderr)
                return 77
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.ENOTTY, errno.EOPNOTSUPP):
                    raise
                print(f"cannot shut the file system down: {error}", file=sys.stderr)
                return 77
            print(f"round {number}, seed {seed}, blocks of {block}: {changes} changes acknowledged, {len(broken)} lost")
            if broken:
                print("\n".join(broken), file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
