"""What fsspec's own suite (tests/compat/test_fsspec.py) does not ask of curvinefs.fsspec, on the simulated cluster."""

from __future__ import annotations

import configparser
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime, timezone
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fsspec", reason="fsspec is not installed")

from curvinefs.curvine.retry import Code  # noqa: E402
from curvinefs.fsspec import CurvineFS, addresses  # noqa: E402  # needs fsspec
from tests.sim.cluster import FAST, Cluster  # noqa: E402
from tests.sim.server import Fault  # noqa: E402

ROOT = Path(__file__).parents[2]
OPTIONS = asdict(replace(FAST, master_patience_s=0.2, worker_patience_s=0.2))
LARGE = bytes(range(256)) * 5000
"""More than a writer keeps in memory."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def fs(cluster: Cluster) -> Iterator[CurvineFS]:
    made = CurvineFS(cluster.addresses(), **OPTIONS)
    yield made
    made.close()


def everything(fs: CurvineFS, path: str = "/") -> list[str]:
    """Names in the cluster, unfinished files too."""
    return [entry.name for entry in fs.client.list(path)]


class TestNames:
    @pytest.mark.parametrize(
        ("url", "masters", "path"),
        [
            ("curvine://h:1/a/b", "h:1", "/a/b"),
            ("curvine://h1:1,h2:2/a", "h1:1,h2:2", "/a"),
            ("curvine://h", "h", "/"),
            ("curvine://h:1/", "h:1", "/"),
            ("curvine://[::1]:1//a//b/", "[::1]:1", "/a/b"),
            ("curvine:///a", None, "/a"),
            ("/a/b/", None, "/a/b"),
            ("a", None, "/a"),
            ("", None, "/"),
        ],
    )
    def test_urls(self, url: str, masters: str | None, path: str) -> None:
        assert CurvineFS._get_kwargs_from_urls(url) == ({"masters": masters} if masters else {})
        assert CurvineFS._strip_protocol(url) == path
        assert CurvineFS._strip_protocol([url]) == [path]

    def test_masters(self) -> None:
        assert addresses("a:1, [::1]:2,[::1],b") == (("a", 1), ("::1", 2), ("::1", 8995), ("b", 8995))
        assert addresses([("::1", 1), "b:2"]) == (("::1", 1), ("b", 2))
        for bad in ("", "a:", "a:0", "a:65536", "a:x", ":1", "a,,b"):
            with pytest.raises(ValueError, match="no master"):
                addresses(bad)

    def test_options(self) -> None:
        fs = CurvineFS(host="::1", port=7, replicas=2)
        assert fs.masters == "[::1]:7"
        assert fs.unstrip_protocol("/a") == fs.unstrip_protocol("curvine://[::1]:7/a") == "curvine://[::1]:7/a"
        assert CurvineFS("[::1]:7", replicas=2).client is fs.client
        assert CurvineFS("[::1]:7").client is not fs.client
        with pytest.raises(ValueError, match="name the cluster"):
            CurvineFS()
        with pytest.raises(ValueError, match="name the cluster"):
            CurvineFS("a:1", host="a")
        with pytest.raises(TypeError, match="unknown storage options: nonsense"):
            CurvineFS("a:1", nonsense=1)

    def test_entry_point(self) -> None:
        settings = configparser.ConfigParser()
        settings.read(ROOT / "setup.cfg")
        name, _, value = settings["options.entry_points"]["fsspec.specs"].strip().partition(" = ")
        assert EntryPoint(name, value, "fsspec.specs").load() is CurvineFS
        assert name == CurvineFS.protocol

    def test_optional(self) -> None:
        """The client itself does without fsspec."""
        code = "import sys; sys.modules['fsspec'] = None; import curvinefs.client, curvinefs.local"
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=30)


class TestPublishing:
    def test_nothing_before_close(self, fs: CurvineFS) -> None:
        with fs.open("/d/f", "wb") as file:
            assert file.write(LARGE) == file.tell() == len(LARGE)
            file.flush()
            assert fs.ls("/d") == [] and not fs.exists("/d/f")
            assert len(everything(fs, "/d")) == 1
        assert fs.cat_file("/d/f") == LARGE
        assert everything(fs, "/d") == ["f"]
        with pytest.raises(ValueError, match="closed"):
            file.write(b"x")

    @pytest.mark.parametrize(
        ("mode", "compression"), [("wb", None), ("xb", None), ("w", None), ("wb", "gzip"), ("w", "bz2")]
    )
    def test_an_error_discards(self, fs: CurvineFS, mode: str, compression: str | None) -> None:
        data: Any = "text" * 1000 if mode == "w" else b"data" * 1000
        with pytest.raises(KeyError), fs.open("/d/f", mode, compression=compression) as file:
            file.write(data)
            raise KeyError
        assert everything(fs, "/d") == []
        with fs.open("/d/f", mode, compression=compression) as file:
            file.write(data)
        with fs.open("/d/f", mode.replace("w", "r").replace("x", "r"), compression=compression) as file:
            assert file.read() == data

    def test_transaction(self, fs: CurvineFS) -> None:
        with fs.transaction:
            fs.pipe({"/a": b"1", "/b": LARGE})
            with pytest.raises(KeyError), fs.open("/c", "wb"):
                raise KeyError
            left_open = fs.open("/d", "wb")
            left_open.write(b"4")
            assert fs.ls("/") == []
        assert fs.cat(["/a", "/b", "/d"]) == {"/a": b"1", "/b": LARGE, "/d": b"4"}
        with pytest.raises(KeyError), fs.transaction:
            fs.pipe_file("/a", b"2")
            raise KeyError
        assert fs.cat_file("/a") == b"1"
        assert everything(fs) == ["a", "b", "d"]

    def test_exclusive(self, fs: CurvineFS) -> None:
        """The name is taken while the file is written."""
        with pytest.raises(FileExistsError), fs.open("/f", "xb") as file:
            file.write(b"late")
            fs.pipe_file("/f", b"first", mode="create")
        with pytest.raises(FileExistsError):
            fs.pipe_file("/f", b"later", mode="create")
        with pytest.raises(NotImplementedError):
            fs.touch("/f", truncate=False)
        assert fs.cat_file("/f") == b"first"
        assert everything(fs) == ["f"]
        fs.touch("/f")
        fs.touch("/g", truncate=False)
        assert fs.sizes(["/f", "/g"]) == [0, 0]

    def test_exclusive_by_many(self, fs: CurvineFS) -> None:
        won = []

        def create(number: int) -> None:
            try:
                fs.pipe_file("/d/f", b"%d" % number, mode="create")
                won.append(number)
            except FileExistsError:
                pass

        threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert [b"%d" % number for number in won] == [fs.cat_file("/d/f")]

    def test_a_failed_write(self, fs: CurvineFS, cluster: Cluster) -> None:
        """What lacks bytes is never published, even if its writer overlooks the error."""
        file = fs.open("/d/f", "wb")
        cluster.workers[0].server.stop()
        with pytest.raises(OSError):
            for _ in range(20):
                file.write(LARGE)
        with pytest.raises(OSError, match="a write failed"):
            file.write(b"more")
        with pytest.raises(OSError, match="a write failed"):
            file.close()
        file.close()
        assert everything(fs, "/d") == []

    def test_no_appending(self, fs: CurvineFS) -> None:
        for mode in ("ab", "a", "r+b"):
            with pytest.raises(NotImplementedError, match="published at once"):
                fs.open("/f", mode)

    def test_without_parents(self, cluster: Cluster) -> None:
        fs = CurvineFS(cluster.addresses(), auto_mkdir=False, **OPTIONS)
        with pytest.raises(FileNotFoundError):
            fs.pipe_file("/d/f", b"")
        fs.close()


class TestReading:
    def test_one_version(self, fs: CurvineFS) -> None:
        fs.pipe_file("/f", LARGE)
        with fs.open("/f", block_size=1000) as file:
            assert file.read(10) == LARGE[:10]
            fs.pipe_file("/f", b"new")
            assert file.info()["size"] == len(LARGE)
            with fs.open("/f") as new:
                assert new.read() == b"new"

    def test_pickles(self, fs: CurvineFS) -> None:
        fs.pipe_file("/f", LARGE)
        again = pickle.loads(pickle.dumps(fs))
        assert again is fs and again.cat_file("/f") == LARGE
        with fs.open("/f", block_size=1000) as file:
            file.seek(100)
            with pickle.loads(pickle.dumps(file)) as other:
                assert other.read() == LARGE[100:]
        with pytest.raises(RuntimeError), fs.open("/f", "wb") as writer:
            pickle.dumps(writer)

    def test_ranges(self, fs: CurvineFS) -> None:
        fs.pipe({"/f": LARGE, "/g": b"0123456789"})
        found = fs.cat_ranges(["/g", "/f", "/none", "/g"], [-3, 999_999, 0, 2], [None, 1_000_005, 1, -2])
        assert found[:2] == [b"789", LARGE[999_999:1_000_005]] and found[3] == b"234567"
        assert isinstance(found[2], FileNotFoundError)
        with pytest.raises(FileNotFoundError):
            fs.cat_ranges(["/none"], 0, 1, on_error="raise")
        assert fs.cat_ranges(["/g"] * 2, 1, [3, 2]) == [b"12", b"1"]
        assert fs.cat_file("/g", 5, 2) == b"" and fs.cat_file("/g", 20) == b""
        assert fs.head("/g", 3) == b"012" and fs.tail("/g", 3) == b"789"

    def test_unknown_cache(self, fs: CurvineFS) -> None:
        fs.pipe_file("/f", b"")
        with pytest.raises(KeyError):
            fs.open("/f", cache_type="none such")

    def test_times(self, fs: CurvineFS) -> None:
        before = time.time()
        fs.pipe_file("/f", b"1")
        assert int(before * 1000) / 1000 <= fs.info("/f")["mtime"] <= time.time()
        assert fs.modified("/f") == datetime.fromtimestamp(fs.info("/f")["mtime"], timezone.utc)
        checksum, key = fs.checksum("/f"), fs.ukey("/f")
        assert (checksum, key) == (fs.checksum("/f"), fs.ukey("/f"))
        fs.pipe_file("/f", b"2")
        assert checksum != fs.checksum("/f") and key != fs.ukey("/f")


class TestForks:
    def test_reading_goes_on(self, fs: CurvineFS) -> None:
        """Parent and child read the same opened file, and a writer stays the parent's."""
        fs.pipe_file("/f", LARGE)
        with fs.open("/f", cache_type="none") as file, fs.open("/g", "wb") as writer:
            assert file.read(1000) == LARGE[:1000]
            writer.write(LARGE)
            child = os.fork()
            if not child:
                code = 1
                try:
                    assert file.read() == LARGE[1000:] and fs.cat_file("/f", 0, 5) == LARGE[:5]
                    assert writer.closed
                    writer.close()
                    writer.discard()
                    code = 0
                finally:
                    os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert file.read() == LARGE[1000:]
        assert fs.cat_file("/g") == LARGE

    def test_another_version(self, fs: CurvineFS) -> None:
        fs.pipe_file("/f", LARGE)
        with fs.open("/f", cache_type="none") as file:
            assert file.read(10) == LARGE[:10]
            fs.pipe_file("/f", LARGE[::-1])
            file.forget()
            with pytest.raises(OSError, match="replaced"):
                file.read(10)


