"""Every setting of the gateway, defined once: flag, environment variable, TOML key, default, unit, help.

``ServerConfig`` is the table.  A field made by ``setting`` is a setting: ``put_temp_dir`` is the flag ``--put-temp-dir``,
the variable ``CURVINE_S3_PUT_TEMP_DIR`` and the key ``put_temp_dir`` of ``[s3_gateway]``; ``--help`` and the table in
README.md come from the same line (``python -m s3server.config README.md`` rewrites the table, a test compares it).
Adding a setting is adding a field.

Rules
- flag > environment > file > default.  An environment variable that is empty counts as not set.
- A wrong value anywhere is a ConfigError of one line, also where a flag overrides it; never a silent default.
- Loading has no side effects; nothing is created or bound here (``startup`` does that).
- Paths are absolute or begin with ``~``: what a relative one means would depend on who starts the gateway.

Uses configargparse for flags, environment and their order; the file is read by ``settings_file``.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
from argparse import ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, NoReturn, TypeVar, cast
from urllib.parse import unquote, urlsplit

import configargparse

from s3proto.names import RESERVED_BUCKETS, is_bucket_name
from s3server import settings_file
from s3server.settings_file import SECTION, ConfigError

__all__ = ["Address", "ConfigError", "ServerConfig", "SettingsParser", "load", "curvine_home", "markdown_table"]

T = TypeVar("T")
MIB = 1 << 20
ENV_PREFIX = "CURVINE_S3_"
DISTRIBUTED_CREDENTIALS = "/system/auth/credentials.jsonl"

# ----------------------------------------------------------------------------------------------- kinds of values


class Address(NamedTuple):
    """A TCP address; ``host`` is a name or an IP address without brackets, ``port`` 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Kind(NamedTuple, Generic[T]):
    """A type of setting: ``parse`` takes the text of a flag and raises ValueError when it is not ``allowed``."""

    parse: Callable[[str], T]
    metavar: str
    allowed: str
    toml: tuple[type, ...] = (str,)


def _address(text: str) -> Address:
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%a-z]+)\]|([\w.-]+)):([0-9]{1,5})", text)
    if not match or int(match[3]) > 65535:
        raise ValueError
    host = match[1] or match[2]
    host.encode("idna")  # the resolver would raise its UnicodeError (a ValueError) for a name that cannot be one
    return Address(host, int(match[3]))


def _path(text: str) -> Path:
    path = Path(text).expanduser()  # RuntimeError when there is no home: reported by _parse like ValueError
    if not path.is_absolute() or "\0" in text:
        raise ValueError
    return Path(os.path.normpath(path))


def _store(text: str) -> str:
    url = urlsplit(text)
    local = url.scheme == "file" and not url.netloc and url.path.startswith("/") and not url.query and not url.fragment
    curvine = (
        url.scheme == "curvine" and all(_address(part) for part in url.netloc.split(",")) and url.path in ("", "/")
    )
    if not (local or curvine) or "\0" in unquote(text):
        raise ValueError
    return text


def _bool(text: str) -> bool:
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]


