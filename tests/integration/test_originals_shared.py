"""Originals in a bucket: what is sent, what counts as confirmed, and many stations at once without a coordinator."""

import json
import random
import shutil
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from clouds import (
    check_gallery,
    count_stored,
    find_original_key,
    make_cloud_person,
    open_cloud_person,
    tell_writes,
)
from commanding import Person, write_photo
from mischief import NOT_IMPLEMENTED, Asked, Held, Mischief, _Rule, open_mischief
from promises import ask
from running import Run, check_sentence, finish_command, start_command
from stores import Store
from waiting import wait_for

STATIONS = 8
FILM = 33 * 2**20  # bytes: two parts


def make_cards(place: Path, film: bytes) -> list[Path]:
    """A card for each station: a photo that all have, one that two have, one of its own; on three the same film."""
    photos = place / "photos"
    photos.mkdir()
    for number in range(2 * STATIONS + 1):
        write_photo(photos / f"{number}.JPG", number)
    cards = []
    for number in range(STATIONS):
        folder = place / f"CARD{number}" / "DCIM"
        folder.mkdir(parents=True)
        beside = STATIONS + (number + 1) % STATIONS
        for seed in (2 * STATIONS, number, STATIONS + number, beside):
            shutil.copy(photos / f"{seed}.JPG", folder / f"IMG_{seed + 10 * number:04}.JPG")
        if number < 3:
            (folder / "film.bin").write_bytes(film)
        cards.append(folder.parent)
    return cards


class Turnstile(Held):
    """One request at a time. Localstack looks whether a key is taken long before it takes it; S3 does both at once."""

    def __init__(self, proxy: Mischief, operation: str, key: str) -> None:
        super().__init__()
        self._turn, self._gone = threading.Lock(), 0
        self._proxy, self._which = proxy, (operation, key)
        proxy._add(_Rule(operation, key, lambda _: True, 0, held=self))

    def _hold(self) -> None:
        with self._turn:
            wait_for(lambda: len(self._proxy.tell(*self._which)) >= self._gone, "the one before never ended")
            self._gone += 1


def start_stations(people: Sequence[Person], cards: Sequence[Path]) -> list[subprocess.Popen[bytes]]:
    """A process for each, all at once."""
    return [
        start_command(person.env, "ingest", card, "--json")
        for person, card in zip(people, cards, strict=True)
    ]


def check_stored_once(store: Store, proxy: Mischief, cards: Sequence[Path]) -> None:
    """Every content lies there once, was written once, and everybody else was told that it is there."""
    wanted = {find_original_key(path): path for card in cards for path in card.rglob("*") if path.is_file()}
    assert set(store.list_keys("originals/")) == set(wanted)
    for key, path in wanted.items():
        assert store.read(key) == path.read_bytes()
        assert count_stored(proxy, key) == 1, [
            (each.asked.operation, each.status) for each in proxy.tell(key=key)
        ]
        assert {each.status for each in tell_writes(proxy, key)} <= {200, 409, 412}
    refused = [each for each in tell_writes(proxy, "originals/*") if each.status in (409, 412)]
    assert refused, "nobody met another"


def test_eight_stations_share_a_bucket(localstack: Store, tmp_path: Path) -> None:
    """Eight at the same time with overlapping cards: every original once, every session whole, every card formattable."""
    cards = make_cards(tmp_path, random.Random(4).randbytes(FILM))
    with open_mischief(localstack.address) as proxy:
        people = [
            make_cloud_person(tmp_path / f"home{n}", localstack.at(proxy.endpoint)) for n in range(STATIONS)
        ]
        for person in people:
            person.env["GHOSTROLL_PUBLISH__ORIGINALS"] = "all"
        Turnstile(proxy, "CompleteMultipartUpload", find_original_key(cards[0] / "DCIM" / "film.bin"))
        held = proxy.hold(operation="PutObject", key=find_original_key(cards[0] / "DCIM" / "IMG_0016.JPG"))
        running = start_stations(people, cards)
        for _ in range(3):  # so many want to write the same one at the same moment
            held.wait()
        held.release()
        done = [finish_command(process) for process in running]
        for run in done:
            check_sentence(run)
            assert run.code == 0, run.err + run.out
        check_stored_once(localstack, proxy, cards)
        pages = {
            key.removesuffix("/index.html") for key in localstack.list_keys() if key.endswith("/index.html")
        }
        assert len(pages) == STATIONS
        for person, run in zip(people, done, strict=True):
            assert run.document["formattable"] is True
            assert run.document["publication"] == "complete"
            session = person.find_session()
            (page,) = (page for page in pages if page.startswith(f"sessions/{session.name}-"))
            assert check_gallery(localstack, session, page)["total"] == 4


def write_raw(card: Path) -> Path:
    """A RAW file beside its JPEG, which stands for it in a gallery."""
    path = card / "DCIM" / "100CANON" / "IMG_0001.CR3"
    path.write_bytes(random.Random(1).randbytes(3000))
    return path


def tell_log(run: Run) -> list[str]:
    """The sentences of a log; what a slow machine has people told beside it is no JSON."""
    return [json.loads(line)["event"] for line in run.err.splitlines() if line.startswith("{")]


