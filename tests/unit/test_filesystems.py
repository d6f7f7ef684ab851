"""Which file system the settings name, and what a cluster's own file says to its clients."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from curvinefs.api import Unavailable
from curvinefs.client import CurvineFileSystem
from curvinefs.curvine.options import Options
from curvinefs.local import LocalFileSystem
from s3server import filesystems
from s3server.config import ServerConfig


def config(tmp_path: Path, store: str, client: str = "") -> ServerConfig:
    conf = tmp_path / "curvine-cluster.toml"
    conf.write_text(f"[client]\n{client}\n", "utf-8")
    return ServerConfig(home=tmp_path, store=store, conf=conf, put_temp_dir=tmp_path / "spool")


def test_directory(tmp_path: Path) -> None:
    with closing(filesystems.open_file_system(config(tmp_path, tmp_path.as_uri()))) as fs:
        assert isinstance(fs, LocalFileSystem)


@pytest.mark.parametrize(
    "client, hostname, short_circuit, replicas",
    [
        ("", "localhost", True, 1),
        ('hostname = "node-7"\nshort_circuit = false\nreplicas = 2', "node-7", False, 2),
        ('hostname = 7\nshort_circuit = "no"\nreplicas = true', "localhost", True, 1),
        ("replicas = 0", "localhost", True, 1),
    ],
)
def test_cluster(tmp_path: Path, client: str, hostname: str, short_circuit: bool, replicas: int) -> None:
    """A section that is not ours is never complained about."""
    said = config(tmp_path, "curvine://127.0.0.1:1/", client)
    with closing(filesystems.open_file_system(said)) as fs:
        assert isinstance(fs, CurvineFileSystem)
        assert fs._options == Options(
            hostname=hostname,
            short_circuit=short_circuit,
            replicas=replicas,
            replay_directory=str(tmp_path / "spool"),
        )


def test_the_environments_host_name_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for Curvine's own clients: curvine-env.sh sets it."""
    monkeypatch.setenv("CURVINE_CLIENT_HOSTNAME", "node-8")
    with closing(filesystems.open_file_system(config(tmp_path, "curvine://127.0.0.1:1/", 'hostname = "node-7"'))) as fs:
        assert isinstance(fs, CurvineFileSystem) and fs._options.hostname == "node-8"


@pytest.mark.parametrize("said, patience_s", [("500", 0.5), ("120000", 20.0), ("-1", 20.0), ('"2s"', 20.0)])
def test_patience(tmp_path: Path, said: str, patience_s: float) -> None:
    """Shorter than ours counts, longer does not: the client would have given up."""
    settings = config(tmp_path, "curvine://127.0.0.1:1/", f"rpc_retry_max_duration_ms = {said}")
    with closing(filesystems.open_file_system(settings)) as fs:
        assert isinstance(fs, CurvineFileSystem) and fs._options.master_patience_s == patience_s


@pytest.mark.parametrize(
    "store, masters",
    [
        ("curvine://a/", [("a", 8995)]),
        ("curvine://a:1,b:2/", [("a", 1), ("b", 2)]),
        ("curvine://[::1]:7", [("::1", 7)]),
    ],
)
def test_masters(store: str, masters: list[tuple[str, int]]) -> None:
    assert filesystems.masters(store) == masters


class Clock:
    """Of ``filesystems``: its time passes when it sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@pytest.mark.parametrize(
    ("patient", "answers_after", "ready"),
    [(False, 0.0, True), (False, 1.0, True), (False, 19.0, True), (False, 23.0, False), (True, 100.0, True)],
)
@pytest.mark.parametrize("silent", [False, True], ids=["refuses at once", "does not answer"])
def test_a_cluster_that_is_not_there_yet(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    patient: bool,
    answers_after: float,
    ready: bool,
    silent: bool,
) -> None:
    """Masters start before their workers, and both before they answer: whoever waits is told for what, after a moment
    and not after all of the patience, and the patience is used up before anybody gives up."""
    clock = Clock()
    begun = clock.now

    class Masters(CurvineFileSystem):
        def check(self) -> dict[str, str]:
            left = begun + answers_after - clock.now
            if silent:
                clock.now += max(0.0, min(left, self._options.master_patience_s))
            if clock.now < begun + answers_after:
                raise Unavailable("no master of a:1 serves")
            return {}

    monkeypatch.setattr(filesystems, "CurvineFileSystem", Masters)
    monkeypatch.setattr(filesystems, "time", clock)
    settings = config(tmp_path, "curvine://a:1/")
    if ready:
        filesystems.wait_until_ready(settings, patient=patient)
        assert clock.now - begun <= answers_after + filesystems.PAUSE
    else:
        with pytest.raises(Unavailable, match="a:1.*--wait"):
            filesystems.wait_until_ready(settings, patient=patient)
        assert 20.0 <= clock.now - begun <= 22.0
    said = len(caplog.messages)
    assert all("a:1" in message for message in caplog.messages)
    if patient:
        assert said > 4
    else:
        assert said == (answers_after > (filesystems.SOON if silent else 0.0))
