"""Where log lines go, and which: ``RUST_LOG`` for Python's logging.

``info``, ``debug,curvine_s3_gateway::access=warn``, ``off``: one level for all and levels per target, where a target
is a logger's name with ``::`` for the dots.  The project's loggers are ``curvine_s3_gateway.access``, ``.auth``,
``.server`` and ``.store``.

Rules: lines go to standard error.  With a log file, standard output and error *are* that file, opened for appending, so
tracebacks and the workers' output land there too; ``reopen`` makes it anew after a rotation.

Follows the directives of env_logger, except that the level for all is ``info`` where only targets are named.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path

TRACE = 5
OFF = logging.CRITICAL + 10
LEVELS = {
    "off": OFF,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": TRACE,
}
DEFAULT = "info"
ROOT = ""
"""The target that stands for all."""

log = logging.getLogger("curvine_s3_gateway.server")


def levels(directives: str) -> dict[str, int]:
    """Return logger name -> level, ROOT among them.  Raises ValueError with the directive that means nothing."""
    found = {ROOT: LEVELS[DEFAULT]}
    for directive in filter(None, map(str.strip, directives.split(","))):
        target, equals, level = directive.rpartition("=")
        if level.lower() not in LEVELS or (equals and not re.fullmatch(r"\w+(::\w+)*", target)):
            raise ValueError(directive)
        found[target.replace("::", ".")] = LEVELS[level.lower()]
    return found


def setup(environ: Mapping[str, str], file: Path | None) -> None:
    """Begin to log as ``RUST_LOG`` says; a value that means nothing is warned of and counts as not set.

    Raises OSError when ``file`` cannot be opened.  Replaces what was set up before.
    """
    reopen(file)
    logging.addLevelName(TRACE, "TRACE")
    logging.addLevelName(logging.WARNING, "WARN")
    handler = logging.StreamHandler(sys.stderr)
    line = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s"
    formatter = logging.Formatter(line, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.root.handlers[:] = [handler]
    directives, bad = environ.get("RUST_LOG", ""), None
    try:
        chosen = levels(directives)
    except ValueError as error:
        chosen, bad = levels(DEFAULT), error
    for name, level in chosen.items():
        logging.getLogger(name or None).setLevel(level)
    if bad:
        log.warning("RUST_LOG: %r means nothing; logging at %s (levels: %s)", str(bad), DEFAULT, " ".join(LEVELS))


def rotated(file: Path | None) -> None:
    """``reopen`` for a running process: what cannot be opened is told in the old file, and that stays."""
    try:
        reopen(file)
    except OSError as error:
        log.error("the log cannot be made anew, writing on to the old file: %s", error)


def reopen(file: Path | None) -> None:
    """Make ``file`` (anew, when it was moved away) and write there from now on; None does nothing.  Raises OSError."""
    if file is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)
