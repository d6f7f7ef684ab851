#!/usr/bin/env python3
"""Move much data with real clients through a gateway of its own, compare every byte, and print how long it took.

    python tools/client_bulk.py [--mib 1024] [--durability full|none] [--tls] [--directory DIR]

One large file both ways by the AWS CLI, rclone, s3cmd and boto3; then Python's standard library up and down.  Needs
the packages of the ``test`` extra's environment.  Exits with 1 when bytes differ.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.compat import clients  # noqa: E402
from tests.compat.test_bulk import differences  # noqa: E402
from tests.compat.test_rclone import rclone  # noqa: E402
from tests.compat.test_s3cmd import s3cmd  # noqa: E402
from tests.gateway import Gateway, running_gateway  # noqa: E402

MIB = 1 << 20
BUCKET = "bulk"


def make_file(path: Path, mib: int) -> None:
    with open(path, "wb") as file:
        for _ in range(mib):
            file.write(os.urandom(MIB))


def timed(what: str, mib: float, action: Callable[[], object]) -> None:
    begun = time.monotonic()
    action()
    took = time.monotonic() - begun
    print(f"{what:28} {took:7.1f} s {mib / took:8.0f} MiB/s", flush=True)


def large_file(gateway: Gateway, directory: Path, mib: int) -> bool:
    """Up and down by each client; True when all bytes came back."""
    make_file(directory / "up", mib)
    down, url = directory / "down", f"s3://{BUCKET}"
    aws, copier, command = clients.aws(gateway, directory), rclone(gateway, directory), s3cmd(gateway, directory, False)
    with closing(clients.s3(gateway)) as boto3:
        boto3.create_bucket(Bucket=BUCKET)
        ways: tuple[tuple[str, Callable[[], object], Callable[[], object]], ...] = (
            ("aws", lambda: aws("s3", "cp", "up", f"{url}/aws"), lambda: aws("s3", "cp", f"{url}/aws", "down")),
            (
                "rclone",
                lambda: copier("copyto", "up", f"gw:{BUCKET}/rclone"),
                lambda: copier("copyto", f"gw:{BUCKET}/rclone", "down"),
            ),
            ("s3cmd", lambda: command("put", "up", f"{url}/s3cmd"), lambda: command("get", f"{url}/s3cmd", "down")),
            (
                "boto3",
                lambda: boto3.upload_file(str(directory / "up"), BUCKET, "boto3"),
                lambda: boto3.download_file(BUCKET, "boto3", str(down)),
            ),
        )
        good = True
        for name, upload, download in ways:
            timed(f"{name}: {mib} MiB up", mib, upload)
            timed(f"{name}: {mib} MiB down", mib, download)
            same = filecmp.cmp(directory / "up", down, shallow=False)
            stored = filecmp.cmp(directory / "up", gateway.data / BUCKET / name, shallow=False)
            if not (same and stored):
                print(f"{name}: bytes differ", file=sys.stderr)
                good = False
            down.unlink()
            boto3.delete_object(Bucket=BUCKET, Key=name)
    (directory / "up").unlink()
    return good


def small_files(gateway: Gateway, directory: Path) -> bool:
    """The standard library up by the AWS CLI, down by rclone; True when both trees are the same."""
    source = directory / "lib"
    shutil.copytree(sysconfig.get_path("stdlib"), source, ignore=shutil.ignore_patterns("__pycache__", "*-packages"))
    sizes = [path.stat().st_size for path in source.rglob("*") if path.is_file()]
    mib, aws, copier = sum(sizes) / MIB, clients.aws(gateway, directory), rclone(gateway, directory)
    timed(f"aws: {len(sizes)} files up", mib, lambda: aws("s3", "sync", "lib", f"s3://{BUCKET}/lib"))
    timed("aws: sync of nothing", mib, lambda: aws("s3", "sync", "lib", f"s3://{BUCKET}/lib"))
    timed(f"rclone: {len(sizes)} files down", mib, lambda: copier("sync", f"gw:{BUCKET}/lib", "back"))
    timed("rclone: sync of nothing", mib, lambda: copier("sync", f"gw:{BUCKET}/lib", "back"))
    timed(f"rclone: {len(sizes)} files up", mib, lambda: copier("copy", "lib", f"gw:{BUCKET}/again"))
    timed(f"rclone: {len(sizes)} deleted", mib, lambda: copier("purge", f"gw:{BUCKET}"))
    found = differences(source, directory / "back")
    for path in found:
        print(f"{path}: differs", file=sys.stderr)
    return not found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mib", type=int, default=1024, help="size of the large file")
    parser.add_argument("--durability", choices=("full", "none"), default="full")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--directory", type=Path, help="where everything is made and removed again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        directory = Path(name)
        with running_gateway(directory / "gateway", durability=options.durability, tls=options.tls) as gateway:
            print(f"2 workers, durability {options.durability}, {'TLS' if options.tls else 'no TLS'}")
            good = [large_file(gateway, directory, options.mib), small_files(gateway, directory)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
