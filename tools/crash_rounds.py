#!/usr/bin/env python3
"""Kill the gateway under load again and again, and print what came of it.

    python tools/crash_rounds.py [--rounds 30] [--seed N] [--durability full|none] [--directory DIR]

Needs the packages of the ``test`` extra's environment.  Exits with 1 when something was violated.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.crash.rounds import CLIENTS, Rounds  # noqa: E402
from tests.gateway import running_gateway  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: another one each time")
    parser.add_argument("--durability", choices=("full", "none"), default="full")
    parser.add_argument("--directory", type=Path, help="where the store is made and removed again")
    options = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        with running_gateway(Path(directory), durability=options.durability) as gateway:
            rounds = Rounds(gateway, options.seed)
            rounds.prepare()
            for number in range(options.rounds):
                rounds.round()
                if rounds.ledger.violations:
                    print(f"round {number}: {len(rounds.ledger.violations)} violations so far", flush=True)
            rounds.finish()
    print(f"seed {options.seed}, {CLIENTS} clients, 2 workers, durability {options.durability}")
    print(f"{rounds.kills} kills in {time.monotonic() - begun:.0f} s")
    for name, number in sorted(rounds.ledger.counts.items()):
        print(f"{number:8} {name}")
    print(f"{rounds.left_over:8} left-overs of killed writers")
    print(f"{len(rounds.ledger.violations):8} violations")
    for violation in rounds.ledger.violations:
        print(f"  {violation}")
    return 1 if rounds.ledger.violations else 0


if __name__ == "__main__":
    sys.exit(main())
