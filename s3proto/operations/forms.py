"""PostObject: what a browser uploads with an HTML form.

Rules: the fields have been received, and who signed them is known, before this begins (``auth.authenticate_form``);
from here on a form is a PutObject with another answer.  A browser goes only to http and https addresses; one that
makes no sense counts as none, as on AWS.

Follows "POST Object" (Amazon S3 API Reference).
"""

from __future__ import annotations

from urllib.parse import quote, urlencode, urlsplit

from s3proto import xml
from s3proto.commands import Steps
from s3proto.http import Response
from s3proto.operations.objects import store_object
from s3proto.operations.operation import BUCKET, Operation
from s3proto.operations.responses import XML_TYPE
from s3proto.request import S3Request


def post_object(request: S3Request) -> Steps[Response]:
    form = request.identity.form
    assert form is not None, "protocol.serve opens the form"
    stored = yield from store_object(request)
    etag = stored[0][1]
    wanted = form.fields.get("success_action_redirect") or form.fields.get("redirect") or ""
    result = {"bucket": request.bucket, "key": request.key, "etag": etag}
    if (elsewhere := _redirection(wanted, urlencode(result, quote_via=quote, safe=""))) is not None:
        return Response(303, [*stored, ("Location", elsewhere)])
    location = _location(request)
    headers = [*stored, ("Location", location)]
    match form.fields.get("success_action_status"):
        case "201":
            content = [("Location", location), ("Bucket", request.bucket), ("Key", xml.printable(request.key))]
            document = xml.document("PostResponse", [*content, ("ETag", etag)], namespace=False)
            return Response(201, [*headers, XML_TYPE], document)
        case "200":
            return Response(200, headers)
    return Response(204, headers)


def _location(request: S3Request) -> str:
    """Return the URL of the new object, addressed as the bucket was."""
    return f"{request.location().rstrip('/')}/{quote(request.key, safe='/~')}"


def _redirection(url: str, parameters: str) -> str | None:
    """Return ``url`` with more parameters, None when it is no address that a browser may be sent to."""
    try:
        parts = urlsplit(quote(url, safe="%:/?#[]@!$&'()*+,;=~"))
        if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
            return None
    except ValueError:
        return None
    query = f"{parts.query}&{parameters}" if parts.query else parameters
    return parts._replace(query=query).geturl()


OPERATIONS = (Operation("PostObject", "POST", BUCKET, "s3:PutObject", post_object),)
