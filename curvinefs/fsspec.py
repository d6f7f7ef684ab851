"""Curvine for fsspec: ``curvine://host:port[,host:port...]/path`` in pandas, dask, pyarrow, xarray.

An optional layer over ``curvinefs.client``; nothing else imports it (the extra ``fsspec``).

Rules
- A file is published whole or not at all: it is written under a hidden name in its own directory, which that name keeps
  in being, and renamed when it is closed.  What ends in an error is discarded.
- Only what is certainly not there is "not there": a cluster that does not answer is an error everywhere, never
  ``exists() == False`` or a shorter listing.
- Nothing is cached unless asked for (``use_listings_cache``), but bytes read ahead in an opened file; it keeps the
  contents it was opened with.
- All instances of a process that name the same cluster share one client, which is safe for threads and forks.

Follows fsspec's ``AbstractFileSystem``; where it leaves a choice, what ``LocalFileSystem`` does.  docs/curvinefs.md
says how to use it.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime, timezone
from glob import has_magic
from typing import Any, Literal

from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.compression import compr
from fsspec.core import get_compression
from fsspec.spec import AbstractFileSystem
from fsspec.utils import other_paths, stringify_path

from curvinefs._fsspec_files import CompressedWriter, ReadFile, TextWriter, WriteFile, os_errors, read_range
from curvinefs._fsspec_tree import entries, is_hidden, make_directories, move, remove, stage
from curvinefs.api import AlreadyExists, FileKind, FileStatus, InvalidPath, IsADirectory, NotADirectory, NotFound
from curvinefs.client import CurvineFileSystem
from curvinefs.curvine.options import Options
from curvinefs.curvine.paths import join, listable, split
from curvinefs.curvine.write import CurvineWriter

DEFAULT_PORT = 8995
_SCHEME = "curvine://"
_PIECE = 2**20
_OPTIONS = frozenset(field.name for field in dataclasses.fields(Options))
_BASE_OPTIONS = frozenset({"listings_expiry_time", "max_paths", "asynchronous", "loop"})

Info = dict[str, Any]
Level = tuple[str, Any, Any]


def addresses(masters: str | Iterable[str | tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """``host:port,[::1]:port,host`` or a sequence of such or of pairs.  Raises ValueError."""
    found = []
    for each in masters.split(",") if isinstance(masters, str) else masters:
        if not isinstance(each, str):
            each = f"{each[0]}:{each[1]}"
        host, colon, port = each.strip().rpartition(":")
        if not colon or port.endswith("]"):
            host, port = each.strip(), str(DEFAULT_PORT)
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise ValueError(f"{each!r} is no master: host:port[,host:port...] is wanted")
        found.append((host, int(port)))
    return tuple(found)


@functools.cache
def _client(masters: tuple[tuple[str, int], ...], options: Options) -> CurvineFileSystem:
    """fsspec keeps an instance for each thread; connections are better shared."""
    return CurvineFileSystem(masters, options)


class CurvineFS(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A Curvine cluster; see AbstractFileSystem for every method.

    Every error of the cluster is an OSError with the errno of its cause; one that does not answer within the options'
    patience is a TimeoutError.
    """

    protocol = "curvine"
    root_marker = "/"

    def __init__(
        self,
        masters: str | Sequence[str | tuple[str, int]] | None = None,
        host: str | None = None,
        port: int = DEFAULT_PORT,
        *,
        auto_mkdir: bool = True,
        use_listings_cache: bool = False,
        **options: Any,
    ) -> None:
        """Nothing is asked of the cluster yet.

        masters: all masters of one cluster, as in the URL; or ``host`` and ``port`` of its only one.
        auto_mkdir: writing a file makes the directories above it.
        use_listings_cache, listings_expiry_time, max_paths: as DirCache takes them.
        options: fields of curvinefs.curvine.options.Options by name.

        Raises ValueError and TypeError.
        """
        if unknown := options.keys() - _OPTIONS - _BASE_OPTIONS:
            raise TypeError(f"unknown storage options: {', '.join(sorted(unknown))}")
        super().__init__(
            use_listings_cache=use_listings_cache,
            **{name: value for name, value in options.items() if name in _BASE_OPTIONS},
        )
        if (masters is None) == (host is None):
            raise ValueError("name the cluster by its URL (curvine://host:port/path), by masters, or by host and port")
        named = addresses(masters if masters is not None else [(host or "", int(port))])
        self.masters = ",".join(f"[{each}]:{number}" if ":" in each else f"{each}:{number}" for each, number in named)
        self.auto_mkdir = auto_mkdir
        self.client = _client(named, Options(**{name: options[name] for name in options.keys() & _OPTIONS}))

    def close(self) -> None:
        """Close idle connections, also of other instances for this cluster; they are made anew when needed."""
        self.client.close()

    # -- names

    @property
    def fsid(self) -> str:
        return f"curvine_{self.masters}"

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        """The absolute path in the cluster; repeated slashes count as one, as everywhere but at Curvine's master."""
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        path = stringify_path(path)
        if path.startswith(_SCHEME):
            path = path[len(_SCHEME) :].partition("/")[2]
        return "/" + "/".join(filter(None, path.split("/")))

    def unstrip_protocol(self, name: str) -> str:
        return name if name.startswith(_SCHEME) else f"{_SCHEME}{self.masters}{self._strip_protocol(name)}"

    @staticmethod
    def _get_kwargs_from_urls(path: Any) -> dict[str, str]:
        path = stringify_path(path)
        masters = path[len(_SCHEME) :].partition("/")[0] if path.startswith(_SCHEME) else ""
        return {"masters": masters} if masters else {}

    # -- looking

    def info(self, path: Any, **kwargs: Any) -> Info:
        """name, size (bytes; 0 for what is not a file), type, mtime (POSIX seconds), ino (stays through renames)."""
        path = self._strip_protocol(path)
        with os_errors(path):
            return to_info(path, self.client.status(path))

    def _kind(self, path: Any) -> FileKind | None:
        """None where nothing is."""
        path = self._strip_protocol(path)
        with os_errors(path):
            try:
                return self.client.status(path).kind
            except (NotFound, NotADirectory, InvalidPath):
                return None

    def exists(self, path: Any, **kwargs: Any) -> bool:
        return self._kind(path) is not None

    def isdir(self, path: Any) -> bool:
        return self._kind(path) is FileKind.DIRECTORY

    def isfile(self, path: Any) -> bool:
        return self._kind(path) is FileKind.FILE

    def modified(self, path: Any) -> datetime:
        """Of the contents, in UTC; when a file was created, Curvine does not tell."""
        return datetime.fromtimestamp(self.info(path)["mtime"], timezone.utc)

    def ls(self, path: Any, detail: bool = True, refresh: bool = False, **kwargs: Any) -> list[Any]:
        """In UTF-8 byte order of names; of a file: itself.  Unfinished files are not listed."""
        path = self._strip_protocol(path)
        found: list[Info] | None = None if refresh else self.dircache.get(path)
        if found is None:
            with os_errors(path):
                found = self.dircache[path] = self._list(path)
        return list(found) if detail else [info["name"] for info in found]

    def _list(self, path: str) -> list[Info]:
        try:
            return [
                to_info(name, entry.status())
                for entry in entries(self.client, path)
                if not is_hidden(name := join(path, entry.name))
            ]
        except NotADirectory:
            return [to_info(path, self.client.status(path))]

    def walk(
        self,
        path: Any,
        maxdepth: int | None = None,
        topdown: bool = True,
        on_error: Literal["omit", "raise"] | Callable[[OSError], object] = "omit",
        detail: bool = False,
        **kwargs: Any,
    ) -> Iterator[Level]:
        """``omit`` leaves out directories that are gone; whatever else goes wrong is raised all the same."""
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        levels = [iter([self._strip_protocol(path)])]
        unfinished: list[Level] = []
        while levels:
            here = next(levels[-1], None)
            if here is None:
                levels.pop()
                if unfinished:
                    yield unfinished.pop()
                continue
            try:
                found = self.ls(here, **kwargs)
            except OSError as error:
                if callable(on_error):
                    on_error(error)
                elif on_error == "raise" or not isinstance(error, (FileNotFoundError, NotADirectoryError)):
                    raise
                continue
            directories = {_name(info): info for info in found if info["type"] == "directory"}
            files = {"" if info["name"] == here else _name(info): info for info in found if info["type"] != "directory"}
            level = (here, directories, files) if detail else (here, list(directories), list(files))
            if topdown:
                yield level
            else:
                unfinished.append(level)
            deeper = maxdepth is None or len(levels) < maxdepth
            levels.append(iter([join(here, name) for name in level[1]] if deeper else ()))

    def invalidate_cache(self, path: Any = None) -> None:
        super().invalidate_cache(path)
        if path is None:
            self.dircache.clear()
            return
        path = self._strip_protocol(path).rstrip("/") + "/"
        for cached in list(self.dircache):
            listed = cached.rstrip("/") + "/"
            if listed.startswith(path) or path.startswith(listed):
                self.dircache.pop(cached, None)

    # -- directories

    def mkdir(self, path: Any, create_parents: bool = True, **kwargs: Any) -> None:
        path = self._strip_protocol(path)
        with os_errors(path):
            if path == "/":
                raise AlreadyExists("the root")
            listable(path)
            try:
                self.client.mkdir(path)
            except NotFound:
                if not create_parents:
                    raise
                make_directories(self.client, split(path)[0])
                self.client.mkdir(path)
        self.invalidate_cache(path)

    def makedirs(self, path: Any, exist_ok: bool = False) -> None:
        try:
            self.mkdir(path)
        except FileExistsError:
            if not exist_ok or not self.isdir(path):
                raise

    def rmdir(self, path: Any) -> None:
        path = self._strip_protocol(path)
        with os_errors(path):
            self.client.delete_directory(path)
        self.invalidate_cache(path)

    # -- removing

    def rm_file(self, path: Any) -> None:
        path = self._strip_protocol(path)
        with os_errors(path):
            if self.client.status(path).kind is FileKind.DIRECTORY:
                raise IsADirectory(f"{path}: a directory goes with recursive=True or rmdir")
            self.client.delete(path)
        self.invalidate_cache(path)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Directories too with ``recursive``, unfinished files in them included.  The root is refused."""
        if maxdepth is not None:
            raise NotImplementedError("rm with maxdepth")
        for each in self.expand_path(path):
            if recursive:
                with os_errors(each):
                    remove(self.client, each)
                self.invalidate_cache(each)
            else:
                self.rm_file(each)

    # -- moving and copying

    def mv(self, path1: Any, path2: Any, recursive: bool = False, maxdepth: int | None = None, **kwargs: Any) -> None:
        """Rename: atomic for each name, a directory moves as one.  Files are replaced, directories never.

        Patterns, lists, and an existing directory as the destination are understood as in copy().
        """
        if maxdepth is not None:
            raise NotImplementedError("mv with maxdepth")
        if isinstance(path1, list) and isinstance(path2, list):
            sources, targets = self._strip_protocol(path1), self._strip_protocol(path2)
            if len(sources) != len(targets):
                raise ValueError(f"{len(sources)} names cannot become {len(targets)}")
        else:
            sources, one = self.expand_path(path1), not isinstance(path1, list)
            target, pattern = stringify_path(path2), one and has_magic(stringify_path(path1))
            into = target.endswith("/") or self.isdir(target)
            exists = len(sources) == 1 if pattern else one and into and not stringify_path(path1).endswith("/")
            targets = other_paths(sources, self._strip_protocol(target), exists=exists, flatten=not one)
        for old, new in zip(sources, targets):
            with os_errors(old):
                move(self.client, old, self._strip_protocol(new), make_parents=self.auto_mkdir)
            self.invalidate_cache(old)
            self.invalidate_cache(new)

    def cp_file(self, path1: Any, path2: Any, **kwargs: Any) -> None:
        """The bytes pass through this process: Curvine cannot copy."""
        source_path, path = self._strip_protocol(path1), self._strip_protocol(path2)
        try:
            with (
                os_errors(source_path),
                closing(self.client.open(source_path)) as source,
                closing(self._create(path, source.status.len)) as writer,
            ):
                writer.copy_from(source, 0, source.status.len)
                writer.complete({}, time.time_ns())
                writer.rename(split(path)[1])
        except IsADirectoryError:
            if not self.isdir(source_path):
                raise
            self.makedirs(path, exist_ok=True)
        self.invalidate_cache(path)

    # -- whole contents

    def cat_file(self, path: Any, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        if kwargs:
            contents: bytes = super().cat_file(path, start, end, **kwargs)
            return contents
        path = self._strip_protocol(path)
        with os_errors(path), closing(self.client.open(path)) as file:
            return read_range(file, *_range(start, end, file.status.len))

    def cat_ranges(
        self,
        paths: list[Any],
        starts: int | list[int | None] | None,
        ends: int | list[int | None] | None,
        max_gap: int | None = None,
        on_error: Literal["return", "raise"] = "return",
        **kwargs: Any,
    ) -> list[bytes | OSError]:
        """Each file is opened once and its ranges are read in order; ``max_gap`` changes nothing."""
        if not isinstance(paths, list):
            raise TypeError("paths must be a list")
        first = starts if isinstance(starts, list) else [starts] * len(paths)
        after = ends if isinstance(ends, list) else [ends] * len(paths)
        if not len(paths) == len(first) == len(after):
            raise ValueError("as many starts and ends as paths are wanted")
        wanted: defaultdict[str, list[int]] = defaultdict(list)
        for number, path in enumerate(paths):
            wanted[self._strip_protocol(path)].append(number)
        found: dict[int, bytes | OSError] = {}
        for path, numbers in wanted.items():
            try:
                with os_errors(path), closing(self.client.open(path)) as file:
                    size = file.status.len
                    for begin, end, number in sorted((*_range(first[n], after[n], size), n) for n in numbers):
                        found[number] = read_range(file, begin, end)
            except OSError as error:
                if on_error != "return":
                    raise
                found |= {number: error for number in numbers if number not in found}
        return [found[number] for number in range(len(paths))]

    def pipe_file(
        self, path: Any, value: Any, mode: Literal["create", "overwrite"] = "overwrite", **kwargs: Any
    ) -> None:
        with self.open(path, _write_mode(mode), size=memoryview(value).nbytes, **kwargs) as file:
            file.write(value)

    def put_file(
        self,
        lpath: Any,
        rpath: Any,
        callback: Any = DEFAULT_CALLBACK,
        mode: Literal["create", "overwrite"] = "overwrite",
        **kwargs: Any,
    ) -> None:
        if os.path.isdir(lpath):
            self.makedirs(rpath, exist_ok=True)
            return
        with open(lpath, "rb", buffering=0) as source:
            size = os.fstat(source.fileno()).st_size
            callback.set_size(size)
            buffer = memoryview(bytearray(min(size, _PIECE) or 1))
            with self.open(rpath, _write_mode(mode), size=size, **kwargs) as target:
                while count := source.readinto(buffer):
                    target.write(buffer[:count])
                    callback.relative_update(count)

    def get_file(
        self, rpath: Any, lpath: Any = None, callback: Any = DEFAULT_CALLBACK, outfile: Any = None, **kwargs: Any
    ) -> None:
        super().get_file(rpath, lpath, callback=callback, outfile=outfile, **{"cache_type": "none", **kwargs})

    def touch(self, path: Any, truncate: bool = True, **kwargs: Any) -> None:
        """Without ``truncate`` an existing file is left alone, which is an error: its time cannot be set."""
        try:
            self.open(path, "wb" if truncate else "xb", size=0, **kwargs).close()
        except FileExistsError:
            raise NotImplementedError(f"{path} exists, and its time cannot be set") from None

    # -- opening

    def open(
        self,
        path: Any,
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: dict[str, Any] | None = None,
        compression: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """As AbstractFileSystem.open.  ``xb`` fails at the latest when it is closed if the name was taken meanwhile.

        A file that is written appears when it is closed, and not if its ``with`` block ends in an error, in text mode
        and compressed, too.
        """
        given: dict[str, Any] = {"block_size": block_size, "cache_options": cache_options}
        if "r" in mode or "b" in mode and compression is None:
            return super().open(path, mode, compression=compression, **given, **kwargs)
        if "b" not in mode:
            text = {name: kwargs.pop(name) for name in ("encoding", "errors", "newline") if name in kwargs}
            mode = mode.replace("t", "") + "b"
            return TextWriter(self.open(path, mode, compression=compression, **given, **kwargs), **text)
        codec = get_compression(self._strip_protocol(path), compression)
        file = super().open(path, mode, **given, **kwargs)
        return file if codec is None else CompressedWriter(compr[codec](file, mode="w"), file)

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        size: int | None = None,
        **kwargs: Any,
    ) -> ReadFile | WriteFile:
        """``size``: how many bytes will be written, where that is known; it decides the size of Curvine's blocks."""
        with os_errors(path):
            if mode == "rb":
                contents = self.client.open(path)
                info = to_info(path, contents.status)
                return ReadFile(self, path, contents, info, block_size, cache_options, **kwargs)
            if mode not in ("wb", "xb"):
                raise NotImplementedError(f"{path}: {mode!r}: Curvine files are published at once (rb, wb, xb)")
            if mode == "xb" and self.exists(path):
                raise AlreadyExists(path)
            return WriteFile(self, path, self._create(path, size), mode, autocommit)

    def _create(self, path: str, size: int | None = None) -> CurvineWriter:
        return stage(self.client, path, size, make_parents=self.auto_mkdir)


def to_info(path: str, status: FileStatus) -> Info:
    return {
        "name": path,
        "size": status.len,
        "type": status.kind.value,
        "mtime": status.mtime_ns / 10**9,
        "ino": status.id,
    }


def _name(info: Info) -> str:
    name: str = info["name"]
    return name.rpartition("/")[2]


def _range(start: int | None, end: int | None, size: int) -> tuple[int, int]:
    """First and end (exclusive) of what Python's slices would take."""
    first, after, _ = slice(start, end).indices(size)
    return first, max(first, after)


def _write_mode(mode: Literal["create", "overwrite"]) -> str:
    return "xb" if mode == "create" else "wb"
