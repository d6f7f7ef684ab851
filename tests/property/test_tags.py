"""Tags against a plain model: what is written is read, and whatever comes is tags that may be kept or one error."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from s3proto import tagging
from s3proto.errors import InvalidArgument, InvalidTag, MalformedXML
from s3proto.http import Headers
from s3proto.metadata import parse_attributes
from s3proto.model import Pairs
from s3proto.post_form import headers_of
from tests.strategies import changed

_CHARS = st.characters(categories=("L", "N", "Z")) | st.sampled_from("_.:/=+-@")
_KEYS = st.text(_CHARS, min_size=1, max_size=12).filter(lambda key: not key.lower().startswith("aws:"))
TAGS = st.dictionaries(_KEYS, st.text(_CHARS, max_size=12), max_size=10).map(lambda d: tuple(sorted(d.items())))


@given(TAGS)
def test_what_is_written_is_read(tags: Pairs) -> None:
    assert tagging.parse(tagging.document(tags)) == tags
    assert tagging.parse_header(tagging.header(tags)) == tags
    sent = Headers([("x-amz-tagging", tagging.header(tags))])
    assert parse_attributes(sent).tags == tags
    form = headers_of({"tagging": tagging.document(tags).decode()}, Headers())
    assert parse_attributes(form).tags == tags


def may_be_kept(tags: Pairs, most: int) -> bool:
    """As the User Guide has it, in its words."""
    keys = [key for key, _ in tags]
    return (
        len(tags) <= most
        and keys == sorted(set(keys))
        and all(1 <= len(key) <= 128 and not key.lower().startswith("aws:") for key in keys)
        and all(len(value) <= 256 for _, value in tags)
        and all(c in "_.:/=+-@" or unicodedata.category(c)[0] in "LNZ" for tag in tags for part in tag for c in part)
    )


@given(TAGS.map(tagging.document).flatmap(changed) | st.binary(max_size=50), st.sampled_from([10, 50]))
def test_any_document_gives_tags_that_can_be_kept_or_one_error(document: bytes, most: int) -> None:
    try:
        tags = tagging.parse(document, most)
    except (MalformedXML, InvalidTag):
        return
    assert may_be_kept(tags, most) and tagging.parse(tagging.document(tags), most) == tags


@given(st.text(st.characters(max_codepoint=255), max_size=60) | TAGS.map(tagging.header))
def test_any_header_gives_tags_that_can_be_kept_or_one_error(value: str) -> None:
    try:
        tags = tagging.parse_header(value)
    except (InvalidArgument, InvalidTag):
        return
    assert may_be_kept(tags, 10)


@given(st.lists(st.tuples(st.text(max_size=130), st.text(max_size=258)), max_size=12))
def test_all_that_may_be_kept_is_taken(tags: list[tuple[str, str]]) -> None:
    wanted = tuple(sorted(tags))
    try:
        taken = tagging.checked(tags, 10)
    except InvalidTag:
        assert not may_be_kept(wanted, 10)
    else:
        assert taken == wanted and may_be_kept(wanted, 10)
