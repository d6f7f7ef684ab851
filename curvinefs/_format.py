"""What a directory must offer to be a store, and what it was made with.

``/.s3~/format.json`` says once and for all how the store keeps attributes; a store never changes from one way to the
other unnoticed, because every attribute would be lost.  Several processes may open a new store at the same moment:
the first format that is linked into place counts for all.

Rules
- Every refusal is one line that names the place, the file system and what to do.
"""

from __future__ import annotations

import errno
import json
import os
import unicodedata
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

from curvinefs._linux import Kernel
from curvinefs.api import RenameFlag, Unavailable

AttributeKind = Literal["native", "records"]

STATE = ".s3~"
TEMPORARY = ".s3~tmp."
ATTRIBUTE_ROOM = 2048
"""Bytes that an attribute must be able to have (an ext4 with blocks of 1 KiB has less room)."""
_VERSION = 1
_NAME = TEMPORARY + "e\u0301".ljust(256 - len(TEMPORARY) - 2, "x")
"""255 bytes, with an accent in its decomposed form."""
_TIME_NS = 1_700_000_000_123_000_000
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL


class State(NamedTuple):
    fd: int
    """``/.s3~``, the caller's to close."""
    attribute_kind: AttributeKind
    type: str
    """Of the file system, as in /proc/mounts."""


def temporary_name() -> str:
    return TEMPORARY + os.urandom(10).hex()


def open_state(kernel: Kernel, root: int, where: str, attribute_kind: AttributeKind | None) -> State:
    """Open, or make, our state in the directory open at ``root``; ``attribute_kind`` insists on one.

    Raises OSError; Unavailable when the file system or the store will not do.
    """
    fs_type = file_system_type(os.fstat(root).st_dev)
    fd = make_directory(kernel, root, STATE)
    try:
        _require_renames(kernel, fd, where, fs_type)
        _require_names_and_times(kernel, fd, where, fs_type)
        made = _read_format(fd, where)
        if made is None:
            wanted = attribute_kind or ("native" if _has_attributes(kernel, fd, ATTRIBUTE_ROOM) else "records")
            made = _write_format(kernel, fd, where, wanted)
        if attribute_kind not in (None, made):
            raise Unavailable(f"{where}: the store was made with {made} attributes, not with {attribute_kind}")
        if made == "native" and not _has_attributes(kernel, fd, 1):
            raise Unavailable(
                f"{where}: the store was made with native attributes, which {fs_type} here does not have; "
                "mount it with user_xattr or move the store back"
            )
    except BaseException:
        os.close(fd)
        raise
    return State(fd, made, fs_type)


def make_root(kernel: Kernel, path: str, *, durable: bool) -> None:
    """Make the directory and what is missing above it.  Raises OSError."""
    if os.path.isdir(path):
        return
    os.makedirs(path, exist_ok=True)
    if durable:
        for directory in Path(path).absolute().parents:
            try:
                fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            except PermissionError:
                return  # not ours, so neither made nor changed by us
            try:
                kernel.fsync(fd)
            finally:
                os.close(fd)


def make_directory(kernel: Kernel, parent: int, name: str) -> int:
    """Open a directory of ours, made if missing.  Raises OSError."""
    try:
        kernel.mkdir(parent, name)
    except FileExistsError:
        pass
    return kernel.open(parent, name, os.O_RDONLY | os.O_DIRECTORY)


def file_system_type(device: int) -> str:
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                fields = line.split()
                if fields[2] == number:
                    return fields[fields.index("-") + 1]
    except OSError:
        pass
    return "unknown"  # btrfs subvolumes have device numbers that no mount shows


