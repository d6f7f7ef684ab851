"""The service script as its users hold it: product.md 1 and 2, and the commands of the user guide.

Most tests run it in an installed tree (``bin/`` with the script beside the command), which needs no installation here;
the last one makes a real checkout with its own environment, and is skipped where pip cannot fetch anything.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import boto3
import pytest

from s3server import process, service

pytestmark = pytest.mark.compat

CHECKOUT = Path(__file__).resolve().parents[2]
NAME = "curvine-s3-gateway.sh"
KEY, SECRET = "AKIAEXAMPLEKEY123", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


class Script:
    """The script in a tree of its own; every gateway that it started has ended after ``close``."""

    def __init__(self, path: Path, home: Path, tmp_path: Path) -> None:
        self.path, self.home = path, home
        self.spool = tmp_path / "spool"
        self.user_home = tmp_path / "user"
        self.user_home.mkdir()
        self.working_directory = tmp_path / "elsewhere"
        self.working_directory.mkdir()
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.user_home),
            "CURVINE_S3_PUT_TEMP_DIR": str(self.spool),
            "CURVINE_S3_WORKERS": "1",
        }
        for name in ("PIP_FIND_LINKS", "PIP_CERT", "PIP_INDEX_URL", "PIP_CONFIG_FILE"):
            if name in os.environ:
                self.environ[name] = os.environ[name]

    def __call__(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.path), *words],
            env=self.environ | environ,
            cwd=self.working_directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def start(self, *flags: str, **environ: str) -> str:
        """Start on a free port; return the URL that the script prints."""
        done = self("start", "--listen", "127.0.0.1:0", *flags, **environ)
        assert done.returncode == 0, done.stdout + done.stderr
        return address(done.stdout)

    @property
    def pid(self) -> int:
        return int((self.home / "curvine-s3-gateway.pid").read_text())

    @property
    def log(self) -> Path:
        return self.home / "logs" / "curvine-s3-gateway.out"

    def processes(self) -> list[int]:
        """All processes of gateways in this home, whatever became of the PID file."""
        home = service.Home(self.home)
        return [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if home.owns(pid)]

    def close(self) -> None:
        while pids := self.processes():
            for pid in pids:
                with suppress(ProcessLookupError):
                    handle = os.pidfd_open(pid)
                    try:
                        if pid in self.processes():
                            signal.pidfd_send_signal(handle, signal.SIGKILL)
                    finally:
                        os.close(handle)


def address(output: str) -> str:
    match = re.search(r"^  address: (\S+)", output, re.MULTILINE)
    assert match, output
    return match[1]


def health(url: str) -> str:
    with urllib.request.urlopen(f"{url}/healthz", timeout=10) as response:
        return str(response.read().decode()).strip()


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    """The script in ``bin/`` of an installed tree, where CURVINE_HOME is not set."""
    tree = tmp_path / "curvine"
    (tree / "bin").mkdir(parents=True)
    shutil.copy(CHECKOUT / "tools" / NAME, tree / "bin" / NAME)
    command = tree / "bin" / "curvine-s3-gateway"
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{CHECKOUT}" exec "{sys.executable}" -P -m s3server "$@"\n')
    command.chmod(0o755)
    # The gateway itself is started by the interpreter that runs the command, with its environment.
    made = Script(tree / "bin" / NAME, tree, tmp_path)
    yield made
    made.close()


def test_the_first_start_does_everything_and_says_so(script: Script) -> None:
    done = script("start", "--listen", "127.0.0.1:0")
    assert done.returncode == 0, done.stderr
    url = address(done.stdout)
    assert health(url) == "ok"
    for line in (
        f"Started (PID: {script.pid})",
        f"  store:   file://{script.home}/data",
        f"  log:     {script.log}",
    ):
        assert line in done.stdout.splitlines()
    exported = dict(re.findall(r"export (\w+)=(\S+)", done.stdout))
    assert f"aws s3 mb s3://my-bucket --endpoint-url {url}" in done.stdout
    client = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=exported["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=exported["AWS_SECRET_ACCESS_KEY"],
        region_name=exported["AWS_DEFAULT_REGION"],
    )
    client.create_bucket(Bucket="my-bucket")
    client.put_object(Bucket="my-bucket", Key="a/b", Body=b"hello")
    client.close()
    assert (script.home / "data/my-bucket/a/b").read_bytes() == b"hello"
    assert exported["AWS_SECRET_ACCESS_KEY"] not in script.log.read_text()

    status = script("status")
    assert (status.returncode, status.stdout.splitlines()[0]) == (0, f"Status: RUNNING (PID: {script.pid})")
    again = script("start", "--listen", "127.0.0.1:0")
    assert again.returncode == 1 and f"already running (PID: {script.pid})" in again.stderr
    stats = script("credential", "stats").stdout
    assert "Cache Size: 1" in stats and str(script.user_home / ".curvine/credentials.jsonl") in stats

    pid = script.pid
    assert script("stop").returncode == 0
    assert process.arguments(pid) == [] and not (script.home / "curvine-s3-gateway.pid").exists()
    stopped = script("stop")
    assert (stopped.returncode, stopped.stdout) == (0, "Not running\n")
    status = script("status")
    assert (status.returncode, status.stdout) == (1, "Status: STOPPED\n")

    assert "Secret Key" not in script("start", "--listen", "127.0.0.1:0").stdout
    assert script.log.read_text().count(" ready: ") == 2, "the log is appended to"


def test_no_command_is_start(script: Script) -> None:
    done = script(CURVINE_S3_LISTEN="127.0.0.1:0")
    assert done.returncode == 0 and health(address(done.stdout)) == "ok"


def test_curvine_home_decides_where_everything_lies(script: Script, tmp_path: Path) -> None:
    script.home = script.home.parent / "other home"
    script.environ["CURVINE_HOME"] = str(script.home)
    script.start()
    assert {"data", "logs", "curvine-s3-gateway.pid"} <= set(os.listdir(script.home))
    assert set(os.listdir(tmp_path / "curvine")) == {"bin"} and os.listdir(script.working_directory) == []
    assert os.readlink(f"/proc/{script.pid}/cwd") == str(script.home)


def test_the_configuration_file_is_read_and_named_relative_to_the_caller(script: Script) -> None:
    (script.home / "conf").mkdir()
    (script.home / "conf/curvine-cluster.toml").write_text('[s3_gateway]\nlisten = "127.0.0.1:0"\nregion = "eu-one"\n')
    assert health(address(script("start").stdout)) == "ok"
    (script.working_directory / "my.toml").write_text('[s3_gateway]\nlisten = "127.0.0.1:0"\nworkers = 1\n')
    assert "--conf" in script("restart", "--conf", "my.toml").args
    again = script("restart")  # keeps the file, from any directory
    assert f"--conf {script.working_directory}/my.toml" in again.stdout and again.returncode == 0, again.stderr


def test_restart_keeps_the_flags_and_survives_a_mistake(script: Script) -> None:
    script.start("--region", "eu-two")
    before = script.pid
    wrong = script("restart", "--region", "eu three")
    assert wrong.returncode == 2 and script.pid == before and process.arguments(before)
    done = script("restart")
    assert done.returncode == 0 and script.pid != before
    assert process.arguments(script.pid)[-2:] == ["--region", "eu-two"]
    assert script("restart", "--listen", "127.0.0.1:0").returncode == 0
    assert "eu-two" not in process.arguments(script.pid)


def test_restart_keeps_the_flags_of_a_gateway_that_was_killed(script: Script) -> None:
    script.start("--region", "eu-two")
    handle = os.pidfd_open(before := script.pid)
    signal.pidfd_send_signal(handle, signal.SIGKILL)
    select.select([handle], [], [])
    os.close(handle)
    assert script("start", "--listen", "192.0.2.1:9900").returncode == 1  # one that fails is not the last
    done = script("restart")
    assert done.returncode == 0 and script.pid != before, done.stderr
    assert process.arguments(script.pid)[-2:] == ["--region", "eu-two"]


def test_restart_tells_what_only_a_start_would_find_before_it_stops_anything(script: Script, tmp_path: Path) -> None:
    script.start()
    before = script.pid
    for words, environ, code in (
        ([], {"AWS_ACCESS_KEY_ID": KEY}, 2),
        (["--tls-cert", f"{tmp_path}/no.pem", "--tls-key", f"{tmp_path}/no.pem"], {}, 2),
        (["--credentials-path", str(tmp_path)], {}, 1),
        (["--listen", "192.0.2.1:9900"], {}, 1),
    ):
        done = script("restart", *words, **environ)
        assert (done.returncode, "Stopping" in done.stdout) == (code, False), done.stdout
        assert script.pid == before and process.arguments(before)


START = """
import os, signal, sys, time
from s3server import service

