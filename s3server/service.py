"""The service commands behind ``curvine-s3-gateway.sh``: start, stop, restart, status.

Rules
- A process is ours when the PID file names it *and* its command line is that of a gateway of this CURVINE_HOME.  A PID
  that was given to somebody else reads as STOPPED, and nothing else is ever signalled.  Who uses our port is named,
  never killed.
- ``started`` means that ``/healthz`` answered 200.  A start that fails leaves no process behind.
- What ``stop`` and ``status`` need comes from the running process's own command line, so they work whatever happened to
  the configuration, or to the environment in ``build/``: this module imports only the standard library until ``start``.
- Exit codes: 0 done (``stop`` also when nothing runs), 1 failed, 2 usage or configuration.
"""

from __future__ import annotations

import errno
import fcntl
import http.client
import json
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from s3server import process

if TYPE_CHECKING:
    from s3server.config import Address, ServerConfig

SCRIPT = "curvine-s3-gateway.sh"
START_SECONDS = 60.0
STOP_MARGIN = 10.0
"""Seconds that a gateway gets to exit beyond its own ``drain_delay_secs`` and ``shutdown_timeout_secs``."""
PROGRESS_SECONDS = 2.0
ORPHAN_SECONDS = 10.0
"""Seconds that workers get to notice that somebody killed their supervisor."""
LOG_LINES = 20

USAGE = f"""\
usage: {SCRIPT} COMMAND ...

  start [--conf FILE] [--listen HOST:PORT] [--region REGION] [--SETTING VALUE ...]
                    start in the background and wait until it answers (also without COMMAND)
  stop              finish the requests in flight, then stop
  restart [...]     stop and start; without flags with those of the last start
  status            RUNNING (PID) or STOPPED; exit 0 or 1
  credential add --access-key KEY --secret-key SECRET|- [--description TEXT] [--user NAME]
  credential generate [--description TEXT] [--user NAME]
  credential list [--show-secrets]
  credential stats
  credential enable|disable|delete|rotate KEY
  check [--repair]  say what is wrong with configuration, store, credentials, temporary files
  scrub [--bucket BUCKET] [--rate MIB] [--restart]
                    read objects again, compare them with their digests, report what rotted
  help              this text; `start --help` lists the settings
"""


class Running(NamedTuple):
    """A gateway in the background, as its command line tells."""

    pid: int
    stop_seconds: float
    log: Path
    flags: list[str]
    """What ``start`` was given."""


class Home:
    """The files of the service in one CURVINE_HOME."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pid_file = path / "curvine-s3-gateway.pid"
        self.flags_file = path / "curvine-s3-gateway.flags"
        """A gateway that was killed leaves no command line, and must not come back on other addresses and data."""
        self.log = path / "logs" / "curvine-s3-gateway.out"

    def command(self, settings: ServerConfig, flags: Sequence[str]) -> list[str]:
        """Return the gateway's command line; ``running`` reads it back."""
        delay, timeout = str(settings.drain_delay_secs), str(settings.shutdown_timeout_secs)
        fixed = ["serve", "--service", str(self.path), "--log-file", str(settings.log_file or self.log)]
        fixed += ["--drain-delay-secs", delay, "--shutdown-timeout-secs", timeout]
        # -P: a module in the working directory must not take the place of one of ours.
        return [sys.executable, "-P", "-m", "s3server", *fixed, *flags]

    def running(self) -> Running | None:
        """Return our gateway when it runs."""
        try:
            pid = int(self.pid_file.read_text("ascii"))
        except (OSError, ValueError):
            return None
        match process.arguments(pid)[7:]:
            case [_, log, _, delay, _, timeout, *flags] if self.owns(pid):
                return Running(pid, float(delay) + float(timeout) + STOP_MARGIN, Path(log), flags)
        return None

    def last_flags(self) -> list[str]:
        """Return what the gateway that runs, or that ran last, was started with."""
        if running := self.running():
            return running.flags
        try:
            return [str(flag) for flag in json.loads(self.flags_file.read_text("utf-8"))]
        except (OSError, ValueError, TypeError):
            return []

    def owns(self, pid: int | None) -> bool:
        """Whether a process is a gateway of this home, or a worker of one."""
        words = ["-P", "-m", "s3server", "serve", "--service", str(self.path)]
        return pid is not None and process.arguments(pid)[1:7] == words

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other ``start`` and ``stop`` of the same home out."""
        self.path.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command of the service script; return the exit code."""
    command, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["start"]
    try:
        match command:
            case "start":
                return start(rest)
            case "restart":
                return restart(rest)
            case "stop" | "status" if not rest:
                return stop() if command == "stop" else status()
            case "help" | "--help" | "-h":
                return _help()
            case "stop" | "status" if rest[0] in ("--help", "-h"):
                return _help()
            case "credential" | "check" | "scrub" | "--version":
                from s3server import cli

                return cli.main([command, *rest])
            case _ if command.startswith("-"):
                return start([command, *rest])
    except OSError as error:
        return _fail(f"{error.filename or ''}: {error.strerror or error}".removeprefix(": "))
    except KeyboardInterrupt:
        return 130
    problem = f"{command} takes no arguments" if command in ("stop", "status") else f"{command}: no such command"
    print(f"{SCRIPT}: {problem}\n\n{USAGE}", end="", file=sys.stderr)
    return 2


