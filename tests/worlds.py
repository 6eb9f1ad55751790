"""A small world for a station: cards that share photos, a library's disk, a clock, a line to a bucket; and what must be true of it."""

import contextlib
import functools
import hashlib
import json
import os
import random
import sqlite3
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from promises import ask, check_finished, check_wishes, has_records, hash_tree, list_lost, list_originals
from puppets import Killed, Puppet, Refused, Stage
from stores import Store
from wires import Wire

from ghostroll.config import Copy, Log, LogFormat, LogLevel, Publish, Render, Settings
from ghostroll.config import Library as LibrarySettings
from ghostroll.config.settings import S3, Addressing, Originals, PublishTarget
from ghostroll.demo.photos import make_photo

TAKEN = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)  # the hour in which Europe's summer time ends
DISK_MIB = 48
RECORDS = {
    "session": "SELECT * FROM session",
    "job": "SELECT * FROM job",
    "source": "SELECT * FROM source",
    "task": "SELECT * FROM task",
}


@functools.cache
def make_pool() -> list[bytes]:
    """Photos and other files of one size each: only their bytes tell them apart."""
    photos = [make_photo(seed=number, size=(96, 64), taken=TAKEN) for number in range(8)]
    size = max(map(len, photos))
    noise = random.Random(5)
    return [photo.ljust(size, b"\0") for photo in photos] + [noise.randbytes(300_000) for _ in range(3)]


# What is on each card: the number of a file in the pool by its path. A and C can't be told apart but by their bytes,
# and each two others have something in common.
CARDS: dict[str, dict[str, int]] = {
    "A": {"DCIM/100/IMG_1.JPG": 0, "DCIM/100/IMG_2.JPG": 1, "DCIM/101/IMG_3.JPG": 2, "film.bin": 8},
    "B": {"DCIM/100/IMG_1.JPG": 1, "DCIM/100/IMG_7.JPG": 4, "DCIM/100/IMG_8.JPG": 4, "film.bin": 8},
    "C": {"DCIM/100/IMG_1.JPG": 4, "DCIM/100/IMG_2.JPG": 5, "DCIM/101/IMG_3.JPG": 6, "film.bin": 9},
    "D": {"DCIM/100/IMG_1.JPG": 7, "DCIM/100/IMG_1.XMP": 10, "DCIM/100/IMG_2.JPG": 5, "film.bin": 8},
}


