"""Settings: precedence, refusals in one line, and README's table against the definitions."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from pathlib import Path

import pytest

from s3server import config
from s3server.config import SETTINGS, Address, ConfigError, ServerConfig, SettingsParser
from s3server.filesystems import credentials_place

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "conf").mkdir()
    return tmp_path


def load(home: Path, *flags: str, toml: str | None = None, **environ: str) -> ServerConfig:
    if toml is not None:
        (home / "conf" / "curvine-cluster.toml").write_text(toml, "utf-8")
    loaded, namespace = config.load(parser(), flags, {"CURVINE_HOME": str(home), "HOME": str(home), **environ})
    assert isinstance(namespace, Namespace)
    return loaded


def parser() -> SettingsParser:
    return SettingsParser("prog serve", "Serve.", "prog serve [...]")


def test_defaults(home: Path) -> None:
    loaded = load(home)
    assert loaded.listen == Address("0.0.0.0", 9900)
    assert (loaded.region, loaded.store, loaded.conf) == ("us-east-1", f"file://{home}/data", None)
    assert loaded.store_path == home / "data"
    assert loaded.put_temp_dir == Path("/tmp/curvine-temp")
    assert (loaded.put_memory_buffer_threshold, loaded.put_max_memory_buffer) == (1048576, 16777216)
    assert (loaded.get_chunk_size_mb, loaded.get_chunk_size) == (1.0, 1048576)
    assert (loaded.enable_distributed_auth, loaded.cache_refresh_interval_secs) == (False, 30)
    assert loaded.credentials_path == Path("~/.curvine/credentials.jsonl").expanduser()
    assert loaded.workers >= 1 and loaded.durability == "full"
    assert (loaded.multipart_temp, loaded.web_listen, loaded.tls_cert, loaded.domain) == (None, None, None, None)


def test_the_dataclass_has_the_same_defaults(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURVINE_HOME", str(home))
    assert ServerConfig() == load(home)


VALUES = {
    # setting: (TOML, environment, flag, values that these mean)
    "listen": (
        '"127.0.0.1:1"',
        "[::]:2",
        "localhost:3",
        (Address("127.0.0.1", 1), Address("::", 2), Address("localhost", 3)),
    ),
    "region": ('"a"', "b", "c", ("a", "b", "c")),
    "put_temp_dir": ('"/a"', "/b", "/c", (Path("/a"), Path("/b"), Path("/c"))),
    "put_max_memory_buffer": ("1", "2", "3", (1, 2, 3)),
    "get_chunk_size_mb": ("0.5", "1", "2", (0.5, 1.0, 2.0)),
    "enable_distributed_auth": ("true", "false", "true", (True, False, True)),
    "domain": ('"a.example"', "b.example", "C.example", ("a.example", "b.example", "c.example")),
    "workers": ("1", "2", "3", (1, 2, 3)),
    "durability": ('"none"', "full", "none", ("none", "full", "none")),
}


@pytest.mark.parametrize("name", VALUES)
def test_flag_over_environment_over_file(home: Path, name: str) -> None:
    in_file, in_environment, in_flag, (first, second, third) = VALUES[name]
    toml = f"[s3_gateway]\n{name} = {in_file}\n"
    environ = {f"CURVINE_S3_{name.upper()}": in_environment}
    flag = f"--{name.replace('_', '-')}={in_flag}"
    assert getattr(load(home, toml=toml), name) == first
    assert getattr(load(home, toml=toml, **environ), name) == second
    assert getattr(load(home, flag, toml=toml, **environ), name) == third
    assert getattr(load(home, flag), name) == third


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_flag_variable_and_key(home: Path, name: str) -> None:
    kind = SETTINGS[name].kind
    text, value = next((t, kind.parse(t)) for t in CANDIDATES if _parses(kind, t))
    partner = {"tls_cert": ["--tls-key=/key"], "tls_key": ["--tls-cert=/cert"]}.get(name, [])
    toml = f"[s3_gateway]\n{name} = {text if kind.toml[0] in (int, float, bool) else repr(text)}\n"
    flag = "--" + name.replace("_", "-")
    assert getattr(load(home, flag, text, *partner), name) == value
    assert getattr(load(home, *partner, **{f"CURVINE_S3_{name.upper()}": text}), name) == value
    assert getattr(load(home, *partner, toml=toml), name) == value


CANDIDATES = ("/some/path", "file:///some/store", "localhost:1", "7", "2", "true", "none", "a.example")


def _parses(kind: config.Kind[object], text: str) -> bool:
    try:
        kind.parse(text)
    except (ValueError, KeyError):
        return False
    return True


def test_an_empty_variable_is_not_set(home: Path) -> None:
    assert load(home, CURVINE_S3_REGION="").region == "us-east-1"


def test_a_boolean_flag_may_stand_alone(home: Path) -> None:
    assert load(home, "--enable-distributed-auth").enable_distributed_auth
    assert not load(home, "--enable-distributed-auth", "false", toml="[s3_gateway]\n").enable_distributed_auth


REFUSED_FILES = {
    "toml": ("[s3_gateway\n", ["is not TOML", "line 1"]),
    "latin-1": ("[s3_gateway]\nregion = '\udce9'\n", ["is not UTF-8"]),
    "unknown": ("[s3_gateway]\nput_tmp_dir = '/a'\n", ["put_tmp_dir is not a setting", "did you mean put_temp_dir?"]),
    "unlike anything": ("[s3_gateway]\nxyzzy = 1\n", ["xyzzy is not a setting"]),
    "type": ("[s3_gateway]\nlisten = 9900\n", ["listen = 9900", "string in quotes"]),
    "bool for int": ("[s3_gateway]\nthreads = true\n", ["threads = true", "an integer"]),
    "text for int": ("[s3_gateway]\nthreads = '3'\n", ["threads = '3'", "an integer"]),
    "value": ("[s3_gateway]\nget_chunk_size_mb = 3.0\n", ["get_chunk_size_mb", "0.5, 1 or 2"]),
    "nan": ("[s3_gateway]\nget_chunk_size_mb = nan\n", ["get_chunk_size_mb", "0.5, 1 or 2"]),
    "interval": ("[s3_gateway]\ncache_refresh_interval_secs = 0\n", ["cache_refresh_interval_secs", "from 1 to"]),
    "huge": ("[s3_gateway]\nthreads = 1" + "0" * 400 + "\n", ["threads", "from 1 to"]),
    "relative": ("[s3_gateway]\nput_temp_dir = 'tmp'\n", ["put_temp_dir", "absolute path"]),
    "store": ("[s3_gateway]\nstore = '/data'\n", ["store", "file:///absolute/path"]),
    "no section": ("s3_gateway = 1\n", ["[s3_gateway]"]),
}


@pytest.mark.parametrize("case", REFUSED_FILES)
def test_a_wrong_file_is_refused_in_one_line(home: Path, case: str) -> None:
    toml, expected = REFUSED_FILES[case]
    file = home / "conf" / "curvine-cluster.toml"
    file.write_bytes(toml.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError) as raised:
        load(home, "--region=fine")
    message = str(raised.value)
    assert str(file) in message and "\n" not in message
    for part in expected:
        assert part in message


def test_a_wrong_line_is_refused_also_where_a_flag_overrides_it(home: Path) -> None:
    with pytest.raises(ConfigError, match="threads"):
        load(home, "--threads=3", toml="[s3_gateway]\nthreads = 0\n")


def test_a_named_file_must_exist(home: Path) -> None:
    with pytest.raises(ConfigError, match="missing.toml: cannot be read"):
        load(home, "--conf", str(home / "missing.toml"))


def test_a_named_file_is_read_instead_of_the_default_one(home: Path) -> None:
    (home / "other.toml").write_text("[s3_gateway]\nregion = 'other'\n")
    loaded = load(home, "--conf", str(home / "other.toml"), toml="[s3_gateway]\nregion = 'default'\n")
    assert (loaded.region, loaded.conf) == ("other", home / "other.toml")


def test_help_breaks_no_value(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for columns in range(60, 100):
        monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit):
            config.SettingsParser("x", "", "").parse_args(["--help"])
        assert "us-east-1)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags", [["--conf"], ["--listen", "9900"], ["--threads", "0"], ["--nope"], ["--regio=x"], ["stray"]]
)
def test_a_wrong_flag_is_a_usage_error(home: Path, flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        load(home, *flags)
    assert stopped.value.code == 2
    usage, problem = capsys.readouterr().err.splitlines()
    assert usage.startswith("usage: prog serve") and problem.startswith("prog serve: ")


def test_a_wrong_variable_is_named(home: Path) -> None:
    with pytest.raises(ConfigError, match="CURVINE_S3_THREADS = 'many': must be an integer from 1"):
        load(home, CURVINE_S3_THREADS="many")


def test_an_unknown_variable_is_warned_of(home: Path) -> None:
    assert load(home, CURVINE_S3_LISTE="x").warnings == (
        "CURVINE_S3_LISTE is not a setting; did you mean CURVINE_S3_LISTEN?",
    )


@pytest.mark.parametrize("key", ["web_port", "access_key", "secret_key", "get_mpsc_capacity", "get_prefetch_depth"])
def test_keys_of_the_old_gateway_are_accepted_with_a_warning(home: Path, key: str) -> None:
    (warning,) = load(home, toml=f"[s3_gateway]\n{key} = 'anything-secret'\n").warnings
    assert f"{key} is not used any more: " in warning and "anything-secret" not in warning


MASTERS = {
    "client": ('[client]\nmaster_addrs = [{ hostname = "m1", port = 1 }, { hostname = "m2" }]\n', "m1:1,m2:8995"),
    "journal": (
        '[master]\nrpc_port = 7\n[journal]\njournal_addrs = [{ id = 1, hostname = "j", port = 8996 }]\n',
        "j:7",
    ),
    "master": ('[master]\nhostname = "m"\n', "m:8995"),
}


@pytest.mark.parametrize("case", MASTERS)
def test_a_file_that_names_masters_means_curvine(home: Path, case: str) -> None:
    toml, addresses = MASTERS[case]
    assert load(home, toml=toml).store == f"curvine://{addresses}/"
    assert load(home, f"--store=file://{home}/here", toml=toml).store_path == home / "here"
    assert load(home, toml=f"{toml}[s3_gateway]\nstore = 'file:///x'\n").store_path == Path("/x")


def test_other_sections_are_never_an_error(home: Path) -> None:
    load(home, toml="client = 3\nworker = 'x'\n[master]\nrpc_port = 'y'\n[journal]\njournal_addrs = [1, {}]\n")


SERVER = "[master]\nmeta_dir = 'm'\n[worker]\ndata_dir = []\n[journal]\njournal_dir = 'j'\n"


@pytest.mark.parametrize(
    "toml, dangers",
    [
        (SERVER, ("format_master is not", "format_worker is not", "retry_interval_secs is 10")),
        (
            "format_master = true\nformat_worker = false\n" + SERVER,
            ("format_master is not", "retry_interval_secs is 10"),
        ),
        ("format_master = false\nformat_worker = false\n" + SERVER + "retry_interval_secs = 1\n", ()),
        ("[journal]\nretry_interval_secs = 2\n", ("retry_interval_secs is 2",)),
        (MASTERS["master"][0] + MASTERS["client"][0], ()),
    ],
)
def test_what_loses_data_in_a_cluster_is_warned_of(home: Path, toml: str, dangers: tuple[str, ...]) -> None:
    warnings = load(home, toml=toml).warnings
    assert len(warnings) == len(dangers)
    assert all(danger in warning for danger, warning in zip(dangers, warnings, strict=True))


@pytest.mark.parametrize("flag", ["--tls-cert=/x", "--tls-key=/x"])
def test_certificate_and_key_belong_together(home: Path, flag: str) -> None:
    with pytest.raises(ConfigError, match="tls_cert and tls_key belong together"):
        load(home, flag)


def test_distributed_credentials_lie_in_the_store(home: Path) -> None:
    place = credentials_place(load(home, "--enable-distributed-auth"))
    assert place.label == str(home / "data/system/auth/credentials.jsonl")
    elsewhere = load(home, "--enable-distributed-auth", "--credentials-path=/system/../../../system/keys")
    assert credentials_place(elsewhere).label == str(home / "data/system/keys")
    cluster = load(home, "--enable-distributed-auth", "--store=curvine://a:1,b:2/")
    assert credentials_place(cluster).label == "curvine://a:1,b:2/system/auth/credentials.jsonl"


IN_A_BUCKET = [
    *(f"--{name}=/srv/data/bucket/x" for name in ("credentials-path", "put-temp-dir", "multipart-temp", "log-file")),
    "--credentials-path=/srv/data/bucket/x --tls-cert=/x --tls-key=/srv/data/y/z",
    "--tls-cert=/x --tls-key=/srv/data/certificates/key.pem",
    "--put-temp-dir=/srv/data/other/../bucket",
    "--enable-distributed-auth --credentials-path=/auth/credentials.jsonl",
    "--enable-distributed-auth --credentials-path=/keys",
    "--enable-distributed-auth --credentials-path=/auth/keys --store=curvine://a:1/",
]


@pytest.mark.parametrize("flags", IN_A_BUCKET)
def test_nothing_of_ours_lies_in_a_bucket(home: Path, flags: str) -> None:
    """Any key could read the secrets of all others there."""
    with pytest.raises(ConfigError, match="lies in the bucket"):
        load(home, "--store=file:///srv/data", *flags.split())


OUTSIDE = [
    "--credentials-path=/srv/data/.curvine/credentials.jsonl",
    "--credentials-path=/srv/database/x --put-temp-dir=/srv",
    "--put-temp-dir=/srv/data/.temp",
    "--store=curvine://a:1/ --credentials-path=/srv/data/bucket/x",
    "--enable-distributed-auth --credentials-path=/system/other",
]


@pytest.mark.parametrize("flags", OUTSIDE)
def test_what_no_bucket_can_be_named_is_hidden(home: Path, flags: str) -> None:
    load(home, "--store=file:///srv/data", *flags.split())


ADDRESSES = {
    "0.0.0.0:9900": ("0.0.0.0", 9900),
    "localhost:0": ("localhost", 0),
    "s3.example.com:65535": ("s3.example.com", 65535),
    "[::]:9900": ("::", 9900),
    "[fe80::1%eth0]:1": ("fe80::1%eth0", 1),
}


@pytest.mark.parametrize("text", ADDRESSES)
def test_addresses(text: str) -> None:
    address = config.ADDRESS.parse(text)
    assert address == Address(*ADDRESSES[text]) and str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9900",
        ":9900",
        "*:9900",
        "a",
        "a:",
        "a:65536",
        "a:-1",
        "a:b",
        "::1:9900",
        "[x",
        "http://a:1",
        "a b:1",
        "a:²",
        "a..b:1",
        "a" * 64 + ":1",
    ],
)
def test_no_addresses(text: str) -> None:
    with pytest.raises(ValueError):
        config.ADDRESS.parse(text)


@pytest.mark.parametrize(
    "text", ["http://a", "file://host/x", "file:x", "file:///x?y", "file:///x%00", "curvine://", "curvine://a", ""]
)
def test_no_stores(text: str) -> None:
    with pytest.raises(ValueError):
        config.STORE.parse(text)


def test_the_store_path_is_decoded(home: Path) -> None:
    assert load(home, "--store=file:///a%20b/c").store_path == Path("/a b/c")


def test_help_names_every_setting(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        load(home, "--help")
    text = capsys.readouterr().out
    assert stopped.value.code == 0
    for name in SETTINGS:
        assert f"--{name.replace('_', '-')} " in text


def test_readme_has_the_settings_as_they_are_defined() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert config.replace_table(text) == text, "run: python -m s3server.config README.md"
    assert config.markdown_table() in text


def test_every_field_is_a_setting_or_derived() -> None:
    assert {f.name for f in dataclasses.fields(ServerConfig)} - set(SETTINGS) == {"home", "conf", "warnings"}


def test_two_listeners_need_two_addresses(home: Path) -> None:
    with pytest.raises(ConfigError, match="web_listen: 127.0.0.1:9900 is where S3 is served"):
        load(home, "--listen=127.0.0.1:9900", "--web-listen=127.0.0.1:9900")
    assert load(home, "--listen=127.0.0.1:0", "--web-listen=127.0.0.1:0").web_listen == Address("127.0.0.1", 0)
