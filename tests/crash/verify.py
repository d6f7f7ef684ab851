"""What must hold of a store after a kill and a restart, while nobody else uses it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tests.crash.client import Client, Page
from tests.crash.ledger import Ledger, md5
from tests.crash.load import Upload, complete_upload, repeat_complete, send_part
from tests.gateway import Gateway


def verify(gateway: Gateway, bucket: str, ledger: Ledger, uploads: list[Upload]) -> None:
    """Compare everything with the ledger; unfinished uploads are continued and completed, and leave the list."""
    client = Client(gateway)
    try:
        verify_objects(client, bucket, ledger)
        verify_uploads(client, bucket, ledger, uploads)
        verify_objects(client, bucket, ledger)
    finally:
        client.close()


def verify_objects(client: Client, bucket: str, ledger: Ledger) -> None:
    """Read everything back by GET, HEAD and listings; what was in doubt is settled by what is seen."""
    present = {}
    for key in ledger.keys():
        since = time.monotonic()
        answer = client.get(bucket, key)
        ledger.judge(key, answer, since)
        ledger.settle(key, answer)
        ledger.judge(key, client.request("HEAD", bucket, key), time.monotonic(), length=0)
        ledger.count("verified")
        if answer.status == 200:
            present[key] = (len(answer.body), answer.etag)
    flat = client.pages(bucket, size=7)
    listed = {row.key: (row.size, row.etag) for page in flat for row in page.rows}
    if listed != present:
        ledger.violation(f"listing {sorted(listed.items())}, but GET finds {sorted(present.items())}")
    in_order = [row.key for page in flat for row in page.rows]
    if in_order != sorted(listed, key=str.encode):
        ledger.violation(f"a listing out of order: {in_order}")
    for size in (2, 1000):
        _verify_level(client, bucket, ledger, sorted(present, key=str.encode), "", size)


def _verify_level(client: Client, bucket: str, ledger: Ledger, keys: Sequence[str], prefix: str, size: int) -> None:
    """Compare one level, and all below it, with what the keys say."""
    below = [key.removeprefix(prefix) for key in keys if key.startswith(prefix)]
    rows = [prefix + name for name in below if "/" not in name]
    prefixes = list(dict.fromkeys(f"{prefix}{name.partition('/')[0]}/" for name in below if "/" in name))
    pages: list[Page] = client.pages(bucket, prefix, "/", size)
    found = [row.key for page in pages for row in page.rows], [p for page in pages for p in page.prefixes]
    if found != (rows, prefixes):
        ledger.violation(f"listing of {prefix!r} by '/': {found}, but it must be {(rows, prefixes)}")
    for inner in prefixes:
        _verify_level(client, bucket, ledger, keys, inner, size)


def verify_uploads(client: Client, bucket: str, ledger: Ledger, uploads: list[Upload]) -> None:
    """Continue, complete, repeat and miss uploads, as they were left."""
    listed = {
        row.findtext("UploadId") for row in client.request("GET", bucket, query={"uploads": ""}).xml().iter("Upload")
    }
    for upload in list(uploads):
        if upload.ended == "aborted":
            if upload.id in listed or client.parts(bucket, upload.key, upload.id) is not None:
                ledger.violation(f"{upload.key!r}: an aborted upload is there again: {upload.id}")
        elif upload.ended == "completed":
            if upload.id in listed:
                ledger.violation(f"{upload.key!r}: a completed upload is listed: {upload.id}")
            repeat_complete(client, bucket, ledger, upload)
            continue  # once more in the next round: its answer is kept for a day
        elif upload.version is not None:  # Complete was not answered: it must be possible to say it again
            complete_upload(client, bucket, ledger, upload)
            ledger.count("Complete sent again")
            continue
        elif (stored := client.parts(bucket, upload.key, upload.id)) is None:
            if not upload.aborting:
                ledger.violation(f"{upload.key!r}: an unfinished upload has gone: {upload.id}")
        else:
            if upload.id not in listed:
                ledger.violation(f"{upload.key!r}: an unfinished upload is not listed: {upload.id}")
            _continue(client, bucket, ledger, upload, stored)
            continue
        uploads.remove(upload)


def _continue(client: Client, bucket: str, ledger: Ledger, upload: Upload, stored: dict[int, str]) -> None:
    for number, segments in upload.tried.items():
        by_etag = {md5(segment.data()): segment for segment in segments}
        found = by_etag.get(stored.get(number, ""))
        if number in stored and found is None:
            ledger.violation(f"{upload.key!r}: part {number} of {upload.id} is none that was sent")
        elif found is None:
            if number in upload.sent:
                ledger.violation(f"{upload.key!r}: part {number} of {upload.id} was acknowledged and is lost")
        elif number in upload.sent and segments.index(found) < segments.index(upload.sent[number]):
            ledger.violation(f"{upload.key!r}: part {number} of {upload.id} is older than the acknowledged one")
        else:
            upload.sent[number] = found
    for number in range(1, len(upload.sizes) + 1):
        if number not in upload.sent:
            send_part(client, bucket, ledger, upload, number)
    if len(upload.sent) < len(upload.sizes):
        ledger.violation(f"{upload.key!r}: the upload {upload.id} cannot be continued")
        return
    complete_upload(client, bucket, ledger, upload)
    ledger.count("upload continued")
