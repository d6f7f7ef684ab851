"""A real gateway in processes of its own: what tests drive with real clients, kill and start again.

    with running_gateway(tmp_path) as gateway:
        client("s3", endpoint_url=gateway.endpoint, aws_access_key_id=gateway.owner.access_key, ...)
        gateway.kill(); gateway.restart()

Rules: everything it needs lies below the directory it is given; 127.0.0.1, port 0, and a new port after each restart
(but see ``keep_port``).
Only processes that it started are ever signalled, by descriptors (pidfd) that cannot come to mean another process.
Whatever happens in the block, all of them have ended when it is left.
"""

from __future__ import annotations

import http.client
import json
import os
import select
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from s3server import process

CHECKOUT = Path(__file__).resolve().parent.parent
START_SECONDS = 30.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.02
TEMPORARY = ".s3~tmp."


class User(NamedTuple):
    """An access key of the credentials file; ``name`` None: the one owner, who may do everything."""

    name: str | None
    access_key: str
    secret_key: str


OWNER = User(None, "AKIAOWNER00000000001", "owner/secret+of+forty+characters0000001")


def unfinished(data: Path) -> list[Path]:
    """Temporary files and directories anywhere in a store that may be changing meanwhile (``rglob`` raises then)."""
    return sorted(
        Path(top) / name
        for top, directories, files in os.walk(data)
        for name in (*directories, *files)
        if name.startswith(TEMPORARY)
    )


def user(name: str) -> User:
    """The user of a name, with a key that is always the same."""
    return User(name, f"AKIA{name.upper():0<16.16}", f"{name}/secret+".ljust(40, "0"))


