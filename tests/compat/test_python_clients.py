"""Python packages that users read and write S3 with, each where it is installed: minio, s3fs, pyarrow, DuckDB."""

from __future__ import annotations

import io
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.compat import clients
from tests.compat.clients import MIB, bytes_of, make_tree, tree
from tests.gateway import Gateway

pytestmark = [pytest.mark.compat, pytest.mark.filterwarnings("default")]  # their warnings are no matter of ours

KEYS = ("a b+c", "ünï/日本", "100%/%20", "q#d&e=f")


def imported(name: str) -> Any:
    return pytest.importorskip(name, reason=f"{name} is not installed")


def host(gateway: Gateway) -> str:
    return gateway.endpoint.partition("//")[2]


def test_minio(served: Gateway, name: str) -> None:
    minio, urllib3 = imported("minio"), imported("urllib3")
    commonconfig, deleteobjects = imported("minio.commonconfig"), imported("minio.deleteobjects")
    pool = urllib3.PoolManager(ca_certs=str(served.certificate)) if served.certificate else None
    secure = served.certificate is not None
    client = minio.Minio(
        host(served), served.owner.access_key, served.owner.secret_key, secure=secure, http_client=pool
    )
    bucket = f"{name}-minio"
    client.make_bucket(bucket)
    for key in (*KEYS, "x//y"):
        client.put_object(bucket, key, io.BytesIO(key.encode()), len(key.encode()), metadata={"color": "red"})
        client.copy_object(bucket, f"copy/{key}", commonconfig.CopySource(bucket, key))
        assert client.get_object(bucket, f"copy/{key}").read() == key.encode()
        assert client.stat_object(bucket, f"copy/{key}").metadata["x-amz-meta-color"] == "red"
    content = bytes_of(11 * MIB)
    client.put_object(bucket, "big", io.BytesIO(content), -1, part_size=5 * MIB)
    sources = [commonconfig.ComposeSource(bucket, "big"), commonconfig.ComposeSource(bucket, "a b+c")]
    client.compose_object(bucket, "composed", sources)  # by UploadPartCopy
    assert client.get_object(bucket, "composed").read() == content + b"a b+c"
    assert client.get_object(bucket, "big", offset=7, length=9).read() == content[7:16]
    found = [row.object_name for row in client.list_objects(bucket, recursive=True)]
    assert len(found) == 12
    assert list(client.remove_objects(bucket, map(deleteobjects.DeleteObject, found))) == []
    client.remove_bucket(bucket)


def test_s3fs(served: Gateway, name: str, tmp_path: Path) -> None:
    s3fs = imported("s3fs")
    client = s3fs.S3FileSystem(
        key=served.owner.access_key,
        secret=served.owner.secret_key,
        endpoint_url=served.endpoint,
        client_kwargs={"region_name": served.region}
        | ({"verify": str(served.certificate)} if served.certificate else {}),
        skip_instance_cache=True,
    )
    bucket, files, content = f"{name}-s3fs", make_tree(tmp_path / "up"), bytes_of(11 * MIB)
    client.mkdir(bucket)
    for key in KEYS:
        client.pipe(f"{bucket}/{key}", key.encode())
        client.mv(f"{bucket}/{key}", f"{bucket}/moved/{key}")
        assert client.cat(f"{bucket}/moved/{key}") == key.encode()
    with client.open(f"{bucket}/big", "wb", block_size=5 * MIB) as file:
        file.write(content)
    with client.open(f"{bucket}/big", "ab") as file:
        file.write(b"more")
    with client.open(f"{bucket}/big", "rb") as file:
        file.seek(-10, io.SEEK_END)
        assert file.read() == content[-6:] + b"more"
    client.put(f"{tmp_path}/up/", f"{bucket}/tree/", recursive=True)
    assert len(client.find(f"{bucket}/tree")) == len(files)
    client.get(f"{bucket}/tree/", f"{tmp_path}/down/", recursive=True)
    assert tree(tmp_path / "down") == files
    client.rm(bucket, recursive=True)
    assert not (served.data / bucket).exists()


def test_pyarrow(served: Gateway, name: str) -> None:
    pyarrow, dataset, fs = imported("pyarrow"), imported("pyarrow.dataset"), imported("pyarrow.fs")
    client = fs.S3FileSystem(
        access_key=served.owner.access_key,
        secret_key=served.owner.secret_key,
        endpoint_override=host(served),
        scheme="https" if served.certificate else "http",
        region=served.region,
        allow_bucket_creation=True,
        allow_bucket_deletion=True,
        **({"tls_ca_file_path": str(served.certificate)} if served.certificate else {}),
    )
    bucket, content = f"{name}-pyarrow", bytes_of(11 * MIB)
    client.create_dir(f"{bucket}/a b+ü/%20")
    with client.open_output_stream(f"{bucket}/big") as file:
        file.write(content)
    client.move(f"{bucket}/big", f"{bucket}/a b+ü/%20/moved")
    with client.open_input_file(f"{bucket}/a b+ü/%20/moved") as file:
        assert file.read() == content
    rows = pyarrow.table({"number": range(1000), "group": [number % 4 for number in range(1000)]})
    layout = {"format": "parquet", "filesystem": client, "partitioning": ["group"]}
    dataset.write_dataset(rows, f"{bucket}/rows", partitioning_flavor="hive", **layout)
    read = dataset.dataset(f"{bucket}/rows", **layout | {"partitioning": "hive"})
    assert read.count_rows(filter=dataset.field("group") == 1) == 250
    client.delete_dir(bucket)


def test_duckdb(served: Gateway, name: str) -> None:
    duckdb, httpfs = imported("duckdb"), imported("duckdb_extension_httpfs")
    bucket = f"{name}-duckdb"
    with closing(clients.s3(served)) as client:
        client.create_bucket(Bucket=bucket)
    (extension,) = Path(httpfs.__file__).parent.rglob("*.duckdb_extension")
    with duckdb.connect(config={"allow_unsigned_extensions": "true"}) as connection:
        connection.load_extension(str(extension))
        if served.certificate:
            connection.execute(f"SET GLOBAL ca_cert_file = '{served.certificate}'")
        owner, tls = served.owner, served.certificate is not None
        connection.execute(
            f"CREATE SECRET (TYPE s3, KEY_ID '{owner.access_key}', SECRET '{owner.secret_key}', "
            f"ENDPOINT '{host(served)}', REGION '{served.region}', URL_STYLE 'path', USE_SSL {tls})"
        )
        rows = "SELECT i % 4 AS part, i, md5(i::text) AS noise FROM range(500_000) t(i)"
        connection.execute(f"COPY ({rows}) TO 's3://{bucket}/big ü+%.parquet'")  # a multipart upload
        connection.execute(f"COPY ({rows}) TO 's3://{bucket}/parts' (FORMAT parquet, PARTITION_BY (part))")
        for source in (f"s3://{bucket}/big ü+%.parquet", f"s3://{bucket}/parts/*/*.parquet"):
            counted = connection.execute(f"SELECT count(*), sum(i) FROM '{source}' WHERE part = 1").fetchone()
            assert counted == (125_000, sum(range(1, 500_000, 4)))
