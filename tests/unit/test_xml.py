import pytest

from s3proto import xml
from s3proto.errors import MalformedXML, MaxMessageLengthExceeded


def parse(text: str, root: str = "A", **limits: int) -> xml.Element:
    return xml.parse(text.encode(), root, **({"max_bytes": 10_000} | limits))


def test_document_joins_nested_tuples() -> None:
    assert xml.document("A", [("B", "x<&>y"), None, ("C", [("D", 3), ("E", True)]), xml.Markup("<F/>")]) == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<A xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        b"<B>x&lt;&amp;&gt;y</B><C><D>3</D><E>true</E></C><F/></A>"
    )


def test_names_of_parents_may_carry_attributes() -> None:
    assert xml.document("A", [('B x="1"', [("C", "")])], namespace=False).endswith(b'<A><B x="1"><C></C></B></A>')


def test_leaf_is_a_root_of_text() -> None:
    assert xml.leaf("A", "<").endswith(b'2006-03-01/">&lt;</A>')


def test_text_that_xml_cannot_carry_is_a_reference() -> None:
    assert xml.escape("a\x01\rb\ufffe\U0001f600\n\t") == "a&#x1;&#xd;b&#xfffe;\U0001f600\n\t"


def test_printable_replaces_what_xml_cannot_carry() -> None:
    assert xml.printable("a\x00\ud800\rb") == "a\ufffd\ufffd\rb"


@pytest.mark.parametrize("attributes", ["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', ' xmlns="urn:x"'])
def test_any_namespace_is_read(attributes: str) -> None:
    root = parse(f"<A{attributes}><Unknown><X/></Unknown><B>1</B><B> 2 </B><C/></A>")
    assert [e.text for e in root.all("B")] == ["1", " 2 "]
    assert root.get("C") == "" and root.get("D") is None


@pytest.mark.parametrize("call", [lambda root: root.get("B"), lambda root: root.require("C")], ids=["twice", "empty"])
def test_elements_that_must_be_one(call: object) -> None:
    with pytest.raises(MalformedXML):
        call(parse("<A><B/><B/><C/></A>"))  # type: ignore[operator]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "<A>",
        "<B/>",
        "text",
        "<A/><A/>",
        '<!DOCTYPE A [<!ENTITY x "y">]><A>&x;</A>',
        "<!DOCTYPE A><A/>",
        "<A>&unknown;</A>",
        "<A>\x01</A>",
        '<?xml version="1.0" encoding="utf-16"?><A/>'.encode("utf-16").decode("latin-1"),
    ],
)
def test_wrong_documents_are_malformed(text: str) -> None:
    with pytest.raises(MalformedXML):
        parse(text)


@pytest.mark.parametrize("encoding", ["utf-16", "rot13", "punycode", "no-such", "utf-7", "iso-2022-jp"])
def test_the_declared_encoding_changes_nothing(encoding: str) -> None:
    assert parse(f'<?xml version="1.0" encoding="{encoding}"?><A>\xe9</A>').text == "\xe9"


@pytest.mark.parametrize("size", [40_000, 100_000])
def test_a_tag_has_an_end(size: int) -> None:
    assert parse("<A>" + "<B/>" * size + "</A>", max_bytes=1 << 20).children
    with pytest.raises(MalformedXML):
        parse("<A " + " ".join(f"a{n}=''" for n in range(size)) + "/>", max_bytes=2 << 20)


def test_limits() -> None:
    assert parse("<A><B><C/></B></A>", max_depth=3, max_elements=3).children
    with pytest.raises(MalformedXML):
        parse("<A><B><C/></B></A>", max_depth=2)
    with pytest.raises(MalformedXML):
        parse("<A><B/><C/></A>", max_elements=2)
    with pytest.raises(MaxMessageLengthExceeded):
        parse("<A></A>", max_bytes=6)
