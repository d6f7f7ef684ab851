"""The power is cut under the local store: every acknowledged change must be there afterwards (product.md, 3)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
CANNOT_RUN = 77


@pytest.mark.compat
def test_acknowledged_changes_survive_a_power_cut() -> None:
    done = subprocess.run(
        [sys.executable, REPOSITORY / "tools/powercut.py", "--rounds", "3", "--changes", "300"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=28,
    )
    if done.returncode == CANNOT_RUN:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
