"""The command line: which command is meant, exit codes, what is printed, what is never printed."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from s3server import cli
from s3server.config import ConfigError
from s3server.credentials import CredentialStore

KEY, SECRET = "AKIAEXAMPLEKEY123", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ADD = ["credential", "add", "--access-key", KEY, "--secret-key", SECRET]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "S3_ACCESS_KEY", "S3_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CURVINE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CURVINE_S3_PUT_TEMP_DIR", str(tmp_path / "spool"))
    return tmp_path


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


class Run:
    """Runs a command; keeps what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *words: str) -> int:
        try:
            code = cli.main(words)
        except SystemExit as stopped:
            code = stopped.code if isinstance(stopped.code, int) else 1
        self.out, self.err = self._capsys.readouterr()
        return code


def file(home: Path) -> Path:
    return home / ".curvine" / "credentials.jsonl"


@pytest.mark.parametrize(
    ("words", "command", "flags"),
    [
        ([], "serve", []),
        (["--region", "check"], "serve", ["--region", "check"]),
        (["serve", "--region", "x"], "serve", ["--region", "x"]),
        (["--conf", "f", "serve"], "serve", ["--conf", "f"]),
        (["-c", "f", "--region=x", "credential", "list"], "credential list", ["-c", "f", "--region=x"]),
        (["--enable-distributed-auth", "check"], "check", ["--enable-distributed-auth"]),
        (["credential", "rotate", "K"], "credential rotate", ["K"]),
        (["--version"], "serve", ["--version"]),
    ],
)
def test_find_command(words: list[str], command: str, flags: list[str]) -> None:
    found, rest = cli.find_command(words)
    assert (" ".join(found.words), rest) == (command, flags)


@pytest.mark.parametrize("words", [["start"], ["credential", "revoke"], ["--region", "x", "nope"]])
def test_unknown_commands_are_usage_errors(run: Run, words: list[str]) -> None:
    with pytest.raises(ConfigError, match="no such command; there is "):
        cli.find_command(words)
    assert run(*words) == 2 and len(run.err.splitlines()) == 1


def test_credential_alone_is_a_usage_error_that_lists_what_there_is(run: Run) -> None:
    assert run("credential") == 2 and "credential rotate" in run.err
    assert run("credential", "--help") == 0 and "credential rotate" in run.out


@pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda c: "-".join(c.words))
def test_every_command_has_help(run: Run, command: cli.Command) -> None:
    assert run(*command.words, "--help") == 0
    assert run.out.startswith("usage: curvine-s3-gateway") and "--listen" in run.out
    assert command.help[1:] in run.out


def test_help_teaches_all_commands(run: Run) -> None:
    assert run("--help") == 0
    for command in cli.COMMANDS:
        assert " ".join(command.words) in run.out


def test_version(run: Run) -> None:
    assert run("--version") == 0 and run.out.startswith("curvine-s3-gateway ")


@pytest.mark.parametrize(
    "words",
    [
        ["credential", "add", "--access-key", KEY],
        ["credential", "add", "--access-key", "short", "--secret-key", SECRET],
        ["credential", "add", "--access-key", KEY, "--secret-key", "short"],
        ["credential", "add", "--access-key", KEY, "--secret-key"],
        [*ADD, "--policy", "/nowhere/at/all.json"],
        [*ADD, "--policy", "/dev/null"],
        [*ADD, "--user", "curvine"],
        ["credential", "generate", "--policy", "x"],
        ["credential", "disable"],
        ["credential", "list", "stray"],
        ["check", "--conf"],
        ["check", "--conf", "/nowhere/at/all.toml"],
        ["scrub", "--bucket"],
    ],
)
def test_mistakes_exit_with_2_and_change_nothing(run: Run, home: Path, words: list[str]) -> None:
    assert run(*words) == 2
    assert run.err and SECRET not in run.err and not file(home).exists()


def test_add_list_disable_enable_rotate_delete(run: Run, home: Path) -> None:
    assert run(*ADD, "--description", "Production access key") == 0
    assert run.out.splitlines()[-1] == f"✅ Added {KEY} (a running gateway notices within 30 s)"
    assert run(*ADD) == 1 and "exists already" in run.err

    assert run("credential", "list") == 0
    title, rule, heading, *rows = run.out.splitlines()
    assert (title, rule, heading) == ("Found 1 credential:", "-" * 80, f"1. {KEY}")
    assert SECRET not in run.out and "   Secret Key: [hidden]" in rows
    assert "   Enabled: Yes" in rows and "   Description: Production access key" in rows
    assert run("credential", "list", "--show-secrets") == 0 and f"   Secret Key: {SECRET}" in run.out

    assert run("credential", "disable", KEY) == 0
    assert run("credential", "list") == 0 and "   Enabled: No" in run.out
    assert run("credential", "enable", KEY) == 0
    assert run("credential", "rotate", KEY) == 0
    secret = json.loads(file(home).read_text())["secret_key"]
    assert secret != SECRET and f"   Secret Key: {secret}" in run.out
    assert run("credential", "delete", KEY) == 0 and secret not in file(home).read_text()
    assert run("credential", "delete", KEY) == 1 and "no such key" in run.err
    assert run("credential", "list") == 0 and run.out.startswith("No credentials found in ")


