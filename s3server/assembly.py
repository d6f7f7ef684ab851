"""Puts a process's parts together, as the settings say: file system, store, credentials, gateway, service.

Rules: called after the fork; opens files and starts no thread (pools start theirs when they are needed).
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from s3proto.commands import Steps
from s3proto.context import Context, Settings
from s3proto.errors import S3Error
from s3proto.http import HeadCache, Headers, RequestHead, Response
from s3proto.operations.responses import error_response
from s3proto.protocol import serve
from s3server.access_log import AccessLog, Entry
from s3server.config import ServerConfig
from s3server.credentials import CredentialStore
from s3server.early_head import Ticker
from s3server.exchange import Service
from s3server.filesystems import credentials_place, open_store
from s3server.gateway import Gateway
from s3server.receive import ROTATING, BufferPool, Receiver
from s3server.spool import MemoryBudget
from s3server.store.sweep import DAY, Sweeper

NOWHERE = logging.getLogger("curvine_s3_gateway.web")
NOWHERE.disabled = True
"""A scrape every few seconds is not worth a line."""


class Assembly:
    """Everything of one process that lives as long as it does."""

    def __init__(self, config: ServerConfig, count: Callable[[Sequence[Entry]], None] | None = None) -> None:
        """Raises curvinefs' FsError (the store cannot be opened) and CredentialError.

        ``count``: is told of all requests, some time later, a batch at a time.
        """
        self.store = open_store(config)
        self.sweeper = Sweeper(self.store, config.upload_max_age_days * DAY)
        self.credentials = CredentialStore(
            credentials_place(config), config.cache_refresh_interval_secs, config.stats_file
        )
        budget = self.budget = MemoryBudget(config.put_max_memory_buffer)
        # A digest keeps a core busy: with more of them than cores, bodies would only take turns, and hashing where
        # they are received costs less.
        cores = max(2, len(os.sched_getaffinity(0)))
        digests, writers = ThreadPoolExecutor(cores, "digest"), ThreadPoolExecutor(cores, "writer")
        receiver = Receiver(BufferPool(ROTATING * cores), digests, budget, writers)
        self.gateway = Gateway(self.store, self.credentials, receiver, budget, config.put_memory_buffer_threshold)
        self.service = Service(
            self.gateway,
            serve,
            refuse,
            Settings(region=config.region, domain=config.domain),
            AccessLog(also=count),
            host_id=host_id(),
            request_timeout=config.request_timeout_secs,
            chunk_size=config.get_chunk_size,
        )

    def admin_service(self, serve: Callable[[RequestHead, Context], Steps[Response]]) -> Service:
        """What requests of the admin listener share: the same gateway, and no access log."""
        return replace(
            self.service,
            serve=serve,
            settings=Settings(region=self.service.settings.region),
            access_log=AccessLog(NOWHERE),
            ticker=Ticker(),
            heads=HeadCache(),
        )

    def close(self) -> None:
        """Close the store."""
        self.store.close()


def refuse(error: S3Error, head: RequestHead | None, context: Context) -> Response:
    """Answer ``error`` outside of the core's pipeline; ``head`` None: nobody knows what was asked."""
    return error_response(error, head or RequestHead("GET", "", Headers()), None, None, context)


def host_id() -> str:
    """A value for x-amz-id-2 that names this process and tells nothing about it."""
    return base64.b64encode(hashlib.sha384(os.urandom(16)).digest()).decode("ascii")
