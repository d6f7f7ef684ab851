"""The command line: ``curvine-s3-gateway serve | credential ... | check | scrub``.

``COMMANDS`` is the table: words, help, added arguments, function.  Every command takes ``--conf`` and all settings as
flags, also before its name; without a name it is ``serve``.

Rules: results on standard output, everything else on standard error.  Exit 0: done; 1: it failed, or ``check`` or
``scrub`` found something; 2: a usage or configuration error, said in one line; 130: Ctrl-C.  A secret is printed when
it is made or asked for, and never logged.
"""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import SUPPRESS, ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from getpass import getpass
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple

from curvinefs.api import FsError
from s3server import __version__, config, credentials_file, log, service, startup
from s3server.config import ConfigError, ServerConfig, SettingsParser
from s3server.credentials_file import Credential, CredentialsFile, Secret
from s3server.credentials_place import CredentialError
from s3server.filesystems import credentials_place

PROGRAM = "curvine-s3-gateway"
EXIT_FAILED, EXIT_USAGE = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a Latin-1 terminal has no check mark
    if words[:1] == ["service"]:  # the service script of an installed tree
        return service.main(words[1:])
    try:
        command, flags = find_command(words)
        parser = SettingsParser(f"{PROGRAM} {' '.join(command.words)}", command.describe(), command.usage)
        command.add_arguments(parser)
        settings, options = config.load(parser, flags, os.environ)
        return command.run(settings, options)
    except ConfigError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return EXIT_USAGE
    except CredentialError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `... credential list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED


# --------------------------------------------------------------------------------------------------------- serve


def _serve_arguments(parser: SettingsParser) -> None:
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.add_argument("--wait", action="store_true", help="keep trying when the Curvine cluster does not answer yet")
    ready = "gets HOST:PORT once connections are accepted; removed at the end"
    parser.add_argument("--ready-file", metavar="PATH", type=Path, help=ready)
    # The service script tells its own process from others by this word on the command line.
    parser.add_argument("--service", metavar="HOME", help=SUPPRESS)


def serve(settings: ServerConfig, options: Namespace) -> int:
    from s3server import filesystems, supervisor  # late: the other commands need neither sockets nor the core

    try:
        log.setup(os.environ, settings.log_file)
    except OSError as error:
        raise ConfigError(f"log_file: {settings.log_file}: {error.strerror}") from None
    try:
        filesystems.wait_until_ready(settings, patient=options.wait)
    except FsError as error:
        print(f"{PROGRAM}: {settings.store}: {error}", file=sys.stderr)
        return EXIT_FAILED
    keys = startup.prepare(settings, os.environ)
    for warning in (*settings.warnings, *keys.warnings):
        log.log.warning("%s", warning)
    if keys.first:
        url = startup.client_url(settings.listen, settings.tls_cert is not None)
        print(startup.first_key_notice(keys.first, settings.region, url), flush=True)
    return supervisor.run(settings, options.ready_file)


# ---------------------------------------------------------------------------------------------------- credential


def _label_arguments(parser: SettingsParser) -> None:
    parser.add_argument("--description", metavar="TEXT", help="what the key is for")
    parser.add_argument(
        "--user", metavar="NAME", help="whose key it is (default: the one owner, who may do everything)"
    )
    parser.add_argument(
        "--policy",
        metavar="POLICY",
        help="what the key may do of all that its user may: readonly, readwrite, writeonly, or a file with a policy "
        "document as AWS has them (Statement, Effect, Action, Resource, Condition); default: everything",
    )


def _add_arguments(parser: SettingsParser) -> None:
    parser.add_argument("--access-key", required=True, metavar="KEY", help=credentials_file.ACCESS_KEY_RULE)
    secret_help = f"{credentials_file.SECRET_RULE}; - reads it from standard input, so that no process list shows it"
    parser.add_argument("--secret-key", required=True, metavar="SECRET", help=secret_help)
    _label_arguments(parser)


def _key_argument(parser: SettingsParser) -> None:
    parser.add_argument("access_key", metavar="KEY", help="the access key")


def _list_arguments(parser: SettingsParser) -> None:
    parser.add_argument("--show-secrets", action="store_true", help="print the secret keys too")


def credential_add(settings: ServerConfig, options: Namespace) -> int:
    secret = _typed_secret() if options.secret_key == "-" else options.secret_key
    labels = _labels(options)
    try:
        credentials_file.check(options.access_key, secret)
    except CredentialError as error:
        raise ConfigError(str(error)) from None
    print("Adding credential ...")
    _file(settings).add(Credential(options.access_key, Secret(secret), int(time.time()), **labels))
    return _done(settings, f"Added {options.access_key}")


def _typed_secret() -> str:
    return getpass("Secret Key: ") if sys.stdin.isatty() else sys.stdin.readline(4096).rstrip("\r\n")


def credential_generate(settings: ServerConfig, options: Namespace) -> int:
    made = replace(credentials_file.generated(), **_labels(options))
    _file(settings).add(made)
    _done(settings, f"Generated {made.access_key}")
    _print_pair(made.access_key, made.secret)
    return 0


def credential_list(settings: ServerConfig, options: Namespace) -> int:
    contents = credentials_file.read(credentials_place(settings))
    _print_bad(settings, contents.bad)
    _print_elsewhere(settings)
    found = [c for c in contents.credentials.values() if not c.deleted]
    if not found:
        print(f"No credentials found in {credentials_place(settings).label}")
        return 0
    print(f"Found {len(found)} credential{'s' * (len(found) > 1)}:")
    print("-" * 80)
    for number, credential in enumerate(found, 1):
        shown = credential.secret.reveal() if options.show_secrets and credential.secret else "[hidden]"
        print(f"{number}. {credential.access_key}")
        rows = {
            "Access Key": credential.access_key,
            "Secret Key": shown,
            "Created At": _utc(credential.created_at),
            "Enabled": "Yes" if credential.enabled else "No",
            "Description": credential.description,
            "User": credential.user,
            "Policy": credential.policy if isinstance(credential.policy, str | None) else json.dumps(credential.policy),
        }
        for name, value in rows.items():
            if value is not None:
                print(f"   {name}: {value}")
    if not options.show_secrets:
        print("\nSecret keys are hidden; --show-secrets prints them.")
    return 0


def credential_stats(settings: ServerConfig, options: Namespace) -> int:
    from s3server import credentials  # late: needs the core

    place = credentials_place(settings)
    contents = credentials_file.read(place)
    _print_bad(settings, contents.bad)
    known = contents.credentials.values()
    now = time.time()
    enabled, deleted = sum(c.enabled for c in known), sum(c.deleted for c in known)
    print("Credential Statistics")
    print("-" * 40)
    print(f"Path: {place.label}")
    print(f"Mode: {'distributed (in the store)' if settings.enable_distributed_auth else 'local'}")
    kept = contents.kept
    print(f"File Size: {len(kept.data)} bytes" if kept else "File Size: no file yet")
    print(f"File Last Modified: {_age(now - kept.modified) if kept else 'unknown'}")
    print(f"Keys: {len(known) - deleted} ({enabled} enabled, {len(known) - deleted - enabled} disabled)")
    print(f"Bad Lines: {len(contents.bad)}")
    running = credentials.running_stats(settings.stats_file)
    if running is None or running.path != place.label:
        print("Gateway: none is running with this file")
        _print_elsewhere(settings)
        return 0
    up_to_date = kept is None or running.loaded_at >= kept.modified
    print(f"Gateway: running (PID {running.pid})")
    print(f"Cache Size: {running.keys}")
    print(f"Cache Age: {_age(now - running.loaded_at)} (looked at the file {_age(now - running.checked_at)})")
    print(f"Cache: {'up to date' if up_to_date else f'refreshed within {settings.cache_refresh_interval_secs} s'}")
    return 0


def credential_enable(settings: ServerConfig, options: Namespace) -> int:
    _file(settings).set_enabled(options.access_key, True)
    return _done(settings, f"Enabled {options.access_key}")


def credential_disable(settings: ServerConfig, options: Namespace) -> int:
    _file(settings).set_enabled(options.access_key, False)
    return _done(settings, f"Disabled {options.access_key}")


def credential_delete(settings: ServerConfig, options: Namespace) -> int:
    _file(settings).delete(options.access_key)
    return _done(settings, f"Deleted {options.access_key}")


def credential_rotate(settings: ServerConfig, options: Namespace) -> int:
    secret = _file(settings).rotate(options.access_key)
    _done(settings, f"Rotated {options.access_key}")
    _print_pair(options.access_key, secret)
    return 0


def _file(settings: ServerConfig) -> CredentialsFile:
    for warning in settings.warnings:
        print(f"{PROGRAM}: {warning}", file=sys.stderr)
    _print_elsewhere(settings)
    return CredentialsFile(credentials_place(settings))


def _done(settings: ServerConfig, what: str) -> int:
    print(f"✅ {what} (a running gateway notices within {settings.cache_refresh_interval_secs} s)")
    return 0


def _labels(options: Namespace) -> dict[str, Any]:
    """What a new key is given besides its secret.  Raises ConfigError."""
    try:
        credentials_file.check_labels(options.user, options.description)
    except CredentialError as error:
        raise ConfigError(str(error)) from None
    return {"description": options.description, "user": options.user, "policy": _policy(options.policy)}


def _policy(said: str | None) -> Any:
    """A name, or the document in a file of that name.  Raises ConfigError."""
    from s3proto import policy  # late: only who makes keys needs it

    if said is None or said in policy.CANNED:
        return said
    try:
        text = Path(said).read_bytes()
        policy.parse(text)
    except OSError as error:
        names = ", ".join(policy.CANNED)
        raise ConfigError(f"--policy: must be {names} or a file; {said}: {error.strerror}") from None
    except policy.PolicyError as error:
        raise ConfigError(f"--policy: {said}: {error}") from None
    return json.loads(text)


def _print_pair(access_key: str, secret: Secret | None) -> None:
    print(f"   Access Key: {access_key}")
    print(f"   Secret Key: {secret.reveal() if secret else ''}")
    print("⚠️  Save the secret now: `credential list` hides it.")


def _print_bad(settings: ServerConfig, bad: Sequence[str]) -> None:
    for line in bad:
        print(f"{PROGRAM}: {credentials_place(settings).label}: skipped {line}", file=sys.stderr)


def _print_elsewhere(settings: ServerConfig) -> None:
    """Warn of a gateway that runs in this home and would not notice a change of this file."""
    from s3server import credentials  # late: needs the core

    label, running = credentials_place(settings).label, credentials.running_stats(settings.stats_file)
    if running is not None and running.path != label:
        hint = "name the --conf and the settings that it was started with"
        print(
            f"{PROGRAM}: the gateway that runs (PID {running.pid}) reads {running.path}, not {label}: {hint}",
            file=sys.stderr,
        )


def _utc(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def _age(seconds: float) -> str:
    return f"{max(0, round(seconds))} seconds ago"


# --------------------------------------------------------------------------------------------------------- check


def _check_arguments(parser: SettingsParser) -> None:
    parser.add_argument("--repair", action="store_true", help="remove what is left over and may go")


def check(settings: ServerConfig, options: Namespace) -> int:
    from s3server import checkup  # late: opens the store

    return checkup.run(settings, options.repair, os.environ)


def _scrub_arguments(parser: SettingsParser) -> None:
    parser.add_argument("--bucket", metavar="BUCKET", help="only this bucket")
    parser.add_argument("--rate", metavar="MIB", type=_rate, help="read at most so many MiB a second")
    parser.add_argument("--restart", action="store_true", help="begin anew, where a stopped run would be gone on with")


def _rate(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 1 << 20:
        raise ArgumentTypeError(f"{text!r} must be an integer from 1 to {1 << 20} (MiB a second)")
    return int(text)


def scrub(settings: ServerConfig, options: Namespace) -> int:
    from s3server import scrub  # late: opens the store

    return scrub.run(settings, options.bucket, options.rate, options.restart)


# ----------------------------------------------------------------------------------------------------- the table


def _no_arguments(parser: SettingsParser) -> None:
    pass


class Command(NamedTuple):
    words: tuple[str, ...]
    arguments: str
    """As in the usage line."""
    help: str
    add_arguments: Callable[[SettingsParser], None]
    run: Callable[[ServerConfig, Namespace], int]
    more: str = ""
    """What else its --help tells."""

    @property
    def usage(self) -> str:
        return " ".join(filter(None, (PROGRAM, *self.words, self.arguments, "[--conf FILE] [--SETTING VALUE ...]")))

    def describe(self) -> str:
        more = overview() if self.words == ("serve",) else self.more
        return f"{self.help[0].upper()}{self.help[1:]}." + (f"\n\n{more}" if more else "")


SCRUB = """\
Every object is read again and compared with the strongest digest that is known:
BLAKE3 (of multipart objects: of each part), else the MD5 in its ETag, else a checksum that came with it.  Files that
other programs wrote have no digest: they are only read.  Nothing is changed, gateways may run, and what is written or
deleted meanwhile is no finding.

A finding is an object with other bytes than were written (rotted), one whose attribute or side file is damaged or
missing (record damaged), or one that cannot be read (unreadable).  Mending is a restore: put the object again.

Ctrl-C stops it; the same command goes on where it was.  Exit 0: nothing found; 1: something was, or it could not
be done; 2: a mistake in the command; 130: stopped.  Once a week, from cron:  curvine-s3-gateway scrub --rate 50"""
LABELS = "[--description TEXT] [--user NAME]"
# fmt: off
COMMANDS = (
    Command(("serve",), "", "run the gateway in the foreground", _serve_arguments, serve),
    Command(("credential", "add"), f"--access-key KEY --secret-key SECRET|- {LABELS}", "add an access key", _add_arguments, credential_add),
    Command(("credential", "generate"), LABELS, "make an access key; its secret is shown once", _label_arguments, credential_generate),
    Command(("credential", "list"), "[--show-secrets]", "list the access keys", _list_arguments, credential_list),
    Command(("credential", "stats"), "", "where the keys are, how many, and what a running gateway knows of them", _no_arguments, credential_stats),
    Command(("credential", "enable"), "KEY", "let a disabled key sign again", _key_argument, credential_enable),
    Command(("credential", "disable"), "KEY", "revoke a key until it is enabled", _key_argument, credential_disable),
    Command(("credential", "delete"), "KEY", "revoke a key for good and forget its secret", _key_argument, credential_delete),
    Command(("credential", "rotate"), "KEY", "give a key a new secret, shown once", _key_argument, credential_rotate),
    Command(("check",), "[--repair]", "say what is wrong with configuration, store, credentials, temporary files", _check_arguments, check),
    Command(("scrub",), "[--bucket BUCKET] [--rate MIB] [--restart]", "read objects again, compare them with their digests, report what rotted", _scrub_arguments, scrub, SCRUB),
)
# fmt: on


def overview() -> str:
    """Return the list of commands, for help and usage errors."""
    width = max(len(" ".join(c.words)) for c in COMMANDS)
    rows = "\n".join(f"  {' '.join(c.words):{width}}  {c.help}" for c in COMMANDS)
    return f"commands (each has --help):\n{rows}"


def find_command(words: Sequence[str]) -> tuple[Command, list[str]]:
    """Return the command that ``words`` name and its flags; flags of settings may stand before the name.

    Raises ConfigError where there is no such command.
    """
    first = 0
    while first < len(words) and words[first].startswith("-"):
        first += 1 if "=" in words[first] or not _takes_value(words[first]) else 2
    named, before = list(words[first:]), list(words[:first])
    if not named:
        return COMMANDS[0], before
    for command in COMMANDS:
        count = len(command.words)
        if tuple(named[:count]) == command.words:
            return command, before + named[count:]
    group = [" ".join(c.words[1:]) for c in COMMANDS if c.words[0] == named[0]]
    if group and (len(named) == 1 or named[1] in ("-h", "--help")):
        print(
            f"usage: {PROGRAM} {named[0]} {'|'.join(group)} ...\n\n{overview()}",
            file=sys.stderr if len(named) == 1 else sys.stdout,
        )
        raise SystemExit(EXIT_USAGE if len(named) == 1 else 0)
    what, known = (named[1], group) if group else (named[0], list(dict.fromkeys(c.words[0] for c in COMMANDS)))
    raise ConfigError(f"{what}: no such command; there is {', '.join(known)} (see --help)")


def _takes_value(flag: str) -> bool:
    """``--enable-distributed-auth`` may stand alone, so before a command it wants its value after ``=``."""
    made: Mapping[str, config.Setting] = config.SETTINGS
    known = made.get(flag.removeprefix("--").replace("-", "_"))
    return flag in ("-c", "--conf", "--service", "--ready-file") or (
        known is not None and known.kind is not config.BOOL
    )
