"""Whatever stands in files, flags and variables: a value or one line of refusal, and no line of a key is lost."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from s3server import config, credentials_file, log, settings_file
from s3server.config import SETTINGS, ConfigError
from s3server.credentials_file import Credential, CredentialsFile, Secret
from s3server.credentials_place import CredentialError

TEXT = st.text(st.characters(codec=None), max_size=30) | st.from_regex(r"[\[\]~/:.0-9a-z]{0,20}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)
FIELDS = ("access_key", "secret_key", "created_at", "enabled", "description", "user", "policy")
RECORDS = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=7)
KEYS = st.sampled_from(["AKIA0000000000000001", "AKIA0000000000000002"])
GOOD = st.builds(
    lambda key, secret, enabled: {"access_key": key, "secret_key": secret, "created_at": 1, "enabled": enabled},
    KEYS,
    st.sampled_from(["secret-number-one", "secret-number-two"]),
    st.booleans(),
)
LINES = st.lists(
    st.one_of(GOOD.map(json.dumps).map(str.encode), RECORDS.map(json.dumps).map(str.encode), st.binary(max_size=20))
)


@given(st.sampled_from(sorted(SETTINGS)), TEXT)
@example("put_temp_dir", "~nobody-of-this-name/x")
@example("store", "file://[")
@example("listen", "[" * 20 + "]:1")
def test_a_setting_is_parsed_or_refused_in_one_line(name: str, text: str) -> None:
    try:
        config._parse(SETTINGS[name].kind, text, name)
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1


@given(
    st.one_of(
        st.binary(max_size=100), st.text(max_size=50).map(lambda t: f"[s3_gateway]\n{t}".encode("utf-8", "replace"))
    )
)
def test_a_file_is_read_or_refused_in_one_line(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "file.toml"
        file.write_bytes(data)
        try:
            settings_file.read(file, {name: made.kind.toml for name, made in SETTINGS.items()})
        except ConfigError as error:
            assert str(file) in str(error) and len(str(error).splitlines()) == 1


@given(
    st.dictionaries(st.sampled_from(["client", "master", "journal"]), st.dictionaries(st.text(max_size=12), JSON))
    | JSON
)
@example({"client": {"master_addrs": [{"hostname": 3}]}})
@example({"journal": {"journal_addrs": {"hostname": "x"}}})
def test_other_sections_never_fail(document: object) -> None:
    found = settings_file.masters(document if isinstance(document, dict) else {"client": document})
    assert all(isinstance(address, str) for address in found)


@given(st.text(max_size=40))
def test_rust_log_gives_levels_or_a_value_error(text: str) -> None:
    try:
        assert log.ROOT in log.levels(text)
    except ValueError:
        pass


@given(LINES, KEYS)
def test_changing_a_key_keeps_every_other_line(lines: list[bytes], key: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "credentials.jsonl"
        file = CredentialsFile(path)
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        before = credentials_file.read(path)
        others = [x.raw for x in before.lines if not x.credential or x.credential.access_key != key]
        try:
            file.add(Credential(key, Secret("a-secret-for-it-0"), 1))
        except CredentialError:
            file.delete(key)
        after = credentials_file.read(path)
        assert [x.raw for x in after.lines if not x.credential or x.credential.access_key != key] == others
        assert len([x for x in after.lines if x.credential and x.credential.access_key == key]) == 1
        assert after.bad and before.bad or not after.bad and not before.bad
        assert {k: c for k, c in after.credentials.items() if k != key} == {
            k: c for k, c in before.credentials.items() if k != key
        }
