"""The gateway on a Curvine cluster: what others see in it, and what happens when servers of the cluster die.

On the simulated cluster always; on a live one, too, when CURVINE_MASTERS=host:port[,host:port...] is set.  Buckets with
random names are made there, and most of them stay.  Faults are only put on the simulated one.
"""

from __future__ import annotations

import hashlib
import io
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError, HTTPClientError, ResponseStreamingError
from urllib3.exceptions import ProtocolError

from curvinefs.api import FileSystem
from curvinefs.client import CurvineFileSystem
from curvinefs.curvine.options import Options
from curvinefs.curvine.retry import Code
from tests.compat import clients
from tests.compat.clients import MIB, bytes_of
from tests.compat.conftest import DOMAIN
from tests.compat.stores import CLUSTERS, LIVE, MASTERS, client_of, gateway_on_cluster
from tests.compat.test_boto3 import code, read
from tests.gateway import Gateway
from tests.sim.cluster import Cluster
from tests.sim.kit import get, put
from tests.sim.server import Fault

pytestmark = pytest.mark.compat

BROKEN_OFF = (HTTPClientError, ResponseStreamingError, ProtocolError)
BIG = bytes_of(20 * MIB, 7)
OPEN, RUNNING, COMPLETE = 0xF2, 0xF3, 0xF5
PATIENT = "[client]\nshort_circuit = false\nrpc_retry_max_duration_ms = 1000\n"


def gateway_on(
    directory: Path, masters: str, fs: FileSystem, conf: str = "", *, tls: bool = False
) -> AbstractContextManager[Gateway]:
    return gateway_on_cluster(directory, masters, fs, conf, tls=tls, domain=DOMAIN)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), workers=2) as cluster:
        yield cluster


@pytest.fixture(scope="module", params=CLUSTERS)
def masters(request: pytest.FixtureRequest) -> str:
    if request.param == LIVE:
        return MASTERS
    cluster: Cluster = request.getfixturevalue("cluster")
    return ",".join(f"{host}:{port}" for host, port in cluster.addresses())


@pytest.fixture(scope="module")
def fs(masters: str) -> Iterator[CurvineFileSystem]:
    with closing(client_of(masters)) as fs:
        yield fs


