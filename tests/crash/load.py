"""Mixed load: several clients at once, each choosing its next operation at random, all writing into one ledger.

The keys are few, so that writers meet: several per directory, ``a`` and ``a/b`` and ``a/`` together, directories that
come and go, names that have to be escaped.  Sizes lie around what a body may have to stay in memory.

Rules: what is answered goes to the ledger before the next request; a connection that breaks while nobody kills the
gateway is a violation.  All chance comes from the seed (the interleaving, of course, does not).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.crash.client import Answer, Client, Lost
from tests.crash.ledger import Ledger, Segment, Version, Write, md5
from tests.gateway import Gateway

MIB = 1 << 20
PART = 5 * MIB

KEYS = (
    *(f"d{i}/k{j}" for i in range(3) for j in range(5)),
    *("a", "a/", "a/b", "a/b/", "a/b/c", "t", "t/u", "t/u/v"),
    *(f"come{i}/only" for i in range(4)),
    *("deep/1/2/3/4/k", "deep/1/2/3/l"),
    *("p//q", "/lead", "x/./y", "x/../z", "ü/é", f"{'l' * 300}/{'m' * 300}", ".s3~tmp.mine", "s/.s3~self"),
)
HOT = ("hot/0", "hot/1", "hot/2")
"""Everybody writes these."""
COUNTERS = ("count/0", "count/1")
"""Changed by If-Match only."""
SEED = Version("seed", "seed/large", (Segment("seed", PART + 1),))
"""Never changed; parts are copied from it."""
SIZES = (0, 1, 31, 1000, 4096, 4097, 65536, 65537, MIB - 1, MIB, MIB + 1, 3 * MIB, 8 * MIB)
WEIGHTS = (3, 3, 3, 8, 8, 8, 4, 4, 1, 1, 2, 1, 1)


NEVER: tuple[str, ...] = ()
"""The refusals that an unconditional change may meet."""


@dataclass(eq=False)
class Upload:
    """One multipart upload, as its client knows it."""

    key: str
    id: str
    name: str
    """Of the version that it will be."""
    sizes: list[int]
    tried: dict[int, list[Segment]] = field(default_factory=dict)
    """What was sent as each part, answered or not."""
    sent: dict[int, Segment] = field(default_factory=dict)
    """What was acknowledged last of each part."""
    version: Version | None = None
    """Set when Complete was sent."""
    write: Write | None = None
    ended: str = ""
    """"completed", "aborted", or "" while neither was acknowledged."""
    aborting: bool = False

    @property
    def etags(self) -> dict[int, str]:
        """Of the parts that were acknowledged, as Complete wants them."""
        return {number: md5(segment.data()) for number, segment in self.sent.items()}


class Load:
    """The load of one round on one bucket.  ``uploads`` holds all uploads of all rounds."""

    def __init__(self, gateway: Gateway, bucket: str, ledger: Ledger, uploads: list[Upload]) -> None:
        self.gateway, self.bucket, self.ledger, self.uploads = gateway, bucket, ledger, uploads
        self.ending = threading.Event()
        """Set before the gateway is killed, or when the clients shall stop by themselves."""
        self.wounded = threading.Event()
        """Set before a single worker is killed: some connections break, and the load goes on."""
        self.servers: set[str] = set()
        self._threads: list[threading.Thread] = []

    def start(self, clients: int, seed: int) -> None:
        for number in range(clients):
            worker = _Worker(self, random.Random(f"{seed} {number}"))
            thread = threading.Thread(target=worker.run, name=f"client {number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def join(self) -> None:
        """Wait for the clients after ``ending`` was set."""
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client hangs"


class _LoadClient(Client):
    """Takes what a dying store still answers for no answer."""

    def __init__(self, load: Load) -> None:
        super().__init__(load.gateway)
        self._ending = load.ending

    def request(self, *args: Any, **kwargs: Any) -> Answer:
        answer = super().request(*args, **kwargs)
        if answer.status >= 500 and self._ending.is_set():
            raise Lost("the power was cut")
        return answer


class _Worker:
    def __init__(self, load: Load, chance: random.Random) -> None:
        self._load, self._bucket, self._ledger = load, load.bucket, load.ledger
        self._chance = chance
        self._client = _LoadClient(load)
        self._open: list[Upload] = []
        self._operations: dict[Callable[[], None], int] = {
            self._put: 30,
            self._get: 25,
            self._delete: 10,
            self._delete_many: 3,
            self._come_and_go: 8,
            self._copy: 6,
            self._increment: 8,
            self._upload_step: 8,
            self._list: 4,
        }

    def run(self) -> None:
        operations, weights = list(self._operations), list(self._operations.values())
        try:
            while not self._load.ending.is_set():
                self._do(self._chance.choices(operations, weights)[0])
        finally:
            self._load.servers |= self._client.servers
            self._client.close()

    def _do(self, operation: Callable[[], None]) -> None:
        try:
            operation()
        except Lost as lost:
            self._open.clear()  # nobody knows how far they came: they are looked after at the end
            if self._load.wounded.is_set():
                self._ledger.count("cut off")
            elif not self._load.ending.is_set():
                self._ledger.violation(f"the connection broke under load: {lost}")

    # ------------------------------------------------------------------------------------------- objects

    def _key(self) -> str:
        return self._chance.choice(HOT if self._chance.random() < 0.15 else KEYS)

    def _size(self) -> int:
        return self._chance.choices(SIZES, WEIGHTS)[0]

    def _change(self, key: str, state: Version | None, send: Callable[[], Answer], refusals: tuple[str, ...]) -> bool:
        """Do one change and write its outcome down; True when it was acknowledged."""
        write = self._ledger.begin(key, state)
        answer = send()
        self._ledger.end(key, write, done=self._outcome(answer, refusals))
        return answer.done

    def _outcome(self, answer: Answer, refusals: tuple[str, ...]) -> bool | None:
        """True: acknowledged; False: refused as it may be (nothing happened); None: nobody can tell."""
        if answer.done:
            self._ledger.count("acknowledged")
            return True
        if answer.code in refusals:
            self._ledger.count("refused")
            return False
        self._ledger.refused("change", answer)
        return False if answer.code == "SlowDown" else None

    def _put(self) -> None:
        key = self._key()
        version = self._ledger.version(key, self._size())
        refusals, headers = NEVER, version.headers
        since = time.monotonic()
        if self._chance.random() < 0.2:
            headers, refusals = headers | {"if-none-match": "*"}, ("PreconditionFailed", "ConditionalRequestConflict")
        put = lambda: self._client.put(self._bucket, key, version.body, headers)  # noqa: E731
        if self._change(key, version, put, refusals):
            return
        if refusals and all(state is None for state in self._ledger.permitted(key, since, time.monotonic())):
            self._ledger.violation(f"{key!r}: If-None-Match failed where nothing was")

    def _get(self) -> None:
        key = self._chance.choice((*KEYS, *HOT, *COUNTERS, SEED.key))
        since = time.monotonic()
        way = self._chance.random()
        if way < 0.2:
            self._ledger.judge(key, self._client.request("HEAD", self._bucket, key), since, length=0)
        elif way < 0.4:
            first, last = self._chance.choice(((0, 99), (1, MIB), (MIB - 1, 2 * MIB), (4000, 5000)))
            answer = self._client.get(self._bucket, key, {"range": f"bytes={first}-{last}"})
            if answer.status != 416:
                whole = answer.status == 200  # an empty object has no ranges
                self._ledger.judge(key, answer, since, 0 if whole else first, None if whole else last - first + 1)
        else:
            self._ledger.judge(key, self._client.get(self._bucket, key), since)
        self._ledger.count("read")

    def _delete(self) -> None:
        key = self._key()
        known, refusals, headers = self._ledger.latest(key), NEVER, {}
        if known is not None and self._chance.random() < 0.3:
            refusals, headers = ("PreconditionFailed", "NoSuchKey"), {"if-match": f'"{known.etag}"'}
        self._change(key, None, lambda: self._client.delete(self._bucket, key, headers), refusals)

    def _delete_many(self) -> None:
        keys = self._chance.sample(KEYS, self._chance.randint(2, 6))
        writes = {key: self._ledger.begin(key, None) for key in keys}
        answer = self._client.delete_objects(self._bucket, keys)
        if not answer.done:
            for key, write in writes.items():
                self._ledger.end(key, write, done=self._outcome(answer, NEVER))
            return
        deleted = {row.findtext("Key") for row in answer.xml().iter("Deleted")}
        for error in answer.xml().iter("Error"):
            self._ledger.count(f"batch delete: {error.findtext('Code')}")
            if error.findtext("Code") != "SlowDown":
                self._ledger.violation(f"{error.findtext('Key')!r}: batch delete answered {error.findtext('Code')}")
        for key, write in writes.items():
            self._ledger.end(key, write, done=True if key in deleted else None)
            self._ledger.count("acknowledged", key in deleted)

    def _come_and_go(self) -> None:
        """An object alone in its directory: the directory comes and goes with it, under others' feet."""
        key = f"come{self._chance.randrange(4)}/{self._chance.choice(('only', 'x/y', 'z'))}"
        version = self._ledger.version(key, 100)
        self._change(key, version, lambda: self._client.put(self._bucket, key, version.body, version.headers), NEVER)
        self._change(key, None, lambda: self._client.delete(self._bucket, key), NEVER)

    def _copy(self) -> None:
        source, key = self._chance.choice((*KEYS, *HOT)), self._key()
        found = self._ledger.latest(source)
        if found is None or source == key:
            return
        # if-match makes it certain what is copied
        version = self._ledger.known(Version(self._ledger.name(), key, found.segments, found.multipart))
        headers = version.headers | {
            "x-amz-copy-source": f"{self._bucket}/{quote(source, safe='/~')}",
            "x-amz-copy-source-if-match": f'"{found.etag}"',
            "x-amz-metadata-directive": "REPLACE",
        }
        copy = lambda: self._client.put(self._bucket, key, headers=headers)  # noqa: E731
        self._change(key, version, copy, ("PreconditionFailed", "NoSuchKey"))

    def _increment(self) -> None:
        """Replace one version of a counter: no two increments may replace the same one."""
        key = self._chance.choice(COUNTERS)
        since = time.monotonic()
        seen = self._client.request("HEAD", self._bucket, key)
        self._ledger.judge(key, seen, since, length=0)
        if seen.status != 200:
            return
        version = self._ledger.version(key, 200)
        headers = version.headers | {"if-match": f'"{seen.etag}"'}
        put = lambda: self._client.put(self._bucket, key, version.body, headers)  # noqa: E731
        if self._change(key, version, put, ("PreconditionFailed", "ConditionalRequestConflict")):
            self._ledger.replaced(key, seen.etag)

    # ------------------------------------------------------------------------------------------- uploads

    def _upload_step(self) -> None:
        if len(self._open) < 2:
            self._begin_upload()
            return
        upload = self._chance.choice(self._open)
        missing = [n for n in range(1, len(upload.sizes) + 1) if n not in upload.sent]
        if missing or self._chance.random() < 0.2:
            self._send_part(upload, self._chance.choice(missing or [len(upload.sizes)]))
        elif self._chance.random() < 0.2:
            upload.aborting = True
            answer = self._client.abort(self._bucket, upload.key, upload.id)
            if self._outcome(answer, NEVER):
                upload.ended = "aborted"
            self._open.remove(upload)
        else:
            self._complete(upload)
            self._open.remove(upload)

    def _begin_upload(self) -> None:
        key, name = self._key(), self._ledger.name()
        last = self._chance.choice((1, 70_000, 2 * MIB))
        sizes = self._chance.choice(([PART, last], [PART, PART, last], [PART, PART + 1, last], [last]))
        answer = self._client.create_upload(self._bucket, key, Version(name, key, ()).headers)
        if self._outcome(answer, NEVER):
            upload = Upload(key, answer.xml().findtext("UploadId") or "", name, sizes)
            self._open.append(upload)
            self._load.uploads.append(upload)

    def _send_part(self, upload: Upload, number: int) -> None:
        send_part(self._client, self._bucket, self._ledger, upload, number, copied=self._chance.random() < 0.3)

    def _complete(self, upload: Upload) -> None:
        """Complete, now and then twice: the second answer must be the first one."""
        headers = {"if-none-match": "*"} if self._chance.random() < 0.2 else {}
        complete_upload(self._client, self._bucket, self._ledger, upload, headers)
        if upload.ended == "completed" and self._chance.random() < 0.5:
            repeat_complete(self._client, self._bucket, self._ledger, upload)

    # ------------------------------------------------------------------------------------------- listings

    def _list(self) -> None:
        prefix = self._chance.choice(("", "", "a", "a/", "d1/", "come", "t/u"))
        since = time.monotonic()
        pages = self._client.pages(self._bucket, prefix, size=self._chance.choice((3, 10, 1000)))
        until = time.monotonic()
        rows = {row.key: row for page in pages for row in page.rows}
        listed = [row.key for page in pages for row in page.rows]
        if listed != sorted(set(listed), key=str.encode):
            self._ledger.violation(f"a listing out of order: {listed}")
        known = self._ledger.keys()
        for key in sorted(rows.keys() - set(known)):
            self._ledger.violation(f"{key!r}: listed, but nobody wrote it")
        for key in (k for k in known if k.startswith(prefix)):
            permitted = self._ledger.permitted(key, since, until)
            row = rows.get(key)
            seen = [v for v in permitted if (None if v is None else (v.size, v.etag)) == (row[1:] if row else None)]
            if not seen:
                names = [v and v.name for v in permitted]
                self._ledger.violation(f"{key!r} in a listing of {prefix!r}: {row}, but it must be one of {names}")
        self._ledger.count("list")


