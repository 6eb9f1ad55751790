"""SIGKILL at moments that nobody chose, again and again on one library that several cards fill."""

import contextlib
import os
import random
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bucket_promises import check_bucket
from campaign import count, pick
from daemons import Process, RunningDaemon
from forking import Forked, fork_command
from killing import check_no_orphan, list_family
from knocking import knock
from pledges import Pledges, list_pictures
from promises import check_finished
from running import KILLED, environment
from stores import Store

from ghostroll.daemon.wire import Ingest, encode_request
from ghostroll.demo.photos import make_photo

KILLS = pick(6, 30)
AT_ONCE = 0.05  # seconds after the first crash point: then it recovers from the kill before
PATIENCE = 60.0


class Word:
    """What a program tells of the crash points that it passes, each when it is first reached."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._heard = b""

    def forget(self) -> None:
        """Another process is meant from now on."""
        self._listen()
        self._heard = b""

    def wait_for(self, point: bytes, process: Process, patience: float = PATIENCE) -> bool:
        """Wait until a point is reached, any for none; False where the process ended or patience did before."""
        until = time.monotonic() + patience
        while point not in self._heard or not self._heard:
            if process.poll() is not None or time.monotonic() > until:
                return False
            select.select([self._end], [], [], 0.02)
            self._listen()
        return True

    def close(self) -> None:
        """Nobody listens any more."""
        os.close(self._end)

    def _listen(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while heard := os.read(self._end, 65536):
                self._heard += heard


@dataclass
class Storm:
    """One library, its cards, and whoever kills."""

    place: Path
    env: dict[str, str]
    chance: random.Random
    word: Word
    longest: float = 0.0  # seconds from the first crash point to the end of an undisturbed run
    photos: int = 0

    @property
    def cards(self) -> list[Path]:
        """The cards' folders."""
        return sorted((self.place / "cards").iterdir())

    def take_photo(self) -> None:
        """A new photo on one card, now and then on a second one too, under another name."""
        self.photos += 1
        taken = datetime(2026, 11, 22, 10, self.photos % 60, tzinfo=UTC)
        photo = make_photo(seed=self.photos, size=(160, 120), taken=taken)
        cards = self.chance.sample(self.cards, self.chance.choice((1, 1, 2)))
        for card, name in zip(cards, ("IMG", "DSC"), strict=False):
            folder = card / "DCIM" / f"{100 + self.chance.randrange(3)}CANON"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}_{self.photos:04}.JPG").write_bytes(photo)

    def kill_once(self) -> bool:
        """Start a program and kill it at some moment; False where it had ended by itself."""
        self.word.forget()
        return self._kill_daemon() if self.chance.random() < 0.4 else self._kill_ingest()

    def _kill_ingest(self) -> bool:
        process = Forked(self.env, "ingest", self.chance.choice(self.cards), "--json")
        killed = kill(process, self._wait(process))
        run = process.finish(PATIENCE)
        assert run.code in (0, KILLED), run.err
        return killed

    def _kill_daemon(self) -> bool:
        daemon = RunningDaemon(self.place / "daemon", self.env, forked=True)
        try:
            with contextlib.ExitStack() as asking:
                if self.chance.random() < 0.7 and daemon.is_up():
                    for card in self.chance.sample(self.cards, self.chance.randint(1, 3)):
                        asking.enter_context(request(daemon, card))
                when = self._wait(daemon.process)
                killed = kill(daemon.process, when)
            assert killed, f"it ended by itself: {daemon.text()}"
            assert "Traceback" not in daemon.text(), daemon.text()
        finally:
            daemon.end()
        return killed

    def _wait(self, process: Process) -> str:
        """Until the moment of the kill; which sort of moment that is."""
        kind = self.chance.random()
        self.word.wait_for(b"", process)
        if kind < 0.25:  # a daemon that was given no card never has a worker
            self.word.wait_for(b"render.child_started", process, self.longest + 1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(self.chance.uniform(0, AT_ONCE if kind > 0.75 else self.longest))
        return "while it recovers or just after" if kind > 0.75 else "at any moment"


@contextlib.contextmanager
def request(daemon: RunningDaemon, card: Path) -> Iterator[socket.socket]:
    """Ask for a card and stay on the line."""
    with knock(daemon.runtime / "socket") as connection:
        connection.sendall(encode_request(Ingest(os.fsencode(card))))
        yield connection


def kill(process: Process, when: str) -> bool:
    """SIGKILL; nothing that it started may be left. False where it had ended by itself."""
    workers = len(list_family(process.pid)) - 1
    process.send_signal(signal.SIGKILL)
    killed = process.wait(PATIENCE) == KILLED
    check_no_orphan(process.pid)
    count(f"kills at random {when}", int(killed))
    count("kills at random while render workers ran: none was left", int(killed and workers > 0))
    return killed


@pytest.fixture
def word(tmp_path: Path) -> Iterator[Word]:
    """Where the programs of a test tell how far they are."""
    made = Word(tmp_path / "word")
    yield made
    made.close()


def send_to(store: Store | None) -> dict[str, str]:
    """What makes everything go to a bucket, if there is one."""
    return {} if store is None else store.settings | {"GHOSTROLL_PUBLISH__ORIGINALS": "all"}


def begin_storm(place: Path, word: Word, seed: int, store: Store | None) -> Storm:
    """Three cards with photos, some of them on two, and how long it takes to read one undisturbed."""
    for name in ("EOS", "NIKON", "SONY"):
        (place / "cards" / name / "DCIM").mkdir(parents=True)
    tell = {"GHOSTROLL_CRASH_LOG": str(word.path)}
    env = environment(place, place / "library") | send_to(store) | tell
    storm = Storm(place, env, random.Random(seed), word)
    for _ in range(9):
        storm.take_photo()
    elsewhere = send_to(store and store.with_new_bucket())
    measured = Forked(environment(place, place / "undisturbed") | elsewhere | tell, "ingest", storm.cards[0])
    word.wait_for(b"", measured)
    began = time.monotonic()
    assert measured.finish(PATIENCE).code == 0
    storm.longest = time.monotonic() - began
    return storm


def finish(env: dict[str, str], cards: Sequence[Path]) -> None:
    """Read every card undisturbed."""
    for card in cards:
        last = fork_command(env, "ingest", card, "--json")
        assert last.code == 0, last.err
        assert last.document["secured"] is True


@pytest.mark.timeout(pick(240, 1800))
@pytest.mark.parametrize("seed", range(pick(2, 10)))
@pytest.mark.parametrize("target", ["folder", "bucket"])
def test_killed_at_random(target: str, seed: int, word: Word, moto: Store, tmp_path: Path) -> None:
    """However often and whenever they are killed, ingests and daemons lose nothing, and it ends as if nothing had been."""
    storm = begin_storm(tmp_path, word, seed, moto if target == "bucket" else None)
    pledges, killed = Pledges(tmp_path / "library"), 0
    while killed < KILLS:
        killed += storm.kill_once()
        pledges.look(storm.cards)
        if storm.chance.random() < 0.7:
            storm.take_photo()
    alone = {name: value for name, value in storm.env.items() if name != "GHOSTROLL_CRASH_LOG"}
    finish(alone, storm.cards)
    pledges.look(storm.cards)
    check_finished(tmp_path / "library", tmp_path / "cards")
    if target == "bucket":
        check_bucket(moto, tmp_path / "library")
    clean = environment(tmp_path, tmp_path / "clean")
    finish(clean, storm.cards)
    assert list_pictures(tmp_path / "library") == list_pictures(tmp_path / "clean")
    count(f"kills at random, with a whole library and {target} in the end", killed)
