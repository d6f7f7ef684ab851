"""Opens the file systems that the settings name: the one place that knows which kinds there are."""

from __future__ import annotations

import logging
import math
import os
import time
from dataclasses import replace
from urllib.parse import urlsplit

from curvinefs.api import FileSystem, Unavailable
from curvinefs.client import CurvineFileSystem
from curvinefs.curvine.options import Options
from curvinefs.local import LocalFileSystem
from s3server import settings_file
from s3server.config import ServerConfig
from s3server.credentials_place import DiskPlace, Place, StorePlace
from s3server.store import ObjectStore

log = logging.getLogger("curvine_s3_gateway.store")

MASTER_PORT = 8995
PAUSE = 1.0
"""Seconds between two looks for a cluster that is not there yet."""
SOON = 2.0
"""Seconds after which whoever starts a gateway is told what it waits for."""


def open_store(config: ServerConfig) -> ObjectStore:
    """Open the object store.  Raises curvinefs' FsError when a directory cannot be used; a cluster is not asked yet."""
    uploads = (
        LocalFileSystem(str(config.multipart_temp), durability=config.durability) if config.multipart_temp else None
    )
    return ObjectStore(open_file_system(config), region=config.region, uploads_fs=uploads)


def open_file_system(config: ServerConfig) -> FileSystem:
    """Open where buckets lie.  Raises as open_store."""
    if config.store.startswith("curvine:"):
        return CurvineFileSystem(masters(config.store), _options(config))
    return LocalFileSystem(str(config.store_path), durability=config.durability)


def _options(config: ServerConfig) -> Options:
    """How to talk to the cluster: as its own file tells all of its clients, where that makes sense."""
    options = Options(replay_directory=str(config.put_temp_dir))
    said = settings_file.client_section(config.conf) if config.conf else {}
    hostname = os.environ.get("CURVINE_CLIENT_HOSTNAME") or said.get("hostname")  # as Curvine's own clients
    if isinstance(hostname, str) and hostname:
        options = replace(options, hostname=hostname)
    if isinstance(short_circuit := said.get("short_circuit"), bool):
        options = replace(options, short_circuit=short_circuit)
    if type(patience_ms := said.get("rpc_retry_max_duration_ms")) is int and patience_ms >= 0:
        # Curvine's default is two minutes, for programs that would rather wait; HTTP clients give up before.
        options = replace(options, master_patience_s=min(options.master_patience_s, patience_ms / 1000))
    if type(replicas := said.get("replicas")) is int and replicas > 0:
        options = replace(options, replicas=replicas)
    return options


def credentials_place(config: ServerConfig) -> Place:
    """Where the access keys lie: in a file of this machine or, in distributed mode, in the store."""
    path = config.credentials_path
    if not config.enable_distributed_auth:
        return DiskPlace(path)
    if not config.store.startswith("curvine:"):
        return DiskPlace(config.store_path / path.relative_to("/"))
    private = replace(_options(config), umask=0o077)
    label = f"{config.store.rstrip('/')}{path}"
    return StorePlace(lambda: CurvineFileSystem(masters(config.store), private), str(path), label)


def wait_until_ready(config: ServerConfig, *, patient: bool = False) -> None:
    """Return when a Curvine cluster answers and has a worker; a directory always does.

    ``patient``: for ever.  Says so when it takes long.  Raises Unavailable with the addresses that were tried.  To be
    called before any fork: it leaves no connection behind.
    """
    if not config.store.startswith("curvine:"):
        return
    options = _options(config)
    patience, until = min(SOON, options.master_patience_s), 0.0
    while True:
        files = CurvineFileSystem(masters(config.store), replace(options, master_patience_s=patience))
        try:
            files.check()
            return
        except Unavailable as error:
            first, now = not until, time.monotonic()
            if first:
                until = math.inf if patient else now + options.master_patience_s
            if now >= until:
                raise Unavailable(f"{error} (with --wait it keeps trying)") from error
            if first or patient:
                more = "" if patient else f" for {options.master_patience_s:.0f} s"
                log.warning("%s: %s; trying again%s", config.store, error, more)
        finally:
            files.close()
        time.sleep(min(PAUSE, until - now))
        patience = min(options.master_patience_s, max(0.0, until - time.monotonic()))


def masters(store: str) -> list[tuple[str, int]]:
    """Return host and port of each master of a ``curvine://host:port,host:port/`` URL."""
    found = []
    for address in urlsplit(store).netloc.split(","):
        host, _, port = address.rpartition(":") if ":" in address else (address, "", "")
        found.append((host.strip("[]"), int(port or MASTER_PORT)))
    return found
