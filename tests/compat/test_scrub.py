"""``scrub`` as its users run it, on a directory and on a simulated cluster, while a gateway serves the store."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.compat import clients
from tests.compat.clients import MIB, bytes_of
from tests.compat.test_curvine_gateway import PATIENT, gateway_on
from tests.gateway import Gateway, running_gateway
from tests.sim.cluster import Cluster

pytestmark = pytest.mark.compat

WAIT_SECONDS = 60.0
NOTE = {"note": "x" * 1900}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running_gateway(tmp_path, durability="none", workers=1) as made:
        yield made


@contextmanager
def client_of(gateway: Gateway) -> Iterator[Any]:
    with closing(clients.s3(gateway)) as client:
        client.create_bucket(Bucket="bkt")
        yield client


def upload(client: Any, key: str, *bodies: bytes) -> None:
    made = {"Bucket": "bkt", "Key": key, "UploadId": client.create_multipart_upload(Bucket="bkt", Key=key)["UploadId"]}
    parts = [
        {"PartNumber": number, "ETag": client.upload_part(**made, PartNumber=number, Body=body)["ETag"]}
        for number, body in enumerate(bodies, 1)
    ]
    client.complete_multipart_upload(**made, MultipartUpload={"Parts": parts})


def change(path: Path, at: int | None) -> None:
    """Flip the byte at an offset, or (None) cut the last one off, as a disk does: the times of the file stay."""
    status = path.stat()
    if at is None:
        os.truncate(path, status.st_size - 1)
    else:
        with open(path, "r+b") as file:
            file.seek(at)
            (byte,) = file.read(1)
            file.seek(at)
            file.write(bytes([byte ^ 0xFF]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def expect(done: subprocess.CompletedProcess[str], code: int, *texts: str) -> None:
    assert done.returncode == code, done.stdout + done.stderr
    for text in texts:
        assert text in done.stdout + done.stderr, done.stdout + done.stderr


def test_what_rots_in_a_directory_is_found(gateway: Gateway) -> None:
    with client_of(gateway) as client:
        for key in ("cut", "flipped", "good", "large"):
            client.put_object(Bucket="bkt", Key=key, Body=bytes_of(3 * MIB if key == "large" else 1000))
        upload(client, "parts", bytes_of(5 * MIB), bytes_of(5 * MIB, 1), b"last")
        (gateway.data / "bkt/theirs").write_bytes(b"of another program")
        before = set(gateway.data.glob(".s3~/b/*/side/*"))
        upload(client, "side", bytes_of(100))
        (side,) = set(gateway.data.glob(".s3~/b/*/side/*")) - before
        clean = gateway.scrub()
        expect(clean, 0, ": 7 objects, ", "           1  read only: written by other programs", ", 0 findings")
        change(gateway.data / "bkt/cut", None)
        change(gateway.data / "bkt/flipped", 999)
        change(gateway.data / "bkt/large", 2 * MIB)
        change(gateway.data / "bkt/parts", 5 * MIB)
        change(side, 10)
        done = gateway.scrub()
        expect(done, 1, ": 7 objects, ", ", 5 findings\n", "rotted: 4, record damaged: 1\n")
        blocks = [block.splitlines() for block in done.stdout.split("\n\n")[1:-1]]
        assert [lines[0] for lines in blocks] == [
            "ROTTED  s3://bkt/cut",
            "ROTTED  s3://bkt/flipped",
            "ROTTED  s3://bkt/large",
            "ROTTED  s3://bkt/parts",
            "RECORD DAMAGED  s3://bkt/side",
        ]
        found = dict(zip(("cut", "flipped", "large", "parts", "side"), ("\n".join(lines) for lines in blocks)))
        assert "  expected: 1000 bytes\n  found:    999 bytes" in found["cut"]
        assert client.head_object(Bucket="bkt", Key="flipped")["ETag"] in found["flipped"]
        assert "  expected: part 2: BLAKE3 " in found["parts"]
        assert side.name in found["side"]
        # mending is putting it again
        for key in ("cut", "flipped", "large", "parts", "side"):
            client.put_object(Bucket="bkt", Key=key, Body=b"again")
        expect(gateway.scrub("--bucket", "bkt"), 0)


@pytest.fixture(params=["directory", "cluster"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway on a directory, and on a simulated cluster."""
    if request.param == "directory":
        yield request.getfixturevalue("gateway")
        return
    with Cluster(tmp_path / "cluster", workers=2) as cluster, closing(cluster.client()) as fs:
        masters = ",".join(f"{host}:{port}" for host, port in cluster.addresses())
        with gateway_on(tmp_path / "gateway", masters, fs, PATIENT) as made:
            yield made


