import pytest

from s3proto import ranges
from s3proto.errors import InvalidArgument, InvalidPart, InvalidRange
from s3proto.model import Part
from tests.s3_requests import info


@pytest.mark.parametrize(
    ("value", "size", "expected"),
    [
        (None, 10, None),
        ("bytes=0-0", 10, (0, 1)),
        ("bytes=2-5", 10, (2, 4)),
        ("bytes=2-", 10, (2, 8)),
        ("bytes=2-99", 10, (2, 8)),
        ("bytes=-3", 10, (7, 3)),
        ("bytes=-30", 10, (0, 10)),
        ("Bytes=0-1", 10, (0, 2)),
        ("bytes= 0-1", 10, None),
        ("bytes= -1", 10, None),
        ("bytes=0 -1", 10, None),
        ("bytes=-5", 0, None),
        (f"bytes=0-{'9' * 5000}", 10, (0, 10)),
        (f"bytes={'0' * 5000}1-1", 10, (1, 1)),
        ("bytes=5-2", 10, None),
        ("bytes=-", 10, None),
        ("bytes=a-b", 10, None),
        ("bytes=0-1,3-4", 10, None),
        ("lines=0-1", 10, None),
        ("0-1", 10, None),
    ],
)
def test_resolve(value: str | None, size: int, expected: tuple[int, int] | None) -> None:
    assert ranges.resolve(value, size) == expected


@pytest.mark.parametrize(
    ("value", "size"),
    [("bytes=10-", 10), ("bytes=40-50", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-0", 0), ("bytes=0-0", 0)],
)
def test_unsatisfiable(value: str, size: int) -> None:
    with pytest.raises(InvalidRange) as caught:
        ranges.resolve(value, size)
    assert caught.value.headers == [("Content-Range", f"bytes */{size}")]
    assert caught.value.fields == {"RangeRequested": value, "ActualObjectSize": str(size)}


def test_copy_source() -> None:
    assert ranges.resolve_copy_source(None, 5) == (0, 5)
    assert ranges.resolve_copy_source("bytes=1-4", 5) == (1, 4)


@pytest.mark.parametrize(
    "value",
    ["0-2", "bytes=0", "bytes=hello-world", "bytes=0-bar", "bytes=hello-", "bytes=0-2,3-5", "bytes=-2", "bytes=2-1"],
)
def test_copy_source_form(value: str) -> None:
    with pytest.raises(InvalidArgument):
        ranges.resolve_copy_source(value, 5)


@pytest.mark.parametrize("value", ["bytes=0-5", "bytes=5-5", "bytes=0-21"])
def test_copy_source_past_the_end(value: str) -> None:
    with pytest.raises(InvalidRange):
        ranges.resolve_copy_source(value, 5)


def test_part_number() -> None:
    assert [ranges.part_number(text) for text in ("1", "10000", "007")] == [1, 10000, 7]


@pytest.mark.parametrize("text", ["", "0", "10001", "-1", "x", "1.0", "\u0663", "9" * 6000])
def test_part_number_out_of_range(text: str) -> None:
    with pytest.raises(InvalidArgument):
        ranges.part_number(text)


def test_locate_part() -> None:
    parts = (Part(2, 5, "e", 0.0), Part(7, 3, "e", 0.0))
    made = info(size=8, parts=parts)
    assert ranges.locate_part(made, 7) == (5, 3, parts[1])
    assert ranges.locate_part(info(size=8), 1) == (0, 8, None)
    for bad, number in ((made, 1), (info(), 2)):
        with pytest.raises(InvalidPart):
            ranges.locate_part(bad, number)
