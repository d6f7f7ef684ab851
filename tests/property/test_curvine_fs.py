"""The Curvine client on the simulated cluster against a plain dict, also while replies get lost."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, rule

from curvinefs.api import AlreadyExists, InvalidPath, NotADirectory, NotFound
from curvinefs.client import _before
from curvinefs.curvine.retry import Code
from tests.property.test_local_fs import LocalAgainstDict, Model, outcome
from tests.sim.cluster import FAST, Cluster
from tests.sim.server import Fault

ALIKE = ((NotFound, NotADirectory), (AlreadyExists, InvalidPath))
"""Of a rename below itself onto what is there already, too, either may be told."""


class CurvineAgainstDict(LocalAgainstDict):
    def __init__(self) -> None:
        RuleBasedStateMachine.__init__(self)
        self.root = tempfile.mkdtemp()
        self.cluster = Cluster(Path(self.root), workers=2)
        self.fs = self.cluster.client(replace(FAST, short_circuit=True))  # type: ignore[assignment]
        self.model = Model()
        self.numbers = itertools.count()

    def same(self, real: Callable[[], object], model: Callable[[], object]) -> None:
        """Where two paths are wrong, each in its way, either may be told of."""
        found, wanted = outcome(real), outcome(model)
        assert found == wanted or any(found in alike and wanted in alike for alike in ALIKE)

    def teardown(self) -> None:
        self.fs.close()
        self.cluster.__exit__(None, None, None)
        shutil.rmtree(self.root)


class CurvineWithLostReplies(CurvineAgainstDict):
    @rule(
        fault=st.sampled_from([Fault.LOSE_REPLY, Fault.LOSE_REQUEST, Fault.CUT]),
        code=st.sampled_from([code for code in Code if code < Code.WRITE_BLOCK]),
        skip=st.integers(0, 3),
    )
    def lose(self, fault: Fault, code: Code, skip: int) -> None:
        self.cluster.masters[0].server.rules = []
        self.cluster.fault(fault, code, skip=skip, after=5)

    @rule(worker=st.integers(0, 1), status=st.sampled_from([0xF2, 0xF3, 0xF5]))
    def lose_at_worker(self, worker: int, status: int) -> None:
        self.cluster.workers[worker].server.rules = []
        self.cluster.fault(Fault.LOSE_REPLY, Code.WRITE_BLOCK, worker=worker, status=status)


budget = settings(max_examples=15, stateful_step_count=25, deadline=None)
TestCurvine = CurvineAgainstDict.TestCase
TestCurvine.settings = budget
TestCurvineWithLostReplies = CurvineWithLostReplies.TestCase
TestCurvineWithLostReplies.settings = budget

texts = st.text(st.characters(codec="utf-8"), max_size=4)


@given(texts.filter(bool), texts)
def test_listing_begins_at_its_start(start: str, name: str) -> None:
    """What lies at or after the start is after the name that the master is given."""
    before = _before(start).encode()
    assert before < start.encode()
    if name.encode() >= start.encode():
        assert name.encode() > before
