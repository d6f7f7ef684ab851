"""Names that mean something to a file system, and files that somebody else left in the store: they stay what they are.

Follows docs/architecture.md 3; "Object key naming guidelines" (Amazon S3 User Guide).
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import pytest

from tests.gateway import Gateway
from tests.hostile.wire import Answer, call

pytestmark = pytest.mark.compat

KEYS = [
    *("../x", "..", ".", "./x", "a/../b", "a/./b", "a//b", "a/", "a//", "/a", "//", "/" * 40, "./" * 40),
    *(
        "~",
        " ",
        "\t",
        "\r\n",
        "\x7f",
        "\x01",
        "\0",
        "a\0b",
        "%00",
        "%",
        "?x",
        "*",
        "[a]",
        "\\",
        "-rf",
        "$(id)",
        "'\"<&>",
    ),
    *(".s3~", ".s3~self", ".s3~marker", ".s3~tmp.x", ".s3~=x", ".s3~=%2E", ".s3~+x", "b/.s3~self", "/.s3~/format.json"),
    *("é" * 512, "😀" * 256, "x" * 255, "x" * 256, "x" * 1024, "é" * 127 + "/", "ﬀ", "e\u0301", "\u00e9", "\ufffe"),
]


def test_keys_are_only_names(gateway: Gateway) -> None:
    assert call(gateway, "PUT", "/names").status == 200
    outside = set(gateway.data.iterdir())
    for key in KEYS:
        assert call(gateway, "PUT", f"/names/{quote(key)}", key.encode()).status == 200, key
    for key in KEYS:
        assert call(gateway, "GET", f"/names/{quote(key)}").body == key.encode(), key
    listed = call(gateway, "GET", "/names?encoding-type=url").texts("Contents/Key")
    assert listed == [quote(key, safe="/") for key in sorted(KEYS, key=str.encode)]
    for key in KEYS:
        assert call(gateway, "DELETE", f"/names/{quote(key)}").status == 204
        assert call(gateway, "GET", f"/names/{quote(key)}").told == (404, "NoSuchKey")
    assert set(gateway.data.iterdir()) == outside and list((gateway.data / "names").iterdir()) == []


@pytest.mark.parametrize("name", ["lnk", "filebucket", "fifobkt", "inside"])
def test_what_is_no_directory_is_no_bucket(gateway: Gateway, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("secret")
    path = gateway.data / name
    match name:
        case "lnk":
            path.symlink_to(tmp_path)
        case "inside":
            path.symlink_to("bkt")
        case "fifobkt":
            os.mkfifo(path)
        case _:
            path.write_text("x")
    try:
        for target in ("", "/secret", "/k"):
            for method in ("GET", "HEAD", "DELETE"):
                assert call(gateway, method, f"/{name}{target}").status == 404
        assert call(gateway, "PUT", f"/{name}/new", b"x").status == 404
        assert call(gateway, "PUT", f"/{name}").told == (409, "BucketAlreadyExists")
        assert name not in call(gateway, "GET", "/").texts("Buckets/Bucket/Name")
        assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]
    finally:
        path.unlink()


@pytest.fixture(scope="module")
def strange(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bucket in which other tools have left what is no object."""
    assert call(gateway, "PUT", "/strange").status == 200
    root, outside = gateway.data / "strange", tmp_path_factory.mktemp("outside")
    (outside / "secret").write_text("secret")
    (root / "plain").write_text("plain")
    (root / "link").symlink_to(outside / "secret")
    (root / "dangling").symlink_to(outside / "new")
    (root / "loop").symlink_to("loop")
    (root / "inner").symlink_to("plain")
    (root / "dirlink").symlink_to(outside)
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.open(root, os.O_RDONLY)  # the path itself may be too long for a socket's address
        bound.bind(f"/proc/self/fd/{here}/sock")
        os.close(here)
    (root / "selfdir" / ".s3~self").mkdir(parents=True)
    (root / "markerlink").mkdir()
    (root / "markerlink" / ".s3~marker").symlink_to(outside / "secret")
    for name in (".s3~=plain", ".s3~+x", ".s3~unknown"):
        (root / name).write_text("x")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe")).write_text("x")
    yield root
    assert (outside / "secret").read_text() == "secret" and len(list(outside.iterdir())) == 1


STRANGE = [
    *("link", "dangling", "loop", "inner", "dirlink", "fifo", "sock", "selfdir", "markerlink/"),
    *("dirlink/secret", "dirlink/new", "fifo/x", "sock/x", "loop/x"),
]


@pytest.mark.parametrize("key", STRANGE)
def test_what_is_no_file_is_no_object(gateway: Gateway, strange: Path, key: str) -> None:
    target = f"/strange/{key}"
    assert call(gateway, "GET", target).told == (404, "NoSuchKey")
    assert call(gateway, "HEAD", target).status == 404
    assert call(gateway, "PUT", "/strange/copy", None, {"x-amz-copy-source": target}).told == (404, "NoSuchKey")
    for body in (b"x", b"x" * (2 << 20)):
        assert call(gateway, "PUT", target, body).told == (403, "AccessDenied")
    answer = call(gateway, "PUT", target, None, {"x-amz-copy-source": "/strange/plain"})
    assert b"<Code>AccessDenied</Code>" in answer.body
    assert call(gateway, "DELETE", target).status == 204


