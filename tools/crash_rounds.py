#!/usr/bin/env python3
"""Kill the gateway, or a server of the cluster below it, under load again and again, and print what came of it.

    python tools/crash_rounds.py [--rounds 30] [--seed N] [--durability full|none] [--directory DIR] [--power-cut]
    python tools/crash_rounds.py --store curvine://HOST:PORT/ [--conf FILE]       kills gateways on a Curvine cluster
        --kill COMMAND --start COMMAND [--down 1]      kills a worker of it instead, while the load goes on
        --master                                       ... or its master, which may forget its last 0.15 s
        --master --idle 3                              ... 3 s after the load, when it has nothing to forget

Needs the packages of the ``test`` extra's environment.  Exits with 1 when something was violated.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.crash.outages import MasterDeaths, Outages, WorkerDeaths  # noqa: E402
from tests.crash.rounds import CLIENTS, Disk, PowerCuts, Rounds  # noqa: E402
from tests.gateway import Gateway, running_gateway  # noqa: E402
from tools.powercut import why_not  # noqa: E402


def rounds_of(options: argparse.Namespace, gateway: Gateway, disk: Disk | None) -> Rounds:
    if disk:
        return PowerCuts(gateway=gateway, seed=options.seed, disk=disk)
    bucket = f"crash-{time.time_ns()}"  # a cluster may still hold what a run that was broken off has left
    if not options.kill:
        return Rounds(gateway=gateway, seed=options.seed, bucket=bucket)
    run = partial(subprocess.run, shell=True, check=True)
    die, revive = partial(run, options.kill), partial(run, options.start)
    server = {"gateway": gateway, "seed": options.seed, "bucket": bucket, "die": die, "revive": revive}
    if options.master:
        return MasterDeaths(**server, down=options.down, idle=options.idle)
    return WorkerDeaths(**server, down=options.down)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: another one each time")
    parser.add_argument("--durability", choices=("full", "none"), default="full")
    parser.add_argument("--directory", type=Path, help="where the store is made and removed again")
    parser.add_argument("--power-cut", action="store_true", help="shut the store's file system down too (root only)")
    parser.add_argument("--store", help="curvine://..., instead of a directory of its own")
    parser.add_argument("--conf", type=Path, help="a curvine-cluster.toml ([client] replicas, hostname, ...)")
    parser.add_argument("--kill", help="shell command that kills a server of the cluster at once")
    parser.add_argument("--start", help="shell command that starts it again, in the background")
    parser.add_argument("--down", type=float, default=1.0, help="seconds between the two")
    parser.add_argument("--master", action="store_true", help="what is killed is the master, under load or ...")
    parser.add_argument("--idle", type=float, default=0.0, help="... these seconds after the load has ended")
    options = parser.parse_args()
    begun = time.monotonic()
    if options.power_cut and (reason := why_not()):
        parser.error(reason)
    with ExitStack() as opened:
        directory = Path(opened.enter_context(tempfile.TemporaryDirectory(dir=options.directory)))
        disk = opened.enter_context(closing(Disk(directory))) if options.power_cut else None
        data = disk.where / "store" if disk else None
        settings = {name: value for name in ("store", "conf") if (value := getattr(options, name))}
        gateway = opened.enter_context(
            running_gateway(directory, durability=options.durability, data=data, settings=settings)
        )
        rounds = rounds_of(options, gateway, disk)
        rounds.prepare()
        for number in range(options.rounds):
            rounds.round()
            if rounds.ledger.violations:
                print(f"round {number}: {len(rounds.ledger.violations)} violations so far", flush=True)
        rounds.finish()
    print(f"seed {options.seed}, {CLIENTS} clients, 2 workers, durability {options.durability}")
    how = "power cuts" if disk else f"kills ({options.kill or 'of the gateway'})"
    print(f"{rounds.kills} {how} in {time.monotonic() - begun:.0f} s")
    for name, number in sorted(rounds.ledger.counts.items()):
        print(f"{number:8} {name}")
    if isinstance(rounds, Outages):
        print(f"seconds to the next change: {', '.join(f'{seconds:.1f}' for seconds in sorted(rounds.recoveries))}")
    print(f"{rounds.left_over:8} left-overs of killed writers")
    print(f"{len(rounds.ledger.violations):8} violations")
    for violation in rounds.ledger.violations:
        print(f"  {violation}")
    return 1 if rounds.ledger.violations else 0


if __name__ == "__main__":
    sys.exit(main())
