"""``GET /healthz``: does this gateway, with its store, serve?

Answered without login, to HEAD too, on HTTP/1.0 without Host (load balancers), and only on hosts that are not a
bucket's virtual host.  200 ``ok`` while the store answers, 503 with the reason while it does not, or while this
process is shutting down; what the store says of itself (a cluster's leader, workers, space) stands in ``x-store-*``
headers, so that programs may compare the body.  The question to the store runs in a thread of its own, so that one
that hangs costs a caller no more than ``PATIENCE``, and its answer is kept for a second, so that asking costs nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from curvinefs.api import FsError
from s3proto.commands import Command, Steps
from s3proto.http import RequestHead, Response
from s3proto.names import bucket_of_host

PATH = "/healthz"
KEPT = 1.0
"""Seconds that an answer of the store is good for."""
PATIENCE = 3.0
"""Seconds that a caller waits for the store."""


class Verdict(NamedTuple):
    """How the store is."""

    reason: str | None = None
    """Why the gateway does not serve; None when it does."""
    facts: Mapping[str, str] = {}
    """What the store says of itself while it serves."""


@dataclass(frozen=True, slots=True)
class CheckHealth(Command[Verdict]):
    """How the store is."""


class Health:
    """The store's health, asked at most once a second.  Thread-safe."""

    def __init__(self, probe: Callable[[], Mapping[str, str]]) -> None:
        """``probe`` returns when the store serves and raises a ``curvinefs.api.FsError`` when not."""
        self._probe = probe
        self._changed = threading.Condition()
        self._asking = False
        self._asked = float("-inf")
        self._answers = 0
        self._verdict = Verdict()

    def check(self) -> Verdict:
        """Answer how the store is.  Takes PATIENCE seconds at most."""
        with self._changed:
            if not self._asking:
                if time.monotonic() - self._asked < KEPT:
                    return self._verdict
                self._asking = True
                threading.Thread(target=self._ask, name="health", daemon=True).start()
            seen = self._answers
            if not self._changed.wait_for(lambda: self._answers != seen, PATIENCE):
                return Verdict("the store does not answer")
            return self._verdict

    def _ask(self) -> None:
        verdict = Verdict("the check of the store failed")  # stays when the probe raises what it should not
        try:
            verdict = Verdict(None, self._probe())
        except FsError as error:
            verdict = Verdict(str(error) or "the store is not available")
        finally:
            with self._changed:
                self._asking = False
                self._asked = time.monotonic()
                self._verdict = verdict
                self._answers += 1
                self._changed.notify_all()


def is_health_request(head: RequestHead, domain: str | None) -> bool:
    """Whether ``head`` asks for the health of the gateway and not for an object of that name."""
    target = head.target
    if not target.startswith(PATH) or target[len(PATH) : len(PATH) + 1] not in ("", "?"):
        return False
    if head.method not in ("GET", "HEAD"):
        return False
    return bucket_of_host(head.headers.get("host") or "", domain) is None


def health_steps(draining: bool) -> Steps[Response]:
    """Answer a health request."""
    reason, facts = Verdict("shutting down") if draining else (yield from CheckHealth())
    text = "ok" if reason is None else " ".join(reason.split())
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")]
    for name, fact in facts.items():
        headers.append((f"x-store-{name.replace('_', '-')}", "".join(c if " " <= c <= "~" else "?" for c in fact)))
    return Response(200 if reason is None else 503, headers, f"{text}\n".encode())
