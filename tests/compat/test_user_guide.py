"""The client examples of Curvine's user guide, word for word: only addresses, keys and local paths are replaced.

The guide's buckets are used as they stand, so these tests have a gateway of their own.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.compat.clients import Client, aws_environment, bytes_of, find, make_tree, tree
from tests.gateway import Gateway, running_gateway

pytestmark = pytest.mark.compat

AWS_CLI = """
export AWS_ACCESS_KEY_ID=AqU4axe4feDyIielarPI
export AWS_SECRET_ACCESS_KEY=0CJZ2QfHi2tDb4DKuCJ2vnBEUXg5EYQt
export AWS_DEFAULT_REGION=us-east-1

# Create bucket
aws s3 mb s3://my-bucket --endpoint-url http://localhost:9900

# Upload file
aws s3 cp /path/to/local/file.txt s3://my-bucket/ --endpoint-url http://localhost:9900

# Download file
aws s3 cp s3://my-bucket/file.txt /tmp/ --endpoint-url http://localhost:9900

# List objects
aws s3 ls s3://my-bucket/ --endpoint-url http://localhost:9900

# Delete object
aws s3 rm s3://my-bucket/file.txt --endpoint-url http://localhost:9900

# Sync directory
aws s3 sync /local/directory s3://my-bucket/prefix/ --endpoint-url http://localhost:9900
"""

MC = """
mc alias set curvine http://localhost:9900 AqU4axe4feDyIielarPI 0CJZ2QfHi2tDb4DKuCJ2vnBEUXg5EYQt

# Create bucket
mc mb curvine/my-bucket

# Upload file
mc cp /path/to/file.txt curvine/my-bucket/

# Download file
mc cp curvine/my-bucket/file.txt /tmp/

# List contents
mc ls curvine/my-bucket/

# Mirror directory
mc mirror /local/directory curvine/my-bucket/prefix/
"""

BOTO3 = """
import boto3
from botocore.config import Config

# Create S3 client
s3_client = boto3.client(
    's3',
    endpoint_url='http://localhost:9900',
    aws_access_key_id='AqU4axe4feDyIielarPI',
    aws_secret_access_key='0CJZ2QfHi2tDb4DKuCJ2vnBEUXg5EYQt',
    region_name='us-east-1',
    config=Config(retries={'max_attempts': 3})
)

# Create bucket
s3_client.create_bucket(Bucket='my-python-bucket')

# Upload file
with open('local-file.txt', 'rb') as f:
    s3_client.put_object(Bucket='my-python-bucket', Key='remote-file.txt', Body=f)

# Download file
response = s3_client.get_object(Bucket='my-python-bucket', Key='remote-file.txt')
data = response['Body'].read()

# List objects
response = s3_client.list_objects_v2(Bucket='my-python-bucket')
for obj in response.get('Contents', []):
    print(f"Object: {obj['Key']}, Size: {obj['Size']}")
"""

FIRST_BYTES = """
curl -H "Range: bytes=0-999" \\
     -H "Authorization: AWS4-HMAC-SHA256 ..." \\
     http://localhost:9900/my-bucket/large-file.txt
"""

LAST_BYTES = """
curl -H "Range: bytes=-1000" \\
     -H "Authorization: AWS4-HMAC-SHA256 ..." \\
     http://localhost:9900/my-bucket/large-file.txt
"""

HEALTH = "curl http://localhost:9900/healthz"


@pytest.fixture
def own_gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running_gateway(tmp_path / "gateway", durability="none") as made:
        yield made


class Reader:
    """Somebody who follows the guide, with the local files that it speaks of."""

    def __init__(self, gateway: Gateway, directory: Path) -> None:
        self.directory = directory
        self.downloads = directory / "downloads"
        self.downloads.mkdir(parents=True)
        (directory / "file.txt").write_text("a file\n")
        (directory / "local-file.txt").write_text("local\n")
        self.files = make_tree(directory / "tree")
        self._replaced = {
            "/tmp/": f"{self.downloads}/",  # first: what is put in below may contain it
            "http://localhost:9900": gateway.endpoint,
            "AqU4axe4feDyIielarPI": gateway.owner.access_key,
            "0CJZ2QfHi2tDb4DKuCJ2vnBEUXg5EYQt": gateway.owner.secret_key,
            "/path/to/local/file.txt": str(directory / "file.txt"),
            "/path/to/file.txt": str(directory / "file.txt"),
            "/local/directory": str(directory / "tree"),
        }
        self._shell = Client("bash", directory, {}, ("-euo", "pipefail", "-c"))

    def text(self, example: str, extra: dict[str, str]) -> str:
        for old, new in (self._replaced | extra).items():
            example = example.replace(old, new)
        return example

    def runs(self, example: str, **extra: str) -> str:
        return self._shell(self.text(example, extra))


@pytest.fixture
def reader(own_gateway: Gateway, tmp_path: Path) -> Reader:
    return Reader(own_gateway, tmp_path / "reader")


def test_aws_cli(own_gateway: Gateway, reader: Reader, tmp_path: Path) -> None:
    find("aws")
    printed = reader.runs(AWS_CLI)
    assert "make_bucket: my-bucket" in printed
    assert " 7 file.txt\n" in printed
    assert (reader.downloads / "file.txt").read_text() == "a file\n"
    # What was synced lies under its plain names, for those who look at the file system.
    assert tree(own_gateway.data / "my-bucket") == {f"prefix/{name}": data for name, data in reader.files.items()}


def test_mc(own_gateway: Gateway, reader: Reader) -> None:
    find("mc")
    reader.runs(MC)
    assert (reader.downloads / "file.txt").read_text() == "a file\n"
    assert (
        reader.files.items()
        <= {name.removeprefix("prefix/"): data for name, data in tree(own_gateway.data / "my-bucket").items()}.items()
    )


def test_boto3(own_gateway: Gateway, reader: Reader) -> None:
    python = Client(sys.executable, reader.directory, {}, ("-c",))
    assert python(reader.text(BOTO3, {})) == "Object: remote-file.txt, Size: 6\n"
    assert (own_gateway.data / "my-python-bucket/remote-file.txt").read_text() == "local\n"


@pytest.mark.parametrize("example, first, last", [(FIRST_BYTES, 0, 1000), (LAST_BYTES, 99_000, 100_000)])
def test_ranges_with_curl(own_gateway: Gateway, reader: Reader, example: str, first: int, last: int) -> None:
    content = bytes_of(50_000).hex()
    (reader.directory / "large-file.txt").write_text(content)
    find("curl")
    cli = Client("aws", reader.directory, aws_environment(own_gateway), ("--endpoint-url", own_gateway.endpoint))
    cli("s3", "mb", "s3://my-bucket")
    cli("s3", "cp", "large-file.txt", "s3://my-bucket/large-file.txt")
    request = AWSRequest("GET", f"{own_gateway.endpoint}/my-bucket/large-file.txt")
    request.headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
    owner = own_gateway.owner
    SigV4Auth(Credentials(owner.access_key, owner.secret_key), "s3", own_gateway.region).add_auth(request)
    header = '" -H "'.join(f"{name}: {value}" for name, value in request.headers.items())
    printed = reader.runs(example, **{"Authorization: AWS4-HMAC-SHA256 ...": header})
    assert printed == content[first:last]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_health_check(reader: Reader) -> None:
    assert reader.runs(HEALTH) == "ok\n"