@pytest.fixture(scope="module")
def gateway(masters: str, fs: CurvineFileSystem, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway_on(tmp_path_factory.mktemp("gateway"), masters, fs) as made:
        yield made


@pytest.fixture(scope="module")
def tls_gateway(masters: str, fs: CurvineFileSystem, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway_on(tmp_path_factory.mktemp("tls"), masters, fs, tls=True) as made:
        yield made


# ------------------------------------------------------------------------------------- curvine's own users beside us


@pytest.mark.parametrize("size", [0, 1, MIB, MIB + 1, 5 * MIB])
def test_both_ways(client: Any, bucket: str, fs: CurvineFileSystem, size: int) -> None:
    content = bytes_of(size)
    client.put_object(Bucket=bucket, Key="ours", Body=content)
    assert get(fs, f"/{bucket}/ours") == content
    put(fs, f"/{bucket}/theirs.html", content)
    assert read(client, bucket, "theirs.html") == content
    assert [row["Size"] for row in client.list_objects_v2(Bucket=bucket)["Contents"]] == [size, size]


def test_parts_are_not_copied(gateway: Gateway, client: Any, bucket: str, fs: CurvineFileSystem) -> None:
    """Complete takes the same time whatever the size: the parts are the blocks of the object's file."""
    parts = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    client.upload_fileobj(io.BytesIO(BIG), bucket, "k", Config=parts)
    located = fs._calls.locations(f"/{bucket}/k")
    assert [block.block.block_size for block in located.block_locs] == [5 * MIB] * 4
    assert read(client, bucket, "k") == BIG
    assert read(client, bucket, "k", Range=f"bytes={5 * MIB - 3}-{5 * MIB + 3}") == BIG[5 * MIB - 3 : 5 * MIB + 4]


# ----------------------------------------------------------------------------------------------------------- faults


class Body(io.BytesIO):
    """BIG; at half of it something happens."""

    def __init__(self, middle: Callable[[], object]) -> None:
        super().__init__(BIG)
        self._middle: Callable[[], object] | None = middle

    def read(self, size: int | None = -1) -> bytes:
        middle = self._middle
        if middle is not None and self.tell() >= len(BIG) // 2:
            self._middle = None
            middle()
        return super().read(min(65536, size) if size and size > 0 else 65536)


class Scene:
    """A gateway on a simulated cluster of its own, with a bucket ``b``."""

    def __init__(self, gateway: Gateway, cluster: Cluster, fs: CurvineFileSystem, client: Any) -> None:
        self.gateway = gateway
        self.cluster = cluster
        self.fs = fs
        self.client = client

    def put(self, key: str, body: Any) -> None:
        self.client.put_object(Bucket="bbb", Key=key, Body=body)

    def get(self, key: str) -> bytes:
        return read(self.client, "bbb", key)

    def names(self) -> list[str]:
        """Everything in the bucket's directory, left-overs too."""
        return [entry.name for entry in self.fs.list("/bbb")]

    def placed_on(self) -> int:
        """Number of the worker that has a block under way; what was sent may not have reached it yet."""
        until = time.monotonic() + 30.0
        while time.monotonic() < until:
            for number, worker in enumerate(self.cluster.workers):
                if any(worker._staging.iterdir()):
                    return number
            time.sleep(0.01)
        raise AssertionError("no worker has a block under way")


@contextmanager
def scene(directory: Path, conf: str, workers: int) -> Iterator[Scene]:
    with Cluster(directory / "cluster", workers=workers) as cluster, closing(cluster.client(Options())) as fs:
        masters = ",".join(f"{host}:{port}" for host, port in cluster.addresses())
        with gateway_on(directory / "gateway", masters, fs, conf) as gateway:
            config: dict[str, Any] = {
                "request_checksum_calculation": "when_required"
            }  # or botocore would read the body first
            with closing(clients.s3(gateway, **config)) as client:
                client.create_bucket(Bucket="bbb")
                yield Scene(gateway, cluster, fs, client)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path, PATIENT, workers=2) as made:
        yield made


@pytest.fixture
def twice(tmp_path: Path) -> Iterator[Scene]:
    """Two workers, two replicas."""
    with scene(tmp_path, PATIENT + "replicas = 2\n", workers=2) as made:
        yield made


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path, PATIENT, workers=1) as made:
        yield made


def test_put_outlives_its_worker(two: Scene) -> None:
    """The only copy of what was sent was on it: the gateway sends it to the other one."""
    dead: list[int] = []

    def die() -> None:
        dead.append(two.placed_on())
        two.cluster.workers[dead[0]].server.stop()

    two.put("k", Body(die))
    assert two.get("k") == BIG
    assert two.names() == ["k"]
    assert len(dead) == 1


def test_put_waits_for_the_only_worker(one: Scene) -> None:
    worker = one.cluster.workers[0]

    def restart() -> None:
        worker.server.stop()
        worker.restart()

    one.put("k", Body(restart))
    assert one.get("k") == BIG
    assert one.names() == ["k"]


def test_put_without_any_worker(one: Scene) -> None:
    """The old object stays, the unfinished one goes at once: it would keep its whole block reserved."""
    one.put("k", b"old")
    with pytest.raises(ClientError) as error:
        one.put("k", Body(one.cluster.workers[0].server.stop))
    assert code(error) == "SlowDown"
    assert one.names() == ["k"]
    one.cluster.workers[0].restart()
    assert one.get("k") == b"old"


def test_get_outlives_a_worker(twice: Scene) -> None:
    twice.put("k", BIG)
    for number in (0, 1):
        with twice.client.get_object(Bucket="bbb", Key="k")["Body"] as body:
            first = body.read(MIB)
            twice.cluster.workers[number].server.stop()
            assert first + body.read() == BIG
        twice.cluster.workers[number].restart()


def test_get_without_any_worker(one: Scene) -> None:
    """It is broken off, never filled up."""
    one.put("k", BIG)
    with one.client.get_object(Bucket="bbb", Key="k")["Body"] as body:
        body.read(MIB)
        one.cluster.workers[0].server.stop()
        with pytest.raises(BROKEN_OFF):
            body.read()


def test_get_never_mixes_versions(one: Scene) -> None:
    one.put("k", BIG)
    other = BIG[::-1]
    with one.client.get_object(Bucket="bbb", Key="k")["Body"] as body:
        first = body.read(MIB)
        one.put("k", other)
        try:
            assert first + body.read() == BIG
        except BROKEN_OFF:
            pass
    assert one.get("k") == other