def _matching(pattern: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError
        return text

    return parse


def _cores(text: str) -> int:
    return len(os.sched_getaffinity(0)) if text == "cores" else _between(1, 1024)(text)


def _between(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text) or not low <= int(text) <= high:
            raise ValueError
        return int(text)

    return parse


def _integer(low: int, high: int, unit: str = "") -> Kind[int]:
    return Kind(_between(low, high), "N", f"an integer from {low} to {high}" + (f" ({unit})" if unit else ""), (int,))


def _durability(text: str) -> Literal["full", "none"]:
    words: dict[str, Literal["full", "none"]] = {"full": "full", "none": "none"}
    return words[text]


ADDRESS = Kind(_address, "HOST:PORT", "HOST:PORT, as in 0.0.0.0:9900, localhost:9900 or [::]:9900")
PATH = Kind(_path, "PATH", "an absolute path, or one that begins with ~/")
STORE = Kind(_store, "URL", "file:///absolute/path or curvine://host:port,host:port/")
BOOL = Kind(_bool, "true|false", "true or false", (bool,))
REGION = Kind(_matching(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"), "NAME", "letters, digits, - and _, at most 64")
DOMAIN = Kind(
    lambda text: _matching(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")(
        text.lower()
    ),
    "NAME",
    "a host name, as in s3.example.com",
)
DURABILITY = Kind(_durability, "full|none", "full or none")
CHUNK = Kind(lambda text: {0.5: 0.5, 1.0: 1.0, 2.0: 2.0}[float(text)], "0.5|1|2", "0.5, 1 or 2 (MiB)", (float, int))
WORKERS = Kind(_cores, "N", "an integer from 1 to 1024, or the word cores", (int, str))
SECONDS = _integer(1, 86400, "seconds")


# ----------------------------------------------------------------------------------------------------- the table


class Setting(NamedTuple):
    """What the table knows of one field beside its name."""

    kind: Kind[Any]
    default: str
    """As a flag would spell it; ``unset`` where there is none."""
    help: str


def setting(default: str, kind: Kind[T], help: str) -> T:
    """Make a field whose default is ``kind.parse(default)``, with ``$CURVINE_HOME`` put in."""
    made = Setting(kind, default, help)
    return cast(T, field(default_factory=lambda: _default(made, curvine_home(os.environ)), metadata={"setting": made}))


def optional(kind: Kind[T], help: str) -> T | None:
    """Make a field that is None unless it is set."""
    return cast("T | None", field(default=None, metadata={"setting": Setting(kind, "unset", help)}))


# fmt: off
@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """All settings, parsed and checked.  Times are seconds, sizes bytes unless the name says otherwise."""

    listen: Address = setting("0.0.0.0:9900", ADDRESS, "address that serves S3; port 0: one that is free")
    region: str = setting("us-east-1", REGION, "region that requests are signed for")
    store: str = setting("file://$CURVINE_HOME/data", STORE, "where buckets lie: a directory (embedded store) or a Curvine cluster; a file that names masters means Curvine")
    durability: Literal["full", "none"] = setting("full", DURABILITY, "full: a change is answered when it is on the disk; none: when it is with the kernel (faster; a power cut may lose the last seconds)")
    put_temp_dir: Path = setting("/tmp/curvine-temp", PATH, "local spool for bodies that cannot wait in the store, of which each process keeps up to 128 MiB; made with mode 0700")
    put_memory_buffer_threshold: int = setting("1048576", _integer(0, 1 << 30, "bytes"), "bodies up to this many bytes stay in memory until they are whole")
    put_max_memory_buffer: int = setting("16777216", _integer(0, 1 << 40, "bytes"), "most memory that all buffered bodies of a process hold together; beyond it bodies go to files")
    get_chunk_size_mb: float = setting("1.0", CHUNK, "piece that a GET reads and sends at a time, in MiB")
    multipart_temp: Path | None = optional(PATH, "where parts wait, may be shared by all instances; unset: in the store")
    upload_max_age_days: int = setting("7", _integer(1, 3650, "days"), "unfinished multipart uploads older than this are swept")
    enable_distributed_auth: bool = setting("false", BOOL, "keep credentials in the store instead of a local file")
    credentials_path: Path = setting("~/.curvine/credentials.jsonl", PATH, f"credentials file; with enable_distributed_auth a path in the store, by default {DISTRIBUTED_CREDENTIALS}")
    cache_refresh_interval_secs: int = setting("30", SECONDS, "a changed credentials file is noticed after at most this time")
    workers: int = setting("cores", WORKERS, "processes")
    threads: int = setting("128", _integer(1, 4096), "most requests that a process works on at the same time")
    max_connections: int = setting("4096", _integer(1, 1 << 20), "most connections of a process, idle ones included")
    request_timeout_secs: int = setting("60", SECONDS, "a request whose body, or whose answer, makes no progress for this time is given up")
    head_timeout_secs: int = setting("20", SECONDS, "a request's head must arrive within this time")
    idle_timeout_secs: int = setting("75", SECONDS, "a connection without a request is closed after this time")
    shutdown_timeout_secs: int = setting("30", SECONDS, "SIGTERM: requests in flight may take this long to finish")
    drain_delay_secs: int = setting("0", _integer(0, 3600, "seconds"), "SIGTERM: before that, /healthz answers 503 for this time while requests are still taken, so that load balancers turn away")
    tls_cert: Path | None = optional(PATH, "certificate chain (PEM): serve HTTPS; needs tls_key")
    tls_key: Path | None = optional(PATH, "private key (PEM) of tls_cert")
    domain: str | None = optional(DOMAIN, "serve BUCKET.DOMAIN too (virtual-host addressing)")
    web_listen: Address | None = optional(ADDRESS, "admin listener, without login: /metrics (Prometheus), /healthz and a page to look at; over TLS where tls_cert is set")
    log_file: Path | None = optional(PATH, "log file, appended, reopened on SIGHUP; unset: standard error, or what the service script chooses")

    home: Path = field(default_factory=lambda: curvine_home(os.environ))
    """CURVINE_HOME: PID file, logs, data and configuration lie under it."""
    conf: Path | None = None
    """The file that was read, None when there was none."""
    warnings: tuple[str, ...] = field(default=(), compare=False)
    """Lines to show the user once; they are no errors."""
# fmt: on

    @property
    def store_path(self) -> Path:
        """Directory of the embedded store."""
        return Path(unquote(urlsplit(self.store).path))

    @property
    def get_chunk_size(self) -> int:
        """``get_chunk_size_mb`` in bytes."""
        return int(self.get_chunk_size_mb * MIB)

    @property
    def stats_file(self) -> Path:
        """Where a running gateway says what its cache of credentials holds."""
        return self.home / "curvine-s3-gateway.stats"


SETTINGS: dict[str, Setting] = {f.name: f.metadata["setting"] for f in fields(ServerConfig) if "setting" in f.metadata}


def curvine_home(environ: Mapping[str, str]) -> Path:
    """Return ``$CURVINE_HOME``; where that is not set the checkout or the environment that this package lies in (as the
    service script does), else ``~/.curvine``."""
    if environ.get("CURVINE_HOME"):
        return Path(environ["CURVINE_HOME"]).absolute()
    checkout = Path(__file__).resolve().parent.parent
    if (checkout / "setup.cfg").is_file():
        return checkout
    return Path(sys.prefix) if sys.prefix != sys.base_prefix else Path("~/.curvine").expanduser()


# ------------------------------------------------------------------------------------------------------- parsing


class _HelpFormatter(RawDescriptionHelpFormatter):
    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)  # us-east-1 is one word


class SettingsParser(configargparse.ArgumentParser):  # type: ignore[misc]  # configargparse is untyped
    """A parser of flags that knows ``--conf`` and every setting; callers may add arguments of their own.

    Prints usage and exits with 2 on a usage error, with 0 after ``--help``.
    """

    def __init__(self, prog: str, description: str, usage: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            usage=usage,
            allow_abbrev=False,
            formatter_class=_HelpFormatter,
            add_config_file_help=False,
            add_env_var_help=False,
            epilog=f"Each setting is also the variable {ENV_PREFIX}<NAME> (as in {ENV_PREFIX}PUT_TEMP_DIR) and a key of\n"
            f"[{SECTION}] in the configuration file.  A flag wins over the environment, that over the file.",
        )
        where = "TOML file (default: $CURVINE_HOME/conf/curvine-cluster.toml)"
        self.add_argument("-c", "--conf", metavar="FILE", help=where)
        group = self.add_argument_group("settings")
        for name, made in SETTINGS.items():
            flag = "--" + name.replace("_", "-")
            text = f"{made.help} (default: {made.default})".replace("%", "%%")
            optional_value: dict[str, Any] = {"nargs": "?", "const": True} if made.kind is BOOL else {}
            variable = ENV_PREFIX + name.upper()
            shown: dict[str, Any] = {"metavar": made.kind.metavar, "help": text, "env_var": variable}
            group.add_argument(flag, type=_flag_type(made.kind), **shown, **optional_value)

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        print(f"{self.prog}: {message}", file=sys.stderr)
        raise SystemExit(2)


def load(
    parser: SettingsParser, arguments: Sequence[str], environ: Mapping[str, str]
) -> tuple[ServerConfig, Namespace]:
    """Parse flags, environment and file; return the settings and the parser's namespace (for added arguments).

    Raises ConfigError for the environment and the file; a bad flag exits with 2 as argparse does.
    """
    environ = {name: value for name, value in environ.items() if value}
    home = curvine_home(environ)
    warnings = _check_environment(environ)
    namespace = parser.parse_args(arguments, env_vars=environ)
    if namespace.conf == "":
        raise ConfigError("--conf: must be a path, and is empty")
    conf = Path(namespace.conf).absolute() if namespace.conf else home / "conf" / "curvine-cluster.toml"
    said = settings_file.SettingsFile({})
    if namespace.conf or conf.exists():
        said = settings_file.read(conf, {name: made.kind.toml for name, made in SETTINGS.items()})
    values: dict[str, Any] = {}
    for name, made in SETTINGS.items():
        values[name] = getattr(namespace, name)
        if name in said.values:  # parsed even where it is overridden: a wrong line should not wait for its day
            value = _parse(made.kind, said.values[name], f"{conf}: [{SECTION}] {name}")
            values[name] = value if values[name] is None else values[name]
    if values["store"] is None and said.masters:
        values["store"] = f"curvine://{','.join(said.masters)}/"
    if values["credentials_path"] is None and values["enable_distributed_auth"]:
        values["credentials_path"] = Path(DISTRIBUTED_CREDENTIALS)
    for name, made in SETTINGS.items():
        values[name] = _default(made, home) if values[name] is None else values[name]
    config = ServerConfig(
        **values, home=home, conf=conf if said.values or conf.exists() else None, warnings=tuple(warnings) + said.warnings
    )
    _check(config)
    return config, namespace


def _check(config: ServerConfig) -> None:
    """Refuse combinations that cannot work, and what is not built yet."""
    if (config.tls_cert is None) != (config.tls_key is None):
        raise ConfigError("tls_cert and tls_key belong together: set both, or neither")
    if config.web_listen is not None and config.web_listen == config.listen and config.listen.port:
        raise ConfigError(f"web_listen: {config.web_listen} is where S3 is served: choose another port")
    for name in ("credentials_path", "put_temp_dir", "multipart_temp", "tls_key", "log_file"):
        if bucket := _bucket_with(config, name):
            raise ConfigError(
                f"{name}: {getattr(config, name)} lies in the bucket {bucket} of {config.store}, where S3 clients read "
                "and change it: choose a path outside of the store's buckets"
            )


def _bucket_with(config: ServerConfig, name: str) -> str | None:
    """Name the bucket that a setting's path lies in; None where it lies in none."""
    path: Path | None = getattr(config, name)
    embedded = config.store.startswith("file:")
    if name == "credentials_path" and config.enable_distributed_auth:
        path = config.credentials_path.relative_to("/")
    elif path is not None and embedded and path.resolve().is_relative_to(store := config.store_path.resolve()):
        path = path.resolve().relative_to(store)
    else:
        return None
    first = path.parts[0] if path.parts else ""
    return first if is_bucket_name(first) and first not in RESERVED_BUCKETS else None


def _check_environment(environ: Mapping[str, str]) -> list[str]:
    """Check the values of variables that are settings (configargparse would name the flag); return warnings."""
    warnings = []
    for variable in environ:
        name = variable.removeprefix(ENV_PREFIX).lower()
        if variable.startswith(ENV_PREFIX) and name in SETTINGS:
            _parse(SETTINGS[name].kind, environ[variable], variable)
        elif variable.startswith(ENV_PREFIX):
            known = {ENV_PREFIX + known.upper(): None for known in SETTINGS}
            warnings.append(f"{variable} is not a setting{settings_file.nearest(variable, known)}")
    return warnings


def _parse(kind: Kind[T], text: str, where: str) -> T:
    try:
        return kind.parse(text)
    except (ValueError, KeyError, RuntimeError):
        raise ConfigError(f"{where} = {text!r}: must be {kind.allowed}") from None


def _flag_type(kind: Kind[T]) -> Callable[[str], T]:
    def parse(text: str) -> T:
        try:
            return kind.parse(text)
        except (ValueError, KeyError, RuntimeError):
            raise ArgumentTypeError(f"{text!r} must be {kind.allowed}") from None

    return parse


def _default(made: Setting, home: Path) -> Any:
    """Parsed only when needed: ``~`` may have no meaning where every path is set."""
    if made.default == "unset":
        return None
    return _parse(made.kind, made.default.replace("$CURVINE_HOME", str(home)), "default")


# ------------------------------------------------------------------------------------------------- documentation

TABLE_BEGIN = "<!-- settings: python -m s3server.config README.md -->"
TABLE_END = "<!-- end of settings -->"


def markdown_table() -> str:
    """Return README's table of settings."""
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for name, made in SETTINGS.items():
        default = "unset" if made.default == "unset" else f"`{made.default}`"
        rows.append(f"| `{name}` | {default} | {made.help} |")
    return "\n".join(rows)


def replace_table(text: str) -> str:
    """Return a document with the table between the two markers brought up to date."""
    head, _, rest = text.partition(TABLE_BEGIN)
    _, _, tail = rest.partition(TABLE_END)
    return f"{head}{TABLE_BEGIN}\n{markdown_table()}\n{TABLE_END}{tail}"


if __name__ == "__main__":
    readme = Path(sys.argv[1])
    readme.write_text(replace_table(readme.read_text("utf-8")), "utf-8")
