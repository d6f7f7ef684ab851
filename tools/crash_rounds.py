#!/usr/bin/env python3
"""Kill the gateway under load again and again, and print what came of it.

    python tools/crash_rounds.py [--rounds 30] [--seed N] [--durability full|none] [--directory DIR] [--power-cut]

Needs the packages of the ``test`` extra's environment.  Exits with 1 when something was violated.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.crash.rounds import CLIENTS, Disk, PowerCuts, Rounds  # noqa: E402
from tests.gateway import running_gateway  # noqa: E402
from tools.powercut import why_not  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: another one each time")
    parser.add_argument("--durability", choices=("full", "none"), default="full")
    parser.add_argument("--directory", type=Path, help="where the store is made and removed again")
    parser.add_argument("--power-cut", action="store_true", help="shut the store's file system down too (root only)")
    options = parser.parse_args()
    begun = time.monotonic()
    if options.power_cut and (reason := why_not()):
        parser.error(reason)
    with ExitStack() as opened:
        directory = Path(opened.enter_context(tempfile.TemporaryDirectory(dir=options.directory)))
        disk = opened.enter_context(closing(Disk(directory))) if options.power_cut else None
        data = disk.where / "store" if disk else None
        gateway = opened.enter_context(running_gateway(directory, durability=options.durability, data=data))
        rounds = (
            PowerCuts(gateway=gateway, seed=options.seed, disk=disk)
            if disk
            else Rounds(gateway=gateway, seed=options.seed)
        )
        rounds.prepare()
        for number in range(options.rounds):
            rounds.round()
            if rounds.ledger.violations:
                print(f"round {number}: {len(rounds.ledger.violations)} violations so far", flush=True)
        rounds.finish()
    print(f"seed {options.seed}, {CLIENTS} clients, 2 workers, durability {options.durability}")
    print(f"{rounds.kills} {'power cuts' if disk else 'kills'} in {time.monotonic() - begun:.0f} s")
    for name, number in sorted(rounds.ledger.counts.items()):
        print(f"{number:8} {name}")
    print(f"{rounds.left_over:8} left-overs of killed writers")
    print(f"{len(rounds.ledger.violations):8} violations")
    for violation in rounds.ledger.violations:
        print(f"  {violation}")
    return 1 if rounds.ledger.violations else 0


if __name__ == "__main__":
    sys.exit(main())
