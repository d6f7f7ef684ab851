"""A browser: what a page of another origin may do with a bucket that lets it, and with one that does not.

The page lies on a small server of its own, tries everything with ``fetch`` and sends what came of it back there.
"""

from __future__ import annotations

import html
import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.compat import clients
from tests.compat.clients import TIMEOUT
from tests.gateway import Gateway

pytestmark = pytest.mark.compat

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-dev-shm-usage"
    " --disable-background-networking --disable-component-update --disable-sync --remote-debugging-port=0"
).split()
PAGE = """<script>
async function ask(url, options) {
    if (options.form) {
        options.body = new FormData();
        for (const name in options.form) options.body.append(name, options.form[name]);
        options.body.append("file", new Blob(["file"]), "file.txt");
    }
    try {
        const answer = await fetch(url, options);
        return {status: answer.status, text: await answer.text(), etag: answer.headers.get("etag"),
                id: answer.headers.get("x-amz-request-id")};
    } catch (error) {
        return error.name;
    }
}
(async () => {
    const results = [];
    for (const [url, options] of %s) results.push(await ask(url, options));
    await fetch("/results", {method: "POST", body: JSON.stringify(results)});
})();
</script>"""


class Site:
    """Serves one page, and takes its results, or with which parameters somebody was sent to ``/done``."""

    def __init__(self) -> None:
        self.page = b""
        self.results: queue.Queue[Any] = queue.Queue()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/done?"):
                    site.results.put(self.path)
                self._answer(site.page if self.path == "/" else b"")

            def do_POST(self) -> None:
                site.results.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self._answer(b"")

            def _answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """To nowhere."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    with site.server as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield site
        server.shutdown()
        thread.join(TIMEOUT)


@contextmanager
def browsing(url: str, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A browser with an empty profile; it ends with the block."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}
    with open(home / "browser.log", "wb") as log:
        browser = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={home / 'profile'}", url],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield browser
    finally:
        browser.terminate()
        try:
            browser.wait(20)
        except subprocess.TimeoutExpired:
            browser.kill()
            browser.wait()


def test_a_page_of_another_origin(gateway: Gateway, client: Any, bucket: str, site: Site, tmp_path: Path) -> None:
    closed = f"{bucket}-closed"
    client.create_bucket(Bucket=closed)
    client.put_object(Bucket=closed, Key="k", Body=b"secret")
    rule = {
        "AllowedOrigins": [site.origin],
        "AllowedMethods": ["GET", "PUT", "POST"],
        "AllowedHeaders": ["x-amz-meta-*", "range"],
        "ExposeHeaders": ["ETag"],
    }
    client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    where = {"Bucket": bucket, "Key": "by a page"}
    with closing(clients.s3(gateway, signature_version="s3v4")) as signer:
        put = signer.generate_presigned_url("put_object", where | {"Metadata": {"m": "v"}})
        get = signer.generate_presigned_url("get_object", where)
        delete = signer.generate_presigned_url("delete_object", where)
        elsewhere = signer.generate_presigned_url("get_object", {"Bucket": closed, "Key": "k"})
        form = signer.generate_presigned_post(bucket, "by a form")
    asked = [
        (put, {"method": "PUT", "body": "hello", "headers": {"x-amz-meta-m": "v"}}),
        (get, {}),
        (get, {"headers": {"Range": "bytes=1-1"}}),
        (get, {"credentials": "include"}),
        (f"{gateway.endpoint}/{bucket}/none", {}),
        (form["url"], {"method": "POST", "form": form["fields"]}),
        (form["url"], {"method": "POST", "form": form["fields"] | {"key": "other"}}),
        (put, {"method": "PUT", "body": "x", "headers": {"x-other": "v"}}),
        (delete, {"method": "DELETE"}),
        (elsewhere, {}),
    ]
    site.page = (PAGE % json.dumps(asked)).encode()
    with browsing(f"{site.origin}/", tmp_path):
        written, read, piece, with_cookies, refused, posted, forged, *blocked = site.results.get(timeout=TIMEOUT)
    etag = f'"{md5(b"hello").hexdigest()}"'
    assert written == {"status": 200, "text": "", "etag": etag, "id": None}
    assert read == with_cookies == {"status": 200, "text": "hello", "etag": etag, "id": None}
    assert (piece["status"], piece["text"]) == (206, "e")
    assert refused["status"] == 403 and "<Code>AccessDenied</Code>" in refused["text"]
    assert posted["status"] == 204 and client.get_object(Bucket=bucket, Key="by a form")["Body"].read() == b"file"
    assert forged["status"] == 403 and "<Code>AccessDenied</Code>" in forged["text"]
    assert blocked == ["TypeError"] * 3
    assert client.head_object(**where)["Metadata"] == {"m": "v"}  # neither replaced nor deleted


FORM = """<meta charset="utf-8">
<form action="%s" method="post" enctype="multipart/form-data">%s
<input type="file" name="file"><input type="submit" name="submit" value="Upload"></form>
<script>
const files = new DataTransfer(), form = document.forms[0];
files.items.add(new File(["line\\r\\n--"], "ü & \\"1\\".txt"));
form.elements.file.files = files.files;
form.elements.submit.click();
</script>"""


def test_an_html_form(gateway: Gateway, client: Any, bucket: str, site: Site, tmp_path: Path) -> None:
    """No script uploads: the browser itself sends the form, and goes where it is sent."""
    fields = {"success_action_redirect": f"{site.origin}/done?a=b", "Content-Type": "text/plain", "x-amz-meta-m": "ä"}
    conditions = [{name: value} for name, value in fields.items()]
    made = client.generate_presigned_post(bucket, "up/${filename}", fields, conditions)
    hidden = (
        f'<input type="hidden" name="{name}" value="{html.escape(value)}">' for name, value in made["fields"].items()
    )
    site.page = (FORM % (html.escape(made["url"]), "".join(hidden))).encode()
    with browsing(f"{site.origin}/", tmp_path):
        told = parse_qs(urlsplit(site.results.get(timeout=TIMEOUT)).query)
    key = "up/ü & %221%22.txt"  # quotes are what HTML has browsers encode in the names of files
    found = client.get_object(Bucket=bucket, Key=key)
    assert told == {"a": ["b"], "bucket": [bucket], "key": [key], "etag": [found["ETag"]]}
    assert found["Body"].read() == b"line\r\n--" and found["ContentType"] == "text/plain"
    assert found["Metadata"] == {"m": "ä"}
