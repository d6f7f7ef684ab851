"""Where bodies wait: the choice, the move, the budget."""

from __future__ import annotations

import pytest

from s3proto.errors import StorageFull
from s3server.spool import STEP, MemoryBudget, Spool
from tests.server.toy import ToySink


def make(threshold: int, declared: int | None, budget: MemoryBudget) -> tuple[Spool, list[ToySink]]:
    sinks: list[ToySink] = []

    def begin() -> ToySink:
        sinks.append(ToySink())
        return sinks[-1]

    return Spool(begin, budget, threshold, declared), sinks


@pytest.mark.parametrize("declared, in_memory", [(10, True), (11, False), (None, True)])
def test_a_declared_size_decides_at_once(declared: int | None, in_memory: bool) -> None:
    spool, sinks = make(10, declared, MemoryBudget(1 << 20))
    assert (spool.memory is not None) == in_memory == (not sinks)


def test_memory_is_kept_up_to_the_threshold() -> None:
    budget = MemoryBudget(1 << 20)
    spool, sinks = make(10, None, budget)
    spool.write(memoryview(b"01234"))
    spool.write(memoryview(b"56789"))
    assert spool.memory is not None and b"".join(spool.memory) == b"0123456789"
    assert spool.size == 10 and not sinks and budget.used == STEP
    spool.write(memoryview(b"x"))
    assert spool.memory is None and spool.sink is sinks[0] and bytes(sinks[0].data) == b"0123456789x"
    assert spool.size == 11 and budget.used == 0 and len(sinks) == 1
    spool.close()
    spool.close()
    assert sinks[0].closed


def test_a_spent_budget_sends_bodies_to_sinks() -> None:
    budget = MemoryBudget(STEP)
    first, none = make(1 << 20, 100, budget)
    first.write(memoryview(b"a"))
    second, sinks = make(1 << 20, 100, budget)
    second.write(memoryview(b"b"))
    assert not none and bytes(sinks[0].data) == b"b"
    first.close()
    assert budget.used == 0
    third, none = make(1 << 20, 100, budget)
    third.write(memoryview(b"c"))
    assert not none


def test_announced_sizes_take_no_memory() -> None:
    budget = MemoryBudget(1 << 40)
    spool, _ = make(1 << 40, 1 << 39, budget)
    assert budget.used == 0 and spool.size == 0
    spool.write(memoryview(b"x"))
    assert budget.used == STEP


def test_a_sink_that_cannot_be_had_leaves_nothing_taken() -> None:
    def begin() -> ToySink:
        raise StorageFull()

    budget = MemoryBudget(1 << 20)
    spool = Spool(begin, budget, 4, None)
    spool.write(memoryview(b"1234"))
    with pytest.raises(StorageFull):
        spool.write(memoryview(b"5"))
    spool.close()
    assert budget.used == 0
