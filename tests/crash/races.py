"""Races across workers, one function each: several clients go for the same thing at the same time.

Each records into a ledger what went against the contract, and how often the gateway asked to slow down.  Every
client has a connection of its own, so all workers take part; ``Crowd.servers`` says whether they did.

Rules: bounded by counts of operations, not by time.  Nothing is looked at that a client could not see.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.crash.client import Answer, Client
from tests.crash.ledger import Ledger, Version
from tests.crash.load import MIB, PART, Upload, send_part
from tests.gateway import Gateway

MOST_CONNECTS = 100
SIZES = (100, 5000, MIB - 1, MIB + 1, 3 * MIB)


class Crowd:
    """Clients in threads of their own; ``servers`` are the processes that answered them."""

    def __init__(self, gateway: Gateway, ledger: Ledger) -> None:
        self.gateway, self.ledger = gateway, ledger
        self.servers: set[str] = set()
        self._mutex = threading.Lock()
        self._usual = ""
        """The process that answered first."""

    def run(self, actions: Sequence[Callable[[Client], None]]) -> None:
        """Run each action with a client of its own, all beginning at the same moment.  Raises what they raise."""
        barrier = threading.Barrier(len(actions))

        def one(number: int) -> None:
            with self.client() as client:
                self._connect(client, number)
                barrier.wait(30)
                actions[number](client)

        with ThreadPoolExecutor(len(actions)) as pool:
            for _ in pool.map(one, range(len(actions))):
                pass

    def _connect(self, client: Client, number: int) -> None:
        """Connect before the race begins.  Every second client looks for another process than the rest has, because a
        busy machine may well give all connections to one of them."""
        for _ in range(MOST_CONNECTS):
            client.servers.clear()
            client.request("HEAD", "nobody-has-this-bucket")
            (server,) = client.servers
            with self._mutex:
                self._usual = self._usual or server
            if number % 2 == 0 or server != self._usual:
                return
            client.close()

    @contextmanager
    def client(self) -> Iterator[Client]:
        client = Client(self.gateway)
        try:
            yield client
        finally:
            self.servers |= client.servers
            client.close()

    def check(self, expected: bool, text: str) -> None:
        if not expected:
            self.ledger.violation(text)


def create_once(crowd: Crowd, bucket: str, rounds: int, clients: int = 16) -> None:
    """Of several If-None-Match writers exactly one wins, and it is its object that is there."""
    for number in range(rounds):
        key = f"once/{number}/object"
        versions = [crowd.ledger.version(key, SIZES[number % len(SIZES)]) for _ in range(clients)]
        answers: dict[Version, Answer] = {}

        def put(client: Client, version: Version, to: dict[Version, Answer] = answers) -> None:
            headers = version.headers | {"if-none-match": "*"}
            to[version] = client.put(bucket, version.key, version.body, headers)

        crowd.run([lambda client, v=version: put(client, v) for version in versions])  # type: ignore[misc]
        winners = [version for version, answer in answers.items() if answer.done]
        crowd.check(len(winners) == 1, f"{key!r}: {len(winners)} of {clients} If-None-Match writers won")
        for answer in answers.values():
            if not answer.done and answer.code not in ("PreconditionFailed", "ConditionalRequestConflict"):
                crowd.ledger.refused("If-None-Match", answer)
        with crowd.client() as client:
            faults = [fault for winner in winners for fault in winner.faults(client.get(bucket, key))]
        crowd.check(not faults, f"{key!r}: not the winner's object: {faults}")
        crowd.ledger.count("created once")


def count_up(crowd: Crowd, bucket: str, increments: int, clients: int = 8) -> None:
    """A counter changed by If-Match loses no increment."""
    with crowd.client() as client:
        assert client.put(bucket, "counter", b"0").done

    def climb(client: Client) -> None:
        left = increments
        while left:
            seen = client.get(bucket, "counter")
            value, headers = str(int(seen.body) + 1).encode(), {"if-match": f'"{seen.etag}"'}
            answer = client.put(bucket, "counter", value, headers)
            left -= answer.done
            if not answer.done and answer.code not in ("PreconditionFailed", "ConditionalRequestConflict"):
                crowd.ledger.refused("If-Match", answer)

    crowd.run([climb] * clients)
    with crowd.client() as client:
        found = int(client.get(bucket, "counter").body)
    crowd.check(found == clients * increments, f"{clients * increments} increments were acknowledged, it is {found}")
    crowd.ledger.count("incremented", found)


def siblings(crowd: Crowd, bucket: str, turns: int, clients: int = 8) -> None:
    """Writers into a directory while others empty it, and so take it away: no PUT fails, and none vanishes."""

    def live(client: Client, name: str) -> None:
        for turn in range(turns):
            key = f"coming/{'deep/er/' * (turn % 2)}{name}"
            body = f"{key} {turn}".encode() * (1 if turn % 10 else MIB // 16)
            answer = client.put(bucket, key, body)
            if not answer.done:
                crowd.ledger.refused("PUT among siblings", answer)
                continue
            seen = client.get(bucket, key)
            crowd.check(seen.done and seen.body == body, f"{key!r}: acknowledged, and then {seen.status} {seen.code}")
            answer = client.delete(bucket, key)
            crowd.check(answer.status == 204, f"{key!r}: DELETE answered {answer.status} {answer.code}")
            gone = client.request("HEAD", bucket, key).status
            crowd.check(gone == 404, f"{key!r}: deleted, and then {gone}")
            crowd.ledger.count("put among siblings")

    crowd.run([lambda client, n=str(number): live(client, n) for number in range(clients)])  # type: ignore[misc]


def delete_bucket(crowd: Crowd, bucket: str, turns: int, writers: int = 6) -> None:
    """A bucket with an acknowledged object in it is never deleted; one that is deleted can be made again."""
    still = threading.Event()

    def write(client: Client, name: str) -> None:
        for turn in range(turns):
            key = (name, f"x/{name}", f"x/y/{name}")[turn % 3]
            body = f"{name} {turn}".encode() * (1 if turn % 8 else MIB // 4)
            answer = client.put(bucket, key, body)
            if answer.code == "NoSuchBucket":
                made = client.request("PUT", bucket)
                if not made.done and made.code not in ("BucketAlreadyOwnedByYou", "OperationAborted"):
                    crowd.ledger.refused("CreateBucket", made)
                crowd.ledger.count("bucket made again")
                continue
            if not answer.done:
                crowd.ledger.refused("PUT against DeleteBucket", answer)
                continue
            seen = client.get(bucket, key)
            crowd.check(seen.done and seen.body == body, f"{key!r}: acknowledged, and then {seen.status} {seen.code}")
            crowd.check(client.delete(bucket, key).done, f"{key!r}: DELETE failed in a bucket that holds it")
            crowd.ledger.count("put against DeleteBucket")

    def writing(client: Client, name: str) -> None:
        try:
            write(client, name)
        finally:
            ended.append(name)
            if len(ended) == writers:
                still.set()

    def remove(client: Client) -> None:
        while not still.is_set():
            answer = client.request("DELETE", bucket)
            crowd.ledger.count(f"DeleteBucket: {answer.code or answer.status}")
            if not answer.done and answer.code not in ("BucketNotEmpty", "NoSuchBucket"):
                crowd.ledger.refused("DeleteBucket", answer)

    ended: list[str] = []
    actions = [lambda client, n=f"w{number}": writing(client, n) for number in range(writers)]
    crowd.run([*actions, remove, remove])


def overwrite(crowd: Crowd, bucket: str, turns: int, keys: Sequence[str] = ("over/written",), clients: int = 8) -> None:
    """Writers, deleters and readers of the same few keys: everybody sees whole objects that may be there.

    With the keys ``a``, ``a/`` and ``a/b`` the file ``a`` becomes a directory and a file again all the time.
    """
    ledger = crowd.ledger

    def write(client: Client, number: int) -> None:
        for turn in range(turns):
            key = keys[(turn + number) % len(keys)]
            version = ledger.version(key, SIZES[(turn + number) % len(SIZES)]) if turn % 3 or number % 2 else None
            written = ledger.begin(key, version)
            if version is None:
                answer = client.delete(bucket, key)
            else:
                answer = client.put(bucket, key, version.body, version.headers)
            ledger.end(key, written, done=answer.done)
            if not answer.done:
                ledger.refused("change", answer)
            ledger.count("overwritten")

    def read(client: Client, number: int) -> None:
        for turn in range(2 * turns):
            key = keys[(turn + number) % len(keys)]
            since = time.monotonic()
            if turn % 3:
                ledger.judge(key, client.get(bucket, key), since)
            else:
                ledger.judge(key, client.request("HEAD", bucket, key), since, length=0)
            ledger.count("read")

    roles = itertools.cycle((write, read))
    numbered = [(next(roles), number) for number in range(clients)]
    crowd.run([lambda client, r=role, n=number: r(client, n) for role, number in numbered])  # type: ignore[misc]


def complete_together(crowd: Crowd, bucket: str, rounds: int, clients: int = 8) -> None:
    """Concurrent Completes of one upload: one object, the same answer for all."""
    for number in range(rounds):
        upload = _new_upload(crowd, bucket, f"together/{number}", [PART, 1000] if number % 2 else [70_000])
        answers: list[Answer] = []

        def complete(client: Client, upload: Upload = upload, answers: list[Answer] = answers) -> None:
            answers.append(client.complete(bucket, upload.key, upload.id, upload.etags))

        crowd.run([complete] * clients)
        wanted = Version(upload.name, upload.key, tuple(upload.sent.values()), multipart=True)
        crowd.ledger.known(wanted)
        for answer in answers:
            etag = (answer.xml().findtext("ETag") or "").strip('"') if answer.done else None
            crowd.check(
                etag == wanted.etag, f"one of {clients} Completes answered {answer.status} {answer.body[:300]!r}"
            )
        with crowd.client() as client:
            faults = list(wanted.faults(client.get(bucket, upload.key)))
        crowd.check(not faults, f"{upload.key!r}: {faults}")
        crowd.ledger.count("completed together")


def abort_or_complete(crowd: Crowd, bucket: str, rounds: int) -> None:
    """Abort against Complete: one of them wins, and everything agrees on which."""
    for number in range(rounds):
        upload = _new_upload(crowd, bucket, f"either/{number}", [PART, 1000] if number % 3 == 0 else [70_000])
        answers: dict[str, Answer] = {}

        def abort(client: Client, upload: Upload = upload, answers: dict[str, Answer] = answers) -> None:
            answers["abort"] = client.abort(bucket, upload.key, upload.id)

        def complete(client: Client, upload: Upload = upload, answers: dict[str, Answer] = answers) -> None:
            answers["complete"] = client.complete(bucket, upload.key, upload.id, upload.etags)

        crowd.run([abort, complete] if number % 2 else [complete, abort])
        winners = [name for name, answer in answers.items() if answer.done]
        losers = [answer.code for answer in answers.values() if not answer.done]
        with crowd.client() as client:
            there = client.request("HEAD", bucket, upload.key).status == 200
            open_still = client.parts(bucket, upload.key, upload.id) is not None
        crowd.check(len(winners) == 1 and losers == ["NoSuchUpload"], f"abort against Complete: {answers}")
        crowd.check(not open_still, f"{upload.key!r}: the upload is still there after {winners}")
        crowd.check(there == ("complete" in winners), f"{upload.key!r}: {winners} won; object there: {there}")
        crowd.ledger.count(f"won by {'/'.join(winners)}")


def _new_upload(crowd: Crowd, bucket: str, key: str, sizes: list[int]) -> Upload:
    """An upload with all its parts."""
    name = crowd.ledger.name()
    with crowd.client() as client:
        answer = client.create_upload(bucket, key, Version(name, key, ()).headers)
        upload = Upload(key, answer.xml().findtext("UploadId") or "", name, sizes)
        for number in range(1, len(sizes) + 1):
            send_part(client, bucket, crowd.ledger, upload, number)
    return upload
