"""Curvine under fsspec's own test suite, pandas and pyarrow: on the simulated cluster, or a live one.

For a live one set CURVINE_MASTERS=host:port[,host:port...]; ``/t-fsspec`` of it is written to and removed.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.sim.cluster import FAST, Cluster

fsspec: Any = pytest.importorskip("fsspec", reason="fsspec is not installed")
abstract: Any = pytest.importorskip("fsspec.tests.abstract", reason="fsspec is not installed")

from curvinefs.fsspec import CurvineFS  # noqa: E402  # needs fsspec

pytestmark = pytest.mark.compat
fsspec.register_implementation("curvine", CurvineFS, clobber=True)  # where the package is not installed

MASTERS = os.environ.get("CURVINE_MASTERS", "")
LIVE = [pytest.mark.curvine, pytest.mark.skipif(not MASTERS, reason="CURVINE_MASTERS names no cluster")]
OTHERS = pytest.mark.filterwarnings("default")
"""What these packages hold against each other is no matter of ours."""
ROOT = "/t-fsspec"


@pytest.fixture(scope="module", params=["simulated", pytest.param("live", marks=LIVE)])
def storage_options(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    if request.param == "live":
        yield {"masters": MASTERS}
        return
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        masters = ",".join(f"{host}:{port}" for host, port in cluster.addresses())
        yield {"masters": masters, **asdict(FAST)}


@pytest.fixture
def fs(storage_options: dict[str, Any]) -> Iterator[CurvineFS]:
    made = CurvineFS(**storage_options, skip_instance_cache=True)
    made.makedirs(ROOT, exist_ok=True)
    yield made
    made.rm(ROOT, recursive=True)
    made.close()


@pytest.fixture
def url(fs: CurvineFS) -> str:
    return f"curvine://{fs.masters}{ROOT}"


@pytest.fixture
def options(storage_options: dict[str, Any]) -> dict[str, Any]:
    """What a URL leaves to be said."""
    return {name: value for name, value in storage_options.items() if name != "masters"}


class _Fixtures(abstract.AbstractFixtures):  # type: ignore[misc]  # fsspec has no types
    @pytest.fixture
    def fs(self, fs: CurvineFS) -> CurvineFS:
        return fs

    @pytest.fixture
    def fs_path(self) -> str:
        return ROOT

    @pytest.fixture
    def local_fs(self) -> Any:
        """Not of class scope, as in the suite's older versions: new ones of pytest warn of that."""
        return fsspec.filesystem("file", auto_mkdir=True)


class TestCopy(_Fixtures, abstract.AbstractCopyTests):  # type: ignore[misc]
    pass


class TestGet(_Fixtures, abstract.AbstractGetTests):  # type: ignore[misc]
    pass


class TestPut(_Fixtures, abstract.AbstractPutTests):  # type: ignore[misc]
    pass


class TestPipe(_Fixtures, abstract.AbstractPipeTests):  # type: ignore[misc]
    pass


class TestOpen(_Fixtures, abstract.AbstractOpenTests):  # type: ignore[misc]
    pass


@OTHERS
class TestPandas:
    @pytest.fixture
    def pandas(self) -> Any:
        return pytest.importorskip("pandas", reason="pandas is not installed")

    @pytest.fixture
    def frame(self, pandas: Any) -> Any:
        return pandas.DataFrame({"n": range(50_000), "text": [f"ä{n % 97}" for n in range(50_000)]})

    def test_csv(self, pandas: Any, frame: Any, url: str, options: dict[str, Any]) -> None:
        for name in ("f.csv", "f.csv.gz"):
            frame.to_csv(f"{url}/{name}", index=False, storage_options=options)
            back = pandas.read_csv(f"{url}/{name}", storage_options=options)
            pandas.testing.assert_frame_equal(back, frame)

    def test_parquet(self, pandas: Any, frame: Any, url: str, options: dict[str, Any]) -> None:
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        frame.to_parquet(f"{url}/new/f.parquet", storage_options=options)
        back = pandas.read_parquet(f"{url}/new/f.parquet", columns=["text"], storage_options=options)
        pandas.testing.assert_frame_equal(back, frame[["text"]])

    def test_partitions(self, pandas: Any, frame: Any, url: str, options: dict[str, Any], fs: CurvineFS) -> None:
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        frame["part"] = frame["n"] % 3
        frame.to_parquet(f"{url}/f", partition_cols=["part"], storage_options=options)
        assert [path.rpartition("/")[2] for path in fs.ls(f"{ROOT}/f", detail=False)] == ["part=0", "part=1", "part=2"]
        back = pandas.read_parquet(f"{url}/f", filters=[("part", "==", 1)], storage_options=options)
        assert back["n"].tolist() == list(range(1, 50_000, 3))


