"""Three gateways behind nginx and behind HAProxy, over one store: to clients they are one.

The balancers are the real programs with the two configurations of Curvine's user guide, word for word but for addresses
(and ``$http_host``, which README recommends; the guide's ``$host`` needs port 80, and gets it in a network namespace),
and with README's own.  An instance may be lost or restarted at any time: ``Load`` is a few clients that keep writing,
and knows afterwards what they were promised.

Every test ends with all three instances running.
"""

from __future__ import annotations

import filecmp
import os
import re
import secrets
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from tests.balancers import Balancer, HAProxy, haproxy, listening, nginx, own_network, peak_memory
from tests.compat import clients
from tests.compat.clients import MIB, Client, aws_environment, bytes_of, tree
from tests.compat.conftest import DOMAIN
from tests.gateway import Gateway
from tests.sim.cluster import Cluster

pytestmark = pytest.mark.compat

# ------------------------------------------------------------------------------- the user guide's configurations

NGINX = """
upstream s3_gateway {
    server 192.168.1.10:9900 weight=1;
    server 192.168.1.11:9900 weight=1;
    server 192.168.1.12:9900 weight=1;
}

server {
    listen 80;
    server_name s3-gateway.example.com;
    
    location / {
        proxy_pass http://s3_gateway;
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        
        # S3-specific configuration
        proxy_buffering off;
        proxy_request_buffering off;
        client_max_body_size 0;
    }
}
"""  # noqa: W293  (as it stands there)

HAPROXY = """
backend s3_gateway
    balance roundrobin
    option httpchk GET /healthz
    server gateway1 192.168.1.10:9900 check
    server gateway2 192.168.1.11:9900 check
    server gateway3 192.168.1.12:9900 check

frontend s3_frontend
    bind *:80
    default_backend s3_gateway
"""

DEBIAN = """
defaults
    mode http
    timeout connect 5000
    timeout client  50000
    timeout server  50000
"""
"""What stands before it in a distribution's haproxy.cfg."""

NODES = ("192.168.1.10:9900", "192.168.1.11:9900", "192.168.1.12:9900")
README = Path(__file__).resolve().parents[2] / "README.md"


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


def configured(text: str, fleet: Sequence[Gateway], *pairs: tuple[str, str]) -> str:
    """A configuration of the guide, or README's, with the addresses of ``fleet``."""
    addresses = [f"127.0.0.1:{gateway.port}" for gateway in fleet]
    return replaced(text, *zip(NODES, addresses, strict=True), *pairs)


def from_readme(language: str) -> str:
    found = re.search(rf"^## Several instances$.*?^```{language}$\n(.*?)^```$", README.read_text("utf-8"), re.M | re.S)
    assert found
    return found[1]


def _port(front: socket.socket) -> str:
    return f"listen 127.0.0.1:{front.getsockname()[1]};"


@contextmanager
def guides_nginx(fleet: Sequence[Gateway], directory: Path) -> Iterator[Balancer]:
    front = listening()
    text = configured(NGINX, fleet, ("listen 80;", _port(front)), ("Host $host;", "Host $http_host;"))
    with nginx(directory / "nginx", text, front) as made:
        yield made


@contextmanager
def readmes_nginx(fleet: Sequence[Gateway], directory: Path) -> Iterator[Balancer]:
    front = listening()
    with nginx(
        directory / "nginx", configured(from_readme("nginx"), fleet, ("listen 80;", _port(front))), front
    ) as made:
        yield made


@contextmanager
def guides_haproxy(fleet: Sequence[Gateway], directory: Path, before: str = DEBIAN) -> Iterator[HAProxy]:
    front = listening()
    text = before + configured(HAPROXY, fleet, ("*:80", f"fd@{front.fileno()}"))
    with haproxy(directory / "haproxy", text, front) as made:
        yield made


@contextmanager
def haproxy_of_tcp(fleet: Sequence[Gateway], directory: Path) -> Iterator[HAProxy]:
    """The guide's words and nothing else: without ``mode http`` HAProxy passes connections on, not requests."""
    with guides_haproxy(fleet, directory, before="") as made:
        yield made


@contextmanager
def readmes_haproxy(fleet: Sequence[Gateway], directory: Path) -> Iterator[HAProxy]:
    front = listening()
    text = configured(from_readme("haproxy"), fleet, ("*:80", f"fd@{front.fileno()}"))
    with haproxy(directory / "haproxy", text, front) as made:
        yield made


