"""The command table: complete, and what is allowed in the loop's thread."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from s3proto import commands
from s3proto.commands import Command
from s3server.admin import CheckHealth
from s3server.gateway import HANDLERS, READS, SLOW, STORAGE
from s3server.receive import BodySource
from s3server.store import ObjectStore
from tests.server.toy import ToyStore, toy_gateway

COMMANDS = {value for value in vars(commands).values() if isinstance(value, type) and issubclass(value, Command)} - {
    Command
}


def test_every_command_has_one_row() -> None:
    assert STORAGE.keys() | HANDLERS.keys() == COMMANDS | {CheckHealth}
    assert not STORAGE.keys() & HANDLERS.keys() and READS < STORAGE.keys()


@pytest.mark.parametrize("kind", STORAGE, ids=lambda kind: kind.__name__)
def test_storage_commands_are_methods_in_snake_case(kind: type[Command[object]]) -> None:
    name = STORAGE[kind]
    assert name.replace("_", "") == kind.__name__.lower()
    assert callable(getattr(ObjectStore, name))


class Request:
    """The side of a request that commands touch."""

    def __init__(self) -> None:
        self.opened = ExitStack()
        self.access_key_id = ""
        self.body_arrived = False
        self.early: list[tuple[tuple[str, str], ...]] = []

    @property
    def body(self) -> BodySource:
        raise AssertionError("nobody should want the body")

    def allow_early_head(self, headers: tuple[tuple[str, str], ...]) -> None:
        self.early.append(headers)


def test_handlers_touch_the_request() -> None:
    gateway, request = toy_gateway(ToyStore()), Request()
    assert gateway.perform(request, commands.LookupSigningKey("KEY", "20260101", "r", "s3")) is None
    assert request.access_key_id == "KEY"
    assert gateway.perform(request, commands.SignV2("OTHER", b"")) is None
    assert request.access_key_id == "OTHER"
    gateway.perform(request, commands.AllowEarlyHead((("a", "b"),)))
    assert request.early == [(("a", "b"),)]
    assert gateway.perform(request, CheckHealth()).reason is None


def test_what_is_opened_is_closed_with_the_request() -> None:
    store, request = ToyStore(), Request()
    gateway = toy_gateway(store)
    gateway.perform(request, commands.OpenObject("b", "10"))
    assert not store.opened[0].closed
    request.opened.close()
    assert store.opened[0].closed


def test_quick_commands() -> None:
    store, request = ToyStore(), Request()
    gateway = toy_gateway(store)
    body = commands.ReceiveDocument(None, (), 1)  # type: ignore[arg-type]  # never performed
    assert gateway.is_quick(request, commands.OpenObject("b", "1"))
    assert gateway.is_quick(request, commands.LookupSigningKey("KEY", "20260101", "r", "s3"))
    assert not gateway.is_quick(request, commands.DeleteBucket("b"))
    assert not gateway.is_quick(request, commands.AllowEarlyHead())
    assert not gateway.is_quick(request, body)
    request.body_arrived = True
    assert gateway.is_quick(request, body)


def test_a_kind_that_took_long_is_not_quick_until_it_has_been_so_for_a_while() -> None:
    store, request = ToyStore(), Request()
    gateway = toy_gateway(store)
    command = commands.HeadBucket("b")
    gateway.took(type(command), SLOW * 100)
    assert not gateway.is_quick(request, command)
    for _ in range(100):
        gateway.took(type(command), 0.0)
    assert gateway.is_quick(request, command)