def test_no_leader(one: Scene) -> None:
    one.put("k", b"old")
    one.cluster.leader = None
    ask: dict[str, Callable[[], Any]] = {
        "get": lambda: one.get("k"),
        "put": lambda: one.put("k", b"new"),
        "put large": lambda: one.put("k", BIG),
        "list": lambda: one.client.list_objects_v2(Bucket="bbb"),
        "delete": lambda: one.client.delete_object(Bucket="bbb", Key="k"),
    }
    for act in ask.values():
        with pytest.raises(ClientError) as error:  # in less than the client's own patience: the settings say 1 s
            act()
        said = error.value.response
        assert (code(error), said["ResponseMetadata"]["HTTPStatusCode"]) == ("SlowDown", 503)
        assert int(said["ResponseMetadata"]["HTTPHeaders"]["retry-after"]) > 0
    one.cluster.elect(0)
    assert one.get("k") == b"old"


def test_leader_dies_in_a_put(one: Scene) -> None:
    """Whatever the answer was, the object is the whole old or the whole new one, and nothing is left over."""
    one.put("k", b"old")

    def restart() -> None:
        one.cluster.kill_master()
        one.cluster.start_master()

    one.put("k", Body(restart))
    assert one.get("k") == BIG
    with pytest.raises(ClientError) as error:
        one.put("k", Body(one.cluster.kill_master))
    assert code(error) == "SlowDown"
    one.cluster.start_master()
    assert one.get("k") == BIG
    for _ in range(8):  # whichever process of the gateway had it deletes it with its next file
        one.put("k", b"newer")
    assert one.get("k") == b"newer"


@pytest.mark.parametrize("fault", [Fault.LOSE_REQUEST, Fault.LOSE_REPLY])
def test_lost_frames_lose_and_double_nothing(two: Scene, fault: Fault) -> None:
    """A PUT that was answered 200 is there, one that was not may be; either way the object is whole."""
    calls = (Code.CREATE_FILE, Code.ADD_BLOCK, Code.COMPLETE_FILE, Code.RENAME, Code.FILE_STATUS, Code.SET_LOCK)
    contents = [b"old"]
    two.put("k", contents[0])
    for call in calls:
        for size in (10, 2 * MIB):
            two.cluster.fault(fault, call)
            contents.append(bytes([len(contents)]) * size)
            try:
                two.put("k", contents[-1])
                allowed = {hashlib.md5(contents[-1]).digest()}
            except ClientError as error:
                assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 503
                allowed = {hashlib.md5(content).digest() for content in contents}
            for master in two.cluster.masters:
                master.server.rules.clear()
            assert hashlib.md5(two.get("k")).digest() in allowed
            assert clients.keys(two.client, "bbb") == ["k"]


def test_client_that_leaves(one: Scene) -> None:
    """What it sent of a large body goes at once."""
    url = one.client.generate_presigned_url("put_object", {"Bucket": "bbb", "Key": "k"}, ExpiresIn=60)
    target = url.removeprefix(one.gateway.endpoint)
    with socket.create_connection(("127.0.0.1", one.gateway.port), 10) as connection:
        head = f"PUT {target} HTTP/1.1\r\nHost: 127.0.0.1:{one.gateway.port}\r\nContent-Length: {len(BIG)}\r\n\r\n"
        connection.sendall(head.encode() + BIG[: 3 * MIB])
        wait_until(lambda: len(one.names()) == 1)
    wait_until(lambda: one.names() == [])


def test_many_writers_one_winner(two: Scene) -> None:
    """If-None-Match on the cluster, from several connections at once."""
    outcomes: list[str] = []

    def create(number: int) -> None:
        with closing(clients.s3(two.gateway)) as client:
            try:
                client.put_object(Bucket="bbb", Key="once", Body=b"%d" % number, IfNoneMatch="*")
                outcomes.append(str(number))
            except ClientError as error:
                outcomes.append(error.response["Error"]["Code"])

    threads = [Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert outcomes.count("PreconditionFailed") == 7
    (winner,) = set(outcomes) - {"PreconditionFailed"}
    assert two.get("once") == winner.encode()


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 20.0
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)