def _require_renames(kernel: Kernel, fd: int, where: str, fs_type: str) -> None:
    one, other = temporary_name(), temporary_name()
    try:
        for name in (one, other):
            os.close(kernel.open(fd, name, _CREATE))
        kernel.rename(fd, one, fd, other, RenameFlag.EXCHANGE)
        try:
            kernel.rename(fd, one, fd, other, RenameFlag.NO_REPLACE)
        except FileExistsError:
            return
        raise OSError(errno.EINVAL, "RENAME_NOREPLACE replaces")
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        raise Unavailable(
            f"{where}: this file system ({fs_type}) cannot exchange two names (renameat2); "
            "keep the store on ext4, XFS, btrfs or tmpfs"
        ) from error
    finally:
        for name in (one, other):
            try:
                kernel.unlink(fd, name)
            except FileNotFoundError:
                pass


def _require_names_and_times(kernel: Kernel, fd: int, where: str, fs_type: str) -> None:
    """Any two names are two, of up to 255 bytes; times have milliseconds."""

    def refuse(fault: str) -> Unavailable:
        return Unavailable(f"{where}: this file system ({fs_type}) {fault}; keep the store on another one")

    with suppress(FileNotFoundError):
        kernel.unlink(fd, _NAME)  # of one that was killed
    try:
        file = kernel.open(fd, _NAME, os.O_WRONLY | os.O_CREAT)
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
            raise
        raise refuse("does not take every name of 255 bytes") from error
    try:
        for other in (_NAME.upper(), unicodedata.normalize("NFC", _NAME)):
            with suppress(FileNotFoundError):
                os.close(kernel.open(fd, other, os.O_RDONLY))
                raise refuse("takes names for one that differ in case or in Unicode's normal form")
        kernel.set_mtime(file, _TIME_NS)
        if os.fstat(file).st_mtime_ns // 10**6 != _TIME_NS // 10**6:
            raise refuse("keeps times without milliseconds (an ext4 needs inodes of 256 bytes)")
    finally:
        os.close(file)
        with suppress(FileNotFoundError):  # removed by another who opens the store
            kernel.unlink(fd, _NAME)


def _has_attributes(kernel: Kernel, fd: int, size: int) -> bool:
    """Whether attributes of ``size`` bytes can be had."""
    name = temporary_name()
    file = kernel.open(fd, name, _CREATE)
    try:
        kernel.set_attribute(file, b"user.s3~probe", b"1" * size)
        return kernel.get_attribute(file, b"user.s3~probe") == b"1" * size
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.E2BIG, errno.ERANGE) and os.fstatvfs(fd).f_bavail:
            return False  # no room in the inode, not on the disk
        if error.errno not in (errno.EOPNOTSUPP, errno.EPERM, errno.ENOSYS):
            raise
        return False
    finally:
        os.close(file)
        kernel.unlink(fd, name)


def _read_format(fd: int, where: str) -> AttributeKind | None:
    try:
        with open("format.json", "rb", opener=lambda name, flags: os.open(name, flags, dir_fd=fd)) as file:
            text = file.read()
    except FileNotFoundError:
        return None
    try:
        found: Any = json.loads(text)
        version, kind = found["version"], found["attributes"]
    except (ValueError, TypeError, LookupError) as error:
        raise Unavailable(f"{where}/{STATE}/format.json: not a format of ours ({error})") from error
    if version != _VERSION or kind not in ("native", "records"):
        raise Unavailable(
            f"{where}/{STATE}/format.json: version {version}, attributes {kind}: too new for this program"
        )
    settled: AttributeKind = kind
    return settled


def _write_format(kernel: Kernel, fd: int, where: str, kind: AttributeKind) -> AttributeKind:
    """Answers what counts: another process may have been first."""
    name = temporary_name()
    file = kernel.open(fd, name, _CREATE)
    try:
        kernel.write(file, json.dumps({"version": _VERSION, "attributes": kind}).encode() + b"\n")
        kernel.fsync(file)
        try:
            kernel.rename(fd, name, fd, "format.json", RenameFlag.NO_REPLACE)
        except FileExistsError:
            kernel.unlink(fd, name)
        kernel.fsync(fd)
    finally:
        os.close(file)
    return _read_format(fd, where) or kind
