"""An S3 server as a WSGI application in a page, served by the standard library's wsgiref.

    python -m examples.wsgi_server           then point a client at http://127.0.0.1:9902 with key and secret "example"

The server has removed the transport framing; aws-chunked bodies with their trailers are the core's affair and work.
WSGI's one trap is the target: PATH_INFO is decoded, and neither signatures nor keys survive that, so the server must
hand over what was sent (REQUEST_URI).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from examples.memory_store import Body, MemoryStore, Receive, finished
from s3proto import Context, Headers, RequestHead, Response, S3Error, serve
from s3proto.errors import IncompleteBody
from s3proto.model import Document, Received

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def request_head(environ: WSGIEnvironment) -> RequestHead:
    """Put the head together again from what WSGI made of it."""
    fields = [(name[5:].replace("_", "-").lower(), text) for name, text in environ.items() if name[:5] == "HTTP_"]
    fields += [(n.replace("_", "-").lower(), environ[n]) for n in ("CONTENT_LENGTH", "CONTENT_TYPE") if environ.get(n)]
    # wsgiref does not decode chunked: without Content-Length there is no body, and the core says so.
    headers = Headers(field for field in fields if field[0] != "transfer-encoding")
    return RequestHead(environ["REQUEST_METHOD"], environ["REQUEST_URI"], headers)


class Application:
    """The WSGI callable."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        context = self._store.context()
        response = self._respond(request_head(environ), environ["wsgi.input"], context)
        headers, body = finished(response, context)
        start_response(f"{response.status} {HTTPStatus(response.status).phrase}", headers)
        return [body]

    def _respond(self, head: RequestHead, stream: Any, context: Context) -> Response:
        left = int(head.headers.get("content-length") or 0)
        with closing(serve(head, context)) as steps:
            try:
                command = next(steps)
                while True:
                    try:
                        if isinstance(command, Receive):
                            answer, left = receive(command, stream, left)
                        else:
                            answer = self._store.perform(command)
                    except S3Error as error:
                        command = steps.throw(error)
                    else:
                        command = steps.send(answer)
            except StopIteration as done:
                response: Response = done.value
                return response


def receive(command: Receive, stream: Any, left: int) -> tuple[Received | Document | None, int]:
    """Read what the command asks for of ``left`` bytes; return the answer, and what is left after it."""
    body = Body(command)
    while left and not body.complete:
        data = stream.read(min(left, 65536))
        if not data:
            raise IncompleteBody()
        body.feed(memoryview(data))
        left -= len(data)
    return body.finish(), left


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # or http.server would not answer 100 Continue, and botocore waits a second for it

    def get_environ(self) -> WSGIEnvironment:
        target = self.requestline.split(" ")[1]
        # wsgiref makes up a Content-Type where none was sent: SigV2 signs it.
        return super().get_environ() | {"REQUEST_URI": target, "CONTENT_TYPE": self.headers.get("Content-Type", "")}

    def log_message(self, format: str, *args: object) -> None:
        """wsgiref would write to stderr."""


def make(store: MemoryStore, port: int = 0) -> WSGIServer:
    """Listen on 127.0.0.1 (port 0: any free one); the caller serves and closes."""
    return make_server("127.0.0.1", port, Application(store), handler_class=Handler)


if __name__ == "__main__":
    make(MemoryStore("example", "example"), 9902).serve_forever()
