"""``check``: what is wrong with a gateway's surroundings, and where.

Rules: one line per subject, ``ok`` or ``WRONG``, then its facts, the wrong ones marked.  Nothing is changed unless
``repair`` is given, and then only left-overs are removed.  The exit code is 1 when something wrong is still there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from curvinefs.api import FsError
from s3server import credentials_file, startup
from s3server.config import ConfigError, ServerConfig
from s3server.credentials_place import CredentialError
from s3server.filesystems import credentials_place, open_store
from s3server.store.sweep import DAY, Sweeper


class Fact(NamedTuple):
    text: str
    wrong: bool = False


def run(config: ServerConfig, repair: bool, environ: Mapping[str, str]) -> int:
    """Print what is found; return 0 or 1."""
    wrong = _report("configuration", str(config.conf or "no file"), map(Fact, config.warnings))
    wrong += _report("temp dir", str(config.put_temp_dir), _temp_dir(config))
    wrong += _report("credentials", credentials_place(config).label, _credentials(config, environ))
    if config.tls_cert:
        wrong += _report("tls", str(config.tls_cert), _tls(config))
    wrong += _report("store", config.store, _store(config, repair))
    return 1 if wrong else 0


def _report(subject: str, where: str, facts: Iterable[Fact]) -> int:
    """Print one subject; return how much is wrong."""
    found = list(facts)
    wrong = sum(fact.wrong for fact in found)
    print(f"{subject:14} {'WRONG' if wrong else 'ok   '}  {where}")
    for fact in found:
        print(f"{'!' if fact.wrong else ' ':>14}        {fact.text}")
    return wrong


def _temp_dir(config: ServerConfig) -> Iterator[Fact]:
    if fault := startup.temp_dir_fault(config.put_temp_dir):
        yield Fact(fault, wrong=True)


def _credentials(config: ServerConfig, environ: Mapping[str, str]) -> Iterator[Fact]:
    try:
        startup.environment_key(environ)
        contents = credentials_file.read(credentials_place(config))
    except (ConfigError, CredentialError) as error:
        yield Fact(str(error), wrong=True)
        return
    if contents.kept is None:
        yield Fact("no file yet: the first start makes it with a first key")
        return
    yield from (Fact(f"skipped {bad}", wrong=True) for bad in contents.bad)
    if fault := startup.access_fault(contents):
        yield Fact(fault, wrong=True)
    enabled = sum(c.enabled for c in contents.credentials.values())
    yield Fact(f"{enabled} enabled keys" if enabled else "no enabled key: `credential generate` makes one", not enabled)


def _tls(config: ServerConfig) -> Iterator[Fact]:
    if fault := startup.tls_fault(config):
        yield Fact(fault, wrong=True)


def _store(config: ServerConfig, repair: bool) -> Iterator[Fact]:
    if config.store.startswith("file:") and not config.store_path.exists():
        yield Fact("does not exist yet: the first start makes it")
        return
    try:
        store = open_store(config)
    except FsError as error:
        yield Fact(str(error), wrong=True)
        return
    try:
        yield from (Fact(f"{name}: {value}") for name, value in store.health().items())
        sweeper = Sweeper(store, config.upload_max_age_days * DAY)
        for finding in sweeper.inspect(repair):
            yield Fact(f"{finding.path}: {finding.what}{', removed' * finding.repaired}", not finding.repaired)
    except FsError as error:
        yield Fact(str(error), wrong=True)
    finally:
        store.close()
