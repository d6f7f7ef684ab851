"""Who may take the next connection."""

from __future__ import annotations

from s3server.balance import Balance


def test_the_one_with_more_leaves_it_to_others() -> None:
    balance = Balance(3)
    for index, connections in enumerate((4, 4, 7)):
        balance.set(index, connections)
    assert [balance.has_more(index) for index in range(3)] == [False, False, True]
    balance.set(0, 3)
    assert [balance.has_more(index) for index in range(3)] == [False, True, True]
    balance.clear(0)
    assert [balance.has_more(index) for index in range(3)] == [True, False, True]


def test_a_worker_alone_takes_all() -> None:
    balance = Balance(1)
    balance.set(0, 10_000)
    assert not balance.has_more(0)
