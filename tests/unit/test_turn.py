"""Turns end once; the watch ends those that are stuck, and sleeps while nothing happens."""

from __future__ import annotations

import socket
import threading

import pytest

from s3server import turn as turns
from s3server.connection import Connection
from s3server.turn import ORDINARY, Turn, Watch

PATIENCE = 10.0


class Lead:
    def __init__(self) -> None:
        self.asked: list[tuple[Turn, int | None]] = []
        self.deposed = threading.Event()

    def hand_over(self, turn: Turn, requests: int | None) -> bool:
        self.asked.append((turn, requests))
        turn.inline = False
        self.deposed.set()
        return True


def test_leaving() -> None:
    lead = Lead()
    turn = Turn(lead)
    assert turn.inline and turn.leave() and not turn.inline and turn.leave()
    assert lead.asked == [(turn, None)], "asked once"
    assert not ORDINARY.inline and ORDINARY.leave()


def test_a_turn_that_is_stuck_is_ended() -> None:
    lead = Lead()
    turn, watch = Turn(lead), Watch(lead)
    ours, theirs = socket.socketpair()
    with theirs:
        watch.start(turn)
        turn.connection = Connection(ours, "peer", 0.0)
        turn.requests = 7
        assert lead.deposed.wait(PATIENCE)
        turn.connection.close()
    watch.end()
    watch.join()
    assert set(lead.asked) == {(turn, 7)}


def test_the_watch_sleeps_and_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "DROWSY", 1)
    lead = Lead()
    first, second, watch = Turn(lead), Turn(lead), Watch(lead)
    watch.start(first)
    spins = 0
    while not watch.asleep:
        spins += 1
        assert spins < 10**9
    ours, theirs = socket.socketpair()
    with theirs:
        second.connection = Connection(ours, "peer", 0.0)
        second.requests = 1
        watch.follow(second)
        watch.wake()
        assert lead.deposed.wait(PATIENCE)
        second.connection.close()
    watch.end()
    watch.join()
    assert lead.asked[0] == (second, 1)
