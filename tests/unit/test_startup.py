"""Before serving: the spool's directory, the environment's key, the first key."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from s3server import credentials_file, startup
from s3server.config import Address, ConfigError, ServerConfig
from s3server.credentials_file import CredentialsFile
from s3server.credentials_place import CredentialError, DiskPlace

KEY, SECRET = "AKIAEXAMPLEKEY123", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
PAIR = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}


@pytest.fixture
def config(tmp_path: Path) -> ServerConfig:
    return ServerConfig(home=tmp_path, put_temp_dir=tmp_path / "spool", credentials_path=tmp_path / "keys.jsonl")


def enabled(config: ServerConfig) -> dict[str, bool]:
    return {key: c.enabled for key, c in credentials_file.read(config.credentials_path).credentials.items()}


def test_the_first_start_makes_a_key_and_the_second_does_not(config: ServerConfig) -> None:
    first = startup.prepare(config, {}).first
    assert first and first.secret
    notice = startup.first_key_notice(first, "eu-x", "http://localhost:9900")
    for line in (
        f"export AWS_ACCESS_KEY_ID={first.access_key}",
        f"export AWS_SECRET_ACCESS_KEY={first.secret.reveal()}",
        "export AWS_DEFAULT_REGION=eu-x",
        "aws s3 mb s3://my-bucket --endpoint-url http://localhost:9900",
    ):
        assert line in notice
    assert startup.prepare(config, {}) == (None, [])
    assert enabled(config) == {first.access_key: True}


def test_no_key_is_made_where_all_were_revoked(config: ServerConfig) -> None:
    first = startup.prepare(config, {}).first
    assert first
    CredentialsFile(config.credentials_path).delete(first.access_key)
    assert startup.prepare(config, {}).first is None


@pytest.mark.parametrize("key", ["AWS_ACCESS_KEY_ID", "S3_ACCESS_KEY", "CURVINE_ACCESS_KEY"])
@pytest.mark.parametrize("secret", ["AWS_SECRET_ACCESS_KEY", "S3_SECRET_KEY", "CURVINE_SECRET_KEY"])
def test_the_environments_key_is_added(config: ServerConfig, key: str, secret: str) -> None:
    assert startup.prepare(config, {key: KEY, secret: SECRET}) == (None, [])
    assert startup.prepare(config, {key: KEY, secret: SECRET}) == (None, [])
    assert enabled(config) == {KEY: True}


def test_a_whole_pair_counts_before_half_a_one(config: ServerConfig) -> None:
    half = {"AWS_ACCESS_KEY_ID": "AKIASOMEBODYELSES"}
    startup.prepare(config, half | {"S3_ACCESS_KEY": KEY, "S3_SECRET_KEY": SECRET})
    assert enabled(config) == {KEY: True}


def test_the_environments_key_joins_others(config: ServerConfig) -> None:
    first = startup.prepare(config, {}).first
    assert first and startup.prepare(config, PAIR).first is None
    assert enabled(config) == {first.access_key: True, KEY: True}


def test_a_disabled_key_stays_disabled(config: ServerConfig) -> None:
    startup.prepare(config, PAIR)
    CredentialsFile(config.credentials_path).set_enabled(KEY, False)
    (warning,) = startup.prepare(config, PAIR).warnings
    assert "is disabled" in warning and enabled(config) == {KEY: False}
    CredentialsFile(config.credentials_path).delete(KEY)
    startup.prepare(config, PAIR)
    assert enabled(config) == {KEY: False}


def test_another_secret_is_left_alone_with_a_warning(config: ServerConfig) -> None:
    startup.prepare(config, PAIR)
    (warning,) = startup.prepare(config, PAIR | {"AWS_SECRET_ACCESS_KEY": "another-secret-00"}).warnings
    assert "another secret" in warning and SECRET not in warning and "another-secret-00" not in warning
    kept = credentials_file.read(config.credentials_path).credentials[KEY].secret
    assert kept and kept.reveal() == SECRET


@pytest.mark.parametrize(
    "environ",
    [
        {"AWS_ACCESS_KEY_ID": KEY},
        {"S3_SECRET_KEY": SECRET},
        {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": ""},
        PAIR | {"AWS_ACCESS_KEY_ID": "short"},
        PAIR | {"AWS_SECRET_ACCESS_KEY": "short-secret"},
    ],
)
def test_half_a_pair_or_an_illegal_one_stops_the_start(config: ServerConfig, environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="environment: ") as raised:
        startup.prepare(config, environ)
    assert SECRET not in str(raised.value) and "short-secret" not in str(raised.value)
    assert not config.credentials_path.exists()


def test_a_mounted_secret_is_read_and_never_changed(config: ServerConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    startup.prepare(config, PAIR)

    def refuse(place: DiskPlace, change: object) -> None:
        raise CredentialError("read-only file system")

    monkeypatch.setattr(DiskPlace, "change", refuse)
    assert startup.prepare(config, {}) == startup.prepare(config, PAIR) == (None, [])
    with pytest.raises(CredentialError):
        startup.prepare(config, PAIR | {"AWS_ACCESS_KEY_ID": f"{KEY}4"})


def test_a_credentials_file_that_others_may_use_is_warned_of(config: ServerConfig) -> None:
    startup.prepare(config, PAIR)
    config.credentials_path.chmod(0o640)
    (warning,) = startup.prepare(config, {}).warnings
    assert str(config.credentials_path) in warning and "mode 0640" in warning


@pytest.mark.parametrize("missing", ["tls_cert", "tls_key"])
def test_a_missing_certificate_stops_the_start_by_name(config: ServerConfig, tmp_path: Path, missing: str) -> None:
    for name in {"tls_cert", "tls_key"} - {missing}:
        (tmp_path / name).write_text("")
    with pytest.raises(ConfigError, match=f"^{missing}: {tmp_path}/{missing}: cannot be read: No such file"):
        startup.prepare(replace(config, tls_cert=tmp_path / "tls_cert", tls_key=tmp_path / "tls_key"), {})
    assert not config.put_temp_dir.exists() and not config.credentials_path.exists()


def test_what_is_no_certificate_stops_the_start(config: ServerConfig, tmp_path: Path) -> None:
    (tmp_path / "pem").write_text("no certificate")
    with pytest.raises(ConfigError, match=f"^tls_cert, tls_key: {tmp_path}/pem, {tmp_path}/pem must be .* PEM"):
        startup.prepare(replace(config, tls_cert=tmp_path / "pem", tls_key=tmp_path / "pem"), {})


def test_a_key_with_a_passphrase_is_refused_and_not_asked_for(config: ServerConfig, tmp_path: Path) -> None:
    if not (openssl := shutil.which("openssl")):
        pytest.skip("needs the openssl program to make a certificate")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-passout",
        "pass:secret",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    subprocess.run([*made, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True, timeout=60)
    with pytest.raises(ConfigError, match="without passphrase"):
        startup.prepare(replace(config, tls_cert=cert, tls_key=key), {})


def test_the_spools_directory_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "a" / "spool"
    startup.prepare_temp_dir(path)
    startup.prepare_temp_dir(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_spool_that_is_not_ours_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o770)
    for name, why in {"file": "File exists", "link": "symbolic link", "open": "chmod 700"}.items():
        with pytest.raises(ConfigError, match=f"put_temp_dir: .*{name}.*{why}"):
            startup.prepare_temp_dir(tmp_path / name)
    assert startup.temp_dir_fault(tmp_path / "missing") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_spool_with_another_owner_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o700)
    os.chown(tmp_path / "theirs", 12345, 12345)
    with pytest.raises(ConfigError, match="belongs to user 12345, not to us"):
        startup.prepare_temp_dir(tmp_path / "theirs")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_root_does_not_lock_the_gateways_user_out(config: ServerConfig) -> None:
    startup.prepare(config, PAIR)
    os.chown(config.credentials_path, 12345, 12345)
    CredentialsFile(config.credentials_path).rotate(KEY)
    assert config.credentials_path.stat().st_uid == 12345


@pytest.mark.parametrize(
    ("listen", "secure", "url"),
    [
        (Address("0.0.0.0", 9900), False, "http://localhost:9900"),
        (Address("::", 1), True, "https://localhost:1"),
        (Address("::1", 1), False, "http://[::1]:1"),
        (Address("s3.example", 80), False, "http://s3.example:80"),
        (Address("::", 0), False, "http://localhost:PORT"),
    ],
)
def test_client_url(listen: Address, secure: bool, url: str) -> None:
    assert startup.client_url(listen, secure) == url
