"""Clients that race across workers: design.md sections 3 to 5, over the wire."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.crash import races
from tests.crash.client import Client
from tests.crash.ledger import Ledger
from tests.crash.races import Crowd
from tests.gateway import Gateway, running_gateway

pytestmark = [pytest.mark.slow, pytest.mark.compat]
BUCKET = "races"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("races")) as gateway:
        client = Client(gateway)
        assert client.request("PUT", BUCKET).done
        client.close()
        yield gateway


@contextmanager
def crowd_of(gateway: Gateway, most_slow_downs: float = 0.01) -> Iterator[Crowd]:
    """A crowd that broke nothing, met all workers and was hardly ever told to slow down.

    ``most_slow_downs``: as a share of all that it counted.
    """
    crowd = Crowd(gateway, Ledger())
    yield crowd
    ledger = crowd.ledger
    assert not ledger.violations, "\n".join(ledger.violations[:20])
    assert len(crowd.servers) == gateway.workers, "not all workers took part"
    slow_downs = sum(n for name, n in ledger.counts.items() if name.startswith("503"))
    assert slow_downs <= most_slow_downs * ledger.counts.total(), ledger.counts


def test_one_of_sixteen_creates(gateway: Gateway) -> None:
    with crowd_of(gateway) as crowd:
        races.create_once(crowd, BUCKET, rounds=10)


def test_a_counter_loses_nothing(gateway: Gateway) -> None:
    with crowd_of(gateway) as crowd:
        races.count_up(crowd, BUCKET, increments=10)


def test_siblings_while_their_directory_goes(gateway: Gateway) -> None:
    with crowd_of(gateway) as crowd:
        races.siblings(crowd, BUCKET, turns=40)


def test_no_bucket_goes_under_an_object(gateway: Gateway) -> None:
    # A DeleteBucket takes unfinished bodies away before it finds that an object has come: their PUTs must try again.
    with crowd_of(gateway, most_slow_downs=0.2) as crowd:
        races.delete_bucket(crowd, "vanishing", turns=60)


def test_readers_see_whole_objects(gateway: Gateway) -> None:
    with crowd_of(gateway) as crowd:
        races.overwrite(crowd, BUCKET, turns=40)


def test_a_against_a_b(gateway: Gateway) -> None:
    with crowd_of(gateway) as crowd:
        races.overwrite(crowd, BUCKET, turns=40, keys=("a", "a/b", "a/"))


def test_completes_agree(gateway: Gateway) -> None:
    with crowd_of(gateway) as crowd:
        races.complete_together(crowd, BUCKET, rounds=6)


def test_abort_or_complete(gateway: Gateway) -> None:
    with crowd_of(gateway) as crowd:
        races.abort_or_complete(crowd, BUCKET, rounds=20)