class TestLooking:
    def test_hidden(self, fs: CurvineFS) -> None:
        fs.client.mkdir("/.s3~")
        with fs.open("/d/f", "wb"):
            assert fs.ls("/", detail=False) == ["/d"]
            assert fs.find("/", withdirs=True) == ["/", "/d"]
        assert fs.find("/") == ["/d/f"]

    def test_a_file(self, fs: CurvineFS) -> None:
        fs.pipe_file("/d/f", b"123")
        assert fs.ls("/d/f") == fs.ls("/d") == [fs.info("/d/f")]
        assert fs.find("/d/f") == ["/d/f"] and fs.find("/d/f", detail=True) == {"/d/f": fs.info("/d/f")}
        assert list(fs.walk("/d/f")) == [("/d/f", [], [""])]
        assert fs.du("/d/f") == fs.du("/") == 3
        assert not fs.exists("/d/f/g") and not fs.exists("/" + "n" * 300) and not fs.exists("/d/../d")
        with pytest.raises(NotADirectoryError):
            fs.ls("/d/f/g")

    def test_walk(self, fs: CurvineFS) -> None:
        for path in ("/a/b/1", "/a/c/d/2", "/a/3", "/e/4"):
            fs.touch(path)
        down = [
            ("/", ["a", "e"], []),
            ("/a", ["b", "c"], ["3"]),
            ("/a/b", [], ["1"]),
            ("/a/c", ["d"], []),
            ("/a/c/d", [], ["2"]),
            ("/e", [], ["4"]),
        ]
        assert list(fs.walk("/")) == down
        assert list(fs.walk("/", maxdepth=2)) == [level for level in down if level[0] in ("/", "/a", "/e")]
        up = list(fs.walk("/", topdown=False))
        assert [level[0] for level in up] == ["/a/b", "/a/c/d", "/a/c", "/a", "/e", "/"] and sorted(up) == down
        assert [level[0] for level in fs.walk("/", maxdepth=2, topdown=False)] == ["/a", "/e", "/"]
        pruned = []
        for here, directories, _ in fs.walk("/"):
            pruned.append(here)
            directories[:] = [name for name in directories if name != "a"]
        assert pruned == ["/", "/e"]
        assert list(fs.walk("/none")) == []
        with pytest.raises(FileNotFoundError):
            list(fs.walk("/none", on_error="raise"))
        with pytest.raises(ValueError, match="maxdepth"):
            list(fs.walk("/", maxdepth=0))

    def test_no_cluster(self, fs: CurvineFS, cluster: Cluster) -> None:
        """What cannot be known is not taken for missing."""
        fs.touch("/d/f")
        cluster.kill_master()
        for ask in (fs.exists, fs.isdir, fs.isfile, fs.info, fs.ls, fs.find, fs.open, lambda path: list(fs.walk(path))):
            with pytest.raises(TimeoutError, match="no master"):
                ask("/d")
        seen: list[OSError] = []
        assert list(fs.walk("/d", on_error=seen.append)) == []
        assert isinstance(seen[0], TimeoutError)

    def test_listings_cache(self, cluster: Cluster, fs: CurvineFS) -> None:
        cached = CurvineFS(cluster.addresses(), use_listings_cache=True, **OPTIONS)
        fs.touch("/d/e/f")
        assert len(cached.find("/")) == 1
        fs.touch("/d/e/g")
        assert len(cached.find("/")) == 1 and len(cached.ls("/d/e", refresh=True)) == 2
        for change, count in (
            (lambda: cached.touch("/d/new/h"), 3),
            (lambda: cached.mv("/d/new", "/d/old"), 3),
            (lambda: cached.cp_file("/d/e/f", "/copy"), 4),
            (lambda: cached.rm("/d", recursive=True), 1),
        ):
            change()
            assert len(cached.find("/")) == count
        cached.invalidate_cache()
        assert not list(cached.dircache)


