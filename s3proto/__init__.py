"""S3 as decisions: give ``serve`` a request head, answer the commands it yields, send the Response it returns.

The whole package waits for nothing and asks nobody: no clock, randomness, environment, threads, I/O or logging.
``docs/architecture.md`` tells how the pieces fit; each module's header tells the rest.
"""

from s3proto.commands import Command, Steps
from s3proto.context import Context, Settings
from s3proto.errors import S3Error
from s3proto.http import Headers, RequestHead, Response, Span
from s3proto.protocol import serve

__all__ = [
    "Command",
    "Context",
    "Headers",
    "RequestHead",
    "Response",
    "S3Error",
    "Settings",
    "Span",
    "Steps",
    "serve",
]
