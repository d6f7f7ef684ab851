#!/usr/bin/env python3
"""The gateway on a Curvine cluster beside its client library, curvine-cli and the embedded store, taking turns.

usage: tools/bench_curvine.py --masters HOST:PORT[,HOST:PORT...] [--rounds 3] [--cli curvine-cli]

    near      the gateway reads and writes block files of workers on this machine (short circuit)
    remote    the gateway talks to the workers' sockets only
    client    curvinefs alone, remote: what the gateway adds is the difference
    embedded  the gateway on a directory, durability none
    cli near, cli remote
              ``curvine-cli fs put|get``, the Rust client, which uses short circuit unless it is told not to; each run
              is a process of its own: the time of its put or get of an empty file is taken off

One connection, one request after the other, over presigned URLs: the client costs the same everywhere.  Prints the
median rate of all rounds in MiB/s, and each as a ratio to ``remote``: compare near with near, remote with remote.
GETs are of objects in the page cache.  Everything lies in the bucket ``bench-curvine``, whose objects are deleted at
the end.
"""

from __future__ import annotations

import argparse
import http.client
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import boto3  # noqa: E402
from botocore.config import Config  # noqa: E402

from curvinefs.client import CurvineFileSystem  # noqa: E402
from curvinefs.curvine.options import Options  # noqa: E402
from tests.gateway import Gateway, running_gateway  # noqa: E402

BUCKET = "bench-curvine"
MIB = 1 << 20
SIZES = {"4 KiB": (4096, 200), "8 MiB": (8 * MIB, 8), "64 MiB": (64 * MIB, 3)}
"""Bytes of an object, and how many of them make up a round."""
NEAR, REMOTE = "near", "remote"


class Contender(NamedTuple):
    put: Callable[[str, Path, bytes], None]
    """Key, file with the content, the content."""
    get: Callable[[str, int], None]
    overhead: Callable[[str], float] = lambda verb: 0.0
    """Seconds of ``put`` or ``get`` that are not the cluster's."""


def http_contender(gateway: Gateway, opened: ExitStack) -> Contender:
    owner = gateway.owner
    client: Any = boto3.client(
        "s3",
        endpoint_url=gateway.endpoint,
        aws_access_key_id=owner.access_key,
        aws_secret_access_key=owner.secret_key,
        region_name=gateway.region,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    if all(row["Name"] != BUCKET for row in client.list_buckets()["Buckets"]):
        client.create_bucket(Bucket=BUCKET)
    connection = opened.enter_context(closing(gateway.connect(timeout=120.0)))
    buffer = memoryview(bytearray(4 * MIB))

    def ask(verb: str, key: str, body: bytes | None = None) -> http.client.HTTPResponse:
        url = client.generate_presigned_url(f"{verb.lower()}_object", {"Bucket": BUCKET, "Key": key})
        parts = urlsplit(url)
        connection.request(verb, f"{parts.path}?{parts.query}", body)
        return connection.getresponse()

    def put(key: str, _: Path, content: bytes) -> None:
        response = ask("PUT", key, content)
        assert response.status == 200, response.read()
        response.read()

    def get(key: str, size: int) -> None:
        response = ask("GET", key)
        received = 0
        while count := response.readinto(buffer):
            received += count
        assert (response.status, received) == (200, size)

    def clear() -> None:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            for row in page.get("Contents", ()):
                client.delete_object(Bucket=BUCKET, Key=row["Key"])

    opened.callback(clear)
    return Contender(put, get)


def client_contender(masters: str, opened: ExitStack) -> Contender:
    addresses = [(host, int(port)) for host, _, port in (each.rpartition(":") for each in masters.split(","))]
    fs = opened.enter_context(closing(CurvineFileSystem(addresses, Options(short_circuit=False))))
    buffer = memoryview(bytearray(MIB))

    def put(key: str, _: Path, content: bytes) -> None:
        with closing(fs.create(f"/{BUCKET}/{key}.part", len(content))) as writer:
            writer.write(content)
            writer.complete({}, time.time_ns())
            writer.rename(key)

    def get(key: str, size: int) -> None:
        with closing(fs.open(f"/{BUCKET}/{key}")) as file:
            for first in range(0, size, MIB):
                file.readinto(first, buffer)

    return Contender(put, get)


def cli_contender(program: str, masters: str, conf: Path, directory: Path) -> Contender:
    command = (program, "--conf", str(conf), "--master-addrs", masters, "fs")

    def run(*words: str) -> None:
        subprocess.run([*command, *words], check=True, capture_output=True, timeout=120)

    def put(key: str, file: Path, _: bytes) -> None:
        run("put", str(file), f"/{BUCKET}/{key}")

    def get(key: str, _: int) -> None:
        target = directory / "got"
        target.unlink(missing_ok=True)
        run("get", f"/{BUCKET}/{key}", str(target))

    empty = directory / "empty"
    empty.touch()
    put("empty", empty, b"")

    def overhead(verb: str) -> float:
        return timed(lambda: put(f"empty-{time.time_ns()}", empty, b"") if verb == "put" else get("empty", 0))

    return Contender(put, get, overhead)


def timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def measure(
    contender: Contender, name: str, size: int, count: int, directory: Path, round_: int
) -> tuple[float, float]:
    """MiB/s of PUT and GET."""
    content = os.urandom(size)
    file = directory / "content"
    file.write_bytes(content)
    keys = [f"{name}-{size}-{round_}-{number}" for number in range(count)]
    rates = []
    for verb, act in (
        ("put", lambda key: contender.put(key, file, content)),
        ("get", lambda key: contender.get(key, size)),
    ):
        overhead = contender.overhead(verb)
        seconds = sum(max(timed(partial(act, key)) - overhead, 1e-6) for key in keys)
        rates.append(count * size / MIB / seconds)
    return rates[0], rates[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--masters", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cli", default="curvine-cli", help="left out when there is none")
    options = parser.parse_args()
    rates: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as opened:
        top = Path(temporary)
        contenders: dict[str, Contender] = {}
        program = shutil.which(options.cli)
        for name, conf in ((NEAR, "short_circuit = true"), (REMOTE, "short_circuit = false")):
            (top / name).mkdir()
            file = top / name / "conf.toml"
            file.write_text(f"[client]\n{conf}\n")
            settings = {"store": f"curvine://{options.masters}/", "conf": file}
            gateway = opened.enter_context(running_gateway(top / name / "gateway", settings=settings))
            contenders[name] = http_contender(gateway, opened)
            if program:
                contenders[f"cli {name}"] = cli_contender(program, options.masters, file, top)
        contenders["client"] = client_contender(options.masters, opened)
        gateway = opened.enter_context(running_gateway(top / "embedded", durability="none"))
        contenders["embedded"] = http_contender(gateway, opened)
        for round_ in range(options.rounds):
            for label, (size, count) in SIZES.items():
                for name, contender in contenders.items():
                    each = min(3, count) if name.startswith("cli") else count
                    put, get = measure(contender, name, size, each, top, round_)
                    rates["PUT", label][name].append(put)
                    rates["GET", label][name].append(get)
    print(f"{'':14}" + "".join(f"{name:>18}" for name in contenders))
    for (verb, label), found in rates.items():
        base = statistics.median(found[REMOTE])
        medians = {name: statistics.median(values) for name, values in found.items()}
        print(f"{verb} {label:10}" + "".join(f"{rate:11.1f} ({rate / base:4.2f})" for rate in medians.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