class TestDirectories:
    def test_making(self, fs: CurvineFS) -> None:
        fs.mkdir("/a/b/c")
        with pytest.raises(FileNotFoundError):
            fs.mkdir("/x/y", create_parents=False)
        for again in (lambda: fs.mkdir("/a/b"), lambda: fs.makedirs("/a/b"), lambda: fs.mkdir("/")):
            with pytest.raises(FileExistsError):
                again()
        fs.makedirs("/a/b/c", exist_ok=True)
        fs.makedirs("/", exist_ok=True)
        fs.touch("/f")
        with pytest.raises(FileExistsError):
            fs.makedirs("/f", exist_ok=True)
        with pytest.raises(NotADirectoryError):
            fs.makedirs("/f/g")
        with pytest.raises(NotADirectoryError):
            fs.touch("/f/g/h")
        with pytest.raises(NotADirectoryError):
            fs.rmdir("/f")
        with pytest.raises(OSError, match="not empty"):
            fs.rmdir("/a")
        fs.rmdir("/a/b/c")
        assert fs.find("/", withdirs=True) == ["/", "/a", "/a/b", "/f"]

    def test_names_that_cannot_be_listed(self, fs: CurvineFS) -> None:
        with pytest.raises(OSError, match="cannot be listed"):
            fs.mkdir("/what?")
        with pytest.raises(OSError, match="cannot be listed"):
            fs.touch("/x/[1]/f")
        fs.touch("/x/[1]")
        assert fs.ls("/x", detail=False) == ["/x/[1]"]

    def test_removing(self, fs: CurvineFS) -> None:
        for number in range(5):
            fs.pipe({f"/a/{number}/{name}": b"" for name in "xyz"})
        unfinished = fs.open("/a/3/w", "wb")
        with pytest.raises(IsADirectoryError):
            fs.rm("/a")
        fs.rm(["/a/0/x", "/a/1/?"])
        assert fs.ls("/a/1") == [] and len(fs.ls("/a/0")) == 2
        fs.rm("/a/2/x", recursive=True)
        fs.rm("/a", recursive=True)
        assert everything(fs) == []
        with pytest.raises(OSError):
            unfinished.write(b"x")
            unfinished.close()
        for path in ("/a", "/a*"):
            with pytest.raises(FileNotFoundError):
                fs.rm(path, recursive=True)
        with pytest.raises(OSError, match="the root"):
            fs.rm("/", recursive=True)


