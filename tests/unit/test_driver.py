"""Drivers of steps, each held to the same toy protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from s3proto.commands import Command, Steps
from s3server.driver import Drive, Perform, run


@dataclass(frozen=True)
class Double(Command[int]):
    number: int


@dataclass(frozen=True)
class Fail(Command[int]):
    error: Exception


def toy(closed: list[str]) -> Steps[list[int]]:
    try:
        answers = []
        for number in range(3):
            answers.append((yield from Double(number)))
        try:
            yield from Fail(KeyError("caught"))
        except KeyError:
            answers.append(-1)
        answers.append((yield from Double(21)))
        return answers
    finally:
        closed.append("closed")


def failing() -> Steps[int]:
    return (yield from Fail(ValueError("not caught")))


def perform(command: Command[Any]) -> Any:
    match command:
        case Double(number):
            return 2 * number
        case Fail(error):
            raise error
    raise AssertionError(command)


def advance(steps: Steps[Any], perform: Perform) -> Any:
    drive = Drive(steps, perform)
    assert drive.advance()
    return drive.result


def advance_one_by_one(steps: Steps[Any], perform: Perform) -> Any:
    drive = Drive(steps, perform)
    for _ in range(100):
        if drive.advance(lambda command: True):
            return drive.result
    raise AssertionError("never ends")


DRIVERS: list[Callable[[Steps[Any], Perform], Any]] = [run, advance, advance_one_by_one]


@pytest.mark.parametrize("driver", DRIVERS)
def test_answers_reach_the_steps_and_their_result_comes_back(driver: Callable[[Steps[Any], Perform], Any]) -> None:
    closed: list[str] = []
    assert driver(toy(closed), perform) == [0, 2, 4, -1, 42]
    assert closed == ["closed"]


@pytest.mark.parametrize("driver", DRIVERS)
def test_an_error_passes_through_the_operation(driver: Callable[[Steps[Any], Perform], Any]) -> None:
    with pytest.raises(ValueError, match="not caught") as caught:
        driver(failing(), perform)
    assert [entry.name for entry in caught.traceback].count("failing") == 1


def test_a_stopped_command_is_performed_once_and_by_the_next_call() -> None:
    seen: list[Command[Any]] = []

    def note(command: Command[Any]) -> Any:
        seen.append(command)
        return perform(command)

    drive = Drive(toy([]), note)
    assert not drive.advance(lambda command: command == Double(1))
    assert seen == [Double(0)]
    assert drive.advance()
    assert seen[:4] == [Double(0), Double(1), Double(2), seen[3]] and len(seen) == 5


def test_closing_a_stopped_drive_closes_the_steps() -> None:
    closed: list[str] = []
    drive = Drive(toy(closed), perform)
    assert not drive.advance(lambda command: True)
    drive.close()
    assert closed == ["closed"]
