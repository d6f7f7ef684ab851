#!/usr/bin/env python3
"""Much data through nginx and several gateways over one Curvine cluster: compare every byte, print how long it took.


One multipart upload whose parts go through whichever instance nginx chooses, completed, read back; then Python's
standard library up by the AWS CLI (twice: the second time nothing moves) and back.  nginx runs with README's
configuration.  Needs nginx and the ``test`` extra's environment.  Exits with 1 when bytes differ.
"""

from __future__ import annotations

import argparse
import mmap
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.compat import clients  # noqa: E402
from tests.compat.test_balancers import readmes_nginx  # noqa: E402
from tests.compat.test_bulk import differences  # noqa: E402
from tests.gateway import running_gateway  # noqa: E402
from tools.client_bulk import BUCKET, MIB, make_file, timed  # noqa: E402

PART = 64 * MIB
CLIENTS = 4
INSTANCES = 3
"""As many as README's configuration has."""


def large_object(client: Any, directory: Path, mib: int) -> bool:
    """Up in parts, completed, and back; True when all bytes came back."""
    make_file(directory / "up", mib)
    with open(directory / "up", "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
        upload = {"Bucket": BUCKET, "Key": "large"}
        upload["UploadId"] = client.create_multipart_upload(**upload)["UploadId"]

        def send(number: int) -> dict[str, Any]:
            first = (number - 1) * PART
            answer = client.upload_part(**upload, PartNumber=number, Body=content[first : first + PART])
            return {"PartNumber": number, "ETag": answer["ETag"]}

        def send_all() -> None:
            with ThreadPoolExecutor(CLIENTS) as threads:
                parts.extend(threads.map(send, range(1, -(-len(content) // PART) + 1)))

        def read() -> None:
            nonlocal good
            body = client.get_object(Bucket=BUCKET, Key="large")["Body"]
            at = 0
            for piece in body.iter_chunks(MIB):
                good = good and content[at : at + len(piece)] == piece
                at += len(piece)
            good = good and at == len(content)

        parts: list[dict[str, Any]] = []
        good = True
        timed(f"{mib} MiB up, {CLIENTS} parts at a time", mib, send_all)
        complete = {**upload, "MultipartUpload": {"Parts": parts}}
        timed("CompleteMultipartUpload", mib, lambda: client.complete_multipart_upload(**complete))
        timed(f"{mib} MiB down", mib, read)
    client.delete_object(Bucket=BUCKET, Key="large")
    return good


def small_files(endpoint: str, gateway: Any, directory: Path) -> bool:
    """The standard library up and back; True when both trees are the same."""
    source, lib = directory / "lib", f"s3://{BUCKET}/lib"
    shutil.copytree(sysconfig.get_path("stdlib"), source, ignore=shutil.ignore_patterns("__pycache__", "*-packages"))
    files = [path for path in source.rglob("*") if path.is_file()]
    mib = sum(path.stat().st_size for path in files) / MIB
    aws = clients.Client("aws", directory, clients.aws_environment(gateway), ("--endpoint-url", endpoint))
    timed(f"aws: {len(files)} files up", mib, lambda: aws("s3", "sync", "lib", lib, "--only-show-errors"))
    again = aws("s3", "sync", "lib", lib)
    timed(f"aws: {len(files)} files down", mib, lambda: aws("s3", "sync", lib, "back", "--only-show-errors"))
    found = [*differences(source, directory / "back"), *again.splitlines()]
    for line in found:
        print(line, file=sys.stderr)
    aws("s3", "rm", "--recursive", "--only-show-errors", f"s3://{BUCKET}")
    return not found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--store", required=True, help="curvine://HOST:PORT[,HOST:PORT...]/")
    parser.add_argument("--conf", type=Path, help="a curvine-cluster.toml ([client] replicas, hostname, ...)")
    parser.add_argument("--gib", type=float, default=5, help="size of the large object")
    parser.add_argument("--directory", type=Path, help="where everything is made and removed again")
    options = parser.parse_args()
    settings = {name: value for name in ("store", "conf") if (value := getattr(options, name))}
    clients.TIMEOUT = 1800.0
    with ExitStack() as opened:
        directory = Path(opened.enter_context(tempfile.TemporaryDirectory(dir=options.directory)))
        fleet = [
            opened.enter_context(running_gateway(directory / f"g{number}", workers=1, settings=settings))
            for number in range(INSTANCES)
        ]
        balancer = opened.enter_context(readmes_nginx(fleet, directory))
        client = opened.enter_context(closing(clients.s3(fleet[0], endpoint=balancer.endpoint)))
        client.create_bucket(Bucket=BUCKET)
        good = large_object(client, directory, int(options.gib * 1024))
        good = small_files(balancer.endpoint, fleet[0], directory) and good
        client.delete_bucket(Bucket=BUCKET)
        served = [subprocess.run(["grep", "-c", " 200 ", gateway.log_file], capture_output=True) for gateway in fleet]
        print("answers with 200, by instance:", *(int(done.stdout) for done in served))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
