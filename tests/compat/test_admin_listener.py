"""The admin listener of a real gateway: metrics, health, the page; and that it is another door than S3's."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from s3server import process
from tests.gateway import Gateway, running_gateway

PATIENCE = 30.0


@pytest.fixture(scope="module", params=[False, True], ids=["http", "https"])
def gateway(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("admin")
    with running_gateway(directory, tls=request.param, settings={"web_listen": "127.0.0.1:0"}) as made:
        yield made


def ask(gateway: Gateway, path: str, method: str = "GET") -> tuple[http.client.HTTPResponse, bytes]:
    port = process.listening_ports(gateway.pid)[-1]
    assert port != gateway.port
    connection = (
        http.client.HTTPSConnection(
            "127.0.0.1", port, context=ssl.create_default_context(cafile=str(gateway.certificate))
        )
        if gateway.certificate
        else http.client.HTTPConnection("127.0.0.1", port)
    )
    connection.timeout = PATIENCE
    with closing(connection):
        connection.request(method, path)
        response = connection.getresponse()
        return response, response.read()


def count(gateway: Gateway, name: str, **labels: str) -> float:
    response, text = ask(gateway, "/metrics")
    assert response.status == 200 and (response.headers["content-type"] or "").startswith("text/plain")
    samples = [each for family in text_string_to_metric_families(text.decode()) for each in family.samples]
    return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())


def test_requests_are_counted_by_all_workers(gateway: Gateway) -> None:
    """Whichever worker answers, and after a worker has died, too."""
    before = count(gateway, "curvine_s3_requests_total", operation="ListBuckets", status="4xx")
    asked = 0
    for kill in (False, True):
        for _ in range(20):
            with closing(gateway.connect()) as connection:
                connection.request("GET", "/")
                assert connection.getresponse().status == 403
            asked += 1
        until = time.monotonic() + PATIENCE
        while count(gateway, "curvine_s3_requests_total", status="4xx") < before + asked:
            assert time.monotonic() < until
        if not kill:
            gateway.kill_worker(0)
    assert count(gateway, "curvine_s3_errors_total", code="AccessDenied") == before + asked
    assert count(gateway, "curvine_s3_store_up") == 1 and count(gateway, "curvine_s3_store_free_bytes") > 0


def test_health_and_page(gateway: Gateway) -> None:
    response, body = ask(gateway, "/healthz")
    assert (response.status, body) == (200, b"ok\n")
    response, page = ask(gateway, "/")
    assert response.status == 200 and b"Curvine S3 gateway" in page
    assert b"http://" not in page and b"https://" not in page, "everything comes from here"
    response, body = ask(gateway, "/", "HEAD")
    assert (response.status, body, response.headers["content-length"]) == (200, b"", str(len(page)))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/metrics", 405),
        ("PUT", "/bucket/key", 405),
        ("GET", "/bucket/key", 404),
        ("GET", "/metrics/../x", 404),
    ],
)
def test_nothing_else(gateway: Gateway, method: str, path: str, status: int) -> None:
    response, _ = ask(gateway, path, method)
    assert response.status == status


def test_no_metrics_where_s3_is_served(gateway: Gateway) -> None:
    with closing(gateway.connect()) as connection:
        connection.request("GET", "/metrics")
        assert connection.getresponse().status == 404, "the bucket of that name is not there"


def test_its_requests_are_not_logged(gateway: Gateway) -> None:
    ask(gateway, "/metrics")
    assert '"GET /metrics" 200' not in gateway.log


def test_address_in_use(gateway: Gateway, tmp_path: Path) -> None:
    port = process.listening_ports(gateway.pid)[-1]
    with pytest.raises(AssertionError, match="another one with --web-listen"):
        with running_gateway(tmp_path, settings={"web_listen": f"127.0.0.1:{port}"}):
            pass
