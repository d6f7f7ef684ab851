"""The credentials file: lenient reading, atomic changes, keys and secrets that we accept."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from s3server import credentials_file
from s3server.credentials_file import Credential, CredentialsFile, Secret
from s3server.credentials_place import CredentialError, DiskPlace

KEY, OTHER = "AKIAEXAMPLEKEY123", "AqU4axe4feDyIielarPI"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
OLD_LINE = (
    f'{{"access_key":"{KEY}","secret_key":"{SECRET}","created_at":1640995200,"enabled":true,'
    '"description":"Production access key"}'
)


def path_of(file: CredentialsFile) -> Path:
    assert isinstance(file.place, DiskPlace)
    return file.place.path


@pytest.fixture
def file(tmp_path: Path) -> CredentialsFile:
    return CredentialsFile(tmp_path / "deep" / "credentials.jsonl")


def credential(key: str = KEY, secret: str = SECRET) -> Credential:
    return Credential(key, Secret(secret), 1640995200)


def written(file: CredentialsFile, text: str | bytes) -> CredentialsFile:
    path_of(file).parent.mkdir(exist_ok=True)
    path_of(file).write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def known(file: CredentialsFile) -> dict[str, Credential]:
    return credentials_file.read(path_of(file)).credentials


def test_a_secret_hides_itself() -> None:
    assert SECRET not in repr(credential()) + str(credential()) + f"{Secret(SECRET)}"
    assert Secret(SECRET).reveal() == SECRET


# ------------------------------------------------------------------------------------------------------- reading


def test_a_file_of_the_old_gateway_loads_as_it_is(file: CredentialsFile) -> None:
    written(file, OLD_LINE)  # without a newline, as an interrupted append leaves it
    assert known(file) == {KEY: Credential(KEY, Secret(SECRET), 1640995200, description="Production access key")}


def test_the_last_line_of_a_key_wins_so_a_disabled_line_revokes(file: CredentialsFile) -> None:
    written(file, OLD_LINE + "\n\n" + OLD_LINE.replace("true", "false") + "\n")
    assert not known(file)[KEY].enabled
    written(file, OLD_LINE.replace("true", "false") + "\n" + OLD_LINE + "\n")
    assert known(file)[KEY].enabled


BAD_LINES = {
    "json": b"{",
    "utf-8": OLD_LINE.encode().replace(b"Production", b"\xff"),
    "list": b"[1]",
    "depth": b"[" * 100_000,
    "no key": OLD_LINE.replace("access_key", "acces_key").encode(),
    "key is number": OLD_LINE.replace(f'"{KEY}"', "3").encode(),
    "empty key": OLD_LINE.replace(KEY, "").encode(),
    "no secret": OLD_LINE.replace("secret_key", "secret").encode(),
    "empty secret": OLD_LINE.replace(SECRET, "").encode(),
    "enabled is text": OLD_LINE.replace("true", '"true"').encode(),
    "created is text": OLD_LINE.replace("1640995200", '"1"').encode(),
    "description is number": OLD_LINE.replace('"Production access key"', "3").encode(),
    "surrogate": OLD_LINE.replace(SECRET, "\\ud800" * 16).encode(),
    "nul": OLD_LINE.replace(SECRET, "\\u0000" * 16).encode(),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_a_bad_line_is_skipped_and_named_without_its_content(file: CredentialsFile, case: str) -> None:
    other = OLD_LINE.replace(KEY, OTHER).encode()
    written(file, other + b"\n" + BAD_LINES[case] + b"\n")
    contents = credentials_file.read(path_of(file))
    (bad,) = contents.bad
    assert list(contents.credentials) == [OTHER]
    assert bad.startswith("line 2: ") and SECRET not in bad and "Production" not in bad and "\n" not in bad


def test_a_missing_file_is_empty_and_a_directory_is_an_error(file: CredentialsFile, tmp_path: Path) -> None:
    assert credentials_file.read(path_of(file)) == ([], [], None)
    with pytest.raises(CredentialError, match="Is a directory"):
        credentials_file.read(tmp_path)


def test_a_pipe_does_not_hang(file: CredentialsFile, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert credentials_file.read(tmp_path / "pipe").credentials == {}


# ------------------------------------------------------------------------------------------------------ changing


def test_add_makes_a_private_file_that_anybody_can_parse(file: CredentialsFile) -> None:
    file.add(Credential(KEY, Secret(SECRET), 1640995200, description="dé", user="ann"))
    (line,) = path_of(file).read_text("utf-8").splitlines()
    assert list(json.loads(line)) == ["access_key", "secret_key", "created_at", "enabled", "description", "user"]
    assert stat.S_IMODE(path_of(file).stat().st_mode) == 0o600
    assert stat.S_IMODE(path_of(file).parent.stat().st_mode) == 0o700
    assert sorted(os.listdir(path_of(file).parent)) == ["credentials.jsonl", "credentials.jsonl.lock"]


def test_a_duplicate_is_refused_enabled_or_not(file: CredentialsFile) -> None:
    file.add(credential())
    file.set_enabled(KEY, False)
    with pytest.raises(CredentialError, match="exists already"):
        file.add(credential(secret="another-secret-0"))
    assert known(file)[KEY].secret == Secret(SECRET)


def test_other_lines_stay_byte_for_byte(file: CredentialsFile) -> None:
    foreign = (
        b'{ "access_key" :"%s","secret_key":"xxxxxxxxxxxxxxxx","created_at":1,"enabled":true,"new":[1]}'
        % OTHER.encode()
    )
    written(file, b"not json\n\n" + foreign + b"\n" + OLD_LINE.encode())
    file.set_enabled(KEY, False)
    lines = path_of(file).read_bytes().split(b"\n")
    assert lines[:3] == [b"not json", b"", foreign] and lines[4:] == [b""]
    assert json.loads(lines[3]) == {**json.loads(OLD_LINE), "enabled": False}


def test_changing_a_key_keeps_unknown_fields_and_one_line(file: CredentialsFile) -> None:
    newer = OLD_LINE.replace("}", ',"note":{"a":1}}')
    written(file, f"{OLD_LINE}\n{newer}\n")
    secret = file.rotate(KEY)
    (line,) = path_of(file).read_text().splitlines()
    assert json.loads(line) == {**json.loads(newer), "secret_key": secret.reveal()}
    assert secret.reveal() != SECRET and len(secret.reveal()) == 40


def test_delete_leaves_a_disabled_line_without_any_secret(file: CredentialsFile) -> None:
    written(file, OLD_LINE + "\n" + OLD_LINE.replace(SECRET, "old-secret-000000"))
    file.delete(KEY)
    text = path_of(file).read_text()
    assert SECRET not in text and "old-secret" not in text and json.loads(text)["enabled"] is False
    assert known(file)[KEY].deleted
    for change in (lambda: file.set_enabled(KEY, True), lambda: file.rotate(KEY), lambda: file.delete(KEY)):
        with pytest.raises(CredentialError, match="no such key"):
            change()
    file.add(credential())
    assert known(file)[KEY].enabled and len(path_of(file).read_text().splitlines()) == 1


def test_changes_of_unknown_keys_are_refused_and_write_nothing(file: CredentialsFile) -> None:
    written(file, OLD_LINE)
    before = path_of(file).stat().st_ino
    with pytest.raises(CredentialError, match="no such key"):
        file.set_enabled(OTHER, True)
    assert path_of(file).stat().st_ino == before


def test_add_missing_appends_only_where_there_is_no_line(file: CredentialsFile) -> None:
    assert file.add_missing(credential()) is None
    assert file.add_missing(credential(secret="another-secret-0")) == credential()
    file.delete(KEY)
    old = file.add_missing(credential())
    assert old is not None and old.deleted and known(file)[KEY].deleted


def test_add_first_is_for_blank_files_only(file: CredentialsFile) -> None:
    assert file.add_first(credential())
    assert not file.add_first(credential(OTHER))
    assert written(file, "\n \n").add_first(credential(OTHER))
    assert not written(file, "not json").add_first(credential())
    assert path_of(file).read_text() == "not json"


def test_a_link_is_followed_and_kept(file: CredentialsFile, tmp_path: Path) -> None:
    real = tmp_path / "real.jsonl"
    path_of(file).parent.mkdir()
    path_of(file).symlink_to(real)
    file.add(credential())
    assert path_of(file).is_symlink() and OTHER not in real.read_text() and KEY in real.read_text()


def test_the_lock_is_not_opened_through_a_link(file: CredentialsFile, tmp_path: Path) -> None:
    path_of(file).parent.mkdir()
    (tmp_path / "victim").write_text("")
    path_of(file).with_name("credentials.jsonl.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(CredentialError, match="cannot be changed"):
        file.add(credential())


def _add_some(path: Path, worker: int) -> None:
    for number in range(5):
        CredentialsFile(path).add(credential(f"AKIA{worker:06}{number:06}"))


def test_processes_do_not_lose_each_others_keys(file: CredentialsFile) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_add_some, args=(path_of(file), n)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [w.exitcode for w in workers] == [0, 0, 0] and len(known(file)) == 15


def test_generated_keys_are_legal_and_new() -> None:
    first, second = credentials_file.generated(), credentials_file.generated(user="ann", description="d")
    for made in (first, second):
        assert made.secret and made.access_key.startswith("AKIA") and len(made.access_key) == 20
        credentials_file.check(made.access_key, made.secret.reveal())
    assert first.access_key != second.access_key and (second.user, second.description) == ("ann", "d")


@pytest.mark.parametrize("key", ["A" * 16, "A" * 32, KEY, OTHER])
@pytest.mark.parametrize("secret", ["s" * 16, "s" * 64, SECRET, "0CJZ2QfHi2tDb4DKuCJ2vnBEUXg5EYQt"])
def test_legal_pairs(key: str, secret: str) -> None:
    credentials_file.check(key, secret)


@pytest.mark.parametrize(
    "key", ["", "A" * 15, "A" * 33, "A" * 16 + "/", "A" * 16 + ":", "A" * 16 + " ", "A" * 16 + "\n", "é" * 16]
)
def test_illegal_keys(key: str) -> None:
    with pytest.raises(CredentialError, match="access key: must be 16 to 32"):
        credentials_file.check(key, SECRET)


@pytest.mark.parametrize("secret", ["", "s" * 15, "s" * 65, "s" * 16 + " ", "s" * 16 + "\n", "s" * 16 + "\0"])
def test_illegal_secrets(secret: str) -> None:
    with pytest.raises(CredentialError, match="secret key: must be 16 to 64") as raised:
        credentials_file.check(KEY, secret)
    assert "ssss" not in str(raised.value)


@pytest.mark.parametrize(
    "labels", [("", None), ("curvine", None), ("x" * 65, None), (None, ""), (None, "a\nb"), ("\t", None)]
)
def test_illegal_labels(labels: tuple[str | None, str | None]) -> None:
    with pytest.raises(CredentialError):
        credentials_file.check_labels(*labels)
