"""Settings of a Curvine client."""

from __future__ import annotations

from dataclasses import dataclass

from curvinefs.proto import curvine_pb2 as pb

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Options:
    hostname: str = "localhost"
    """Ours: a worker with the same name is near, its block files may be on this machine (``client.hostname``)."""
    short_circuit: bool = True
    """Read and write block files of near workers directly, where that turns out to work."""
    replicas: int = 1
    """Of each block; a write that one worker took is a success."""
    large_block_size: int = 64 * MIB
    """Capacity of the blocks of files above 4 MiB; an open block reserves all of it.  Below 4 GiB."""
    storage_type: int = 4
    """Where new blocks go: 0 memory, 1 SSD, 2 HDD, 4 any disk."""
    umask: int = 0o022
    """Taken from 0666 and 0777: what FUSE users of the same tree see."""
    connect_timeout_s: float = 3.0
    master_timeout_s: float = 30.0
    worker_timeout_s: float = 30.0
    """Each wait for bytes."""
    master_patience_s: float = 20.0
    """How long a call looks for a leader.  An election takes 10 to 30 s with Curvine's defaults, 2 s when tuned."""
    worker_patience_s: float = 8.0
    """How long reading, and placing a block, tries again; a worker that restarts is back after 3 to 5 s."""
    avoid_worker_s: float = 30.0
    """How long a worker that failed is not asked for new blocks."""
    replay_directory: str | None = None
    """Where the bytes of a block wait, on this machine, until workers have them all, so that a worker's death in the
    middle of a large file goes unnoticed; None: it is an error.  Up to a block's size for each file being written."""
    mounts_fresh_s: float = 10.0
    """How old the table of mounts may be: until then we may look, or write, where something was just mounted."""
    release_version: str = "0.4.1"
    """What we call ourselves to servers that check it."""


def component_of(options: Options) -> pb.ComponentInfoProto:
    """Who we are, for servers that only talk to clients they know."""
    return pb.ComponentInfoProto(
        component="client",
        release_version=options.release_version,
        git_commit="",
        git_tag="",
        git_branch="",
        protocol_version=1,
        min_protocol_version=1,
    )
