"""SIGKILL of the whole gateway, or a power cut, under mixed load loses nothing that was acknowledged.

design.md sections 3, 5 and 10.  A few short rounds here; ``tools/crash_rounds.py`` runs more and prints figures.
"""

from __future__ import annotations

import errno
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.crash.rounds import Disk, PowerCuts, Rounds
from tests.gateway import running_gateway
from tools.powercut import why_not

pytestmark = [pytest.mark.slow, pytest.mark.compat]


def run(rounds: Rounds, number: int) -> None:
    rounds.prepare()
    for _ in range(number):
        rounds.round()
    rounds.finish()
    assert not rounds.ledger.violations, "\n".join(rounds.ledger.violations[:20])
    assert rounds.servers >= 2, "only one worker took part"
    assert rounds.ledger.counts["acknowledged"] > 50


def test_kill_rounds(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway:
        run(Rounds(gateway=gateway, seed=1), 3)


def test_power_cuts(tmp_path: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)
    try:
        with closing(Disk(tmp_path)) as disk, running_gateway(tmp_path, data=disk.where / "store") as gateway:
            run(PowerCuts(gateway=gateway, seed=1, disk=disk), 2)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"{error.cmd[0]}: {error.stderr.decode(errors='replace').strip()}")
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTTY, errno.EOPNOTSUPP):
            raise
        pytest.skip(f"cannot shut the file system down: {error}")
