"""Forms: what browsers and other clients send, what nobody should, and what the fields come to mean."""

from __future__ import annotations

import pytest

from s3proto import errors, form, post_form
from s3proto.errors import S3Error
from s3proto.form import MAX_FORM, FileDecoder, FormDecoder
from s3proto.http import Headers
from tests.form_kit import BOUNDARY, encode, part

B = BOUNDARY.encode()
END = b"--" + B + b"--\r\n"


def opened(body: bytes, boundary: bytes = B) -> FormDecoder:
    decoder = FormDecoder(boundary)
    decoder.feed(memoryview(body))
    decoder.finish()
    return decoder


def file_of(decoder: FormDecoder, rest: bytes = b"") -> bytes:
    file = FileDecoder(decoder.boundary)
    found = b"".join(bytes(piece) for data in (decoder.begun, rest) for piece in file.feed(memoryview(data)))
    file.finish()
    return found


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('Multipart/Form-Data;charset=utf-8; Boundary="a b:c"; x=y', b"a b:c"),
        ("multipart/form-data; boundary=" + "x" * 70, b"x" * 70),
        ("multipart/form-data; boundary=----WebKitFormBoundary", b"----WebKitFormBoundary"),
    ],
)
def test_boundaries(content_type: str, expected: bytes) -> None:
    assert form.boundary(content_type) == expected


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "; boundary",
        "; boundary=",
        '; boundary=""',
        "; boundary=" + "x" * 71,
        "; boundary=a\x00b",
        '; boundary="a "',
    ],
)
def test_bad_boundaries(content_type: str) -> None:
    with pytest.raises(errors.MalformedPOSTRequest):
        form.boundary("multipart/form-data" + content_type)


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/mixed"]
)
def test_other_bodies_are_no_forms(content_type: str | None) -> None:
    with pytest.raises(errors.PreconditionFailed) as caught:
        form.boundary(content_type)
    assert caught.value.fields == {"Condition": "Bucket POST must be of the enclosure-type multipart/form-data"}


def test_a_form_of_a_browser() -> None:
    content = b"\r\n--" + B[:-1] + b"\r\n\r\n\0--"
    decoder = opened(
        encode({"key": "k/${filename}", "Content-Type": "text/plain", "acl": "", "ünï": "cödé"}, content, "ä.txt")
    )
    assert decoder.fields == {"key": "k/${filename}", "content-type": "text/plain", "acl": "", "ünï": "cödé"}
    assert decoder.filename == "ä.txt" and file_of(decoder) == content


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        (b'form-data; name="file"; filename="a b.txt"', "a b.txt"),
        (b"form-data; name=file; filename=x", "x"),
        (b'Form-Data ; filename="x" ; name="File"', "x"),
        (b'form-data; name="file"', ""),
        (b'form-data; name="file"; filename="C:\\dir\\file.txt"', "file.txt"),
        (b'form-data; name="file"; filename="/home/me/f"', "f"),
        (b'form-data; name="file"; filename="say \\"hi\\".txt"', 'say "hi".txt'),
        (b'form-data; name="file"; filename="dir/"', ""),
        (b"form-data; name=\"file\"; filename*=utf-8''%C3%A4%2Fb.txt", "b.txt"),
    ],
)
def test_names_of_files(disposition: bytes, filename: str) -> None:
    decoder = opened(b"--" + B + b"\r\ncontent-disposition: " + disposition + b"\r\nX: y\r\n\r\nabc\r\n" + END)
    assert decoder.filename == filename and file_of(decoder) == b"abc"


def test_what_stands_around_the_parts_means_nothing() -> None:
    body = b"preamble\r\n" + encode({}, b"abc").replace(B + b"\r\n", B + b" \t\r\n")
    more = body.removesuffix(END) + part("submit", "Upload") + part("file", b"another", "f") + END + b"epilogue"
    for each in (body, more, body + b"\r\n"):
        assert file_of(opened(each)) == b"abc"