@pytest.mark.parametrize("query", ["", "list-type=2", "versions", "delimiter=/", "delimiter=i", "prefix=dirlink/"])
def test_it_is_not_listed_either(gateway: Gateway, strange: Path, query: str) -> None:
    answer = call(gateway, "GET", f"/strange?{query}")
    found = answer.texts("Contents/Key") + answer.texts("Version/Key") + answer.texts("CommonPrefixes/Prefix")
    assert set(found) <= {"plain", "plai"} and answer.status == 200


FORGED = [
    b"\xff\xfe",
    b"{",
    b"[" * 2000,
    b'{"etag":"x","size":NaN,"mtime":Infinity}',
    *[
        json.dumps({"etag": "a" * 32, "size": 5, "mtime": 10**12, **fields}).encode()
        for fields in (
            {"etag": "x\r\nX-Evil: 1"},
            {"etag": '"'},
            {"type": "a\r\nX-Evil: 1"},
            {"type": "\ud800"},
            {"type": "t" * 2000},
            {"headers": {"expires": "a\r\nX-Evil: 1", "x-evil": "1"}},
            {"metadata": {"a\r\nX-Evil": "1", "b": "c\r\nX-Evil: 1", "d": "\u4e2d\0"}},
            {"class": "<a>"},
            {"class": 1},
            {"checksums": {"X><Y": "z"}, "checksum_type": "FULL_OBJECT"},
            {"checksums": {"CRC32": "x\r\nX-Evil: 1"}, "checksum_type": "\r\nX-Evil: 1"},
            {"parts": [[1, -5, "x", {}, None]], "parts_count": 1},
            {"parts_count": "\r\nX-Evil: 1"},
            {"upload": ""},
            {"side": "../../format.json"},
            {"side": 1},
        )
    ],
]
READS = [
    ("GET", "/strange/forged", {}),
    ("HEAD", "/strange/forged", {}),
    ("GET", "/strange/forged", {"x-amz-checksum-mode": "ENABLED"}),
    ("GET", "/strange/forged?partNumber=1", {}),
    ("GET", "/strange/forged?attributes", {"x-amz-object-attributes": "ETag,Checksum,ObjectParts,StorageClass"}),
    ("GET", "/strange?prefix=forged", {}),
    ("GET", "/strange?prefix=forged&list-type=2", {}),
    ("GET", "/strange?prefix=forged&versions", {}),
    ("PUT", "/strange/copied", {"x-amz-copy-source": "/strange/forged"}),
]


@pytest.mark.parametrize("value", FORGED, ids=range(len(FORGED)))
def test_forged_attributes(gateway: Gateway, strange: Path, value: bytes) -> None:
    path = strange / "forged"
    path.write_bytes(b"hello")
    os.utime(path, (10**9, 10**9))
    try:
        os.setxattr(path, "user.s3", value)
    except OSError as error:
        pytest.skip(f"the file system takes no such attribute: {error}")
    for method, target, headers in READS:
        answer = call(gateway, method, target, None, headers)
        assert answer.status in (200, 206) or answer.told == (400, "InvalidPart"), (target, answer)
        assert_parses(answer)
    assert call(gateway, "GET", "/strange/copied").body == b"hello"
    call(gateway, "DELETE", "/strange/copied")


def test_attributes_of_others_are_not_told(gateway: Gateway, strange: Path) -> None:
    path = strange / "tagged"
    path.write_bytes(b"hello")
    try:
        for name, value in (("user.color", b"red"), ("user.\u00e9\n", b"\xff\r\nX-Evil: 1"), ("user.s3x", b"{")):
            os.setxattr(path, name, value)
    except OSError as error:
        pytest.skip(f"the file system takes no such attributes: {error}")
    for method in ("GET", "HEAD"):
        answer = call(gateway, method, "/strange/tagged")
        assert answer.status == 200 and not [name for name in answer.headers if "meta" in name or "evil" in name]


def assert_parses(answer: Answer) -> None:
    assert "x-evil" not in answer.headers
    if answer.headers["content-type"] == "application/xml" and answer.body not in (b"", b"hello"):
        ElementTree.fromstring(answer.body)


FIELDS: dict[str, list[object]] = {
    "id": ["..", "", "a/b", 1],
    "owner": [1, "<", "\0", None],
    "name": ["\0"],
    "created": ["x", 1e999],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field in FIELDS for value in FIELDS[field]])
def test_forged_buckets(gateway: Gateway, field: str, value: object) -> None:
    path = gateway.data / "forgedbucket"
    path.mkdir()
    whole = {"bucket": "forgedbucket", "id": "a" * 24, "owner": "o", "name": "n", "created": 1.0, field: value}
    try:
        os.setxattr(path, "user.s3", json.dumps(whole).encode())
    except OSError as error:
        path.rmdir()
        pytest.skip(f"the file system takes no attributes: {error}")
    state = {path.name for path in (gateway.data / ".s3~").glob("b/*")}
    for method, target in (
        ("GET", ""),
        ("GET", "?acl"),
        ("GET", "?versions"),
        ("GET", "?list-type=2&fetch-owner=true"),
    ):
        answer = call(gateway, method, f"/forgedbucket{target}")
        assert answer.status == 200
        assert_parses(answer)
    assert_parses(call(gateway, "GET", "/"))
    assert call(gateway, "POST", "/forgedbucket/k?uploads").status == 200
    assert call(gateway, "DELETE", "/forgedbucket").status == 204
    assert {path.name for path in (gateway.data / ".s3~").glob("b/*")} == state
