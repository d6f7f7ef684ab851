import pytest

from s3proto import listing
from s3proto.errors import InvalidArgument
from s3proto.model import ListPage, ObjectRow
from tests.s3_requests import OWNER


def test_tokens_come_back_and_nothing_else_does() -> None:
    for last in ("", "key", "a/b \u20ac\n"):
        assert listing.read_token(listing.make_token(last)) == last
    good = listing.make_token("key")
    for bad in ("", "x", "not base64!", "\u20ac", good + "=", good[:-1], good[:-1] + "A", "AAAAAAA", "_" * 20):
        with pytest.raises(InvalidArgument):
            listing.read_token(bad)


@pytest.mark.parametrize("text", ["blah", "-1", "1.5", "\u0661", "2147483648", "9" * 6000])
def test_counts_that_are_none(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        listing.parse({"max-keys": text})
    assert caught.value.fields == {"ArgumentName": "max-keys", "ArgumentValue": text}


def test_parameters() -> None:
    assert listing.parse({}) == listing.Listing("", "", 1000, False)
    assert listing.parse({"max-keys": "", "encoding-type": ""}) == listing.parse({})
    assert listing.parse({"max-keys": "2147483647"}).limit == 1000
    assert listing.parse({"max-uploads": "0"}, "max-uploads").limit == 0
    with pytest.raises(InvalidArgument):
        listing.parse({"encoding-type": "base64"})


def test_url_encoding_keeps_slashes_only() -> None:
    wanted = listing.parse({"encoding-type": "url", "prefix": "quux ab/", "delimiter": "/"})
    page = ListPage((ObjectRow("asdf+b\x01", 1, "e", 0.0),), ("quux ab/x/",), False)
    text = listing.objects_v2("b", wanted, None, None, page, None).decode()
    for part in ("<Key>asdf%2Bb%01</Key>", "<Prefix>quux%20ab/</Prefix>", "<Delimiter>/</Delimiter>", "%20ab/x/"):
        assert part in text


def test_rows_escape_what_the_store_answers() -> None:
    row = ObjectRow("<&>\x01", 1, "<", 0.0, "<", ("CRC32",), "FULL_OBJECT")
    text = listing.objects_v2("b", listing.parse({}), None, None, ListPage((row,), ("<",), False), None).decode()
    assert (
        "<Contents><Key>&lt;&amp;&gt;&#x1;</Key><LastModified>1970-01-01T00:00:00.000Z</LastModified>"
        "<ETag>&quot;&lt;&quot;</ETag><ChecksumAlgorithm>CRC32</ChecksumAlgorithm>"
        "<ChecksumType>FULL_OBJECT</ChecksumType><Size>1</Size><StorageClass>&lt;</StorageClass></Contents>"
        "<CommonPrefixes><Prefix>&lt;</Prefix></CommonPrefixes>"
    ) in text


def test_versions_tell_their_checksums() -> None:
    row = ObjectRow("k", 1, "e", 0.0, "STANDARD", ("SHA1",), "COMPOSITE")
    page = ListPage((row, ObjectRow("l", 1, "e", 0.0)), (), False)
    text = listing.object_versions("b", listing.parse({}), "", "", page, OWNER).decode()
    assert text.count('<ETag>"e"</ETag><Size>') == 1
    assert '<ETag>"e"</ETag><ChecksumAlgorithm>SHA1</ChecksumAlgorithm><ChecksumType>COMPOSITE</ChecksumType>' in text