BALANCERS: tuple[Callable[..., Any], ...] = (
    guides_nginx,
    guides_haproxy,
    haproxy_of_tcp,
    readmes_nginx,
    readmes_haproxy,
)


@pytest.fixture(params=BALANCERS, ids=lambda made: made.__name__)
def balancer(request: pytest.FixtureRequest, fleet: list[Gateway], tmp_path: Path) -> Iterator[Balancer | HAProxy]:
    with request.param(fleet, tmp_path) as made:
        yield made


# ----------------------------------------------------------------------------------------------------- the fleet


MASTERS = os.environ.get("CURVINE_MASTERS", "")
LIVE = [pytest.mark.curvine, pytest.mark.skipif(not MASTERS, reason="CURVINE_MASTERS names no cluster")]


@pytest.fixture(scope="module", params=["embedded", "simulated", pytest.param("live", marks=LIVE)])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of what the instances share: a directory, or a Curvine cluster."""
    directory = tmp_path_factory.mktemp("store")
    if request.param == "embedded":
        yield (directory / "data").as_uri()
    elif request.param == "live":
        yield f"curvine://{MASTERS}/"
    else:
        with Cluster(directory, workers=2) as cluster:
            yield f"curvine://{','.join(f'{host}:{port}' for host, port in cluster.addresses())}/"


@pytest.fixture(scope="module")
def shared(store: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The settings that make gateways one."""
    credentials = tmp_path_factory.mktemp("shared") / "credentials.jsonl"
    return {"store": store, "credentials_path": credentials, "domain": DOMAIN}


@pytest.fixture(scope="module")
def fleet(shared: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Gateway]]:
    """Three gateways, processes of their own."""
    directories = [tmp_path_factory.mktemp("instance") for _ in range(3)]
    made = [Gateway(directory, durability="none", settings=shared) for directory in directories]
    shutil.copy(made[0].credentials_file, str(shared["credentials_path"]))
    with ExitStack() as opened, ThreadPoolExecutor(len(made)) as threads:
        for gateway in made:
            opened.callback(gateway.close)
        list(threads.map(Gateway.start, made))
        for gateway in made:
            gateway.keep_port()
        yield made


@pytest.fixture
def client(fleet: list[Gateway]) -> Iterator[Any]:
    """boto3, at the first instance."""
    with closing(clients.s3(fleet[0])) as made:
        yield made


@pytest.fixture
def name() -> str:
    """A bucket name that a store which lives longer than the tests does not have either."""
    return f"balanced-{secrets.token_hex(4)}"


class Load:
    """A few clients that write, read, list and upload in parts until ``end``; what they were promised is kept."""

    def __init__(self, endpoint: str, gateway: Gateway, bucket: str, *, attempts: int, threads: int = 4) -> None:
        """``attempts`` of boto3's standard mode for each request; 1: an error shows at once."""
        retries = {"mode": "standard", "total_max_attempts": attempts}
        self._client = clients.s3(gateway, None, endpoint, retries=retries, max_pool_connections=threads)
        self._bucket = bucket
        self._ending = threading.Event()
        self._changed = threading.Condition()
        self.promised: dict[str, str] = {}
        """The ETags of acknowledged objects by their keys, none of which is written twice."""
        self.errors: list[str] = []
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        count = 0
        while not self._ending.is_set():
            count += 1
            key = f"{number}/{count:06d}"
            try:
                etag = self._write(key, count)
            except (BotoCoreError, ClientError, Boto3Error) as error:
                with self._changed:
                    self.errors.append(f"{key}: {error}")
                    self._changed.notify_all()
            else:
                with self._changed:
                    self.promised[key] = etag
                    self._changed.notify_all()

    def _write(self, key: str, count: int) -> str:
        client, where = self._client, {"Bucket": self._bucket, "Key": key}
        content = bytes_of((10, 100_000, 2 * MIB)[count % 3], count)
        if count % 5:
            etag: str = client.put_object(**where, Body=content)["ETag"]
        else:
            upload = client.create_multipart_upload(**where)["UploadId"]
            part = client.upload_part(**where, UploadId=upload, PartNumber=1, Body=content)["ETag"]
            parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
            etag = client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload=parts)["ETag"]
        with client.get_object(**where)["Body"] as body:
            if body.read() != content:
                self.errors.append(f"{key}: another content")
        if key not in clients.keys(client, self._bucket, Prefix=key):
            self.errors.append(f"{key}: not listed")
        return etag

    def wait_for(self, more: int) -> None:
        """Wait until ``more`` objects than now have been acknowledged (or an error has been seen)."""
        with self._changed:
            wanted = len(self.promised) + more
            assert self._changed.wait_for(lambda: len(self.promised) >= wanted or self.errors, clients.TIMEOUT)

    def end(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(clients.TIMEOUT)
            assert not thread.is_alive()
        self._client.close()

    def check(self, client: Any) -> None:
        """AssertionError where an object that was acknowledged is not there, or where a client saw an error."""
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket)
        stored = {row["Key"]: row["ETag"] for page in pages for row in page.get("Contents", ())}
        assert self.promised.items() - stored.items() == set()
        assert self.errors == []


