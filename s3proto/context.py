"""What the core is told about the world for one request: the time, the ids, the settings.

Rules: frozen; built once per request by the driver.  The core never asks a clock or a random source.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """The same for every request of a server."""

    region: str = "us-east-1"
    domain: str | None = None
    """Host names ``<bucket>.<domain>`` address a bucket (virtual-host style); None: path style only."""
    max_skew: int = 900
    """Seconds that a request's date may differ from ours."""
    max_object_size: int = 5 * 2**40
    """Bytes of one object (AWS: 5 TiB, also for one PUT here: no reason to stop at 5 GiB)."""
    min_part_size: int = 5 * 2**20
    """Bytes of every part but the last."""
    max_document: int = 8 * 2**20
    """Bytes of an XML body at most (a Complete of 10,000 parts with checksums takes 2 MiB)."""


@dataclass(frozen=True, slots=True)
class Context:
    now: float
    """POSIX seconds, UTC."""
    request_id: str
    """x-amz-request-id, 16 upper-case letters and digits."""
    host_id: str
    """x-amz-id-2."""
    settings: Settings = Settings()
