"""An S3 server on asyncio in a page: the core's generator driven by ``await``.

    python -m examples.asyncio_server        then point a client at http://127.0.0.1:9901 with key and secret "example"

The core does not care that somebody awaits between its questions.  Keep-alive, 100 Continue and chunked bodies work;
timeouts, limits on connections and TLS are what is missing to be a real one.
"""

from __future__ import annotations

import asyncio
from contextlib import closing, suppress
from email.utils import formatdate

from examples.memory_store import Body, MemoryStore, Receive, finished
from s3proto import Context, RequestHead, Response, S3Error, serve
from s3proto.http import MAX_HEAD, Framing, parse_head, response_head
from s3proto.model import Document, Received


class Connection:
    """One client's connection; ``run`` until it goes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, store: MemoryStore) -> None:
        self._reader, self._writer, self._store = reader, writer, store
        self._ahead = b""  # bytes received and not yet used
        self._awaited = False  # the client waits to be told to send the body

    async def run(self) -> None:
        with closing(self._writer), suppress(ConnectionError):
            keep_alive = True
            while keep_alive and (data := await self._read_head()) is not None:
                try:
                    head = parse_head(data)
                except S3Error as error:
                    self._writer.write(response_head(error.status, [("Connection", "close"), ("Content-Length", "0")]))
                    return
                self._awaited = head.headers.get("expect") == "100-continue"
                framing, context = Framing.for_head(head), self._store.context()
                response = await self._respond(head, framing, context)
                # A body that nobody read still lies in the way of the next request.
                keep_alive = framing.complete and head.version == (1, 1) and head.headers.get("connection") != "close"
                headers, body = finished(response, context)
                headers += [("Date", formatdate(usegmt=True)), ("Connection", "keep-alive" if keep_alive else "close")]
                self._writer.write(response_head(response.status, headers) + (b"" if head.method == "HEAD" else body))
                await self._writer.drain()

    async def _read_head(self) -> bytes | None:
        """Return the bytes of the next head, None when the client has gone."""
        while (end := self._ahead.find(b"\r\n\r\n", 1)) < 0 and len(self._ahead) <= MAX_HEAD:
            data = await self._reader.read(MAX_HEAD)
            if not data:
                return None
            self._ahead += data
        end = end + 4 if end >= 0 else len(self._ahead)
        head, self._ahead = self._ahead[:end], self._ahead[end:]
        return head

    async def _respond(self, head: RequestHead, framing: Framing, context: Context) -> Response:
        with closing(serve(head, context)) as steps:
            try:
                command = next(steps)
                while True:
                    try:
                        if isinstance(command, Receive):
                            answer = await self._receive(framing, command)
                        else:
                            answer = self._store.perform(command)
                    except S3Error as error:
                        command = steps.throw(error)
                    else:
                        command = steps.send(answer)
            except StopIteration as done:
                response: Response = done.value
                return response

    async def _receive(self, framing: Framing, command: Receive) -> Received | Document | None:
        body = Body(command)
        if self._awaited and not self._ahead:
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._awaited = False
        while not (framing.complete or body.complete):
            data, self._ahead = self._ahead or await self._reader.read(framing.wanted), b""
            if not data:
                framing.eof()
            for piece in framing.feed(memoryview(data)):
                body.feed(piece)
            self._ahead = framing.unused
        return body.finish()


async def start(store: MemoryStore, port: int = 0) -> asyncio.Server:
    """Listen on 127.0.0.1 (port 0: any free one); the caller closes the server."""
    return await asyncio.start_server(lambda r, w: Connection(r, w, store).run(), "127.0.0.1", port)


if __name__ == "__main__":
    with asyncio.Runner() as runner:
        runner.run(runner.run(start(MemoryStore("example", "example"), 9901)).serve_forever())