@contextmanager
def load(endpoint: str, gateway: Gateway, bucket: str, *, attempts: int) -> Iterator[Load]:
    made = Load(endpoint, gateway, bucket, attempts=attempts)
    try:
        yield made
    finally:
        made.end()


# ------------------------------------------------------------------------------------------- several are one


def test_one_upload_through_all_instances(fleet: list[Gateway], bucket: str) -> None:
    with ExitStack() as opened:
        one, two, three = (opened.enter_context(closing(clients.s3(gateway))) for gateway in fleet)
        where = {"Bucket": bucket, "Key": "a/b"}
        upload = one.create_multipart_upload(**where, Metadata={"k": "v"})["UploadId"]
        contents = [bytes_of(5 * MIB, 1), bytes_of(5 * MIB, 2), b"the end"]
        parts = []
        for number, (client, content) in enumerate(zip((two, three, one), contents, strict=True), 1):
            etag = client.upload_part(**where, UploadId=upload, PartNumber=number, Body=content)["ETag"]
            parts.append({"PartNumber": number, "ETag": etag})
        assert [row["ETag"] for row in two.list_parts(**where, UploadId=upload)["Parts"]] == [p["ETag"] for p in parts]
        assert three.list_multipart_uploads(Bucket=bucket)["Uploads"][0]["UploadId"] == upload
        done = three.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})
        for client in (one, two, three):
            found = client.get_object(**where)
            assert (found["ETag"], found["Metadata"]) == (done["ETag"], {"k": "v"})
            assert found["Body"].read() == b"".join(contents)
        # A second Complete, as after a lost answer, is told the same by another instance.
        again = one.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})
        assert again["ETag"] == done["ETag"]
        two.delete_object(**where)
        assert clients.keys(one, bucket) == clients.keys(three, bucket) == []


def test_a_listing_while_others_write(fleet: list[Gateway], bucket: str) -> None:
    """What was there before and stays is in every listing, in order and once, whatever is written meanwhile."""
    fixed = [f"k{n:04d}0" for n in range(120)]
    with ExitStack() as opened:
        reader, *writers = (opened.enter_context(closing(clients.s3(gateway))) for gateway in fleet)
        for key in fixed:
            reader.put_object(Bucket=bucket, Key=key, Body=b"")
        ending = threading.Event()

        def write(writer: Any, digit: int) -> None:
            while not ending.is_set():
                for n in range(0, 120, 7):
                    writer.put_object(Bucket=bucket, Key=f"k{n:04d}{digit}", Body=b"x")
                    writer.delete_object(Bucket=bucket, Key=f"k{n:04d}{digit}")

        with ThreadPoolExecutor(2) as threads:
            writing = [threads.submit(write, writer, 1 + n) for n, writer in enumerate(writers)]
            try:
                for _ in range(5):
                    keys = clients.keys(reader, bucket, PaginationConfig={"PageSize": 17})
                    assert keys == sorted(set(keys))
                    assert [key for key in keys if key.endswith("0")] == fixed
            finally:
                ending.set()
            for future in writing:
                future.result()