@dataclass
class World:
    """Everything that a station lives in. What happens to it happens here; the station is only told of cards."""

    place: Path
    stage: Stage
    store: Store | None = None
    wire: Wire | None = None
    mounted: bool = False
    wall: float = 0.0
    zone: int = 60
    boot: float = 1000.0
    puppet: Puppet | None = None
    inside: dict[str, int] = field(default_factory=dict)  # cards that the station was told of, and the number
    harmed: set[str] = field(default_factory=set)  # contents whose file somebody spoiled in the library
    spoilt: set[bytes] = field(default_factory=set)  # where such a file lies, until it is healed or gone
    shifted: bool = False  # some card shows other times than when it was first read
    promised: set[str] = field(default_factory=set)
    said: int = 0  # lines of the log that were looked at
    pool: list[bytes] = field(default_factory=make_pool)
    images: dict[str, dict[bytes, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for folder in ("drawer", "readers", "disk"):
            (self.place / folder).mkdir(parents=True)
        if os.geteuid() == 0:
            size = f"size={DISK_MIB}m"
            subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", self.place / "disk"], check=True)
            self.mounted = True
        for name, files in CARDS.items():
            for path, number in files.items():
                file = self.place / "drawer" / name / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(self.pool[number])
                os.utime(file, (TAKEN.timestamp(),) * 2)
            self.images[name] = hash_tree(self.place / "drawer" / name)

    def describe(self) -> str:
        """What somebody needs who looks for the reason of a failure that doesn't come again: records, and what was said."""
        lines = (
            [f"log: {line}" for line in self.log.read_text().splitlines()[-80:]] if self.log.exists() else []
        )
        lines += sorted(f"file: {os.fsdecode(path)}" for path in hash_tree(self.library))
        with contextlib.suppress(sqlite3.Error):
            for table, question in RECORDS.items():
                lines += [f"{table}: {row}" for row in ask(self.library, question)]
        return "\n".join(lines)

    def end(self) -> None:
        """Nothing of it is left."""
        try:
            if self.puppet is not None:
                self.puppet.kill()
        finally:
            if self.mounted:
                subprocess.run(["umount", "-l", self.place / "disk"], check=True)

    @property
    def library(self) -> Path:
        """The library's folder."""
        return self.place / "disk" / "library"

    @property
    def log(self) -> Path:
        """Everything that any station said."""
        return self.place / "log"

    def settings(self) -> Settings:
        """The configuration."""
        publish = Publish()
        if self.store is not None:
            s3 = S3(
                bucket=self.store.bucket,
                region=self.store.region,
                endpoint_url=self.wire.endpoint if self.wire else self.store.endpoint,
                addressing=Addressing.PATH,
            )
            publish = Publish(target=PublishTarget.S3, originals=Originals.ALL, s3=s3)
        return Settings(
            library=LibrarySettings(path=self.library, keep_free_mib=1, allow_weak_filesystem=True),
            copy=Copy(batch_files=2, threads_per_card=1),
            render=Render(workers=1, share_edge=256, thumb_edge=64),
            publish=publish,
            log=Log(level=LogLevel.INFO, format=LogFormat.JSON),
        )

    # The station.

    @property
    def is_up(self) -> bool:
        """Whether a station runs."""
        return self.puppet is not None

    def start(self) -> bool:
        """Start a station, and tell it of the cards that are in; False where it can't be opened now."""
        if self.puppet is not None:
            return True
        self.puppet = self.stage.enter()
        self.inside = {}
        try:
            keys = {} if self.store is None else dict(self.store.environ)
            clock = (self.wall, self.zone, self.boot)
            self.puppet.ask("open", self.settings(), clock, str(self.log), keys)
        except Refused:
            self.kill()
            if not self.is_full:
                raise
            return False
        for name in sorted(self.list_in()):
            self._admit(name)
        return True

    def kill(self) -> None:
        """SIGKILL."""
        if self.puppet is not None:
            self.puppet.kill()
            self.puppet, self.inside = None, {}

    def stop(self) -> None:
        """Stop it in order."""
        if self.puppet is not None:
            with contextlib.suppress(Refused):  # its disk is full
                assert self.puppet.ask("close")
            self.kill()

    def settle(self) -> str:
        """Wait until nothing goes on by itself. A station whose disk fails is gone, as it is for a daemon."""
        if self.puppet is None:
            return "down"
        try:
            found: str = self.puppet.ask("settle")
        except Killed:
            self.kill()
            return "killed"
        assert found != "busy", "it never comes to rest"
        if found.startswith("failed"):
            assert self.is_full, found
            self.stop()
        return found

    def tell(self, command: str, *arguments: object) -> Any:
        """Have the station do something."""
        assert self.puppet is not None
        return self.puppet.ask(command, *arguments)

    def _admit(self, name: str) -> None:
        assert self.puppet is not None
        with contextlib.suppress(Refused, Killed):  # no card is there any more, or the disk fails
            self.inside[name] = self.puppet.ask("admit", str(self.place / "readers" / name))

    def _dismiss(self, number: int) -> None:
        try:
            self.tell("dismiss", number)
        except Refused:
            assert self.is_full
            self.stop()

    # Cards.

    def list_in(self) -> set[str]:
        """Cards that are in a reader."""
        return {entry.name for entry in (self.place / "readers").iterdir()}

    def put_in(self, name: str) -> None:
        """A card goes in."""
        (self.place / "drawer" / name).rename(self.place / "readers" / name)
        if self.puppet is not None:
            self._admit(name)

    def pull(self, name: str) -> None:
        """A card comes out. `notice` tells the station."""
        (self.place / "readers" / name).rename(self.place / "drawer" / name)

    def notice(self) -> None:
        """What detection finds: cards that are out are dismissed, cards that are in were told of."""
        for name in sorted(set(self.inside) - self.list_in()):
            number = self.inside.pop(name)
            if self.puppet is not None:
                self._dismiss(number)
        if self.puppet is not None:
            for name in sorted(self.list_in() - set(self.inside)):
                self._admit(name)

    def swap(self, old: str, new: str) -> None:
        """Within one moment another card is in the reader, at the same place. `sort_out` ends it."""
        self.pull(old)
        (self.place / "drawer" / new).rename(self.place / "readers" / old)

    def sort_out(self, old: str, new: str) -> None:
        """The other card is mounted at a place of its own."""
        (self.place / "readers" / old).rename(self.place / "readers" / new)

    def shift_times(self, hours: int) -> None:
        """Every file of every card shows another time, as FAT's do in another time zone."""
        self.shifted = True
        for file in self.place.glob("*/?/**/*"):
            if file.is_file() and file.relative_to(self.place).parts[0] in ("drawer", "readers"):
                os.utime(file, ns=(0, file.stat().st_mtime_ns + hours * 3_600_000_000_000))

    def spoil(self, name: str, which: int) -> None:
        """One file of a card in the drawer can't be read."""
        files = sorted(CARDS[name])
        (self.place / "drawer" / name / files[which % len(files)]).chmod(0)

    def clean(self, name: str) -> None:
        """All of a card can be read again."""
        for file in self.place.glob(f"*/{name}/**/*"):
            if file.is_file() and file.relative_to(self.place).parts[0] in ("drawer", "readers"):
                file.chmod(0o644)

    # The library's disk.

    @property
    def is_full(self) -> bool:
        """Whether somebody filled the disk."""
        return (self.place / "disk" / "ballast").exists()

    def fill(self, leave: int) -> None:
        """Something else takes all but so many bytes of the disk."""
        space = os.statvfs(self.place / "disk")
        with (self.place / "disk" / "ballast").open("ab") as file:
            size = max(0, space.f_bavail * space.f_frsize - leave)
            with contextlib.suppress(OSError):
                file.write(bytes(size))

    def make_room(self) -> None:
        """It is gone again."""
        (self.place / "disk" / "ballast").unlink(missing_ok=True)

    def rot(self, which: int) -> bytes | None:
        """One bit of a stored file turns; its path, or None where there is none."""
        found = self._choose(which)
        if found is not None:
            path, checksum = found
            self.harmed.add(checksum)
            self.spoilt.add(path)
            with open(os.fsencode(self.library) + b"/" + path, "r+b") as file:
                file.seek(-1, os.SEEK_END)
                (byte,) = file.read(1)
                file.seek(-1, os.SEEK_END)
                file.write(bytes([byte ^ 1]))
        return None if found is None else found[0]

    def lose(self, which: int) -> None:
        """Somebody deletes a stored file."""
        found = self._choose(which)
        if found is not None:
            self.harmed.add(found[1])
            os.unlink(os.fsencode(self.library) + b"/" + found[0])

    def _choose(self, which: int) -> tuple[bytes, str] | None:
        known = {checksum for image in self.images.values() for checksum in image.values()}
        there = sorted(item for item in list_originals(self.library).items() if item[1] in known)
        return there[which % len(there)] if there else None

    # What must be true.

    def check(self) -> None:
        """The promises, at a moment when nothing is written: see `promises`, here with harm that was done from outside."""
        self._check_cards()
        originals = list_originals(self.library)
        known = {checksum for image in self.images.values() for checksum in image.values()}
        lost = self._list_lost()
        whole = [checksum for path, checksum in originals.items() if checksum in known and path not in lost]
        strangers = {path for path, checksum in originals.items() if checksum not in known}
        # A copy that a kill left without a record, and that rotted since, stays when its content is stored anew.
        assert strangers <= self.spoilt, f"not what a card gave: {strangers}"
        self.spoilt = strangers
        assert len(whole) == len(set(whole)), "a content is stored twice"
        try:
            if not has_records(self.library):
                return
            self._check_records(originals, set(whole))
        except sqlite3.OperationalError:
            assert self.is_full
        self._check_said(set(whole))
        self.harmed -= set(whole)  # healed, and from now on as good as any other

    def check_verified(self, found: list[tuple[bytes, str]]) -> None:
        """What `ghostroll verify` found is what there is to be found."""
        there = list_originals(self.library)
        recorded = dict(ask(self.library, "SELECT path, lower(hex(sha256)) FROM asset"))
        expected = {(path, "foreign") for path in there if path not in recorded}
        for path, checksum in recorded.items():
            if there.get(path) != checksum:
                expected.add((path, "damaged" if path in there else "missing"))
        assert set(found) == expected, "verify did not find what there is, or more"

    def _list_lost(self) -> set[bytes]:
        try:
            return list_lost(self.library) if has_records(self.library) else set()
        except sqlite3.OperationalError:
            return set()

    def _check_cards(self) -> None:
        for folder in ("drawer", "readers"):
            for card in (self.place / folder).iterdir():
                assert hash_tree(card) == self.images[card.name], f"card {card.name} was written to"

    def _check_records(self, originals: dict[bytes, str], whole: set[str]) -> None:
        assert ask(self.library, "PRAGMA integrity_check") == [("ok",)]
        assert ask(self.library, "PRAGMA foreign_key_check") == []
        if not ask(self.library, "SELECT 1 FROM sqlite_schema WHERE name = 'asset'"):
            return
        check_wishes(self.library)
        recorded = dict(ask(self.library, "SELECT path, lower(hex(sha256)) FROM asset"))
        for path, checksum in recorded.items():
            assert originals.get(path) == checksum or checksum in self.harmed, f"{path!r} is not as recorded"
        self.promised.update(recorded.values())
        assert self.promised <= whole | self.harmed, "a content that was called verified is lost"
        rows = ask(self.library, "SELECT root, safety, source.path, nullif(lower(hex(sha256)), '') FROM job"
                                 " JOIN source ON job_id = job.id LEFT JOIN asset ON asset.id = asset_id")  # fmt: skip
        for root, safety, path, checksum in rows:
            name = os.path.basename(root).decode()
            if checksum is not None:
                assert checksum == self.images[name].get(path), f"{path!r} of card {name} is another one's"
            assert safety != "secured" or checksum, f"card {name} is called secured without {path!r}"
        for root in {row[0] for row in rows if row[1] == "secured"}:
            self._check_safe(os.path.basename(root).decode(), whole)

    def _check_said(self, whole: set[str]) -> None:
        """Whoever was told that a card may be pulled was told the truth."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        for line in lines[self.said :]:
            told = json.loads(line) if line.startswith("{") else {}
            assert "Traceback" not in line, line
            if told.get("safe") is True and told.get("card") in self.images:
                self._check_safe(told["card"], whole)
        self.said = len(lines)

    def _check_safe(self, name: str, whole: set[str]) -> None:
        missing = set(self.images[name].values()) - whole - self.harmed
        assert not missing, f"card {name} is called secured, and {len(missing)} of its files are not there"

    def check_bucket(self) -> None:
        """Every original in the bucket is what its name says."""
        if self.store is not None:
            for key in self.store.list_keys("originals/"):
                content = self.store.read(key)
                assert hashlib.sha256(content).hexdigest() == key.split("/")[2].split(".")[0], key

    def check_finished(self, *, closed: bool) -> None:
        """After everything was mended and every card was in once more: all is there, once, shown, and said."""
        self.harmed.clear()
        self.check()
        recorded = {path for (path,) in ask(self.library, "SELECT path FROM asset")}
        assert not self.spoilt & recorded, f"not healed: {self.spoilt & recorded}"
        for path in self.spoilt:  # `verify` names it as foreign, and a person takes it away
            os.unlink(os.fsencode(self.library) + b"/" + path)
        for name in self.images:
            self._check_safe(name, set(list_originals(self.library).values()))
        check_finished(self.library, self.place / "drawer", aside=None, closed=closed)


def list_jobs(library: Path, *safeties: str) -> list[tuple[int, str, str]]:
    """Number, safety and card of every job, or of those in these states."""
    if not (library / ".ghostroll" / "state.db").exists():
        return []
    try:
        rows = ask(library, "SELECT id, safety, root FROM job ORDER BY id")
    except sqlite3.OperationalError:  # it was killed before its first migration
        return []
    found = [(number, safety, os.path.basename(root).decode()) for number, safety, root in rows]
    return [job for job in found if not safeties or job[1] in safeties]
