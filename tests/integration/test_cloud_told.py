"""What a person is told of a bucket while something of it is still to come."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from clouds import fetch, open_cloud_person
from commanding import Person
from holding import hold_reads
from mischief import QUOTA_EXCEEDED, Mischief
from running import do_without, finish_command, start_command, wait_until
from stores import Store


@pytest.fixture
def walk(tmp_path: Path, moto: Store) -> Iterator[tuple[Person, Mischief]]:
    """Somebody whose originals go to a bucket, too, and what the store is asked."""
    with open_cloud_person(tmp_path / "home", moto) as (person, proxy):
        person.env["GHOSTROLL_PUBLISH__ORIGINALS"] = "all"
        yield person, proxy


def test_originals_that_wait_are_named(walk: tuple[Person, Mischief]) -> None:
    """With a complete gallery and a full bucket `status` and `show` say how many files wait, why, and what to do."""
    person, proxy = walk
    held = proxy.hold(key="originals/*")
    proxy.refuse(QUOTA_EXCEEDED, key="originals/*")
    process = start_command(person.env, "ingest", person.card, "--json")
    held.wait()
    wait_until(lambda: person.run("show", "1", "--json").document["publication"] == "complete")
    held.release()
    first = finish_command(process).document
    assert (first["publication"], first["formattable"]) == ("complete", False)
    assert [(one["state"], one["number"]) for one in first["unconfirmed"]] == [("wanted", 4)]
    status = person.run("status").out
    assert "nothing under way" not in status
    assert "uploads  4 of 8 files of job 1 in the bucket" in status
    assert "waiting  4 files to upload" in status
    assert "its quota is used up: make room or raise the quota" in status
    shown = person.run("show", "1").out
    assert "uploads  4 of 8 files in the bucket" in shown
    assert "format   not yet: 4 originals still to be sent" in shown
    proxy.relent()
    assert "FORMAT   safe" in person.run("retry", "1").out
    assert person.run("status", "--json").document["unfinished"] == []


def test_card_whose_originals_an_earlier_one_sends(walk: tuple[Person, Mischief]) -> None:
    """The same card once more, while its originals can't go up: that is no success, and it is said what they wait for."""
    person, proxy = walk
    proxy.refuse(QUOTA_EXCEEDED, key="originals/*")
    person.ingest(code=6)
    again = person.run("ingest", person.card, code=6)
    assert "waiting  4 files to upload" in again.out
    assert "its quota is used up" in again.out
    assert "format   not yet: 4 originals still to be sent" in again.out


def test_store_that_confirms_nothing_is_named(walk: tuple[Person, Mischief]) -> None:
    """Whoever asks later hears why a card is not safe to format, too, and each original counts once."""
    person, proxy = walk
    proxy.drop_answer_headers("x-amz-checksum-sha256")
    out = person.run("ingest", person.card).out
    words = "format   not yet: 4 originals in the bucket, but not confirmed by checksum: The store keeps no SHA-256"
    assert words in out
    assert words in person.run("show", "1").out


def test_gallery_that_waits_is_named(walk: tuple[Person, Mischief]) -> None:
    """Where nothing goes up by itself the log promises no link, and `status` and `show` name the word that sends it."""
    person, _ = walk
    run = person.run("ingest", person.card, GHOSTROLL_PUBLISH__AUTO="false")
    assert "Link ready" not in run.err
    assert "it goes to the bucket once you say so: ghostroll publish 1" in run.err
    word = "link     none yet: 'ghostroll publish 1' sends the pictures to the bucket"
    for told in (run.out, person.run("status").out, person.run("show", "1").out):
        assert word in told
    person.run("publish", "1")
    assert person.run("status", "--json").document["unpublished"] == []


def test_link_is_out_before_anything_is_copied(walk: tuple[Person, Mischief]) -> None:
    """While the card's first file is not even read, the link leads to a page that waits for its pictures."""
    if os.geteuid() != 0:
        do_without("not root, and reads are held for root alone: run the tests with sudo")
    person, _ = walk
    for path in person.card.rglob("*"):
        if path.is_file() and path.name != "IMG_0001.JPG":
            path.unlink()
    only = person.card / "DCIM" / "100CANON" / "IMG_0001.JPG"
    with hold_reads(only) as held:
        process = start_command(person.env, "ingest", person.card, "--json")
        held.catch()
        wait_until(lambda: bool(list(person.library.glob("*/link.txt"))))
        (link,) = person.library.glob("*/link.txt")
        assert fetch(link.read_text().splitlines()[0]).status == 200
        assert not list(person.library.glob("*/originals/**/*.JPG"))
    assert finish_command(process).document["secured"]
