"""What must be so before requests are served: the spool's directory, keys out of the environment, a first key.

Rules: called once, before any worker exists, by ``serve`` and by the service script's ``start`` (which wants the first
key's secret on the terminal and never in the log).  ``check`` asks the same questions and changes nothing.
"""

from __future__ import annotations

import os
import ssl
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from s3server import credentials_file
from s3server.config import Address, ServerConfig
from s3server.credentials_file import Contents, Credential, CredentialsFile, Secret
from s3server.credentials_place import CredentialError
from s3server.filesystems import credentials_place
from s3server.settings_file import ConfigError

KEY_VARIABLES = (
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ("S3_ACCESS_KEY", "S3_SECRET_KEY"),
    ("CURVINE_ACCESS_KEY", "CURVINE_SECRET_KEY"),
)
"""Where the environment may have a key; the first whole pair counts.  The last one is the old gateway's own."""


class Keys(NamedTuple):
    first: Credential | None
    """The key that was made because there was none: show it once."""
    warnings: list[str]


def prepare(config: ServerConfig, environ: Mapping[str, str]) -> Keys:
    """Check the certificate, make the spool's directory, add the environment's key, make a first key if there is none.

    Raises ConfigError (exit 2) and CredentialError (exit 1).
    """
    pair = environment_key(environ)
    if fault := tls_fault(config):
        raise ConfigError(fault)
    prepare_temp_dir(config.put_temp_dir)
    file = CredentialsFile(credentials_place(config))
    try:
        return _prepare_keys(file, pair)
    finally:
        file.place.close()  # whoever forks next must leave nothing open to its children


def _prepare_keys(file: CredentialsFile, pair: Credential | None) -> Keys:
    contents = credentials_file.read(file.place)  # a mounted secret can be read and not changed, and need not be
    warnings = [f"{file.place.label}: {fault}"] if (fault := access_fault(contents)) else []
    if pair:
        old = contents.credentials.get(pair.access_key) or file.add_missing(pair)
        if old and old.enabled and old.secret != pair.secret:
            warnings.append(
                f"{pair.access_key}: {file.place.label} has another secret than the environment; the file's counts"
            )
        elif old and not old.enabled:
            warnings.append(f"{pair.access_key}: is disabled in {file.place.label} and stays so")
    if pair or any(line.raw.strip() for line in contents.lines):
        return Keys(None, warnings)
    first = credentials_file.generated(description="first key, made at the first start")
    return Keys(first if file.add_first(first) else None, warnings)


def environment_key(environ: Mapping[str, str]) -> Credential | None:
    """Return the key pair that the environment names.  Raises ConfigError for half a pair or an illegal one."""
    pairs = [(environ.get(key), environ.get(secret)) for key, secret in KEY_VARIABLES]
    whole = next((pair for pair in pairs if all(pair)), None)
    key, secret = whole or (next(filter(None, names), None) for names in zip(*pairs))
    if not key and not secret:
        return None
    if not key or not secret:
        missing = "AWS_SECRET_ACCESS_KEY (or S3_SECRET_KEY)" if key else "AWS_ACCESS_KEY_ID (or S3_ACCESS_KEY)"
        raise ConfigError(f"environment: half a key pair: {missing} is not set")
    try:
        credentials_file.check(key, secret)
    except CredentialError as error:
        raise ConfigError(f"environment: {error}") from None
    return Credential(key, Secret(secret), int(time.time()), description="from the environment")


def prepare_temp_dir(path: Path) -> None:
    """Make the spool's directory with mode 0700.  Raises ConfigError when it is not ours alone."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"put_temp_dir: {path} cannot be made: {error.strerror}") from None
    if fault := temp_dir_fault(path):
        raise ConfigError(fault)


def temp_dir_fault(path: Path) -> str | None:
    """Say why bodies may not be put into a directory; None where all is well or nothing is there yet."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"put_temp_dir: {path}: {error.strerror}"
    if not stat.S_ISDIR(status.st_mode):
        return f"put_temp_dir: {path} is no directory (a symbolic link is not followed): choose another path"
    if status.st_uid != os.geteuid():
        return f"put_temp_dir: {path} belongs to user {status.st_uid}, not to us ({os.geteuid()}): choose another path"
    if status.st_mode & 0o022:
        return f"put_temp_dir: {path} can be written by others: chmod 700 it, or choose another path"
    return None


def access_fault(contents: Contents) -> str | None:
    """Say who else may use a credentials file; None where nobody may."""
    mode = contents.kept.mode if contents.kept else None
    return f"others may use it (mode {mode:04o}): chmod 600 it" if mode and mode & 0o077 else None


def tls_fault(config: ServerConfig) -> str | None:
    """Say why certificate and key cannot be used; None where they can, or where there are none."""
    if config.tls_cert is None or config.tls_key is None:
        return None
    for name, path in ("tls_cert", config.tls_cert), ("tls_key", config.tls_key):
        try:
            path.open("rb").close()
        except OSError as error:
            return f"{name}: {path}: cannot be read: {error.strerror}"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(config.tls_cert, config.tls_key, password="")
    except ssl.SSLError as error:
        wanted = "a certificate chain and its private key without passphrase, both PEM"
        return f"tls_cert, tls_key: {config.tls_cert}, {config.tls_key} must be {wanted} ({error.reason or error})"
    return None


def first_key_notice(key: Credential, region: str, url: str) -> str:
    """Return what the user is shown of the first key, with a client example to paste."""
    secret = key.secret.reveal() if key.secret else ""
    return f"""\
There was no access key: this one was made. Its secret is shown only now.

  Access Key: {key.access_key}
  Secret Key: {secret}

Try it with any S3 client:

  export AWS_ACCESS_KEY_ID={key.access_key}
  export AWS_SECRET_ACCESS_KEY={secret}
  export AWS_DEFAULT_REGION={region}
  aws s3 mb s3://my-bucket --endpoint-url {url}
"""


def client_url(listen: Address, secure: bool) -> str:
    """Return the URL by which a client on this machine reaches ``listen``; ``PORT`` stands for one not known yet."""
    host = {"0.0.0.0": "localhost", "::": "localhost"}.get(listen.host, listen.host)
    url = f"{'https' if secure else 'http'}://{Address(host, listen.port)}"
    return url if listen.port else url.removesuffix("0") + "PORT"
