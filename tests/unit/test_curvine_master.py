"""Finding the leader, and what may be asked twice."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from curvinefs.api import AlreadyExists, FsError, NotFound, PartRef, RenameFlag, Unavailable
from curvinefs.client import CurvineFileSystem
from curvinefs.curvine.errors import Kind, Refused
from curvinefs.curvine.retry import RESEND, Code, new_id
from tests.sim.cluster import FAST, Cluster
from tests.sim.kit import MTIME, codes, get, put
from tests.sim.server import Fault


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, masters=3) as cluster:
        yield cluster


@pytest.fixture
def fs(cluster: Cluster) -> Iterator[CurvineFileSystem]:
    with closing(cluster.client()) as fs:
        yield fs


def test_every_master_call_has_a_rule() -> None:
    assert set(RESEND) == {code for code in Code if code < Code.WRITE_BLOCK}


def test_ids_differ() -> None:
    assert len({new_id() for _ in range(1000)}) == 1000


@pytest.mark.parametrize("leader", [0, 1, 2])
def test_finds_the_leader(cluster: Cluster, fs: CurvineFileSystem, leader: int) -> None:
    cluster.leader = leader
    put(fs, "/f", b"1")
    asked = [len(master.server.requests) for master in cluster.masters]
    assert get(fs, "/f") == b"1"
    after = [len(master.server.requests) for master in cluster.masters]
    assert [b - a for a, b in zip(asked, after)] == [1 if number == leader else 0 for number in range(3)]


def test_follows_a_new_leader(cluster: Cluster, fs: CurvineFileSystem) -> None:
    put(fs, "/f", b"1")
    cluster.elect(2)
    assert get(fs, "/f") == b"1"
    cluster.elect(1)
    put(fs, "/f", b"2")
    assert get(fs, "/f") == b"2"


def test_dead_leader(cluster: Cluster, fs: CurvineFileSystem) -> None:
    put(fs, "/f", b"1")
    cluster.kill_master(0)
    cluster.elect(1)
    assert get(fs, "/f") == b"1"


def test_nobody_leads(cluster: Cluster) -> None:
    cluster.leader = None
    with closing(cluster.client(replace(FAST, master_patience_s=0.2))) as fs:
        with pytest.raises(Unavailable, match="no master of .* serves"):
            fs.status("/")


def test_nobody_is_there(cluster: Cluster) -> None:
    with closing(cluster.client(replace(FAST, master_patience_s=0.2))) as fs:
        for number in range(3):
            cluster.kill_master(number)
        with pytest.raises(Unavailable, match="127.0.0.1"):
            fs.check()


def test_election_ends(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """Kind 2 from all, then one of them leads."""
    refusal = Refused(Kind.NOT_LEADER, "Not a leader master")
    for _ in range(3):
        cluster.fault(Fault.REFUSE, error=refusal)
    fs.mkdir("/d")
    assert fs.status("/d").id > 0


@pytest.mark.parametrize("kind", [Kind.RAFT, Kind.TIMEOUT, Kind.IN_PROGRESS])
def test_waits(cluster: Cluster, fs: CurvineFileSystem, kind: Kind) -> None:
    put(fs, "/f", b"1")
    cluster.fault(Fault.REFUSE, Code.RENAME, error=Refused(kind, "later"), times=2)
    put(fs, "/f", b"2")
    assert get(fs, "/f") == b"2"


def test_garbage(cluster: Cluster, fs: CurvineFileSystem) -> None:
    put(fs, "/f", b"1")
    cluster.fault(Fault.GARBAGE, Code.FILE_STATUS)
    assert fs.status("/f").len == 1


@pytest.mark.parametrize("after", [0, 1, 21, 22, 30])
def test_cut_reply(cluster: Cluster, fs: CurvineFileSystem, after: int) -> None:
    put(fs, "/f", b"1")
    cluster.fault(Fault.CUT, Code.FILE_STATUS, after=after)
    assert fs.status("/f").len == 1


CHANGES = {
    "mkdir": Code.MKDIR,
    "create": Code.CREATE_FILE,
    "complete": Code.COMPLETE_FILE,
    "add_block": Code.ADD_BLOCK,
    "rename": Code.RENAME,
    "delete": Code.DELETE,
    "link": Code.LINK,
    "set_x_attr": Code.SET_ATTR,
    "set_lock": Code.SET_LOCK,
}


def change_everything(fs: CurvineFileSystem) -> None:
    fs.mkdir("/d", {"user.s3": b"d"})
    put(fs, "/d/f", b"data", note=b"n")
    fs.link("/d/f", "/d/g")
    fs.set_x_attr("/d/g", {"more": b"m"})
    fs.rename("/d/g", "/h", RenameFlag.NO_REPLACE)
    fs.delete("/d/f")
    with fs.lock("name"):
        pass


@pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.LOSE_REQUEST, Fault.CUT])
@pytest.mark.parametrize("code", CHANGES.values(), ids=CHANGES)
def test_lost_reply_changes_nothing_for_the_caller(
    cluster: Cluster, fs: CurvineFileSystem, code: Code, fault: Fault
) -> None:
    for skip in (0, 1):
        cluster.fault(fault, code, times=1, skip=skip)
    change_everything(fs)
    assert get(fs, "/h") == b"data"
    assert fs.status("/h").x_attr == {"note": b"n", "more": b"m"}
    assert [entry.name for entry in fs.list("/d")] == []
    assert [entry.name for entry in fs.list("/")] == [".s3~", "d", "h"]
    assert cluster.state.tree.get("/h").nlink == 1


def test_ids_are_used_once(cluster: Cluster, fs: CurvineFileSystem) -> None:
    change_everything(fs)
    ids = [req_id for _, _, req_id in cluster.masters[0].server.requests]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("done", [True, False], ids=["done", "not done"])
def test_rename_in_doubt_after_the_leader_died(cluster: Cluster, fs: CurvineFileSystem, done: bool) -> None:
    """The new leader remembers no ids; the inode tells."""
    fs.mkdir("/d")
    with closing(fs.create("/d/tmp")) as writer:
        writer.write(b"new")
        writer.complete({}, MTIME)
        cluster.fault(Fault.LOSE_REPLY if done else Fault.LOSE_REQUEST, Code.RENAME)
        cluster.fault(Fault.REFUSE, Code.RENAME, error=Refused(Kind.NOT_LEADER, "Not a leader master"))
        writer.rename("f")
    assert get(fs, "/d/f") == b"new"
    assert [entry.name for entry in fs.list("/d")] == ["f"]


def test_rename_lost_with_the_file(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """A master that died took the file with it: never a success."""
    put(fs, "/f", b"old")
    cluster.keep()
    with closing(fs.create("/tmp")) as writer:
        writer.write(b"new")
        writer.complete({}, MTIME)
        cluster.kill_master(0, forget=True)
        cluster.elect(1)
        with pytest.raises(Unavailable):
            writer.rename("f")
    assert get(fs, "/f") == b"old"


def restart(cluster: Cluster) -> None:
    """The same address, another process, and what was not kept is forgotten."""
    cluster.kill_master(0, forget=True)
    cluster.start_master(0)


def test_completion_that_was_lost_is_not_published(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """The file itself survived, its completion did not: renaming it would publish an empty object."""
    with closing(fs.create("/tmp")) as writer:
        writer.write(b"new")
        cluster.keep()
        writer.complete({}, MTIME)
        restart(cluster)
        with pytest.raises(Unavailable):
            writer.rename("f")
    assert [entry.name for entry in fs.list("/")] == []


def test_completion_that_survived_is_published(cluster: Cluster, fs: CurvineFileSystem) -> None:
    with closing(fs.create("/tmp")) as writer:
        writer.write(b"new")
        writer.complete({}, MTIME)
        cluster.keep()
        restart(cluster)
        writer.rename("f")
    assert get(fs, "/f") == b"new"


def test_join_that_was_lost_is_not_published(cluster: Cluster, fs: CurvineFileSystem) -> None:
    cluster.state.min_block_size = 1
    fs.create_parted("/p", 5)
    part = fs.open_part("/p", 0, 5)
    assert part is not None
    with closing(part):
        part.write(b"12345")
        ref = PartRef(0, 5, part.complete())
    cluster.keep()
    assert fs.join_parts("/p", [ref], {}, MTIME) is not None
    restart(cluster)
    with pytest.raises(Unavailable):
        fs.rename("/p", "/f")
    assert fs.join_parts("/p", [ref], {}, MTIME) is not None
    fs.rename("/p", "/f")
    assert get(fs, "/f") == b"12345"


def test_link_that_was_lost_is_not_exchanged(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """A file becomes a directory that holds it; without the link it would be lost."""
    put(fs, "/a", b"a")
    for _ in range(2):
        fs.mkdir("/t")
        cluster.keep()
        fs.link("/a", "/t/self")
        restart(cluster)
        with pytest.raises(Unavailable):
            fs.rename("/t", "/a", RenameFlag.EXCHANGE)
        fs.delete("/t")
    assert get(fs, "/a") == b"a"
    fs.mkdir("/t")
    fs.link("/a", "/t/self")
    fs.rename("/t", "/a", RenameFlag.EXCHANGE)
    assert get(fs, "/a/self") == b"a"


def test_life_of_a_master(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """The same on every connection, of every thread, until it dies or another leads."""
    cluster.keep()
    fs.status("/")
    first = fs._calls.life
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(lambda _: (fs.status("/"), fs._calls.life)[1], range(50))) == {first}
    restart(cluster)
    fs.status("/")
    second = fs._calls.life
    assert second != first
    cluster.elect(1)
    fs.status("/")
    assert fs._calls.life not in (first, second)


def test_create_in_doubt_takes_another_name(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """What may have been made is not claimed, and goes."""
    cluster.fault(Fault.LOSE_REPLY, Code.CREATE_FILE)
    cluster.fault(Fault.REFUSE, Code.CREATE_FILE, error=Refused(Kind.NOT_LEADER, "Not a leader master"))
    with closing(fs.create("/tmp")) as writer:
        assert cluster.state.tree.find("/tmp") is None
        writer.write(b"data")
        writer.complete({}, MTIME)
        writer.rename("f")
    assert [(entry.name, entry.status().len) for entry in fs.list("/")] == [("f", 4)]


@pytest.mark.parametrize("complete", [False, True])
def test_create_in_doubt_removes_nobody_elses_file(cluster: Cluster, fs: CurvineFileSystem, complete: bool) -> None:
    with closing(cluster.client()) as other, closing(other.create("/f", 2 * 2**20)) as writer:
        writer.write(bytes(2 * 2**20))
        if complete:
            writer.complete({}, MTIME)
            writer.rename("f")
        else:
            cluster.state.tree.get("/f").length = 1  # as when a block was recorded
        cluster.fault(Fault.LOSE_REPLY, Code.CREATE_FILE)
        cluster.fault(Fault.REFUSE, Code.CREATE_FILE, error=Refused(Kind.NOT_LEADER, "Not a leader master"))
        fs.create("/f").close()
        assert [entry.name for entry in fs.list("/")] == ["f"]


def test_file_that_a_dying_master_may_have_made(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """It is removed by whoever makes the next file."""
    put(fs, "/f")
    cluster.fault(Fault.LOSE_REPLY, Code.CREATE_FILE)
    cluster.fault(Fault.REFUSE, error=Refused(Kind.NOT_LEADER, "Not a leader master"), times=10_000)
    with pytest.raises(Unavailable):
        fs.create("/tmp")
    assert cluster.state.tree.find("/tmp") is not None
    cluster.masters[0].server.rules.clear()
    put(fs, "/g")
    assert [entry.name for entry in fs.list("/")] == ["f", "g"]


def test_mkdir_of_others_is_not_ours(cluster: Cluster, fs: CurvineFileSystem) -> None:
    fs.mkdir("/d", {"user.s3": b"theirs"})
    cluster.fault(Fault.LOSE_REPLY, Code.MKDIR)
    with pytest.raises(AlreadyExists):
        fs.mkdir("/d", {"user.s3": b"ours"})


def test_unknown_error_is_an_error(cluster: Cluster, fs: CurvineFileSystem) -> None:
    cluster.fault(Fault.REFUSE, Code.FILE_STATUS, error=Refused(4711, "what"))
    with pytest.raises(FsError, match="what"):
        fs.status("/x")


def test_one_call_for_status_two_for_nothing(cluster: Cluster, fs: CurvineFileSystem) -> None:
    fs.mkdir("/d")
    put(fs, "/d/f", b"1")
    server = cluster.masters[0].server
    server.requests.clear()
    fs.status("/d/f")
    assert codes(server) == [Code.FILE_STATUS]
    deep = "/d"
    for _ in range(20):
        deep += "/d"
        fs.mkdir(deep)
    server.requests.clear()
    with pytest.raises(NotFound):
        fs.status(f"{deep}/none")
    assert codes(server) == [Code.FILE_STATUS] * 2, "the second tells that no file is in the way"


def test_calls_of_a_small_put(cluster: Cluster, fs: CurvineFileSystem) -> None:
    put(fs, "/first", b"1", s3=b"probes whether attributes come with CompleteFile")
    server, worker = cluster.masters[0].server, cluster.workers[0].server
    server.requests.clear()
    worker.requests.clear()
    put(fs, "/f", b"1", s3=b"x")
    assert codes(server) == [Code.CREATE_FILE, Code.ADD_BLOCK, Code.COMPLETE_FILE, Code.RENAME]
    assert [status for _, status, _ in worker.requests] == [0xF2, 0xF3, 0xF5]
    assert len({req_id for _, _, req_id in worker.requests}) == 1


def test_older_masters_ignore_attributes_of_complete(cluster: Cluster, fs: CurvineFileSystem) -> None:
    cluster.state.sets_attributes_on_complete = False
    for name in ("/a", "/b"):
        put(fs, name, b"1", s3=b"x")
        assert (fs.status(name).x_attr, fs.status(name).mtime_ns) == ({"s3": b"x"}, MTIME)


def test_outage_is_waited_out_once(cluster: Cluster) -> None:
    """Then calls ask everybody once, until somebody answers."""
    with closing(cluster.client(replace(FAST, master_patience_s=0.3))) as fs:
        fs.status("/")
        cluster.kill_master()
        with pytest.raises(Unavailable):
            fs.status("/")
        began = fs._master._hopeless_until
        with pytest.raises(Unavailable):
            fs.status("/")
        assert fs._master._hopeless_until > began > 0.0
        cluster.start_master()
        assert fs._calls.find("/nothing") is None
        assert fs._master._hopeless_until == 0.0, "a refusal is an answer"


@pytest.mark.parametrize("code", [code for code in CHANGES.values() if code is not Code.CREATE_FILE])
@pytest.mark.parametrize(
    "fault, kind", [(Fault.REFUSE, Kind.IN_PROGRESS), (Fault.REFUSE, Kind.RAFT), (Fault.DENY, Kind.TIMEOUT)]
)
def test_error_that_leaves_doubt(cluster: Cluster, fs: CurvineFileSystem, code: Code, fault: Fault, kind: Kind) -> None:
    """It was done or not; asking with an id that is "in progress" for ever helps nobody."""
    for skip in (0, 1):
        cluster.fault(fault, code, skip=skip, error=Refused(kind, "later"))
    change_everything(fs)
    assert get(fs, "/h") == b"data"
    assert fs.status("/h").x_attr == {"note": b"n", "more": b"m"}
    assert [entry.name for entry in fs.list("/")] == [".s3~", "d", "h"]
    assert cluster.state.tree.get("/h").nlink == 1


def test_create_that_leaves_doubt(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """It may be there, as our own: that is no AlreadyExists."""
    cluster.fault(Fault.DENY, Code.CREATE_FILE, error=Refused(Kind.TIMEOUT, "timed out"))
    fs.create("/f").close()
    assert list(fs.list("/")) == []


def test_outage_is_waited_out_once_by_whoever_makes_a_file(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """Each wait for a master that says nothing is as long as it may be: no more of them than needed."""
    put(fs, "/f")
    fs._master._patience_s = 0.0
    server = cluster.masters[0].server
    server.requests.clear()
    cluster.fault(Fault.LOSE_REQUEST, times=1000)
    with pytest.raises(Unavailable):
        fs.create("/g")
    assert codes(server) == [Code.CREATE_FILE]
