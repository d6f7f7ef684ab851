"""Common prefixes: grouping a walk's keys is what AWS's page says, and costs one walk, or one per thousand keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from curvinefs.api import FileKind, FileStatus, FileSystem
from s3server.store.listing import SKIPPED, Found, Walker, list_page


@dataclass(frozen=True)
class Keys(Walker):
    """A bucket whose keys all lie deeper than directories: nothing is rolled up but by grouping."""

    keys: tuple[str, ...] = ()
    walks: list[str] = field(default_factory=list)

    def walk(self, prefix: str = "", after: str = "", roll_up: bool = False) -> Iterator[Found]:
        self.walks.append(after)
        return (Found(key, False, status) for key in self.keys if key > after and key.startswith(prefix))


def status() -> FileStatus:
    return FileStatus(FileKind.FILE, 1, 1, 10**18)


def bucket(keys: list[str]) -> Keys:
    return Keys(cast(FileSystem, None), "bkt", keys=tuple(sorted(keys)))


def grouped(keys: tuple[str, ...], prefix: str, delimiter: str) -> list[str]:
    """AWS's definition, without pages."""
    rows = []
    for key in keys:
        if key.startswith(prefix):
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            rows.append(key if cut < 0 else key[: cut + len(delimiter)])
    return sorted(set(rows))


TEXT = st.text("ab/", max_size=6)


@given(
    st.lists(TEXT.filter(bool), max_size=30, unique=True),
    TEXT,
    st.sampled_from(["", "/", "a", "b/"]),
    st.integers(1, 9),
)
def test_pages_joined_are_the_groups(keys: list[str], prefix: str, delimiter: str, limit: int) -> None:
    walker, after, told = bucket(keys), "", []
    while True:
        page = list_page(walker, prefix, delimiter, after, limit)
        told += [row.key for row in page.objects] + list(page.prefixes)
        if not page.truncated:
            break
        assert page.last > after
        after = page.last
    assert sorted(told) == grouped(walker.keys, prefix, delimiter)


def test_many_groups_take_one_walk() -> None:
    walker = bucket([f"{number:04}/x" for number in range(2000)])
    assert len(list_page(walker, "", "/", "", 1000).prefixes) == 1000
    assert len(walker.walks) == 1


def test_a_large_group_is_passed_over() -> None:
    walker = bucket([f"a/{number}" for number in range(3 * SKIPPED)] + ["b"])
    page = list_page(walker, "", "/", "", 1000)
    assert page.prefixes == ("a/",) and [row.key for row in page.objects] == ["b"]
    assert len(walker.walks) == 2
