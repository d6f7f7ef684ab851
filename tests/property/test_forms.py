"""Forms decode to the same fields and file, or the same error, however they are cut; policies allow what they say."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from s3proto.errors import AccessDenied, S3Error
from s3proto.form import MAX_FORM, FileDecoder, FormDecoder
from s3proto.post_policy import Policy, check, parse
from tests.form_kit import Driver, covering, encode, policy, post, sign_v4
from tests.s3_requests import KEY
from tests.strategies import changed, splits

NAMES = st.text("abcdefghijklmnopqrstuvwxyz-_", min_size=1, max_size=8).filter(lambda name: name != "file")
ORDINARY = NAMES.filter(lambda name: name not in ("bucket", "policy"))
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
# What looks like a delimiter and is none: the boundary of these forms is "b".
CONTENT = st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b"--", b"-", b"b", b"\r\n--", b"x", b"\0"]), max_size=12)
FIELDS = st.dictionaries(NAMES, TEXTS, max_size=4)
Outcome = tuple[dict[str, str], str, bytes, str]


def take(pieces: list[bytes]) -> Outcome:
    """Feed pieces to the two decoders as a driver does; answers the fields, the file's name and bytes, or the error."""
    decoder = FormDecoder(b"b")
    out = b""
    try:
        rest = iter(pieces)
        for piece in rest:
            decoder.feed(memoryview(piece))
            if decoder.complete:
                break
        decoder.finish()
        file = FileDecoder(b"b")
        for piece in (decoder.begun, *rest):
            out += b"".join(bytes(part) for part in file.feed(memoryview(piece)))
        file.finish()
    except S3Error as error:
        return {}, "", b"", f"{error.code} {error.detail} {error.fields}"
    return decoder.fields, decoder.filename, out, ""


def bytewise(body: bytes) -> list[bytes]:
    return [body[at : at + 1] for at in range(len(body))]


@given(FIELDS, CONTENT.map(b"".join), st.data())
@example({}, b"\r\n-\r\n--\r\r\n--\r", None)
def test_forms_round_trip(fields: dict[str, str], content: bytes, data: st.DataObject | None) -> None:
    content = content.replace(b"\r\n--b", b"")
    fields = {name: value.replace("\r\n--b", "") for name, value in fields.items() if not name.startswith("x-ignore-")}
    body = encode(fields, content, "n.txt", "b")
    expected = (fields, "n.txt", content, "")
    assert take([body]) == take(bytewise(body)) == expected
    if data is not None:
        assert take(data.draw(splits(body))) == expected


@settings(max_examples=300)
@given(FIELDS, CONTENT.map(b"".join), st.sampled_from([b"", b"x" * MAX_FORM]), st.data())
def test_any_split_gives_the_same(fields: dict[str, str], content: bytes, more: bytes, data: st.DataObject) -> None:
    before = data.draw(st.sampled_from([b"", b"p" * (MAX_FORM - 60), b"p" * (MAX_FORM - 100)]))
    body = before + data.draw(changed(b"\r\n" + encode(fields, content, boundary="b")) | st.binary(max_size=60)) + more
    whole = take([body])
    assert take(data.draw(splits(body))) == whole
    at = data.draw(st.integers(0, len(body)))
    assert take([body[:at], *bytewise(body[at : at + 300]), body[at + 300 :]]) == whole


@given(st.binary(max_size=400), st.data())
def test_memory_is_bounded_and_pieces_are_slices(content: bytes, data: st.DataObject) -> None:
    file = FileDecoder(b"b" * 70)
    for piece in data.draw(splits(content)):
        assert sum(map(len, file.feed(memoryview(piece)))) <= len(piece) + 74
        assert len(file._held) < 74


@given(st.dictionaries(ORDINARY, TEXTS, min_size=1, max_size=4), st.data())
def test_a_policy_allows_its_fields_and_no_others(fields: dict[str, str], data: st.DataObject) -> None:
    allowed = parse(policy(covering(fields, "bucket")))
    check(allowed, fields, "bucket", 0.0)
    name = data.draw(st.sampled_from(sorted(fields)))
    assert refused(allowed, fields | {name: fields[name] + "x"})
    assert refused(allowed, fields | {name + "-more": data.draw(TEXTS)})
    fewer = {other: value for other, value in fields.items() if other != name}
    assert refused(allowed, fewer) is (fields[name] != "")


def refused(allowed: Policy, fields: dict[str, str]) -> bool:
    try:
        check(allowed, fields, "bucket", 0.0)
    except AccessDenied:
        return True
    return False


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | TEXTS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=2),
    )
)
def test_any_document_is_a_policy_or_an_error(conditions: object) -> None:
    try:
        parse(policy([conditions]))
        parse(policy(conditions))  # type: ignore[arg-type]
    except S3Error as error:
        assert error.code == "InvalidPolicyDocument"


SIGNED = sign_v4({"key": "k", "acl": "private"}, "bucket", KEY.key)


@given(st.sampled_from(sorted(SIGNED)), st.data())
def test_any_change_to_what_is_signed_is_refused(name: str, data: st.DataObject) -> None:
    value = data.draw(changed(SIGNED[name].encode()).map(lambda new: new.decode("latin-1")))
    driver = Driver(encode(SIGNED | {name: value}, b"x"))
    response = post(driver)
    assert (driver.put is not None) is (value == SIGNED[name]), response
    assert response.status in (204, 400, 403, 501)