# --------------------------------------------------------------------------------------------------------- start


def start(flags: Sequence[str]) -> int:
    settings = _settings(flags)
    home = Home(settings.home)
    with home.alone():
        if running := home.running():
            return _fail(f"already running (PID: {running.pid}); use `{SCRIPT} restart`")
        with _prepared(home, settings):
            return _start(home, settings, _portable(flags))


def restart(flags: Sequence[str]) -> int:
    home = Home(_home())
    if not flags and (flags := home.last_flags()):
        print(f"Restarting with the flags of the last start: {' '.join(flags)}")
    settings = _settings(flags)
    with home.alone(), _prepared(home, settings):  # a mistake is told before anything is stopped
        return _stop(home) or _start(home, settings, _portable(flags))


def _portable(flags: Sequence[str]) -> list[str]:
    """Return flags that mean the same in another working directory: the gateway does not stay in the caller's."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-c", "--conf")
    known, rest = parser.parse_known_args(flags)
    return [*rest, "--conf", os.path.abspath(known.conf)] if known.conf else rest


def _settings(flags: Sequence[str]) -> ServerConfig:
    """Exits with 2 on a mistake, saying it in one line."""
    from s3server import config

    usage = f"{SCRIPT} start [--conf FILE] [--SETTING VALUE ...]"
    parser = config.SettingsParser(f"{SCRIPT} start", "Start the gateway in the background.", usage)
    try:
        return config.load(parser, flags, os.environ)[0]
    except config.ConfigError as error:
        print(f"{SCRIPT}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


@contextmanager
def _prepared(home: Home, settings: ServerConfig) -> Iterator[None]:
    """Do what must be done before a start; exits with 1 or 2 where that fails.

    The first key's secret is shown afterwards, and whatever came of the start: there is no other time for it.
    """
    from s3server import startup
    from s3server.credentials_place import CredentialError
    from s3server.settings_file import ConfigError

    if (taken := _taken(settings.listen)) and not home.owns(taken.by):
        raise SystemExit(_fail(taken.problem))
    try:
        keys = startup.prepare(settings, os.environ)
    except (ConfigError, CredentialError) as error:
        _fail(str(error))
        raise SystemExit(2 if isinstance(error, ConfigError) else 1) from None
    for warning in (*settings.warnings, *keys.warnings):
        print(f"{SCRIPT}: {warning}", file=sys.stderr)
    try:
        yield
    finally:
        if keys.first:
            url = (running := home.running()) and _url(running.pid, settings)
            url = url or startup.client_url(settings.listen, settings.tls_cert is not None)
            print(f"\n{startup.first_key_notice(keys.first, settings.region, url)}", end="")


def _start(home: Home, settings: ServerConfig, flags: Sequence[str]) -> int:
    until, ours = time.monotonic() + ORPHAN_SECONDS, False
    while taken := _taken(settings.listen):
        ours = home.owns(taken.by) or (ours and taken.by is None)  # None: it let go just now
        if not ours or time.monotonic() > until:
            return _fail(taken.problem)
        time.sleep(0.05)
    log = settings.log_file or home.log
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab", opener=lambda name, mode: os.open(name, mode, 0o640)) as output:
        before = output.tell()
        print(f"Starting {settings.store} on {settings.listen} ...", flush=True)
        gateway = subprocess.Popen(
            home.command(settings, flags),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | {"CURVINE_HOME": str(home.path)},
            cwd=home.path,
            start_new_session=True,
        )
    try:
        _write(home.pid_file, f"{gateway.pid}\n")
        problem = _wait(gateway, settings, lambda: _last_lines(log, before, 1))
        if not problem:
            _write(home.flags_file, json.dumps(list(flags)))
    except BaseException:
        _end(home, gateway)
        raise
    if problem:
        died = gateway.poll() is not None
        _end(home, gateway)
        print(_last_lines(log, before), file=sys.stderr)
        return _fail(f"{problem}{'' if died else '; it was stopped'}. The lines above are the last of {log}")
    url = _url(gateway.pid, settings) or ""
    print(f"Started (PID: {gateway.pid})")
    print(f"  address: {url} (listens on {settings.listen})")
    if settings.web_listen:
        from s3server.startup import client_url

        ports = process.listening_ports(gateway.pid)
        where = settings.web_listen._replace(port=settings.web_listen.port or ports[-1])
        print(f"  admin:   {client_url(where, settings.tls_cert is not None)} (no login: keep it to yourself)")
    print(f"  store:   {settings.store}")
    print(f"  log:     {log}")
    print(f"  PID:     {gateway.pid} in {home.pid_file}")
    return 0


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        error.filename = str(path)  # a disk that is full has no name of its own
        raise


class _Taken(NamedTuple):
    problem: str
    by: int | None = None
    """Who uses the port, where we may know it."""


def _taken(listen: Address) -> _Taken | None:
    """Say why nothing can be bound to the address now; None when it is free."""
    try:
        found = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        return _Taken(f"cannot listen on {listen}: {error.strerror}")
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")  # as the listener
            try:
                probe.bind(address)
                probe.listen(1)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    return _Taken(f"cannot listen on {listen}: {error.strerror}")
                pid = process.listener_of(listen.port)
                who = process.describe(pid) if pid else "a process of another user"
                other = f"{str(listen).rpartition(':')[0]}:PORT"
                return _Taken(f"port {listen.port} is in use by {who}; choose another one with --listen {other}", pid)
    return None


def _wait(gateway: subprocess.Popen[bytes], settings: ServerConfig, said: Callable[[], str]) -> str | None:
    """Wait until ``/healthz`` answers 200; say what went wrong, or None.  ``said``: the last line of the log."""
    began = time.monotonic()
    told = began
    answer, shown = "no answer", ""
    while (now := time.monotonic()) - began < START_SECONDS:
        if gateway.poll() is not None:
            return f"the gateway ended with exit code {gateway.returncode}"
        if url := _url(gateway.pid, settings):
            answer = _health(url)
            if answer == "200 ok":
                return None
        if now - told >= PROGRESS_SECONDS:
            told = now
            line = said()
            if line != shown:
                shown = line
                print(f"  {line}", flush=True)
            print(f"  waiting for {url or settings.listen}/healthz: {answer} ({now - began:.0f} s)", flush=True)
        time.sleep(0.05)
    return f"the gateway did not get ready in {START_SECONDS:.0f} s ({answer})"


def _url(pid: int, settings: ServerConfig) -> str | None:
    """Return the URL to reach the gateway; with port 0 it is known once the process listens."""
    from s3server.startup import client_url

    listen = settings.listen
    if listen.port == 0:
        if not (ports := process.listening_ports(pid)):
            return None
        listen = listen._replace(port=ports[0])  # the admin listener is opened after it
    return client_url(listen, settings.tls_cert is not None)


def _health(url: str) -> str:
    """Return status and text of ``/healthz``, or why there is none."""
    scheme, _, authority = url.partition("://")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # this is ourselves, by whatever name
    connection = (
        http.client.HTTPSConnection(authority, timeout=2, context=context)
        if scheme == "https"
        else http.client.HTTPConnection(authority, timeout=2)
    )
    with closing(connection):
        try:
            connection.request("GET", "/healthz", headers={"Host": "127.0.0.1"})  # never a bucket's, as a name may be
            response = connection.getresponse()
            return f"{response.status} {response.read(200).decode('utf-8', 'replace').strip()}"
        except (OSError, http.client.HTTPException) as error:
            return getattr(error, "strerror", None) or type(error).__name__


def _end(home: Home, gateway: subprocess.Popen[bytes]) -> None:
    """End a gateway that did not get ready, with all of its session: the child of this process, so surely ours."""
    if gateway.poll() is None:
        os.killpg(gateway.pid, signal.SIGTERM)
        try:
            gateway.wait(STOP_MARGIN)
        except subprocess.TimeoutExpired:
            os.killpg(gateway.pid, signal.SIGKILL)
            gateway.wait()
    home.pid_file.unlink(missing_ok=True)


def _last_lines(log: Path, begin: int, count: int = LOG_LINES) -> str:
    """Return the last lines that were written to the log after offset ``begin``."""
    with open(log, "rb") as file:
        file.seek(max(begin, file.seek(0, os.SEEK_END) - 16384))
        return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-count:])


# ---------------------------------------------------------------------------------------------- stop and status


def stop() -> int:
    home = Home(_home())
    with home.alone():
        return _stop(home)


def _stop(home: Home) -> int:
    if (running := home.running()) is None:
        home.pid_file.unlink(missing_ok=True)
        print("Not running")
        return 0
    handle = os.pidfd_open(running.pid)  # from here on the number cannot be given to another process unnoticed
    try:
        if home.running() != running:
            return _fail(f"PID {running.pid} changed hands: try again")
        print(f"Stopping (PID: {running.pid}) ...", flush=True)
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        if not _ended(handle, running.stop_seconds):
            print(f"  still there after {running.stop_seconds:.0f} s: SIGKILL", flush=True)
            if os.getsid(running.pid) == running.pid:  # ours made a session of its own; its workers are in it
                os.killpg(running.pid, signal.SIGKILL)
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            _ended(handle, STOP_MARGIN)
    except ProcessLookupError:
        pass  # it ended by itself just now
    finally:
        os.close(handle)
    home.pid_file.unlink(missing_ok=True)
    print("Stopped")
    return 0


def _ended(handle: int, seconds: float) -> bool:
    """Wait for the process behind a pidfd to end; say how long it takes."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    began = time.monotonic()
    while (waited := time.monotonic() - began) < seconds:
        if poll.poll(1000 * min(PROGRESS_SECONDS, seconds - waited)):
            return True
        print(f"  requests in flight are finishing ({time.monotonic() - began:.0f} s)", flush=True)
    return False


def status() -> int:
    if running := Home(_home()).running():
        print(f"Status: RUNNING (PID: {running.pid})")
        print(f"Log: {running.log}")
        return 0
    print("Status: STOPPED")
    return 1


def _home() -> Path:
    """CURVINE_HOME, which the script always sets."""
    return Path(os.environ.get("CURVINE_HOME") or os.getcwd()).absolute()


def _help() -> int:
    print(USAGE, end="")
    return 0


def _fail(problem: str) -> int:
    print(f"{SCRIPT}: {problem}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