@OTHERS
class TestPyarrow:
    @pytest.fixture
    def arrow(self, fs: CurvineFS) -> Any:
        arrow_fs = pytest.importorskip("pyarrow.fs", reason="pyarrow is not installed")
        return arrow_fs.PyFileSystem(arrow_fs.FSSpecHandler(fs))

    def test_files(self, arrow: Any, fs: CurvineFS) -> None:
        arrow_fs = pytest.importorskip("pyarrow.fs")
        data = os.urandom(3_000_000)
        arrow.create_dir(f"{ROOT}/a/b")
        with arrow.open_output_stream(f"{ROOT}/a/b/f") as stream:
            stream.write(data)
        arrow.copy_file(f"{ROOT}/a/b/f", f"{ROOT}/a/g")
        arrow.move(f"{ROOT}/a/g", f"{ROOT}/h")
        with arrow.open_input_file(f"{ROOT}/h") as file:
            assert file.size() == len(data)
            assert file.read_at(1_000_000, 1_999_999) == data[1_999_999:2_999_999]
        found = arrow.get_file_info(arrow_fs.FileSelector(ROOT, recursive=True))
        assert {(info.path, info.type, info.size) for info in found} == {
            (f"{ROOT}/a", arrow_fs.FileType.Directory, None),
            (f"{ROOT}/a/b", arrow_fs.FileType.Directory, None),
            (f"{ROOT}/a/b/f", arrow_fs.FileType.File, len(data)),
            (f"{ROOT}/h", arrow_fs.FileType.File, len(data)),
        }
        assert arrow.get_file_info([f"{ROOT}/none"])[0].type is arrow_fs.FileType.NotFound
        arrow.delete_file(f"{ROOT}/h")
        arrow.delete_dir(f"{ROOT}/a")
        assert fs.ls(ROOT) == []

    def test_dataset(self, arrow: Any) -> None:
        pa, dataset = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.dataset")
        table = pa.table({"n": range(10_000)})
        dataset.write_dataset(
            table, f"{ROOT}/set", filesystem=arrow, format="parquet", max_rows_per_file=3000, max_rows_per_group=3000
        )
        back = dataset.dataset(f"{ROOT}/set", filesystem=arrow, format="parquet")
        assert back.count_rows() == 10_000
        assert back.scanner(filter=dataset.field("n") >= 9000).to_table()["n"].to_pylist() == list(range(9000, 10_000))


@OTHERS
def test_dask(url: str, options: dict[str, Any]) -> None:
    frames = pytest.importorskip("dask.dataframe", reason="dask is not installed")
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame({"n": range(1000)})
    frames.from_pandas(frame, npartitions=4).to_parquet(f"{url}/d", storage_options=options)
    assert frames.read_parquet(f"{url}/d", storage_options=options)["n"].sum().compute() == 499_500


@OTHERS
def test_xarray(url: str, options: dict[str, Any]) -> None:
    xarray = pytest.importorskip("xarray", reason="xarray is not installed")
    pytest.importorskip("zarr", reason="zarr is not installed")
    xarray.Dataset({"t": ("x", list(range(1000)))}).to_zarr(
        f"{url}/z.zarr", consolidated=False, storage_options=options
    )
    assert int(xarray.open_zarr(f"{url}/z.zarr", consolidated=False, storage_options=options)["t"].sum()) == 499_500


@OTHERS
def test_guide(fs: CurvineFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/curvinefs.md, as it is pasted."""
    text = (Path(__file__).parents[2] / "docs" / "curvinefs.md").read_text().partition("## fsspec")[2]
    text = text.replace("master1:8995,master2:8995", fs.masters).replace("master1:8995", fs.masters)
    text = text.replace("/data", f"{ROOT}/data").replace("replicas=2", "replicas=1")
    plain, others = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[:2]
    (tmp_path / "days").mkdir()
    (tmp_path / "days" / "1.parquet").write_bytes(b"x" * 100)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(plain, names)
    assert fs.find(f"{ROOT}/data") == [f"{ROOT}/data/days/1.parquet"]
    fs.rm(f"{ROOT}/data/days/1.parquet")
    for package in ("pandas", "pyarrow", "dask.dataframe", "xarray", "zarr"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    exec(others, names)
    assert fs.exists(f"{ROOT}/data/n.csv.gz")


def test_open(url: str, options: dict[str, Any]) -> None:
    """By URL, in text mode and compressed."""
    for name, mode in (("f", "t"), ("f.gz", "t"), ("f.bz2", "b")):
        text: Any = "ä\n" * 1000 if mode == "t" else b"\0" * 1000
        with fsspec.open(f"{url}/{name}", "w" + mode, compression="infer", **options) as file:
            file.write(text)
        with fsspec.open(f"{url}/{name}", "r" + mode, compression="infer", **options) as file:
            assert file.read() == text


def test_mapper(fs: CurvineFS) -> None:
    """What zarr keeps its chunks in."""
    chunks = fs.get_mapper(f"{ROOT}/map")
    chunks.setitems({"a/0.0": b"zero", "a/0.1": b"one", ".zgroup": b"{}"})
    assert dict(chunks) == {"a/0.0": b"zero", "a/0.1": b"one", ".zgroup": b"{}"}
    assert chunks.getitems(["a/0.0", "a/9"], on_error="omit") == {"a/0.0": b"zero"}
    del chunks["a/0.0"]
    assert "a/0.0" not in chunks


def test_reading_like_a_local_file(fs: CurvineFS) -> None:
    """Any seeks and reads, through every cache."""
    data = os.urandom(300_000)
    fs.pipe_file(f"{ROOT}/f", data)
    for cache in ("readahead", "none", "bytes", "blockcache", "background", "first", "all"):
        local = io.BytesIO(data)
        with fs.open(f"{ROOT}/f", block_size=50_000, cache_type=cache) as file:
            for seek, length in ((0, 10), (100_000, 70_000), (99_990, 20), (299_990, 100), (0, -1), (250_000, 60_000)):
                assert file.seek(seek) == local.seek(seek)
                assert file.read(length) == local.read(length), cache
                assert file.tell() == local.tell()
            file.seek(1000)
            buffer = bytearray(120_000)
            assert file.readinto(buffer) == 120_000 and buffer == data[1000:121_000]
            assert file.tell() == 121_000
