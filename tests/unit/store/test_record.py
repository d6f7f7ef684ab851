"""Records: what is written comes back; what others wrote never raises and never speaks for our bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curvinefs.api import FileKind, FileStatus
from s3proto import metadata, tagging, xml
from s3proto.acl import OBJECT_ACLS
from s3proto.checksums import elements
from s3proto.checksums import headers as checksum_headers
from s3proto.http import response_head
from s3proto.listing import Listing, object_versions, objects_v2
from s3proto.model import Checksums, ListPage, ObjectAttributes, Owner
from s3proto.names import is_bucket_name
from s3server.store.record import (
    ATTRIBUTE,
    INLINE,
    PartRecord,
    Record,
    decode,
    decode_side,
    encode,
    encode_attribute,
    encode_side,
    foreign,
    info_of,
    of_status,
    row_of,
)

text = st.text(st.characters(codec="utf-8"), max_size=20)
pairs = st.dictionaries(text, text, max_size=3).map(lambda d: tuple(d.items()))
checksums = st.one_of(
    st.just(Checksums()),
    st.builds(Checksums, st.just((("CRC32", "AAAAAA=="),)), st.sampled_from(["FULL_OBJECT", "COMPOSITE"])),
)
word = st.from_regex("[0-9a-f]{1,40}", fullmatch=True)
sums = st.dictionaries(st.sampled_from(["CRC32", "CRC64NVME", "SHA1"]), word).map(lambda d: tuple(d.items()))
records = st.builds(
    Record,
    etag=st.from_regex("[0-9a-f]{32}(-[1-9]{1,4})?", fullmatch=True),
    size=st.integers(0, 1 << 50),
    mtime_ms=st.integers(0, 1 << 42),
    attributes=st.builds(
        ObjectAttributes,
        st.none() | text,
        pairs,
        pairs,
        st.sampled_from(["STANDARD", "GLACIER"]),
        st.sampled_from(OBJECT_ACLS),
        st.none() | st.builds(Owner, word, st.just("bob")),
        pairs,
    ),
    checksums=checksums,
    blake3=st.none() | st.just("ab" * 32),
    parts=st.none()
    | st.lists(st.builds(PartRecord, st.integers(1, 9), st.integers(0, 9), word, sums), max_size=3).map(tuple),
    parts_count=st.none() | st.integers(1, 10_000),
    upload=st.none() | st.tuples(word, word),
)


def status_of(record: Record, value: bytes) -> FileStatus:
    return FileStatus(FileKind.FILE, 7, record.size, record.mtime_ms * 1_000_000 + 123, {ATTRIBUTE: value})


@given(records)
def test_a_record_comes_back(record: Record) -> None:
    assert decode(encode(record)) == record
    assert of_status(status_of(record, encode(record)), "k") == record


@given(records)
def test_a_long_record_comes_back_in_two_pieces(record: Record) -> None:
    record = replace(record, side="0" * 32)
    assert decode_side(encode_side(record, "bucket", "key")) == ("bucket", "key", "0" * 32, record)
    short = decode(encode_attribute(record))
    assert short is not None and short.side == record.side
    assert (short.attributes.acl, short.attributes.owner) == (record.attributes.acl, record.attributes.owner)
    assert (short.etag, short.size, short.mtime_ms, short.checksums) == (
        record.etag,
        record.size,
        record.mtime_ms,
        record.checksums,
    )


def test_the_attribute_of_a_long_record_is_short() -> None:
    attributes = ObjectAttributes("t" * 5000, (("cache-control", "c" * 5000),), (("m", "v" * 5000),))
    attributes = replace(attributes, tags=(("k", "v" * 5000),))
    record = Record("e" * 38, 1 << 42, 1 << 42, attributes, parts=(PartRecord(1, 1, "e"),) * 10_000, side="0" * 32)
    assert len(encode_attribute(record)) < INLINE / 2


@given(records)
def test_a_row_agrees_with_the_record(record: Record) -> None:
    row = row_of(status_of(record, encode(record)), "k")
    info = info_of(record, "k")
    assert (row.key, row.size, row.etag, row.last_modified) == (info.key, info.size, info.etag, info.last_modified)
    assert row.storage_class == record.attributes.storage_class and row.owner == record.attributes.owner
    assert row.checksum_type == record.checksums.type


def test_a_long_attribute_is_not_ours() -> None:
    """Nor is it remembered: other tools may set 64 KiB of it on any number of files."""
    value = b'{"etag":"e","size":3,"mtime":1000000000000,"x":"' + b"x" * INLINE + b'"}'
    status = FileStatus(FileKind.FILE, 255, 3, 10**18, {ATTRIBUTE: value})
    assert of_status(status, "k") == foreign(status, "k") and row_of(status, "k").etag == foreign(status, "").etag


def test_an_acl_that_nobody_knows_grants_nothing() -> None:
    for acl in ('"world"', "7", "null", "true"):
        record = decode(f'{{"etag":"e","size":3,"mtime":1,"acl":{acl}}}'.encode())
        assert record is not None and record.attributes.acl == "private"


@pytest.mark.parametrize("writer", ["[]", '["a"]', '["a",1]', '["a\\n","b"]', '["a","b","c"]', "{}", "7"])
def test_a_writer_that_is_none_makes_a_foreign_file(writer: str) -> None:
    value = f'{{"etag":"e","size":3,"mtime":1000000000000,"writer":{writer}}}'.encode()
    status = FileStatus(FileKind.FILE, 255, 3, 10**18, {ATTRIBUTE: value})
    assert of_status(status, "k") == foreign(status, "k") and row_of(status, "k").etag == foreign(status, "").etag


garbage = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"{}",
            b"[]",
            b"null",
            b'{"etag":1}',
            b'{"etag":"x","size":"1","mtime":1}',
            b'{"etag":"x\\r\\nSet-Cookie: x","size":3,"mtime":1000000000000}',
            b"[" * 5000,
        ]
    ),
)


@given(garbage)
def test_garbage_in_an_attribute_makes_a_foreign_file(value: bytes) -> None:
    status = FileStatus(FileKind.FILE, 255, 3, 10**18, {ATTRIBUTE: value})
    assert of_status(status, "a.txt") == foreign(status, "a.txt")
    assert row_of(status, "a.txt").etag == foreign(status, "").etag
    assert decode_side(value) is None


WRONG: list[Any] = ["", "x\r\nEvil: 1", '"', "\0", "\ud800", "a><b", 1, -1, 1.5, True, [], {}, [1], ["a", "b"], 10**400]
PAIRS = [{"a": 1}, {"\0": "\ufffe"}, {"\ud800": "a"}, {"CRC32": "\ud800"}, {"CRC32": 5}, {"X><y": "z"}]
ROWS = [[[1, -5, "x", {}, None]], [[1]]]


@pytest.mark.parametrize("value", WRONG + PAIRS + ROWS, ids=repr)
@pytest.mark.parametrize(
    "field", "type headers metadata class tags checksums checksum_type blake3 parts parts_count upload side".split()
)
def test_what_a_forged_attribute_says_can_be_written_down(field: str, value: Any) -> None:
    forged = {"etag": "e", "size": 3, "mtime": 10**12, "checksums": {"CRC32": "AAAAAA=="}, field: value}
    status = FileStatus(FileKind.FILE, 255, 3, 10**18, {ATTRIBUTE: json.dumps(forged).encode()})
    assert encode(of_status(status, "k"))
    info = info_of(of_status(status, "k"), "k", with_parts=True)
    assert all(part.size >= 0 for part in info.parts or ())
    headers = metadata.object_headers(info) + checksum_headers(info.checksums)
    assert response_head(200, headers).count(b"\r\n") == len(headers) + 2
    page = ListPage((row_of(status, "k"),), (), False)
    wanted = Listing("", "", 1000, False)
    owner = Owner("o", "o")
    for document in (
        objects_v2("b", wanted, None, None, page, owner),
        object_versions("b", wanted, "", "", page, owner),
        tagging.document(info.attributes.tags),
    ):
        assert ElementTree.fromstring(document) is not None
    rows: list[xml.Node] = [*elements(info.checksums.values, info.checksums.type), ("C", info.attributes.storage_class)]
    assert ElementTree.fromstring(xml.document("R", rows)) is not None


@pytest.mark.parametrize("value", [*WRONG, "..", "system", "a/b"], ids=repr)
@pytest.mark.parametrize("field", ["bucket", "key", "side"])
def test_a_forged_side_file_names_a_bucket_and_a_key(field: str, value: Any) -> None:
    record = {"etag": "e", "size": 3, "mtime": 1}
    forged = {"bucket": "bucket", "key": "key", "side": "0" * 32, "record": record, field: value}
    found = decode_side(json.dumps(forged).encode())
    assert found is None or (is_bucket_name(found[0]) and found[1] and all(t.encode() for t in found[:2]))


@pytest.mark.parametrize("changed", [{"len": 4}, {"mtime_ns": 2_000_000}])
def test_a_record_speaks_for_its_own_bytes_only(changed: dict[str, Any]) -> None:
    record = Record("etag", 3, 1)
    status = FileStatus(FileKind.FILE, 1, 3, 1_000_000, {ATTRIBUTE: encode(record)})
    assert of_status(status, "k") == record
    assert of_status(replace(status, **changed), "k").etag != "etag"


@pytest.mark.parametrize(
    ("name", "content_type"),
    [("a.html", "text/html"), ("a.tar.gz", "application/gzip"), ("a", None), ("x/y.JSON", "application/json")],
)
def test_the_type_of_a_foreign_file_is_its_suffix_s(name: str, content_type: str | None) -> None:
    assert foreign(FileStatus(FileKind.FILE, 1, 1, 1), name).attributes.content_type == content_type
