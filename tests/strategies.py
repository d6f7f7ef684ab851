"""Hypothesis strategies shared by the property tests: keys, bucket names, heads, splits of bytes."""

from __future__ import annotations

from string import ascii_lowercase, digits

from hypothesis import strategies as st

from s3proto.cors import METHODS
from s3proto.errors import InvalidBucketName
from s3proto.model import CorsRule
from s3proto.names import MAX_KEY, check_bucket_name

TOKEN = st.text("!#$%&'*+-.^_`|~" + digits + ascii_lowercase, min_size=1, max_size=12)
"""Names of header fields, lower-case."""

VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20).map(
    lambda text: text.strip(" ")
)
"""Values of header fields as parsed: latin-1, no surrounding white space."""

_ODD_PARTS = st.sampled_from(
    ["", ".", "..", "a", "+", "%", "%2F", " ", "é", "e\u0301", "中", "\U0001f600", "\0", "\n", "?"]
)


def keys() -> st.SearchStrategy[str]:
    """Any legal key: arbitrary text, and the paths that break naive code."""
    texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
    paths = st.lists(st.one_of(_ODD_PARTS, texts), min_size=1, max_size=6).map("/".join)
    return st.one_of(texts, paths).filter(lambda key: 0 < len(key.encode()) <= MAX_KEY)


def _creatable(name: str) -> bool:
    try:
        check_bucket_name(name)
    except InvalidBucketName:
        return False
    return True


def bucket_names() -> st.SearchStrategy[str]:
    """Names that a bucket may be given."""
    return st.text(ascii_lowercase + digits + ".-", min_size=3, max_size=20).filter(_creatable)


def cors_rules() -> st.SearchStrategy[CorsRule]:
    """Rules as ``s3proto.cors.parse`` gives them; many of them for everybody."""
    text = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters="*"), max_size=6)
    pattern = st.just("*") | st.tuples(text, st.sampled_from(["*", ""]), text).map("".join).filter(bool)
    several = st.lists(pattern, max_size=3).map(tuple)
    methods = st.lists(st.sampled_from(METHODS), min_size=1, max_size=3).map(tuple)
    exposed = st.lists(TOKEN.filter(lambda name: "*" not in name), max_size=2).map(tuple)
    ages = st.none() | st.integers(0, 2**31 - 1)
    return st.builds(CorsRule, several.filter(bool), methods, several, exposed, ages, st.none() | text.filter(bool))


def splits(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """``data`` cut into pieces at any places, empty pieces included."""
    cuts = st.lists(st.integers(0, len(data)), max_size=12).map(sorted)
    return cuts.map(lambda at: [data[a:b] for a, b in zip([0, *at], [*at, len(data)])])


def changed(data: bytes) -> st.SearchStrategy[bytes]:
    """``data`` with a few bytes replaced, inserted or cut out: what almost is a request."""
    edit = st.tuples(st.integers(0, len(data)), st.integers(0, 4), st.sampled_from(_SPLICES) | st.binary(max_size=4))

    def apply(edits: list[tuple[int, int, bytes]]) -> bytes:
        out = data
        for at, gone, new in edits:
            out = out[:at] + new + out[at + gone :]
        return out

    return st.lists(edit, max_size=4).map(apply)


_SPLICES = [b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b"0", b"-1", b"\r\n\r\n", b"%", b"chunked", b"\xff"]