def test_writers_meanwhile_are_no_finding(either: Gateway) -> None:
    gateway = either
    ended = threading.Event()

    def write(number: int) -> int:
        """Put, overwrite, delete and upload; answers how much was done."""
        with closing(clients.s3(gateway)) as client:
            for count in range(1 << 30):
                if ended.is_set():
                    return count
                key = f"k{(number + count) % 5}"
                with suppress(ClientError):  # such as two Completes at once
                    if count % 7 == 3:
                        client.delete_object(Bucket="bkt", Key=key)
                    elif count % 7 == 5:
                        upload(client, key, bytes_of(5 * MIB, count), bytes_of(1000, number))
                    else:
                        body = bytes_of((count % 4) * MIB + 1000, number)
                        client.put_object(Bucket="bkt", Key=key, Body=body, Metadata=NOTE)
        return 0

    with client_of(gateway) as client, ThreadPoolExecutor(3) as writers:
        for number in range(20):
            client.put_object(Bucket="bkt", Key=f"still{number}", Body=bytes_of(MIB, number))
        writing = [writers.submit(write, number) for number in range(3)]
        try:
            for _ in range(4):
                expect(gateway.scrub(), 0, ", 0 findings")
        finally:
            ended.set()
        assert all(each.result() for each in writing)
    expect(gateway.scrub(), 0, ", 0 findings")


def test_it_is_stopped_and_gone_on_with(gateway: Gateway) -> None:
    with client_of(gateway) as client:
        for number in range(4):
            client.put_object(Bucket="bkt", Key=f"k{number}", Body=bytes_of(15 * MIB, number))
    with gateway.begin_scrub("--rate", "1") as running:
        try:
            until = time.monotonic() + WAIT_SECONDS
            while not (kept := list(gateway.home.glob("curvine-s3-gateway.scrub.*"))):
                assert running.poll() is None and time.monotonic() < until
                time.sleep(0.05)
            expect(gateway.scrub(), 1, "another scrub of it is running on this machine")
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=WAIT_SECONDS)
        finally:
            running.kill()
    assert (running.returncode, out) == (130, "") and "the same command goes on there" in err
    assert list(gateway.home.glob("curvine-s3-gateway.scrub.*")) == kept[:1]
    expect(gateway.scrub(), 0, "going on", "--restart begins anew", ": 4 objects, 60.0 MiB, 0 findings")
    assert not list(gateway.home.glob("curvine-s3-gateway.scrub.*"))


def test_what_rots_in_a_cluster_is_found(tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster", workers=2) as cluster, closing(cluster.client()) as fs:
        masters = ",".join(f"{host}:{port}" for host, port in cluster.addresses())
        with gateway_on(tmp_path / "gateway", masters, fs, PATIENT) as gateway, client_of(gateway) as client:
            blocks: dict[str, list[Path]] = {}
            for key in ("flipped", "good", "lost", "parts"):
                known = {path for paths in blocks.values() for path in paths}
                if key == "parts":
                    upload(client, key, bytes_of(5 * MIB), bytes_of(5 * MIB, 1))
                else:
                    client.put_object(Bucket="bkt", Key=key, Body=bytes_of(2 * MIB), Metadata=NOTE)
                stored = {
                    path for worker in cluster.workers for block in worker.blocks() if (path := worker.find(block))
                }
                blocks[key] = sorted(stored - known, key=lambda path: path.stat().st_size)
            expect(gateway.scrub(), 0, ": 4 objects, 16.0 MiB, 0 findings")
            for key in ("flipped", "parts"):
                change(blocks[key][-1], 1000)
            blocks["lost"][-1].unlink()
            done = gateway.scrub()
            expect(done, 1, ": 4 objects, ", "rotted: 2, unreadable: 1\n")
            for key in ("ROTTED  s3://bkt/flipped", "ROTTED  s3://bkt/parts", "UNREADABLE  s3://bkt/lost"):
                assert f"{key}\n" in done.stdout
            cluster.kill_master()
            down = gateway.scrub()
            assert down.returncode == 1 and down.stdout == "" and down.stderr.count("\n") == 1, down.stderr
            assert f"curvine://{masters}/: " in down.stderr or "does not answer" in down.stderr
