"""What a page of a listing asks of the file system."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from curvinefs._listing import LocalEntry
from curvinefs.local import LocalFileSystem
from s3proto import commands as c
from tests.store_kit import Shop


class Counting(LocalFileSystem):
    listed = 0

    def list(self, path: str, start: str = "") -> Iterator[LocalEntry]:
        self.listed += 1
        return super().list(path, start)


def test_a_page_looks_into_no_more_long_names_than_it_shows(tmp_path: Path) -> None:
    """Each is a directory of ours."""
    fs = Counting(str(tmp_path / "data"), durability="none")
    with closing((shop := Shop(fs)).store):
        shop.make()
        keys = [f"{number:03}" + "x" * 300 for number in range(200)] + ["k", "{}" * 200, "~" * 300]
        for key in keys:
            shop.put(key, b"")
        assert shop.keys() == sorted(keys)
        for after in ("", keys[100], keys[100][:200]):
            expected = [key for key in sorted(keys) if key > after][:5]
            fs.listed = 0
            page = shop.store.list_objects(c.ListObjects("bkt", "", "", after, 5))
            assert [row.key for row in page.objects] == expected
            assert fs.listed < 20