class TestMoving:
    def test_files(self, fs: CurvineFS) -> None:
        fs.pipe({"/a/f": b"f", "/b/g": b"g"})
        inode = fs.info("/a/f")["ino"]
        fs.mv("/a/f", "/a/h")
        fs.mv("/a/h", "/new/deep/f")
        fs.mv("/new/deep/f", "/b")
        fs.mv("/b/f", "/b/f")
        fs.mv("/b/f", "/b/g")
        assert fs.info("/b/g")["ino"] == inode and fs.cat_file("/b/g") == b"f"
        assert fs.find("/") == ["/b/g"]
        assert everything(fs, "/b") == ["g"]

    def test_trees(self, fs: CurvineFS) -> None:
        fs.pipe({"/a/b/f": b"f", "/c/g": b"g"})
        fs.mv("/a", "/d")
        fs.mv("/d", "/c", recursive=True)
        assert fs.find("/") == ["/c/d/b/f", "/c/g"]
        fs.mkdir("/a")
        with pytest.raises(FileExistsError):
            fs.mv("/c/d/", "/a")
        with pytest.raises(OSError, match="lies in"):
            fs.mv("/c", "/c/d/b")
        with pytest.raises(FileNotFoundError):
            fs.mv("/none", "/x")

    def test_many(self, fs: CurvineFS) -> None:
        fs.pipe({f"/a/{name}": name.encode() for name in ("f1", "f2", "g")})
        fs.mv("/a/f*", "/b")
        fs.mv(["/a/g"], "/b/")
        assert fs.find("/") == ["/b/f1", "/b/f2", "/b/g"]
        fs.mv(["/b/f1", "/b/f2"], ["/x", "/y"])
        assert fs.find("/") == ["/b/g", "/x", "/y"]
        with pytest.raises(ValueError):
            fs.mv(["/x"], ["/a", "/b"])

    def test_a_lost_reply(self, fs: CurvineFS, cluster: Cluster) -> None:
        fs.pipe_file("/f", b"f")
        cluster.fault(Fault.LOSE_REPLY, Code.RENAME)
        fs.mv("/f", "/d/g")
        assert fs.find("/") == ["/d/g"]

    def test_copies(self, fs: CurvineFS, tmp_path: Path) -> None:
        fs.pipe_file("/f", LARGE)
        fs.cp_file("/f", "/d/f")
        fs.mkdir("/e")
        fs.cp_file("/e", "/d/e")
        assert fs.cat_file("/d/f") == LARGE and fs.isdir("/d/e")
        fs.get("/d/", str(tmp_path / "d"), recursive=True)
        (tmp_path / "d" / "empty").touch()
        fs.put(str(tmp_path / "d"), "/back", recursive=True)
        assert fs.cat_file("/back/f") == LARGE and fs.info("/back/empty")["size"] == 0
        with pytest.raises(FileExistsError):
            fs.put_file(str(tmp_path / "d" / "f"), "/f", mode="create")
