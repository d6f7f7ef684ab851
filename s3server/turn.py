"""Who leads the loop: a right that one thread holds at a time, and the watch that takes it from one who is stuck.

Rules: a turn is given up once and for ever, by its thread (``leave``) or by the watch.  Whoever takes it over begins
with a turn of his own.  ``ORDINARY`` is the turn of a thread that never led.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol

from s3server.connection import Connection

STUCK = 0.01
"""Seconds that one request may hold the lead unnoticed.  A look takes the GIL from the leader: not too many."""
DROWSY = 100
"""Ticks without a request after which the watch goes to sleep."""


class Lead(Protocol):
    """What a loop lets turns do."""

    def hand_over(self, turn: Turn, requests: int | None) -> bool:
        """Make another thread lead; True when ``turn`` is over.

        ``requests``: only while the turn is still at its request of this number.
        """


class Turn:
    """The lead, as one thread holds it."""

    __slots__ = ("inline", "connection", "requests", "_lead")

    def __init__(self, lead: Lead) -> None:
        self._lead = lead
        self.inline = True
        """True while this turn's thread leads: it must not wait."""
        self.connection: Connection | None = None
        """Whose request is being worked on; out of epoll before anybody else leads."""
        self.requests = 0
        """Requests begun so far."""

    def leave(self) -> bool:
        """Hand the lead to a spare thread; True when this thread does not lead any more."""
        return not self.inline or self._lead.hand_over(self, None)


class Ordinary:
    """See ``ORDINARY``."""

    inline = False

    def leave(self) -> bool:
        return True


ORDINARY = Ordinary()


class Watch:
    """Looks at the present turn every STUCK seconds and ends it when it is still at the same request.

    Sleeps while nothing happens, so an idle process wakes up for nobody.
    """

    def __init__(self, lead: Lead) -> None:
        self._lead = lead
        self._turn: Turn | None = None
        self._ended = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.asleep = False
        """Whether a request that begins must call ``wake``."""

    def start(self, turn: Turn) -> None:
        self._turn = turn
        self._thread.start()

    def follow(self, turn: Turn) -> None:
        """From now on ``turn`` is the one to look at."""
        self._turn = turn

    def wake(self) -> None:
        self._wake.set()

    def end(self) -> None:
        self._ended = True
        self._wake.set()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        turn, requests, still = self._turn, -1, 0
        while not self._ended:
            time.sleep(STUCK)
            now = self._turn
            assert now is not None
            if now is not turn or now.requests != requests:
                turn, requests, still = now, now.requests, 0
            elif now.connection is not None:
                self._lead.hand_over(now, requests)
            else:
                still += 1
                if still >= DROWSY:
                    still = 0
                    self._sleep(now, requests)

    def _sleep(self, turn: Turn, requests: int) -> None:
        self.asleep = True
        self._wake.clear()
        # A request that begins before this line is seen by it; one that begins after it finds ``asleep`` and wakes us.
        if self._turn is turn and turn.requests == requests and not self._ended:
            self._wake.wait()
        self.asleep = False