def test_a_secret_from_standard_input(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(SECRET + "\n"))
    assert run("credential", "add", "--access-key", KEY, "--secret-key", "-") == 0
    assert json.loads(file(home).read_text())["secret_key"] == SECRET and SECRET not in run.out


def test_a_secret_that_is_typed_is_not_echoed(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr(cli, "getpass", lambda prompt: SECRET)
    assert run("credential", "add", "--access-key", KEY, "--secret-key", "-") == 0
    assert json.loads(file(home).read_text())["secret_key"] == SECRET


def test_generate_shows_the_secret_once(run: Run, home: Path) -> None:
    assert run("credential", "generate", "--description", "Auto-generated test key", "--user", "ann") == 0
    record = json.loads(file(home).read_text())
    assert f"   Access Key: {record['access_key']}" in run.out and f"   Secret Key: {record['secret_key']}" in run.out
    assert (record["description"], record["user"]) == ("Auto-generated test key", "ann")


def test_distributed_credentials_are_in_the_store_and_nowhere_else(run: Run, home: Path) -> None:
    assert run(*ADD, "--enable-distributed-auth") == 0
    assert KEY in (home / "data/system/auth/credentials.jsonl").read_text() and not file(home).exists()


def test_stats_without_and_with_a_running_gateway(run: Run, home: Path) -> None:
    run(*ADD)
    assert run("credential", "stats") == 0
    title, rule, *rows = run.out.splitlines()
    assert (title, rule) == ("Credential Statistics", "-" * 40)
    assert f"Path: {file(home)}" in rows and "Keys: 1 (1 enabled, 0 disabled)" in rows
    assert any(row.startswith("File Last Modified: ") for row in rows) and rows[-1].startswith("Gateway: none")
    CredentialStore(file(home), 30, home / "curvine-s3-gateway.stats")
    assert run("credential", "stats") == 0
    assert "Cache Size: 1" in run.out and "Cache: up to date" in run.out


def test_a_gateway_that_reads_another_file_is_told_of(run: Run, home: Path) -> None:
    CredentialStore(home / "other.jsonl", 30, home / "curvine-s3-gateway.stats")
    for words in (ADD, ["credential", "disable", KEY], ["credential", "list"], ["credential", "stats"]):
        assert run(*words) == 0
        assert f"reads {home}/other.jsonl, not {file(home)}" in run.err and len(run.err.splitlines()) == 1


def test_stats_before_there_is_a_file(run: Run) -> None:
    assert run("credential", "stats") == 0 and "File Last Modified: unknown" in run.out


def test_an_unreadable_file_is_one_line_and_exit_1(run: Run, home: Path) -> None:
    file(home).mkdir(parents=True)
    for words in (["credential", "list"], ["credential", "stats"], ADD):
        assert run(*words) == 1 and len(run.err.splitlines()) == 1 and "credentials.jsonl" in run.err


def test_check_on_a_fresh_machine(run: Run, home: Path) -> None:
    assert run("check") == 0
    assert run.out.count("ok") == 4 and not (home / "data").exists()


def test_check_of_a_healthy_store(run: Run, home: Path) -> None:
    run(*ADD)
    (home / "data" / "bucket").mkdir(parents=True)
    (home / "data" / "bucket" / "object").write_text("x")
    assert run("check") == 0
    assert f"ok     file://{home}/data" in run.out


def test_check_says_what_is_wrong_and_where(run: Run, home: Path) -> None:
    run(*ADD)
    with open(file(home), "a") as out:
        out.write("not json\n")
    file(home).chmod(0o644)
    (home / "spool").mkdir(mode=0o777)
    (home / "spool").chmod(0o777)
    (home / "data").write_text("a file")
    assert run("check") == 1
    assert "skipped line 2" in run.out and "mode 0644" in run.out
    assert "can be written by others" in run.out and run.out.count("WRONG") == 3


def test_check_names_a_wrong_certificate(run: Run, home: Path) -> None:
    (home / "pem").write_text("no certificate")
    assert run("check", f"--tls-cert={home}/pem", f"--tls-key={home}/pem") == 1
    assert "tls_cert, tls_key: " in run.out


def test_a_warning_of_an_old_key_is_shown_and_no_error(run: Run, home: Path) -> None:
    (home / "conf").mkdir()
    (home / "conf" / "curvine-cluster.toml").write_text("[s3_gateway]\nweb_port = 9003\n")
    assert run("check") == 0 and "web_port is not used any more" in run.out
    assert run(*ADD) == 0 and "web_port is not used any more" in run.err


def test_policies(run: Run, home: Path, tmp_path: Path) -> None:
    document = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::b/*"}]}
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(document))
    assert run(*ADD, "--policy", str(path)) == 0
    assert run("credential", "generate", "--policy", "readonly", "--user", "ann") == 0
    path.unlink()  # it has been read
    kept = [json.loads(line)["policy"] for line in file(home).read_text().splitlines()]
    assert kept == [document, "readonly"]
    assert run("credential", "rotate", KEY) == 0
    assert run("credential", "list") == 0
    assert f"   Policy: {json.dumps(document)}" in run.out and "   Policy: readonly" in run.out


def test_a_policy_that_cannot_be_decided_by_is_refused(run: Run, home: Path, tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text('{"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Principal": "*"}}')
    assert run(*ADD, "--policy", str(path)) == 2
    assert f"--policy: {path}: Statement 1: Principal is not supported" in run.err and not file(home).exists()