class Gateway:
    """One store, and the gateway that serves it while it runs.  Not for several threads, but for reading attributes."""

    region = "us-east-1"

    def __init__(
        self,
        directory: Path,
        *,
        workers: int = 2,
        durability: Literal["full", "none"] = "full",
        tls: bool = False,
        users: Sequence[str] = ("alice", "bob"),
        data: Path | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """``data``: where the store lies, by default below ``directory``; ``settings``: more of them, by name."""
        self.home = directory / "home"
        self.data = data or directory / "data"
        self.log_file = directory / "gateway.log"
        self.credentials_file = directory / "credentials.jsonl"
        self.owner = OWNER
        self.users = {name: user(name) for name in users}
        self.workers = workers
        self.certificate = directory / "tls.pem" if tls else None
        """What clients must trust, PEM; None without TLS."""
        self.endpoint = ""
        """URL without a path; another one after each start."""
        self._listen = "127.0.0.1:0"
        self._flags = {
            "store": self.data.as_uri(),
            "durability": durability,
            "workers": workers,
            "credentials_path": self.credentials_file,
            "put_temp_dir": directory / "spool",
            "shutdown_timeout_secs": 10,
            **(settings or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.home.mkdir(parents=True)
        self._write_credentials()
        if self.certificate is not None:
            key = directory / "tls.key"
            _make_certificate(self.certificate, key)
            self._flags |= {"tls_cert": self.certificate, "tls_key": key}

    def _write_credentials(self) -> None:
        rows = [
            {"access_key": u.access_key, "secret_key": u.secret_key, "created_at": 1, "enabled": True}
            | ({"user": u.name} if u.name else {})
            for u in (self.owner, *self.users.values())
        ]
        self.credentials_file.touch(0o600)
        self.credentials_file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")

    # ------------------------------------------------------------------------------------------- what it is

    @property
    def port(self) -> int:
        return int(self.endpoint.rpartition(":")[2])

    @property
    def log(self) -> str:
        """All that it has logged, over all starts."""
        return self.log_file.read_text("utf-8", "replace")

    @property
    def pid(self) -> int:
        """The supervisor's."""
        assert self._process is not None
        return self._process.pid

    @property
    def worker_pids(self) -> list[int]:
        return _children(self.pid)

    # ----------------------------------------------------------------------------------------- what it does

    def start(self) -> None:
        """Start and wait until it answers with all its workers.  AssertionError with the log when it does not."""
        assert self._process is None, "it runs already"
        with open(self.log_file, "ab") as log:
            self._process = subprocess.Popen(
                self._command("serve", "--listen", self._listen),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(),
                cwd=self.home,
            )
        until = time.monotonic() + START_SECONDS
        while not self._is_ready():
            problem = "it ended" if self._process.poll() is not None else "it is not ready"
            assert problem == "it is not ready" and time.monotonic() < until, f"{problem}:\n{self.log[-4000:]}"
            time.sleep(POLL_SECONDS)

    def _is_ready(self) -> bool:
        if len(self.worker_pids) < self.workers or not (ports := process.listening_ports(self.pid)):
            return False
        self.endpoint = f"{'https' if self.certificate else 'http'}://127.0.0.1:{ports[0]}"
        with closing(self.connect(timeout=2.0)) as connection:
            try:
                connection.request("GET", "/healthz")
                return connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                return False

    def connect(self, timeout: float = 30.0) -> http.client.HTTPConnection:
        """A new connection, not yet opened, that trusts our certificate."""
        if self.certificate is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        context = ssl.create_default_context(cafile=str(self.certificate))
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=context)

    def keep_port(self) -> None:
        """Let all starts to come use the port that it has now: a load balancer has been told of it."""
        self._listen = f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        """SIGTERM, and wait: requests in flight finish.  AssertionError when it does not end, or not well."""
        gateway, self._process = self._process, None
        assert gateway is not None
        with ExitStack() as opened:
            workers = _handles(opened, _children(gateway.pid))
            gateway.terminate()
            try:
                code = gateway.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                _kill_all(gateway, workers)
                raise AssertionError(f"it does not stop:\n{self.log[-4000:]}") from None
        assert code == 0, f"exit code {code}:\n{self.log[-4000:]}"

    def kill(self) -> None:
        """SIGKILL of the supervisor and all its workers; returns when they are gone."""
        gateway, self._process = self._process, None
        assert gateway is not None
        if gateway.poll() is not None:
            return
        gateway.send_signal(signal.SIGSTOP)  # it shall not replace a worker while we count them
        with ExitStack() as opened:
            _kill_all(gateway, _handles(opened, _children(gateway.pid)))

    def kill_worker(self, index: int) -> None:
        """SIGKILL of one worker: the supervisor starts another one.  Returns when it is gone."""
        with ExitStack() as opened:
            _kill_workers(_handles(opened, self.worker_pids[index : index + 1]))

    def restart(self) -> None:
        """Start again on the same store, after ``kill`` or ``stop``, or as it runs (then it is stopped first)."""
        if self._process is not None:
            self.stop()
        self.start()

    def check(self, repair: bool = False) -> subprocess.CompletedProcess[str]:
        """Run ``check`` with the gateway's settings."""
        return self._run("check", *["--repair"] * repair)

    def scrub(self, *flags: str) -> subprocess.CompletedProcess[str]:
        """Run ``scrub`` with the gateway's settings."""
        return self._run("scrub", *flags)

    def begin_scrub(self, *flags: str) -> subprocess.Popen[str]:
        """Start ``scrub``; the caller ends it."""
        return subprocess.Popen(
            self._command("scrub", *flags),
            env=self._environment(),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(*words), env=self._environment(), cwd=self.home, capture_output=True, text=True, timeout=60
        )

    def close(self) -> None:
        """End whatever still runs."""
        if self._process is not None:
            self.kill()

    def _command(self, *words: str) -> list[str]:
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in self._flags.items()]
        # -P: what lies in the working directory must not take the place of one of our modules.
        return [sys.executable, "-P", "-m", "s3server", *words, *flags]

    def _environment(self) -> dict[str, str]:
        foreign = ("AWS_", "S3_", "CURVINE_", "RUST_LOG")
        ours = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return ours | {"CURVINE_HOME": str(self.home), "PYTHONPATH": str(CHECKOUT)}


@contextmanager
def running_gateway(
    directory: Path,
    *,
    workers: int = 2,
    durability: Literal["full", "none"] = "full",
    tls: bool = False,
    users: Sequence[str] = ("alice", "bob"),
    data: Path | None = None,
    settings: Mapping[str, object] | None = None,
) -> Iterator[Gateway]:
    """A gateway that answers; see Gateway for the arguments.  Ended, however the block ends."""
    made = Gateway(
        directory, workers=workers, durability=durability, tls=tls, users=users, data=data, settings=settings
    )
    with closing(made):
        made.start()
        yield made


# --------------------------------------------------------------------------------------------------- processes


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    except OSError:
        return []


def _handles(opened: ExitStack, pids: Sequence[int]) -> list[int]:
    """Pidfds of those that still live, closed with ``opened``."""
    handles = []
    for pid in pids:
        try:
            handles.append(os.pidfd_open(pid))
        except ProcessLookupError:
            continue
        opened.callback(os.close, handles[-1])
    return handles


def _kill_all(gateway: subprocess.Popen[bytes], workers: Sequence[int]) -> None:
    gateway.kill()
    _kill_workers(workers)
    gateway.wait(STOP_SECONDS)


def _kill_workers(handles: Sequence[int]) -> None:
    """Returns when all have gone, so that no descriptor or lock of theirs is left."""
    for handle in handles:
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        except ProcessLookupError:
            continue
    for handle in handles:
        ended, _, _ = select.select([handle], [], [], STOP_SECONDS)
        assert ended, "a worker outlived SIGKILL"


def _make_certificate(certificate: Path, key: Path) -> None:
    """A self-signed certificate for 127.0.0.1, with the openssl program; RuntimeError where there is none."""
    openssl = shutil.which("openssl")
    if openssl is None:
        raise RuntimeError("TLS tests need the openssl program")
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