DISPOSITION = b"\r\nContent-Disposition: form-data; name="


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", errors.MalformedPOSTRequest),
        (b"hello", errors.MalformedPOSTRequest),
        (b"--" + B, errors.MalformedPOSTRequest),
        (b"--" + B + b"x\r\n", errors.MalformedPOSTRequest),
        (b"--" + B + b"\r\n\r\nabc\r\n" + END, errors.MalformedPOSTRequest),
        (b"--" + B + b"\r\nX: y\r\n\r\nabc\r\n" + END, errors.MalformedPOSTRequest),
        (
            b"--" + B + b"\r\nContent-Disposition: attachment; name=file\r\n\r\nabc\r\n" + END,
            errors.MalformedPOSTRequest,
        ),
        (
            b"--" + B + b"\r\nContent-Disposition: form-data; filename=file\r\n\r\nabc\r\n" + END,
            errors.MalformedPOSTRequest,
        ),
        (b"--" + B + DISPOSITION + b"file\r\n", errors.MalformedPOSTRequest),
        (b"--" + B + DISPOSITION + b"file\r\nContent-Transfer-Encoding: base64\r\n\r\n", errors.RequestNotImplemented),
        (b"--" + B + DISPOSITION + b"\xff\r\n\r\n", errors.MalformedPOSTRequest),
        (encode([("key", b"\xff")], b""), errors.MalformedPOSTRequest),
        (encode([("key", "a"), ("KEY", "b")], b""), errors.InvalidArgument),
        (encode({"key": "k"}, None), errors.InvalidArgument),
        (END, errors.InvalidArgument),
        (b"x" * (MAX_FORM + 1), errors.MaxPostPreDataLengthExceededError),
        (encode({"key": "k" * MAX_FORM}, b""), errors.MaxPostPreDataLengthExceededError),
        (encode([("x-ignore-a", "x")] * 1000, b""), errors.MaxPostPreDataLengthExceededError),
        (b"--" + B + b"\r\nX: " + b"y" * MAX_FORM, errors.MaxPostPreDataLengthExceededError),
    ],
)
def test_what_is_no_form(body: bytes, error: type[S3Error]) -> None:
    with pytest.raises(error):
        opened(body)


def test_the_file_may_begin_just_within_the_limit() -> None:
    before = encode({"key": ""}, b"").index(b"\r\n\r\n\r\n" + b"--" + B + b"--") + 4
    assert file_of(opened(encode({"key": "k" * (MAX_FORM - before)}, b"x" * 100_000))) == b"x" * 100_000
    with pytest.raises(errors.MaxPostPreDataLengthExceededError):
        opened(encode({"key": "k" * (MAX_FORM - before + 1)}, b""))


@pytest.mark.parametrize(
    "rest",
    [b"abc", b"\r\n--" + B, b"\r\n--" + B + b"-", b"\r\n--" + B + b"x\r\n", b"\r\n--" + B + b"--" + b"x" * MAX_FORM],
)
def test_files_that_do_not_end(rest: bytes) -> None:
    with pytest.raises(errors.MalformedPOSTRequest):
        file_of(FormDecoder(B), b"abc" + rest)


def test_what_the_name_of_the_file_takes_the_place_of() -> None:
    fields = {
        "key": "a/${filename}/${filename}",
        "policy": "${filename}",
        "success_action_redirect": "http://h/${filename}",
    }
    found = post_form.expanded(fields, "x")
    assert found == {"key": "a/x/x", "policy": "${filename}", "success_action_redirect": "http://h/x"}
    with pytest.raises(errors.MaxPostPreDataLengthExceededError):
        post_form.expanded({"key": "${filename}" * 100}, "x" * 300)


@pytest.mark.parametrize(
    ("fields", "error"),
    [({}, errors.InvalidArgument), ({"key": ""}, errors.InvalidArgument), ({"key": "ü" * 513}, errors.KeyTooLongError)],
)
def test_keys(fields: dict[str, str], error: type[S3Error]) -> None:
    with pytest.raises(error):
        post_form.key_of(fields)
    assert post_form.key_of({"key": "ü" * 512}) == "ü" * 512


def test_headers() -> None:
    sent = Headers(
        [
            ("host", "h"),
            ("content-length", "9"),
            ("content-type", "multipart/form-data"),
            ("if-none-match", "*"),
            ("referer", "r"),
        ]
        + [("x-amz-acl", "public-read"), ("x-amz-meta-a", "sent"), ("x-amz-expected-bucket-owner", "o")]
    )
    fields = {
        "key": "k",
        "acl": "private",
        "content-type": " text/ü ",
        "x-amz-meta-a": "",
        "cache-control": "",
        "other": "x",
    }
    kept = [
        ("host", "h"),
        ("content-length", "9"),
        ("if-none-match", "*"),
        ("referer", "r"),
        ("x-amz-expected-bucket-owner", "o"),
    ]
    found = [("x-amz-acl", "private"), ("content-type", "text/\xc3\xbc"), ("x-amz-meta-a", "")]
    assert list(post_form.headers_of(fields, sent)) == kept + found


@pytest.mark.parametrize(
    "fields", [{"content-type": "a\r\nb"}, {"x-amz-meta-a": "\0"}, {"x-amz-meta-ü": "x"}, {"x-amz-meta- ": "x"}]
)
def test_what_no_header_could_carry(fields: dict[str, str]) -> None:
    with pytest.raises(errors.InvalidArgument):
        post_form.headers_of(fields, Headers())
