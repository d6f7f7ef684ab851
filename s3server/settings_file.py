"""The cluster's TOML file: what section ``[s3_gateway]`` says, and which masters the other sections name.

Rules: reads and checks shapes only; what a value means is ``config``'s affair.  Other sections belong to Curvine: they
are looked at for the masters' addresses, for what clients shall do and for what loses data, and are never an error.
Every error is a ConfigError of one line that names the file, the key and what is allowed.

Follows the TOML specification 1.0 (tomllib) and the address rules of Curvine's own client:
``client.master_addrs``, else ``journal.journal_addrs`` with ``master.rpc_port``, else ``master.hostname``.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SECTION = "s3_gateway"
MASTER_PORT = 8995
JOURNAL_RETRY = 10
"""Curvine's default of ``journal.retry_interval_secs``."""
ADDRESS = {"hostname", "rpc_port"}

REPLACED = {
    "web_port": 'set web_listen = "HOST:PORT"',
    "access_key": "use AWS_ACCESS_KEY_ID or `credential add`",
    "secret_key": "use AWS_SECRET_ACCESS_KEY or `credential add`",
    "get_mpsc_capacity": "get_chunk_size_mb is the only setting of reading",
    "get_prefetch_depth": "get_chunk_size_mb is the only setting of reading",
}
"""Keys that only the old gateway knew, and what to do instead."""


class ConfigError(Exception):
    """The configuration cannot be used; ``str()`` is one line that says what to change.  The process exits with 2."""


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """What a file said."""

    values: Mapping[str, str]
    """Key of ``[s3_gateway]`` -> its value as a flag would spell it."""
    masters: tuple[str, ...] = ()
    """``host:port`` of the Curvine masters that the file names."""
    warnings: tuple[str, ...] = ()


def read(path: Path, types: Mapping[str, tuple[type, ...]]) -> SettingsFile:
    """Read a file; ``types`` are the known keys and the TOML types that each takes.

    Raises ConfigError: unreadable, not TOML (with line and column), unknown key, wrong type.  A missing file is
    an error too: whether a file may be missing is the caller's decision.
    """
    try:
        document = tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from None
    section = document.get(SECTION, {})
    if not isinstance(section, dict):
        raise ConfigError(f"{path}: {SECTION} must be a section: [{SECTION}]")
    values: dict[str, str] = {}
    warnings: list[str] = []
    for key, value in section.items():
        if key in REPLACED:
            warnings.append(f"{path}: [{SECTION}] {key} is not used any more: {REPLACED[key]}")
        elif key not in types:
            raise ConfigError(f"{path}: [{SECTION}] {key} is not a setting{nearest(key, types)}")
        elif type(value) not in types[key]:
            wanted = " or ".join(TOML_NAMES[t] for t in types[key])
            raise ConfigError(f"{path}: [{SECTION}] {key} = {_shown(value)}: must be {wanted}")
        else:
            values[key] = _shown(value) if isinstance(value, bool) else str(value)
    warnings += [f"{path}: {danger}" for danger in dangers(document)]
    return SettingsFile(values, masters(document), tuple(warnings))


TOML_NAMES: dict[type, str] = {str: "a string in quotes", int: "an integer", float: "a number", bool: "true or false"}


def nearest(word: str, known: Mapping[str, object]) -> str:
    """Return ``"; did you mean ...?"`` for the known word most like ``word``, or an empty string."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def masters(document: Mapping[str, object]) -> tuple[str, ...]:
    """Return the masters (``host:port``) that Curvine's own client would try; shapes it does not know count as none."""
    master = _table(document.get("master"))
    port = master.get("rpc_port", MASTER_PORT)
    if found := _addresses(_table(document.get("client")).get("master_addrs"), None):
        return found
    if found := _addresses(_table(document.get("journal")).get("journal_addrs"), port):
        return found
    return (f"{master['hostname']}:{port}",) if isinstance(master.get("hostname"), str) else ()


def dangers(document: Mapping[str, object]) -> Iterator[str]:
    """Yield the settings of the cluster itself with which it loses what it has acknowledged (WIRE.md 5.8, 10).

    Only where the file is a server's: one for clients has no more than addresses.
    """
    for kind, what in ("master", "all metadata"), ("worker", "its blocks"):
        if _table(document.get(kind)).keys() - ADDRESS and document.get(f"format_{kind}", True) is not False:
            yield (
                f"format_{kind} is not false (missing, it counts as true): a {kind} wipes {what} whenever it starts; "
                f"set format_{kind} = false"
            )
    if journal := _table(document.get("journal")):
        seconds = journal.get("retry_interval_secs", JOURNAL_RETRY)
        if isinstance(seconds, int) and seconds > 1:
            yield (
                f"[journal] retry_interval_secs is {seconds} ({JOURNAL_RETRY} where it is missing): a master that dies "
                f"in its first {seconds} s as the leader loses all changes of that time; set it to 0"
            )


def client_section(path: Path) -> Mapping[str, object]:
    """Return ``[client]`` of a file that ``read`` has accepted: what the cluster tells all of its clients."""
    return _table(tomllib.loads(path.read_bytes().decode("utf-8")).get("client"))


def _addresses(rows: object, port: object) -> tuple[str, ...]:
    """``port`` replaces each row's own, which for the journal is the raft port."""
    tables = [_table(row) for row in rows] if isinstance(rows, list) else []
    return tuple(f"{t['hostname']}:{port or t.get('port', MASTER_PORT)}" for t in tables if "hostname" in t)


def _table(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _shown(value: object) -> str:
    """One line of at most 60 characters, spelt as in TOML."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
