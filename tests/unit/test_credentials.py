"""The running gateway's view of the credentials: lookups, principals, refreshing, statistics."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import threading
import time
from pathlib import Path

import pytest

from s3proto import policy, sigv4
from s3proto.commands import LookupSigningKey, SignV2
from s3server import credentials, credentials_file
from s3server.credentials import CredentialStore
from s3server.credentials_file import Credential, CredentialsFile, Secret
from s3server.credentials_place import CredentialError, DiskPlace

KEY, SECRET = "AKIAEXAMPLEKEY123", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


class Clock:
    """A monotonic clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def path_of(file: CredentialsFile) -> Path:
    assert isinstance(file.place, DiskPlace)
    return file.place.path


@pytest.fixture
def file(tmp_path: Path) -> CredentialsFile:
    made = CredentialsFile(tmp_path / "credentials.jsonl")
    made.add(Credential(KEY, Secret(SECRET), 1))
    return made


def lookup(key: str = KEY, date: str = "20260101", region: str = "us-east-1") -> LookupSigningKey:
    return LookupSigningKey(key, date, region, "s3")


def test_a_signing_key_is_the_derived_one_and_is_kept(file: CredentialsFile) -> None:
    store = CredentialStore(path_of(file), 30)
    first = store.signing_key(lookup())
    assert first and first.key == sigv4.signing_key(SECRET, "20260101", "us-east-1", "s3")
    assert store.signing_key(lookup()) is first
    assert SECRET not in repr(first)
    other = store.signing_key(lookup(date="20260102"))
    assert other and other.key != first.key


def test_derived_keys_are_bounded(file: CredentialsFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "MAX_DERIVED", 4)
    store = CredentialStore(path_of(file), 30)
    for number in range(20):
        assert store.signing_key(lookup(region=f"r{number}"))
        assert len(store._snapshot.derived) <= 4


def test_sign_v2(file: CredentialsFile) -> None:
    answer = CredentialStore(path_of(file), 30).sign_v2(SignV2(KEY, b"GET\n"))
    assert answer and answer.signature == hmac.new(SECRET.encode(), b"GET\n", hashlib.sha1).digest()
    assert answer.principal.access_key_id == KEY


@pytest.mark.parametrize("change", ["disable", "delete", "unknown"])
def test_no_key_where_there_is_no_enabled_one(file: CredentialsFile, change: str) -> None:
    if change == "disable":
        file.set_enabled(KEY, False)
    elif change == "delete":
        file.delete(KEY)
    name = "AKIAUNKNOWN000000" if change == "unknown" else KEY
    store = CredentialStore(path_of(file), 30)
    assert store.signing_key(lookup(name)) is None and store.sign_v2(SignV2(name, b"")) is None


def test_principals() -> None:
    owner = credentials.principal(Credential(KEY, Secret(SECRET), 1))
    assert owner.administrator and owner.policy is None and owner.owner.display_name == "curvine"
    ann = credentials.principal(Credential(KEY, Secret(SECRET), 1, user="ann"))
    assert not ann.administrator and ann.policy is None
    assert ann.owner.id == hashlib.sha256(b"curvine-s3-user:ann").hexdigest() and ann.owner.display_name == "ann"


@pytest.mark.parametrize("user", [None, "ann"])
@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("readonly", policy.CANNED["readonly"]),
        (
            {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}},
            policy.Policy((policy.Statement(True, ("*",), ("*",)),)),
        ),
        ("readall", policy.NOTHING),
        ({"Version": "2012-10-17"}, policy.NOTHING),
        (["readonly"], policy.NOTHING),
        (7, policy.NOTHING),
        (False, policy.NOTHING),
    ],
)
def test_policies_of_keys(user: str | None, said: object, meant: policy.Policy) -> None:
    """One that makes no sense allows nothing."""
    limited = credentials.principal(Credential(KEY, Secret(SECRET), 1, user=user, policy=said))
    assert limited.policy == meant and limited.administrator is (user is None)


def test_a_change_is_noticed_after_the_interval_and_not_before(file: CredentialsFile) -> None:
    clock = Clock()
    store = CredentialStore(path_of(file), 30, clock=clock)
    assert store.signing_key(lookup())
    file.set_enabled(KEY, False)
    clock.now = 29.9
    assert store.signing_key(lookup())
    clock.now = 30
    assert store.signing_key(lookup()) is None
    file.set_enabled(KEY, True)
    store.refresh()
    assert store.signing_key(lookup())


