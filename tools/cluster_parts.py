#!/usr/bin/env python3
"""One file of many parts on a Curvine cluster: what each part costs the master, how long joining takes, and the bytes.

usage: tools/cluster_parts.py --masters HOST:PORT[,HOST:PORT...] [--parts 10000] [--size 4096]

Through ``curvinefs``, as the gateway does it for a multipart upload.  Parts of less than 1 MiB need a cluster with
``[master] min_block_size = 1``.  The file is deleted at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from curvinefs.api import PartRef  # noqa: E402
from tests.compat.stores import client_of  # noqa: E402

STEP = 1000
"""Parts between two lines."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--masters", required=True)
    parser.add_argument("--parts", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=4096, help="bytes of a part")
    options = parser.parse_args()
    path = f"/parts-{time.time_ns()}"
    written, chance = hashlib.md5(usedforsecurity=False), random.Random(1)
    parts: list[PartRef] = []
    with closing(client_of(options.masters)) as fs:
        fs.create_parted(path, options.size)
        begun = time.perf_counter()
        for number in range(options.parts):
            data = chance.randbytes(options.size)
            written.update(data)
            part = fs.open_part(path, number, options.size)
            assert part is not None, "the cluster takes no blocks of this size"
            with closing(part):
                part.write(data)
                parts.append(PartRef(number, options.size, part.complete()))
            if len(parts) % STEP == 0:
                now = time.perf_counter()
                print(f"{len(parts):8} parts, {(now - begun) / STEP * 1000:5.1f} ms for each of the last", flush=True)
                begun = now
        begun = time.perf_counter()
        assert fs.join_parts(path, parts, {}, time.time_ns()) is not None, "it would have to be copied"
        print(f"joined in {time.perf_counter() - begun:.2f} s")
        read, buffer, at = hashlib.md5(usedforsecurity=False), memoryview(bytearray(1 << 20)), 0
        with closing(fs.open(path)) as file:
            while count := file.readinto(at, buffer):
                read.update(buffer[:count])
                at += count
        same = read.digest() == written.digest()
        print("read back equal" if same else "READ BACK OTHER BYTES")
        for each in fs.list(f"{path}.parted"):
            fs.delete(f"{path}.parted/{each.name}")
        for each_path in (f"{path}.parted", path):
            fs.delete(each_path)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