def let_go(seconds):
    os.kill(int(sys.argv[1]), signal.SIGCONT)
    time.sleep = sleep
    print("waited")

sleep, time.sleep = time.sleep, let_go
sys.exit(service.main(sys.argv[2:]))
"""
"""``start``, which lets a stopped process go on when it waits for the first time."""


def test_workers_of_a_killed_gateway_are_waited_for(script: Script) -> None:
    url = script.start()
    pid = script.pid
    worker = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
    os.kill(int(worker), signal.SIGSTOP)  # it holds the port, and notices nothing until it is let go on
    handle = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    select.select([handle], [], [])
    os.close(handle)
    done = subprocess.run(
        [sys.executable, "-P", "-c", START, worker, "start", "--listen", url.removeprefix("http://")],
        env=script.environ | {"CURVINE_HOME": str(script.home), "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0 and done.stdout.startswith("waited\nStarting "), done.stdout + done.stderr
    assert health(url) == "ok"


def test_a_port_in_use_is_named_and_nobody_is_killed(script: Script) -> None:
    listener = (
        "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", listener], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        port = int(other.stdout.readline())
        done = script("start", "--listen", f"127.0.0.1:{port}")
        assert done.returncode == 1 and f"port {port} is in use by PID {other.pid} (" in done.stderr
        assert other.poll() is None and not (script.home / "curvine-s3-gateway.pid").exists()
        other.communicate(b"\n")


def test_a_recycled_pid_is_not_ours(script: Script) -> None:
    words = [sys.executable, "-c", "input()", "-m", "s3server", "serve"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as stranger:
        (script.home / "curvine-s3-gateway.pid").write_text(f"{stranger.pid}\n")
        assert script("status").stdout == "Status: STOPPED\n"
        assert script("stop").stdout == "Not running\n" and stranger.poll() is None
        stranger.communicate(b"\n")


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "99999999999999999999"])
def test_a_broken_pid_file_reads_as_stopped(script: Script, text: str) -> None:
    (script.home / "curvine-s3-gateway.pid").write_text(text)
    assert script("status").stdout == "Status: STOPPED\n" and script("stop").returncode == 0


def test_a_gateway_that_dies_shows_why_and_leaves_nothing(script: Script) -> None:
    (script.home / "data").write_text("a file where the store should be")
    done = script("start", "--listen", "127.0.0.1:0")
    assert done.returncode == 1 and "the gateway ended with exit code" in done.stderr and str(script.log) in done.stderr
    assert re.search(
        r"^  Secret Key: \w{40}$", done.stdout, re.MULTILINE
    ), "the key was made, and this is its only time"
    assert str(script.home / "data") in done.stderr.partition("the gateway ended")[0]
    assert script("status").returncode == 1


@pytest.mark.parametrize("name", ["curvine-s3-gateway.pid", "curvine-s3-gateway.flags"])
def test_a_start_that_cannot_write_its_files_leaves_no_process(script: Script, name: str) -> None:
    (script.home / name).symlink_to(script.home / "no such directory" / name)
    done = script("start", "--listen", "127.0.0.1:0")
    assert done.returncode == 1 and f"{script.home}/{name}: " in done.stderr
    assert not script.processes()
    assert script("status").returncode == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["start", "--conf"], "--conf"),
        (["start", "--conf", "/no/such.toml"], "/no/such.toml"),
        (["start", "--conf="], "--conf: must be a path"),
        (["start", "--listen", "nonsense"], "HOST:PORT"),
        (["start", "--web-listen", "nonsense"], "HOST:PORT"),
        (["start", "stray"], "stray"),
        (["stop", "now"], "usage:"),
        (["revive"], "usage:"),
        (["credential"], "usage:"),
        (["credential", "add", "--access-key", KEY], "--secret-key"),
        (["credential", "revoke", KEY], "no such command"),
        (["scrub", "--rate", "fast"], "--rate"),
    ],
)
def test_mistakes_exit_with_2(script: Script, words: list[str], message: str) -> None:
    done = script(*words)
    assert done.returncode == 2 and message in done.stderr
    assert set(os.listdir(script.home)) == {"bin"} and not script.spool.exists()


def test_half_a_key_pair_in_the_environment_stops_the_start(script: Script) -> None:
    done = script("start", "--listen", "127.0.0.1:0", AWS_ACCESS_KEY_ID=KEY)
    assert done.returncode == 2 and "half a key pair" in done.stderr
    assert script("status").returncode == 1


def test_the_environments_pair_is_added_and_no_other_is_made(script: Script) -> None:
    done = script("start", "--listen", "127.0.0.1:0", S3_ACCESS_KEY=KEY, S3_SECRET_KEY=SECRET)
    assert done.returncode == 0 and "There was no access key" not in done.stdout and SECRET not in done.stdout
    assert f"1. {KEY}" in script("credential", "list").stdout


def test_help_is_on_standard_output(script: Script) -> None:
    for word in ("help", "--help", "-h"):
        done = script(word)
        assert done.returncode == 0 and done.stdout.startswith(f"usage: {NAME}") and "rotate" in done.stdout
    assert script("stop", "--help").stdout == script("status", "-h").stdout == script("help").stdout
    assert "--put-temp-dir" in script("start", "--help").stdout


def test_the_log_is_reopened_on_sighup(script: Script) -> None:
    script.start()
    script.log.rename(script.log.with_suffix(".1"))
    os.kill(script.pid, signal.SIGHUP)
    assert script("stop").returncode == 0  # of two pending signals the lower one, SIGHUP, is taken first
    assert " ended: exit code 0" in script.log.read_text()


def test_credentials_as_in_the_user_guide(script: Script) -> None:
    added = script(
        "credential", "add", "--access-key", KEY, "--secret-key", SECRET, "--description", "Production access key"
    )
    assert added.returncode == 0 and KEY in added.stdout
    generated = script("credential", "generate", "--description", "Auto-generated test key")
    assert re.search(r"Secret Key: \w{40}$", generated.stdout, re.MULTILINE)
    assert SECRET not in script("credential", "list").stdout
    assert SECRET in script("credential", "list", "--show-secrets").stdout
    assert "Keys: 2 (2 enabled, 0 disabled)" in script("credential", "stats").stdout
    for word in ("disable", "enable", "rotate", "delete"):
        assert script("credential", word, KEY).returncode == 0
    record = json.loads((script.user_home / ".curvine/credentials.jsonl").read_text().splitlines()[0])
    assert record["access_key"] == KEY and record["enabled"] is False and "secret_key" not in record


def test_check(script: Script) -> None:
    assert script("check").returncode == 0
    script.start()
    assert script("check").returncode == 0
    script.spool.chmod(0o777)
    done = script("check")
    assert done.returncode == 1 and str(script.spool) in done.stdout
    script.spool.chmod(0o700)


def test_scrub(script: Script) -> None:
    done = script("scrub")
    assert done.returncode == 1 and f"{script.home}/data: there is no such directory" in done.stderr
    script.start()
    for words in (["scrub"], ["scrub", "--rate", "10"]):
        done = script(*words)
        assert done.returncode == 0 and done.stdout.startswith(f"Scrubbed file://{script.home}/data in "), done.stderr
    assert "Ctrl-C" in script("scrub", "--help").stdout and "scrub [--bucket" in script("help").stdout


def test_https(script: Script, tmp_path: Path) -> None:
    if not (openssl := shutil.which("openssl")):
        pytest.skip("needs the openssl program to make a certificate")
    made = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    made += ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run(made, check=True, capture_output=True, timeout=60)
    url = script.start("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    assert url.startswith("https://127.0.0.1:")


def test_stop_lets_requests_finish_and_then_kills_its_own_only(script: Script) -> None:
    url = script.start("--shutdown-timeout-secs", "1")
    pid = script.pid
    os.kill(pid, signal.SIGSTOP)  # as good as hung: SIGTERM will never be handled
    done = script("stop")
    assert done.returncode == 0 and "SIGKILL" in done.stdout and process.arguments(pid) == []
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.socket() as probe:
        assert probe.connect_ex((host, int(port))) != 0, "the workers went too"


# ------------------------------------------------------------------------------------------------ a real checkout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout without its environment and data."""
    directory = tmp_path_factory.mktemp("checkout")
    probe = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(directory / "probe"), "defusedxml"]
    done = subprocess.run(probe, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip(f"pip cannot fetch packages: {done.stderr.strip().splitlines()[-1:]}")
    tree = directory / "tree"
    tree.mkdir()
    for name in ("s3proto", "s3server", "curvinefs", "tools"):
        shutil.copytree(CHECKOUT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, tree / name)
    return tree


@pytest.mark.slow
def test_a_fresh_checkout(checkout: Path, tmp_path: Path) -> None:
    tools, build = checkout / "tools" / NAME, checkout / "build" / "bin" / NAME
    script = Script(tools, checkout, tmp_path)
    try:
        assert script("status").stdout == "Status: STOPPED\n" and not (checkout / "build").exists()
        assert health(script.start()) == "ok"
        script.path = build
        assert script("status").stdout.startswith(f"Status: RUNNING (PID: {script.pid})")
        before = set(os.listdir(checkout / "build"))
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
        done = script("restart", **offline)
        assert done.returncode == 0, done.stderr
        assert "Making the environment" not in done.stderr and set(os.listdir(checkout / "build")) == before
        assert not before & {"data", "logs", "conf", "curvine-s3-gateway.pid"}

        shutil.rmtree(checkout / "build")  # loses nothing but the environment
        script.path = tools
        assert script("status", **offline).returncode == 0 and script("stop", **offline).returncode == 0
        assert health(script.start()) == "ok" and build.exists()
        assert script("stop").returncode == 0
    finally:
        script.close()