def test_rotating_drops_derived_keys(file: CredentialsFile) -> None:
    store = CredentialStore(path_of(file), 30)
    before = store.signing_key(lookup())
    file.rotate(KEY)
    store.refresh()
    after = store.signing_key(lookup())
    assert before and after and before.key != after.key


def test_an_unreachable_file_keeps_the_last_known_keys_and_says_so_once(
    file: CredentialsFile, caplog: pytest.LogCaptureFixture
) -> None:
    store = CredentialStore(path_of(file), 30)
    path_of(file).rename(path_of(file).with_name("away"))
    with caplog.at_level(logging.INFO, "curvine_s3_gateway.auth"):
        store.refresh()
        store.refresh()
        assert store.signing_key(lookup())
        assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 1
        path_of(file).with_name("away").rename(path_of(file))
        store.refresh()
        store.refresh()
    assert len(caplog.records) == 2 + (1 if any("enabled" in r.message for r in caplog.records) else 0)
    assert store.signing_key(lookup())


class _Silent(DiskPlace):
    """As a store whose master is gone: it takes long to say anything."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.answers = threading.Event()
        self.answers.set()
        self.answered = 0

    def identity(self) -> tuple[int, ...] | None:
        assert self.answers.wait(30)
        self.answered += 1
        return super().identity()


def test_no_lookup_waits_for_a_silent_store(file: CredentialsFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "PATIENCE_S", 0.01)
    place, clock = _Silent(path_of(file)), Clock()
    store = CredentialStore(place, 30, clock=clock)
    place.answers.clear()
    file.set_enabled(KEY, False)
    clock.now = 31
    for _ in range(3):
        assert store.signing_key(lookup()), "the last known keys"
    store.refresh()
    assert place.answered == 0, "somebody waited"
    place.answers.set()
    until = time.monotonic() + 30
    while store.signing_key(lookup()) and time.monotonic() < until:
        time.sleep(0.01)
    assert store.signing_key(lookup()) is None


def test_a_directory_in_its_place_keeps_the_last_known_keys(file: CredentialsFile) -> None:
    store = CredentialStore(path_of(file), 30)
    path_of(file).unlink()
    path_of(file).mkdir()
    store.refresh()
    assert store.signing_key(lookup())


def test_a_file_that_appears_later_is_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = CredentialsFile(tmp_path / "credentials.jsonl")
    store = CredentialStore(path_of(file), 30)
    store.refresh()
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert store.signing_key(lookup()) is None
    file.add(Credential(KEY, Secret(SECRET), 1))
    store.refresh()
    assert store.signing_key(lookup())


def test_an_unreadable_file_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="cannot be read"):
        CredentialStore(tmp_path, 30)


def test_bad_lines_are_warned_of_by_number(file: CredentialsFile, caplog: pytest.LogCaptureFixture) -> None:
    with open(path_of(file), "ab") as out:
        out.write(b'{"secret_key": "sssssssssssssssssssss"}\n')
    store = CredentialStore(path_of(file), 30)
    assert store.signing_key(lookup())
    assert "line 2" in caplog.text and "sssss" not in caplog.text


def test_statistics_of_a_running_gateway(file: CredentialsFile, tmp_path: Path) -> None:
    stats_file = tmp_path / "gateway.stats"
    assert credentials.running_stats(stats_file) is None
    CredentialStore(path_of(file), 30, stats_file)
    stats = credentials.running_stats(stats_file)
    assert stats and (stats.pid, stats.path, stats.keys) == (os.getpid(), str(path_of(file)), 1)
    assert stats.checked_at >= stats.loaded_at > 0
    assert sorted(os.listdir(tmp_path)) == ["credentials.jsonl", "credentials.jsonl.lock", "gateway.stats"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": 1}', '"x"', "\ufeff"])
def test_a_wrong_stats_file_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "stats").write_text(text, "utf-8")
    assert credentials.running_stats(tmp_path / "stats") is None


def test_statistics_of_a_dead_or_recycled_pid_do_not_count(file: CredentialsFile, tmp_path: Path) -> None:
    stats_file = tmp_path / "stats"
    CredentialStore(path_of(file), 30, stats_file)
    started = credentials.running_stats(stats_file)
    assert started
    stats_file.write_text(stats_file.read_text().replace(f'"started": {started.started}', '"started": 1'))
    assert credentials.running_stats(stats_file) is None


def test_a_missing_home_does_not_stop_lookups(file: CredentialsFile, tmp_path: Path) -> None:
    store = CredentialStore(path_of(file), 30, tmp_path / "nowhere" / "stats")
    assert store.signing_key(lookup())
    assert credentials_file.read(path_of(file)).credentials[KEY].enabled