def test_a_client_sees_one_server(balancer: Balancer | HAProxy, fleet: list[Gateway], bucket: str) -> None:
    with closing(clients.s3(fleet[0], None, balancer.endpoint)) as client:
        contents = {f"d/{n} ü+&=?": bytes_of(1 << n, n) for n in range(0, 22, 3)}
        for key, content in contents.items():
            client.put_object(Bucket=bucket, Key=key, Body=content)
            with client.get_object(Bucket=bucket, Key=key)["Body"] as body:
                assert body.read() == content
        assert clients.keys(client, bucket, Prefix="d/") == sorted(contents)
        rows = {"Objects": [{"Key": key} for key in contents]}
        assert len(client.delete_objects(Bucket=bucket, Delete=rows)["Deleted"]) == len(contents)
        with pytest.raises(ClientError) as error:
            client.head_object(Bucket=bucket, Key="d/0 ü+&=?")
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
        url = client.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "pre"}, ExpiresIn=60)
    assert expect_continue(url, b"after 100") == 200


def expect_continue(url: str, body: bytes) -> int:
    """Send the body only when told to; answers the last status (also when that came without 100)."""
    parts = urlsplit(url)
    head = f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection((parts.hostname, parts.port), 30) as sock, sock.makefile("rb") as file:
        sock.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode("ascii"))
        status = _status(file)
        if status == 100:
            sock.sendall(body)
            status = _status(file)
        return status


def _status(file: Any) -> int:
    status = int(file.readline().split()[1])
    while file.readline().strip():
        pass
    return status


def test_a_refused_upload_is_told_why(balancer: Balancer | HAProxy, fleet: list[Gateway], bucket: str) -> None:
    """The answer comes long before the body has: it must not get lost on the way."""
    wrong = fleet[0].owner._replace(secret_key="x" * 40)
    with closing(clients.s3(fleet[0], wrong, balancer.endpoint)) as client, pytest.raises(ClientError) as error:
        client.put_object(Bucket=bucket, Key="k", Body=bytes_of(3 * MIB))
    assert error.value.response["Error"]["Code"] == "SignatureDoesNotMatch"


def test_virtual_hosts_through_nginx(fleet: list[Gateway], tmp_path: Path, name: str) -> None:
    """``Host: BUCKET.DOMAIN:PORT`` as the client signed it.  The names need not resolve: nginx is taken for a proxy."""
    with guides_nginx(fleet, tmp_path) as balancer:
        virtual = {"s3": {"addressing_style": "virtual"}, "proxies": {"http": balancer.endpoint}}
        endpoint = f"http://{DOMAIN}:{urlsplit(balancer.endpoint).port}"
        with closing(clients.s3(fleet[0], None, endpoint, **virtual)) as client:
            client.create_bucket(Bucket=name)
            client.put_object(Bucket=name, Key="x/y ü", Body=b"host")
            assert client.get_object(Bucket=name, Key="x/y ü")["Body"].read() == b"host"
            assert clients.keys(client, name) == ["x/y ü"]


def test_the_guides_nginx_on_port_80(fleet: list[Gateway], tmp_path: Path, bucket: str) -> None:
    """There, clients sign a Host without a port, and ``$host`` is what they signed."""
    with own_network() as inside:
        front = inside.submit(listening, "0.0.0.0", 80).result()
        with nginx(tmp_path / "nginx", configured(NGINX, fleet), front):
            with closing(clients.s3(fleet[0], None, "http://127.0.0.1")) as client:
                where = {"Bucket": bucket, "Key": "k"}
                inside.submit(lambda: client.put_object(**where, Body=b"port 80")).result()
                assert inside.submit(lambda: client.get_object(**where)["Body"].read()).result() == b"port 80"


def test_host_without_its_port_is_not_what_was_signed(fleet: list[Gateway], tmp_path: Path, bucket: str) -> None:
    """The gateway verifies the Host that it receives and never guesses: ``$host`` on another port cannot work."""
    front = listening()
    with nginx(tmp_path / "nginx", configured(NGINX, fleet, ("listen 80;", _port(front))), front) as balancer:
        with closing(clients.s3(fleet[0], None, balancer.endpoint)) as client, pytest.raises(ClientError) as error:
            client.list_objects_v2(Bucket=bucket)
    assert error.value.response["Error"]["Code"] == "SignatureDoesNotMatch"


# -------------------------------------------------------------------------------------------------------- bulk