# ------------------------------------------------------------- steps of an upload, taken under load and after a kill


def send_part(
    client: Client, bucket: str, ledger: Ledger, upload: Upload, number: int, *, copied: bool = False
) -> None:
    """Send a part, by UploadPart or ``copied`` from SEED by UploadPartCopy."""
    size = upload.sizes[number - 1]
    segment = Segment(SEED.name if copied else f"{upload.name} {number} {len(upload.tried.get(number, ()))}", size)
    upload.tried.setdefault(number, []).append(segment)
    if copied:
        headers = {"x-amz-copy-source": f"{bucket}/{SEED.key}", "x-amz-copy-source-range": f"bytes=0-{size - 1}"}
        answer = client.upload_part(bucket, upload.key, upload.id, number, headers=headers)
    else:
        answer = client.upload_part(bucket, upload.key, upload.id, number, segment.data())
    if answer.done:
        ledger.count("acknowledged")
        upload.sent[number] = segment
    else:
        ledger.refused("part", answer)


def complete_upload(
    client: Client, bucket: str, ledger: Ledger, upload: Upload, headers: dict[str, str] | None = None
) -> None:
    segments = tuple(segment for _, segment in sorted(upload.sent.items()))
    upload.version = ledger.known(Version(upload.name, upload.key, segments, multipart=True))
    upload.write = write = ledger.begin(upload.key, upload.version, upload.write)
    answer = client.complete(bucket, upload.key, upload.id, upload.etags, headers)
    if answer.done:
        ledger.count("acknowledged")
        ledger.end(upload.key, write, done=True)
        upload.ended = "completed"
        _compare(ledger, upload, answer)
    elif answer.code == "PreconditionFailed":
        ledger.end(upload.key, write, done=False)
        upload.version = upload.write = None
    else:
        ledger.refused("Complete", answer)
        ledger.end(upload.key, write, done=False if answer.code == "SlowDown" else None)


def repeat_complete(client: Client, bucket: str, ledger: Ledger, upload: Upload) -> None:
    """Complete again what was completed: the same answer, and nothing happens."""
    answer = client.complete(bucket, upload.key, upload.id, upload.etags)
    if answer.done:
        ledger.count("repeated Complete")
        _compare(ledger, upload, answer)
    else:
        ledger.refused("repeated Complete", answer)


def _compare(ledger: Ledger, upload: Upload, answer: Answer) -> None:
    etag = (answer.xml().findtext("ETag") or "").strip('"')
    if upload.version is None or etag != upload.version.etag:
        ledger.violation(f"{upload.key!r}: Complete of {upload.name} answered {answer.body!r}")
