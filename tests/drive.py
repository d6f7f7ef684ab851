"""A driver for tests: answers a generator's commands from a script, or from a function.

``drive(steps, [(command, answer), ...])`` checks that exactly these commands are asked in this order.  An answer that
is an exception is raised into the generator; a command type accepts any command of that type.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from s3proto.commands import Command

T = TypeVar("T")
Step = tuple[Command[Any] | type[Command[Any]], object]


def drive(steps: Generator[Command[Any], Any, T], script: Iterable[Step] = ()) -> T:
    """Run ``steps`` against (expected command or its type, answer) pairs and return their value.

    Raises AssertionError when another command is asked, too many or too few; S3Errors pass through.
    """
    expected = iter(script)

    def answer(command: Command[Any]) -> object:
        wanted, reply = next(expected, (None, None))
        assert wanted is not None, f"not in the script: {command!r}"
        if isinstance(wanted, type):
            assert isinstance(command, wanted), f"{command!r} is no {wanted.__name__}"
        else:
            assert command == wanted
        return reply

    value = run(steps, answer)
    left = list(expected)
    assert not left, f"never asked: {left!r}"
    return value


def run(steps: Generator[Command[Any], Any, T], answer: Callable[[Command[Any]], object]) -> T:
    """Run ``steps``, asking ``answer`` for every command; what it returns as an exception is raised inside."""
    try:
        command = next(steps)
        while True:
            reply = answer(command)
            command = steps.throw(reply) if isinstance(reply, Exception) else steps.send(reply)
    except StopIteration as done:
        value: T = done.value
        return value
    finally:
        steps.close()


@contextmanager
def freed_at_once() -> Iterator[None]:
    """What the block makes and lets go is freed without a collection of cycles, which are pauses for all requests."""
    gc.collect()
    gc.disable()
    try:
        yield
        assert gc.collect() == 0
    finally:
        gc.enable()