@pytest.mark.slow
def test_sync_through_nginx(fleet: list[Gateway], tmp_path: Path, bucket: str) -> None:
    source = tmp_path / "up"
    files = {f"d{n % 7}/{'e/' * (n % 3)}f{n:03d}": bytes_of(n * 37, n) for n in range(300)}
    for file, content in files.items():
        (source / file).parent.mkdir(parents=True, exist_ok=True)
        (source / file).write_bytes(content)
    with guides_nginx(fleet, tmp_path) as balancer:
        aws = Client("aws", tmp_path, aws_environment(fleet[0]), ("--endpoint-url", balancer.endpoint))
        assert aws("s3", "sync", "up", f"s3://{bucket}/p", "--no-progress").count("upload: ") == len(files)
        aws("s3", "sync", f"s3://{bucket}/p", "down", "--no-progress")
    assert tree(tmp_path / "down") == files


@pytest.mark.slow
def test_a_large_upload_streams_through_nginx(fleet: list[Gateway], tmp_path: Path, bucket: str) -> None:
    """200 MiB in parts through all instances, and back in ranges; nobody on the way holds a body."""
    size = 200 * MIB
    with open(tmp_path / "up", "wb") as file:
        for n in range(size // (20 * MIB)):
            file.write(bytes_of(20 * MIB, n))
    config = TransferConfig(multipart_threshold=MIB, multipart_chunksize=20 * MIB, max_concurrency=3)
    with readmes_nginx(fleet, tmp_path) as balancer:
        with closing(clients.s3(fleet[0], None, balancer.endpoint)) as client:
            client.upload_file(str(tmp_path / "up"), bucket, "large", Config=config)
            client.download_file(bucket, "large", str(tmp_path / "down"), Config=config)
        assert "temporary file" not in balancer.log.read_text()
        assert peak_memory(balancer.pid) < 40 * MIB
    assert filecmp.cmp(tmp_path / "up", tmp_path / "down", shallow=False)
    for gateway in fleet:
        assert peak_memory(gateway.pid) < 150 * MIB


# -------------------------------------------------------------------------------------------- losing instances


@pytest.mark.slow
@pytest.mark.parametrize("made", [guides_nginx, guides_haproxy], ids=lambda made: made.__name__)
def test_one_instance_is_killed(made: Callable[..., Any], fleet: list[Gateway], tmp_path: Path, bucket: str) -> None:
    """Clients that try again notice nothing, and what they were told is there, is there."""
    with made(fleet, tmp_path) as balancer, load(balancer.endpoint, fleet[0], bucket, attempts=3) as clients_:
        clients_.wait_for(6)
        fleet[1].kill()
        clients_.wait_for(6)
        fleet[1].start()
        clients_.wait_for(6)
        clients_.end()
        with closing(clients.s3(fleet[1])) as client:
            clients_.check(client)


@pytest.mark.slow
@pytest.mark.parametrize("made", [readmes_nginx, readmes_haproxy], ids=lambda made: made.__name__)
def test_rolling_restart(made: Callable[..., Any], fleet: list[Gateway], tmp_path: Path, bucket: str) -> None:
    """No client sees an error, not even one that never tries again."""
    with made(fleet, tmp_path) as balancer, load(balancer.endpoint, fleet[0], bucket, attempts=1) as clients_:
        for gateway in fleet:
            clients_.wait_for(5)
            gateway.restart()
        clients_.wait_for(5)
        clients_.end()
        with closing(clients.s3(fleet[1])) as client:
            clients_.check(client)


@pytest.mark.slow
def test_draining_is_seen_in_time(fleet: list[Gateway], shared: dict[str, object], tmp_path: Path, bucket: str) -> None:
    """``drain_delay_secs``: HAProxy takes an instance out because it says so, not because it is gone."""
    (tmp_path / "own").mkdir()
    leaving = Gateway(tmp_path / "own", durability="none", settings={**shared, "drain_delay_secs": 4})
    often = DEBIAN + "    timeout check 10s\n    default-server inter 100ms\n"
    with ExitStack() as opened:
        opened.callback(leaving.close)
        leaving.start()
        balancer = opened.enter_context(guides_haproxy([leaving, *fleet[:2]], tmp_path, before=often))
        client = opened.enter_context(closing(clients.s3(leaving, None, balancer.endpoint)))
        stopping = opened.enter_context(ThreadPoolExecutor(1)).submit(leaving.stop)
        statuses: list[dict[str, str]] = []
        while not stopping.done():
            client.put_object(Bucket=bucket, Key="k", Body=b"as ever")
            server = balancer.servers()["gateway1"]
            statuses.append({name: server[name] for name in ("status", "check_status", "check_code")})
        stopping.result()
        assert {"status": "DOWN", "check_status": "L7STS", "check_code": "503"} in statuses
