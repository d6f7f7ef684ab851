"""SIGKILL of the whole gateway under mixed load loses nothing that was acknowledged and shows nothing by halves.

design.md sections 3, 5 and 10.  Three short rounds here; ``tools/crash_rounds.py`` runs more and prints figures.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.rounds import Rounds
from tests.gateway import running_gateway

pytestmark = [pytest.mark.slow, pytest.mark.compat]


def test_kill_rounds(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway:
        rounds = Rounds(gateway, seed=1)
        rounds.prepare()
        for _ in range(3):
            rounds.round()
        rounds.finish()
    assert not rounds.ledger.violations, "\n".join(rounds.ledger.violations[:20])
    assert rounds.servers == 2, "only one worker took part"
    assert rounds.ledger.counts["acknowledged"] > 50
