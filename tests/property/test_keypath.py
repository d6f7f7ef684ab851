"""Keys and places: reversible, injective, inside the bucket."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from s3server.store.keypath import MARKER, RESERVED, SELF, Place, key_of, key_prefix, place_of

GLOB = frozenset("*?[{\\")
parts = st.one_of(
    st.sampled_from(
        ["", ".", "..", "a", "b", ".s3~", ".s3~self", ".s3~=a", ".s3~tmp.x", "a*b", "%2F", "x" * 300, "é" * 200]
    ),
    st.text(st.characters(codec="utf-8"), max_size=8),
)
keys = st.lists(parts, min_size=1, max_size=7).map("/".join).filter(lambda k: k and len(k.encode()) <= 1024)


@given(keys, st.sampled_from([frozenset(), GLOB]))
@example("/" * 1024, frozenset())
@example("./" * 512, frozenset())
@example("a/" * 512, GLOB)
@example("a*" * 512, GLOB)
@example("a/" * 599 + "b", frozenset())
@example("a/" * 600 + "b", frozenset())
@example("a/" * 600, frozenset())
def test_a_key_comes_back(key: str, forbidden: frozenset[str]) -> None:
    place = place_of(key, forbidden)
    names = (*place.directories, place.name)
    assert key_of(names, forbidden) == key
    assert len(names) <= 620
    for name in names:
        assert name not in ("", ".", "..") and "/" not in name and "\0" not in name and len(name.encode()) <= 255
    assert not any(c in forbidden for n in place.directories for c in n)
    if place.name != MARKER:
        assert key_of((*names, SELF), forbidden) in (key, None)


@given(keys, keys)
def test_two_keys_never_share_a_place(one: str, two: str) -> None:
    assert (place_of(one) == place_of(two)) == (one == two)


@given(
    st.lists(st.one_of(parts, st.text("=+%2Fself.s3~", max_size=9).map(lambda t: RESERVED + t)), min_size=1, max_size=4)
)
@settings(max_examples=300)
def test_names_that_no_key_gives_are_nobodys(names: list[str]) -> None:
    if any(n in ("", ".", "..") or "/" in n or "\0" in n or len(n.encode()) > 255 for n in names):
        return
    key = key_of(names)
    if key is None:
        return
    if names[-1] == SELF:
        names = names[:-1]
    assert place_of(key) == Place(tuple(names[:-1]), names[-1])


@given(keys)
def test_a_directory_knows_its_prefix(key: str) -> None:
    directories = place_of(key).directories
    prefix = key_prefix(directories)
    assert prefix is None or key.startswith(prefix)


def test_plain_keys_are_plain() -> None:
    assert place_of("a/b c/é*.txt").path == "a/b c/é*.txt"
    assert place_of("a/").path == f"a/{MARKER}"
    assert place_of("a//b").path == "a/.s3~=/b"
    assert place_of("../a").path == ".s3~=../a"
