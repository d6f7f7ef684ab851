"""Runs the core's generators: asks, performs, answers.

Rules: knows no socket, no store and no operation.  ``perform`` is the only thing that blocks.  Steps are driven
by one thread at a time; between two commands another thread may take over (``Drive.advance`` stops there), which
is how a request leaves the event loop without anything having to be undone.

This is the only place where any Exception is caught: it goes back into the generator, so that its traceback shows
the operation's line, and comes out again unless it is an S3Error that the core answers.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any, Generic, TypeAlias, TypeVar

from s3proto.commands import Command, Steps

T = TypeVar("T")

Perform: TypeAlias = Callable[[Command[Any]], Any]
"""Answers one command or raises; an S3Error goes to the core, anything else ends the request."""


def run(steps: Steps[T], perform: Perform) -> T:
    """Drive ``steps`` to the end in this thread and return what they return.  Closes the generator."""
    with closing(steps):
        try:
            command = next(steps)
            while True:
                try:
                    answer = perform(command)
                except Exception as error:
                    command = steps.throw(error)
                else:
                    command = steps.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result


class Drive(Generic[T]):
    """The same loop with a place to stop: before a command that should be performed elsewhere."""

    __slots__ = ("_steps", "_perform", "_command", "result")

    def __init__(self, steps: Steps[T], perform: Perform) -> None:
        self._steps = steps
        self._perform = perform
        self._command: Command[Any] | None = None
        self.result: T
        """What the steps returned; set when ``advance`` has answered True."""

    def advance(self, stop_before: Callable[[Command[Any]], bool] | None = None) -> bool:
        """Go on; True when the steps have ended (see ``result``), False when stopped before a command.

        Call again, from any one thread, to perform that command and go on.  Raises what the steps raise.
        """
        steps, perform = self._steps, self._perform
        try:
            command = self._command
            if command is None:
                command = next(steps)
                if stop_before is not None and stop_before(command):
                    self._command = command
                    return False
            while True:
                try:
                    answer = perform(command)
                except Exception as error:
                    command = steps.throw(error)
                else:
                    command = steps.send(answer)
                if stop_before is not None and stop_before(command):
                    self._command = command
                    return False
        except StopIteration as done:
            self.result = done.value
            return True

    def close(self) -> None:
        """Close the generator; needed where advance was not called to the end."""
        self._steps.close()
