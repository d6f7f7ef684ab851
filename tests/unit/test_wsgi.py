"""The WSGI driver: called as servers call it, and under Werkzeug's own server with a real client."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from s3proto.commands import CreateBucket, PutBucketCors
from s3proto.model import CorsRule
from s3server.assembly import Assembly
from s3server.config import ServerConfig
from s3server.store.state import ADMINISTRATOR
from s3server.wsgi import Application
from tests.form_kit import CONTENT_TYPE, encode
from tests.server.toy import ToyStore, content_of, toy_service


class Server:
    """Calls an application as PEP 3333 says."""

    def __init__(self) -> None:
        self.store = ToyStore()
        self.store.hold.set()
        self.application = Application(toy_service(self.store, chunk_size=1000))
        self.status = ""
        self.headers: dict[str, str] = {}

    def _start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        self.status, self.headers = status, {name.lower(): value for name, value in headers}

    def call(self, method: str, target: str, body: bytes = b"", more: Mapping[str, Any] | None = None) -> bytes:
        environ = {
            "REQUEST_METHOD": method,
            "RAW_URI": target,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "toy",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
        }
        if body:
            environ["CONTENT_LENGTH"] = str(len(body))
        chunks = self.application(environ | dict(more or {}), self._start_response)
        try:
            return b"".join(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()


def test_bodies_and_spans() -> None:
    server = Server()
    assert server.call("GET", "/bytes/10") == content_of(10)
    assert server.status == "200 OK" and server.headers["content-length"] == "10"
    assert len(server.headers["x-amz-request-id"]) == 16
    assert server.call("GET", "/span/5000") == content_of(5000)
    assert server.call("HEAD", "/span/5000") == b""
    assert all(content.closed for content in server.store.opened)
    assert server.call("PUT", "/body/100", b"hello").startswith(b"5 5d4140")
    assert server.call("POST", "/early").endswith(b"<Late/>")


@pytest.mark.parametrize("size", [0, 5, 100_000])
def test_forms(size: int) -> None:
    body, server = encode({"key": "k"}, content_of(size)), Server()
    kind = {"CONTENT_TYPE": CONTENT_TYPE}
    assert server.call("POST", "/form/100000", body, kind).startswith(f"{size} ".encode())
    stream = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": io.BytesIO(body), "wsgi.input_terminated": True}
    assert server.call("POST", "/form/100000", more=kind | stream).startswith(f"{size} ".encode())
    assert server.call("POST", "/form/100000", body[:-5], kind) == b"MalformedPOSTRequest"


def test_chunked_bodies_end_with_the_stream() -> None:
    server = Server()
    fields = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": io.BytesIO(b"hello"), "wsgi.input_terminated": True}
    assert server.call("PUT", "/body/100", more=fields).startswith(b"5 5d4140")


def test_short_bodies_are_incomplete() -> None:
    server = Server()
    short = {"CONTENT_LENGTH": "9", "wsgi.input": io.BytesIO(b"abc")}
    assert server.call("PUT", "/body/100", more=short) == b"IncompleteBody"
    assert server.status == "400 Bad Request"


@pytest.mark.parametrize("path", ["/boom", "/fail"])
def test_defects(path: str, caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    assert server.call("GET", path) == b"InternalError" and server.status.startswith("500 ")
    assert any(server.headers["x-amz-request-id"] in record.getMessage() for record in caplog.records)


def test_bad_heads_and_health() -> None:
    server = Server()
    assert server.call("GET", "no-slash") == b"BadRequest"
    assert server.call("GET", "/healthz") == b"ok\n"


def test_a_server_without_the_raw_target() -> None:
    server = Server()
    environ = {"RAW_URI": "", "SCRIPT_NAME": "", "PATH_INFO": "/bytes/7", "QUERY_STRING": "a=b"}
    assert server.call("GET", "", more=environ) == content_of(7)


def test_pages_of_other_origins(tmp_path: Path) -> None:
    """The whole gateway: preflight, and an error that a page can read."""
    store, credentials, spool = tmp_path / "data", tmp_path / "credentials.jsonl", tmp_path / "spool"
    credentials.touch(0o600)
    config = ServerConfig(home=tmp_path, store=store.as_uri(), credentials_path=credentials, put_temp_dir=spool)
    with closing(Assembly(config)) as assembly:
        assembly.store.create_bucket(CreateBucket("bucket", ADMINISTRATOR))
        assembly.store.put_bucket_cors(PutBucketCors("bucket", (CorsRule(("http://page",), ("GET",)),)))
        server = Server()
        server.application = Application(assembly.service)
        fields = {"HTTP_ORIGIN": "http://page", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "GET"}
        for method, status in (("OPTIONS", "200 OK"), ("GET", "403 Forbidden")):
            server.call(method, "/bucket/key", more=fields)
            assert (server.status, server.headers["access-control-allow-origin"]) == (status, "http://page")


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        pass


@contextmanager
def werkzeug(application: Any) -> Iterator[tuple[str, int]]:
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.host, server.port
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def test_under_werkzeug() -> None:
    import http.client

    application = Server().application
    with werkzeug(application) as (host, port):
        client = http.client.HTTPConnection(host, port, timeout=10)
        client.request("PUT", "/body/9999999", content_of(2_000_000))
        assert client.getresponse().read().startswith(b"2000000 ")
        client.close()
        client.request("PUT", "/body/9999999", iter([b"he", b"llo"]), encode_chunked=True)
        assert client.getresponse().read().startswith(b"5 ")
        client.close()
        form = encode({"key": "k"}, content_of(1_000_000))
        client.request("POST", "/form/9999999", form, {"Content-Type": CONTENT_TYPE})
        assert client.getresponse().read().startswith(b"1000000 ")
        client.close()
        client.request("GET", "/span/100000")
        assert client.getresponse().read() == content_of(100_000)
        client.close()
