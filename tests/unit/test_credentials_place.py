"""Places of credentials: transactions that lose nothing, outages that forget nothing, on disk and in a cluster."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from curvinefs.api import FileSystem
from curvinefs.local import LocalFileSystem
from s3proto.commands import SignV2
from s3server import credentials_file
from s3server.credentials import CredentialStore
from s3server.credentials_file import Credential, CredentialsFile, Secret
from s3server.credentials_place import MAX_BYTES, CredentialError, DiskPlace, Place, StorePlace
from tests.sim.cluster import Cluster

PATH = "/system/auth/credentials.jsonl"
SECRET = Secret("s" * 40)
Make = Callable[[], Place]


@pytest.fixture(params=["disk", "directory", "curvine"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes as many places as there are machines: all of the same file."""
    made: list[StorePlace] = []

    def in_store(opened: Callable[[], FileSystem]) -> Place:
        made.append(StorePlace(opened, PATH, "store"))
        return made[-1]

    match request.param:
        case "disk":
            yield lambda: DiskPlace(tmp_path / "a" / "credentials.jsonl")
        case "directory":
            (tmp_path / "data").mkdir()
            yield lambda: in_store(lambda: LocalFileSystem(str(tmp_path / "data")))
        case "curvine":
            with Cluster(tmp_path) as cluster:
                yield lambda: in_store(cluster.client)
                for place in made:
                    place.close()


def key(number: int) -> Credential:
    return Credential(f"AKIA{number:016}", SECRET, 1)


def test_nothing_bytes_and_their_identity(make: Make) -> None:
    place, other = make(), make()
    assert place.read() is None and place.identity() is None
    place.change(lambda data: None)
    assert other.read() is None
    place.change(lambda data: b"one\n" if data is None else None)
    first = other.read()
    assert first is not None and first.data == b"one\n" and first.identity == other.identity() == place.identity()
    other.change(lambda data: (data or b"") + b"two\n")
    assert place.identity() != first.identity
    kept = place.read()
    assert kept is not None and kept.data == b"one\ntwo\n"


def test_what_a_change_raises_changes_nothing(make: Make) -> None:
    place = make()
    place.change(lambda data: b"one\n")

    def refuse(data: bytes | None) -> bytes | None:
        raise CredentialError("no")

    with pytest.raises(CredentialError):
        place.change(refuse)
    kept = place.read()
    assert kept is not None and kept.data == b"one\n"


def test_many_machines_add_keys_and_none_is_lost(make: Make) -> None:
    def add(machine: int) -> None:
        file = CredentialsFile(make())
        for number in range(5):
            file.add(key(machine * 100 + number))

    threads = [threading.Thread(target=add, args=(machine,)) for machine in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(credentials_file.read(make()).credentials) == 20


def test_a_revoked_key_is_refused_by_every_gateway(make: Make) -> None:
    CredentialsFile(make()).add(key(1))
    gateways = [CredentialStore(make(), 30) for _ in range(2)]
    command = SignV2(key(1).access_key, b"text")
    assert all(gateway.sign_v2(command) for gateway in gateways)
    CredentialsFile(make()).delete(key(1).access_key)
    for gateway in gateways:
        gateway.refresh()
    assert not any(gateway.sign_v2(command) for gateway in gateways)


def test_an_outage_keeps_the_last_known_keys_and_makes_nothing(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        place = StorePlace(cluster.client, PATH, "store")
        CredentialsFile(place).add(key(1))
        store = CredentialStore(place, 30)
        cluster.leader = None
        store.refresh()
        assert store.sign_v2(SignV2(key(1).access_key, b"text"))
        late = StorePlace(cluster.client, PATH, "store")
        with pytest.raises(CredentialError):
            CredentialStore(late, 30)
        late.close()
        with pytest.raises(CredentialError):
            CredentialsFile(place).add_first(key(2))
        cluster.leader = 0
        assert list(credentials_file.read(place).credentials) == [key(1).access_key]
        place.close()


def test_a_file_of_any_size_is_not_read(tmp_path: Path) -> None:
    files = LocalFileSystem(str(tmp_path))
    place = StorePlace(lambda: files, "/big", "store")
    (tmp_path / "big").touch()
    with open(tmp_path / "big", "wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(CredentialError, match="longer than 16 MiB"):
        place.read()
    place.close()
