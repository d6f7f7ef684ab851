"""What the admin listener (``web_listen``) serves: ``/metrics`` for Prometheus, ``/healthz``, and a page to look at.

Rules: reads only, and asks for no login, so nothing is told that a stranger on the operator's network should not know:
numbers, never names of keys, buckets or objects.  The page is one file without anything from elsewhere, and makes all
that it shows out of the other two.

Follows "Exposition formats" (Prometheus).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from s3proto.commands import Steps
from s3proto.context import Context
from s3proto.http import RequestHead, Response
from s3server.admin import CheckHealth
from s3server.metrics import Metrics, StoreFacts

PAGE = Path(__file__).with_name("console.html")
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'"


def server(metrics: Metrics) -> Callable[[RequestHead, Context], Steps[Response]]:
    """Return what answers requests of the admin listener; ``/healthz`` has been answered before."""
    page = PAGE.read_bytes()

    def serve(head: RequestHead, context: Context) -> Steps[Response]:
        path = head.target.partition("?")[0]
        if head.method not in ("GET", "HEAD"):
            return _text(405, "GET and HEAD only", ("Allow", "GET, HEAD"))
        if path == "/":
            return Response(200, [("Content-Type", "text/html; charset=utf-8"), *_headers()], page)
        if path != "/metrics":
            return _text(404, "there are /, /metrics and /healthz")
        registry = CollectorRegistry(auto_describe=False)
        registry.register(StoreFacts(*(yield from CheckHealth())))
        registry.register(metrics)
        return Response(200, [("Content-Type", CONTENT_TYPE_LATEST), *_headers()], generate_latest(registry))

    return serve


def _text(status: int, text: str, *headers: tuple[str, str]) -> Response:
    return Response(
        status, [("Content-Type", "text/plain; charset=utf-8"), *_headers(), *headers], f"{text}\n".encode()
    )


def _headers() -> list[tuple[str, str]]:
    return [
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", _POLICY),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
    ]
