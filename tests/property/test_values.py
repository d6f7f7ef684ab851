"""Pure functions against the naive way to say the same."""

from __future__ import annotations

from typing import TypeAlias
from urllib.parse import quote
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3proto import checksums, listing, ranges, xml
from s3proto.checksums import ALGORITHMS, FULL_OBJECT
from s3proto.commands import Command, HeadBucket, ListObjects
from s3proto.crc import CRC32, CRC32C, CRC64NVME, Crc
from s3proto.errors import InvalidRange, S3Error
from s3proto.model import ListPage, ObjectRow, Part
from s3proto.operations import BUCKET, resolve
from tests.drive import run
from tests.s3_requests import BUCKET_INFO, MD5, NOW, request, texts

SMALL = st.integers(0, 40)


@given(SMALL, st.none() | SMALL, st.none() | SMALL)
def test_ranges_equal_slices(size: int, first: int | None, last: int | None) -> None:
    data = bytes(range(size))
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    if first is None and last is None or first is not None and last is not None and last < first:
        assert ranges.resolve(header, size) is None
        return
    if first is None and last and not size:
        assert ranges.resolve(header, size) is None  # the end of nothing is all of it
        return
    if first is None:
        expected = data[-last:] if last else b""
    else:
        expected = data[first:] if last is None else data[first : last + 1]
    try:
        found = ranges.resolve(header, size)
    except InvalidRange:
        assert expected == b""
    else:
        assert found is not None and data[found[0] : sum(found)] == expected and len(expected) == found[1]


@given(st.text(max_size=60), st.integers(0, 10))
def test_any_range_header_is_a_range_or_an_error(value: str, size: int) -> None:
    for text in (value, f"bytes={value}"):
        for resolve_ in (ranges.resolve, ranges.resolve_copy_source):
            try:
                found = resolve_(text, size)
            except S3Error:
                continue
            assert found is None or (found[1] > 0 and found[0] + found[1] <= size)


@pytest.mark.parametrize("crc", [CRC32, CRC32C, CRC64NVME], ids=["crc32", "crc32c", "crc64nvme"])
@given(st.binary(max_size=50), st.binary(max_size=50))
def test_crcs_of_parts_join_to_that_of_the_whole(crc: Crc, first: bytes, second: bytes) -> None:
    assert crc.combine(crc.of(first), crc.of(second), len(second)) == crc.of(first + second)


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=6), st.sampled_from(["CRC32", "CRC32C", "CRC64NVME"]))
def test_full_object_checksums_of_parts(pieces: list[bytes], name: str) -> None:
    row = ALGORITHMS[name]
    parts = [
        Part(number, len(piece), MD5, NOW, checksums.computed(row, row.of(piece)).values)
        for number, piece in enumerate(pieces, 1)
    ]
    whole = checksums.computed(row, row.of(b"".join(pieces)))
    assert checksums.joined(row, FULL_OBJECT, parts) == whole


@given(st.text(max_size=100))
def test_tokens_round_trip_or_are_refused(text: str) -> None:
    assert listing.read_token(listing.make_token(text)) == text
    try:
        listing.read_token(text)
    except S3Error:
        pass


# ---------------------------------------------------------------------------------------------------- xml

NAMES = st.sampled_from("ABCDE")
CARRIED = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff") | st.sampled_from("\r\n\t")
)
Tree: TypeAlias = "tuple[str, str | list[Tree]]"
TREES: st.SearchStrategy[Tree] = st.recursive(
    st.tuples(NAMES, CARRIED), lambda nodes: st.tuples(NAMES, st.lists(nodes, min_size=1, max_size=4)), max_leaves=12
)


def as_tree(element: xml.Element) -> Tree:
    return (element.name, [as_tree(child) for child in element.children] or element.text)


@settings(deadline=None)
@given(st.lists(TREES, min_size=1, max_size=3))
def test_documents_round_trip(nodes: list[Tree]) -> None:
    data = xml.document("Root", nodes)
    parsed = xml.parse(data, "Root", max_bytes=len(data), max_depth=20)
    assert [as_tree(child) for child in parsed.children] == nodes


@given(st.text(st.characters()))
def test_printable_text_always_parses(text: str) -> None:
    data = xml.document("A", [("B", xml.printable(text))])
    assert ElementTree.fromstring(data)[0].text is not None or text == ""


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=40).map(lambda text: f"<A>{text}</A>".encode("utf-8", "replace")))
def test_any_bytes_parse_or_are_malformed(data: bytes) -> None:
    try:
        xml.parse(data, "A", max_bytes=100)
    except S3Error as error:
        assert error.code == "MalformedXML"


# ------------------------------------------------------------------------------------------------ paging


def naive_page(keys: list[str], command: ListObjects) -> ListPage:
    """What a store must answer, from a plain list."""
    entries: dict[str, ObjectRow | None] = {}
    for key in sorted(keys, key=str.encode):
        if not key.startswith(command.prefix):
            continue
        cut = key.find(command.delimiter, len(command.prefix)) if command.delimiter else -1
        if cut >= 0:
            entries[key[: cut + len(command.delimiter)]] = None
        else:
            entries[key] = ObjectRow(key, 1, MD5, NOW)
    after = command.after.encode()
    left = [(name, row) for name, row in sorted(entries.items(), key=lambda e: e[0].encode()) if name.encode() > after]
    shown = left[: command.limit]
    return ListPage(
        tuple(row for _, row in shown if row),
        tuple(name for name, row in shown if row is None),
        len(shown) < len(left),
        shown[-1][0] if shown else "",
    )


KEYS = st.lists(st.text("ab/\u00e9\U0001f600 +&", min_size=1, max_size=5), unique=True, max_size=15)


@settings(deadline=None, max_examples=60)
@given(KEYS, st.sampled_from(["", "a", "a/"]), st.sampled_from(["", "/", "b"]), st.integers(1, 4), st.booleans())
def test_pages_joined_are_the_whole_listing(
    keys: list[str], prefix: str, delimiter: str, limit: int, version_2: bool
) -> None:
    def answer(command: Command[object]) -> object:
        if isinstance(command, HeadBucket):
            return BUCKET_INFO
        assert isinstance(command, ListObjects)
        return naive_page(keys, command)

    def page(parameters: dict[str, str]) -> tuple[list[str], str | None]:
        asked = request("GET", "/bucket?" + "&".join(f"{n}={quote(v)}" for n, v in parameters.items()))
        response = run(resolve("GET", BUCKET, asked.query, asked.headers).run(asked), answer)
        names = texts(response, "Contents/Key") + texts(response, "CommonPrefixes/Prefix")
        if version_2:
            return names, next(iter(texts(response, "NextContinuationToken")), None)
        if texts(response, "IsTruncated") == ["false"]:
            return names, None
        return names, max(names, key=str.encode)

    shared = {"prefix": prefix, "delimiter": delimiter} | ({"list-type": "2"} if version_2 else {})
    whole, rest = page(shared)
    assert rest is None
    joined: list[str] = []
    more: str | None = ""
    for _ in range(len(keys) + 1):
        at = {("continuation-token" if version_2 else "marker"): more} if more else {}
        names, more = page(shared | {"max-keys": str(limit)} | at)
        assert len(names) <= limit
        joined += names
        if not more:
            break
    assert sorted(joined) == sorted(whole) and len(set(joined)) == len(joined)