def ingest_aloud(person: Person, originals: str = "all") -> tuple[list[str], dict[str, Any]]:
    """Ingest as a service does, its log for a machine; the log's sentences, and the job as `show` has it."""
    person.env |= {"GHOSTROLL_LOG__FORMAT": "json", "GHOSTROLL_PUBLISH__ORIGINALS": originals}
    run = person.run("ingest", person.card)
    return tell_log(run), person.run("show", "1", "--json").document


def is_said(log: Sequence[str], words: str) -> bool:
    """Whether a sentence of the log has these words."""
    return any(words in line for line in log)


@pytest.mark.parametrize("wanted", ["none", "raw", "all"])
def test_originals_that_belong_there(wanted: str, moto: Store, tmp_path: Path) -> None:
    """None, the RAW files, or every file: that many go up, and a card is safe to format where all of these are confirmed."""
    person = make_cloud_person(tmp_path, moto)
    raw = write_raw(person.card)
    log, job = ingest_aloud(person, wanted)
    files = {path for path in person.card.rglob("*") if path.is_file()}
    expected = {"none": set[Path](), "raw": {raw}, "all": files}[wanted]
    assert set(moto.list_keys("originals/")) == {find_original_key(path) for path in expected}
    assert is_said(log, "safe to remove")
    assert is_said(log, "safe to format") == (wanted != "none")
    assert (job["confirmed_at"] is not None) == (wanted != "none")


def test_formattable_only_after_the_last_original(moto: Store, tmp_path: Path) -> None:
    """While one original is under way nobody hears that the card may be formatted."""
    with open_cloud_person(tmp_path, moto) as (person, proxy):
        held = proxy.hold(key=find_original_key(person.card / "notes.txt"))
        env = person.env | {"GHOSTROLL_PUBLISH__ORIGINALS": "all", "GHOSTROLL_LOG__FORMAT": "json"}
        process = start_command(env, "ingest", person.card)
        held.wait()

        confirmed = "SELECT count(*) FROM object WHERE state = 'confirmed'"
        wait_for(lambda: ask(person.library, confirmed) == [(3,)], "the others never came")
        wait_for(lambda: ask(person.library, "SELECT publication FROM job") == [("complete",)], "no gallery")
        job = person.run("show", "1", "--json").document
        assert (job["state"], job["confirmed_at"]) == ("secured", None)
        held.release()
        log = tell_log(finish_command(process))
        assert is_said(log[-2:], "safe to format")
        assert person.run("show", "1", "--json").document["confirmed_at"] is not None


@pytest.mark.parametrize("obstacle", ["rclone", "headers"])
def test_store_that_confirms_nothing(obstacle: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Originals that a store has without a checksum of its own never make a card safe to format, and it is said why."""
    store: Store = request.getfixturevalue("rclone" if obstacle == "rclone" else "moto")
    with open_cloud_person(tmp_path, store) as (person, proxy):
        if obstacle == "headers":
            proxy.drop_answer_headers("x-amz-checksum-*")
        person.env["GHOSTROLL_PUBLISH__ORIGINALS"] = "all"
        log, job = ingest_aloud(person)
        assert len(store.list_keys("originals/")) == 4
        assert not is_said(log, "safe to format")
        assert is_said(log, "4 originals in the bucket, but not confirmed by checksum")
        assert job["confirmed_at"] is None


def test_other_bytes_under_an_originals_key(moto: Store, tmp_path: Path) -> None:
    """What lies under an original's name with another checksum is left alone and confirms nothing."""
    person = make_cloud_person(tmp_path, moto)
    path = person.card / "notes.txt"
    foreign = b"x" * path.stat().st_size
    key = find_original_key(path)
    moto.client().put_object(Bucket=moto.bucket, Key=key, Body=foreign, ChecksumAlgorithm="SHA256")
    log, job = ingest_aloud(person)
    assert moto.read(key) == foreign
    assert job["confirmed_at"] is None
    assert not is_said(log, "safe to format")
    assert is_said(log, "another content")


def is_conditional(asked: Asked) -> bool:
    """Whether a request is to write only what is absent."""
    return "if-none-match" in asked.headers


def test_store_without_conditions(moto: Store, tmp_path: Path) -> None:
    """A store that doesn't know If-None-Match is asked first what it has; what is there is not sent again, all is confirmed."""
    with open_cloud_person(tmp_path, moto) as (person, proxy):
        proxy.refuse(NOT_IMPLEMENTED, having=is_conditional)
        person.env["GHOSTROLL_PUBLISH__ORIGINALS"] = "all"
        there = person.card / "DCIM" / "100CANON" / "IMG_0002.JPG"
        key = find_original_key(there)
        moto.client().put_object(
            Bucket=moto.bucket, Key=key, Body=there.read_bytes(), ChecksumAlgorithm="SHA256"
        )
        assert person.ingest().document["formattable"] is True
        assert len(moto.list_keys("originals/")) == 4
        kept = moto.client().head_object(Bucket=moto.bucket, Key=key)
        assert "ContentDisposition" not in kept, "it was sent over what was there"
        for each in proxy.tell("PutObject", "originals/*"):
            assert each.status in (200, 501)
            before = [one.asked.operation for one in proxy.tell(key=each.asked.key)]
            assert each.status == 501 or before.index("HeadObject") < len(before) - 1
