"""A library that rots: `verify` names every kind of damage, and heals it from the bucket, never with other bytes."""

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from campaign import count, pick
from clouds import find_original_key, open_cloud_person
from commanding import Person, make_person
from keeping import copy_all, found_library, list_sources, make_ledger
from mischief import EXPIRED_TOKEN, Mischief
from outages import open_scene
from promises import check_always, check_sums, list_originals
from stores import Store

from ghostroll.library.scrub import Finding, check_assets, find_foreign

SESSION = "2026-11-22_100000-CARD-aaaa"


def flip_bit(path: Path, chance: random.Random) -> None:
    """One bit is another one."""
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def truncate(path: Path, chance: random.Random) -> None:
    """Its end is gone."""
    os.truncate(path, chance.randrange(path.stat().st_size))


def zero_block(path: Path, chance: random.Random) -> None:
    """A block holds zeros, as a filesystem leaves it that lost its data; the size is right."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(chance.randrange(max(1, size - 4096)))
        file.write(bytes(min(4096, size)))


def remove(path: Path, _chance: random.Random) -> None:
    """It is not there any more."""
    path.unlink()


DAMAGES: dict[Callable[[Path, random.Random], None], Finding] = {
    flip_bit: Finding.DAMAGED,
    truncate: Finding.DAMAGED,
    zero_block: Finding.DAMAGED,
    remove: Finding.MISSING,
}


def test_every_damage_is_found(tmp_path: Path) -> None:
    """Whichever files are hurt in whichever way, exactly these are named, and as what they are."""
    card = tmp_path / "CARD"
    card.mkdir()
    chance = random.Random(8)
    rounds, files = pick(12, 500), 16
    for number in range(files):
        (card / f"IMG_{number:04}.JPG").write_bytes(chance.randbytes(chance.randrange(1, 30_000)))
    library = found_library(tmp_path / "library")
    ledger = make_ledger(card)
    copy_all(library, ledger, list_sources(card))
    originals = tmp_path / "library" / SESSION / "originals" / "CARD"
    recorded = {asset.path for asset in ledger.assets.values()}
    good = {path.name: path.read_bytes() for path in originals.iterdir()}
    for number in range(rounds):
        hurt: dict[str, Finding] = {}
        for name in chance.sample(sorted(good), chance.randrange(1, files)):
            harm, finding = chance.choice(list(DAMAGES.items()))
            harm(originals / name, chance)
            if not (originals / name).exists() or (originals / name).read_bytes() != good[name]:
                hurt[name] = finding
        (originals / f"strange{number}").write_bytes(b"?")
        with library.enter() as root:
            checked = list(check_assets(root, ledger.assets.values(), check=lambda _: None))
            foreign = list(find_foreign(root, SESSION, lambda path: path in recorded))
        assert {os.path.basename(one.path).decode(): one.finding for one in checked if one.finding} == hurt
        assert [os.path.basename(one.path).decode() for one in foreign] == [f"strange{number}"]
        (originals / f"strange{number}").unlink()
        for name in hurt:
            (originals / name).write_bytes(good[name])
        count("files of a library that were damaged, and named by verify", len(hurt))


@pytest.fixture
def walk(moto: Store, tmp_path: Path) -> Iterator[tuple[Person, Mischief]]:
    """Somebody whose originals lie in a bucket too, and what the store is asked."""
    with open_cloud_person(tmp_path / "home", moto) as (person, proxy):
        person.env["GHOSTROLL_PUBLISH__ORIGINALS"] = "all"
        (person.card / "film.bin").write_bytes(random.Random(3).randbytes(9_000_000))  # more than one range
        person.ingest()
        yield person, proxy


def test_what_is_in_the_bucket_is_healed(walk: tuple[Person, Mischief]) -> None:
    """Rotten, short, missing and replaced files come back byte for byte, and what was there is kept aside."""
    person, proxy = walk
    rotten, short = person.find_original("film.bin"), person.find_original("IMG_0001.JPG")
    missing, replaced = person.find_original("IMG_0002.JPG"), person.find_original("notes.txt")
    good = list_originals(person.library)
    flip_bit(rotten, random.Random(1))
    os.truncate(short, 10)
    missing.unlink()
    replaced.unlink()
    replaced.symlink_to(person.card / "notes.txt")
    run = person.run("verify", "--heal")
    for path in (rotten, short, missing, replaced):
        assert f"{path.relative_to(person.library)}: healed from the bucket" in run.out
    assert "4 findings, 4 healed from the bucket" in run.out
    assert list_originals(person.library) == good
    assert len(os.listdir(person.library / ".ghostroll" / "aside")) == 3
    assert os.listdir(person.library / ".ghostroll" / "incoming") == []
    check_always(person.library, person.card)
    check_sums(person.find_session())
    asked = len(proxy.tell("GetObject"))
    assert person.run("verify", "--heal", "--json").document["findings"] == []
    assert len(proxy.tell("GetObject")) == asked
    count("originals that were healed from the bucket", 4)


def test_a_session_that_was_deleted_comes_back(walk: tuple[Person, Mischief]) -> None:
    """All originals of a folder that is gone are there again, with the lists that name them."""
    person, _ = walk
    session = person.find_session()
    good = list_originals(person.library)
    subprocess.run(["rm", "-r", session], check=True)
    findings = person.run("verify", "--heal", "--json").document["findings"]
    assert [(one["finding"], one["healed"], one["why"]) for one in findings] == [("missing", True, None)] * 5
    assert list_originals(person.library) == good
    check_sums(session)


def test_other_bytes_never_heal(walk: tuple[Person, Mischief], moto: Store) -> None:
    """What is not in the bucket, or there with other bytes, changes nothing here, and it is said which it is."""
    person, _ = walk
    client, at = moto.client(), {"Bucket": moto.bucket}
    names = {"film.bin": "has other bytes", "IMG_0001.JPG": "has other bytes", "IMG_0002.JPG": "it is not in"}
    for number, name in enumerate(names):
        path = person.find_original(name)
        key, good = find_original_key(path), path.read_bytes()
        flip_bit(path, random.Random(1))
        if name == "IMG_0002.JPG":
            client.delete_object(Key=key, **at)
        else:  # one with another bit, one that ends too early
            body = bytes((good[0] ^ 1,)) + good[1:] if number else good[:9000]
            client.put_object(Key=key, Body=body, **at)
    damaged = list_originals(person.library)
    findings = person.run("verify", "--heal", "--json", code=3).document["findings"]
    assert len(findings) == len(names)
    for finding in findings:
        assert (finding["finding"], finding["healed"]) == ("damaged", False)
        assert names[os.path.basename(finding["path"])] in finding["why"]
    assert list_originals(person.library) == damaged
    for folder in ("aside", "incoming"):
        assert os.listdir(person.library / ".ghostroll" / folder) == []


def test_without_a_bucket(tmp_path: Path) -> None:
    """Who has no bucket is told so before anything is read, and what heals a library then."""
    run = make_person(tmp_path).run("verify", "--heal", code=2)
    assert "there is no bucket to heal from" in run.err
    assert "put the card in again" in run.err


def test_bucket_that_refuses(walk: tuple[Person, Mischief]) -> None:
    """A bucket that can't be used is asked once, everything damaged is named all the same, and the exit code is 6."""
    person, proxy = walk
    for name in ("IMG_0001.JPG", "IMG_0002.JPG", "film.bin"):
        flip_bit(person.find_original(name), random.Random(1))
    damaged = list_originals(person.library)
    proxy.refuse(EXPIRED_TOKEN)
    run = person.run("verify", "--heal", code=6)
    assert run.out.count("not healed: The credentials for the bucket") == 3
    assert len(proxy.tell("GetObject")) == 1
    assert list_originals(person.library) == damaged
    assert "'ghostroll verify --heal' brings back what is in the bucket" in person.run("verify", code=3).out
    proxy.relent()
    assert person.run("verify", "--heal").code == 0


def test_line_that_fails_in_the_middle(tmp_path: Path, moto: Store) -> None:
    """A connection that is cut under way costs a range of a large file, not the file."""
    with open_scene(tmp_path / "home", moto) as scene:
        person = scene.person
        (person.card / "film.bin").write_bytes(random.Random(3).randbytes(20_000_000))
        person.ingest()
        film = person.find_original("film.bin")
        good = film.read_bytes()
        flip_bit(film, random.Random(1))
        scene.wire.close_after(12_000_000, "down", times=1)
        assert person.run("verify", "--heal").code == 0
        assert film.read_bytes() == good
        asked = [each for each in scene.proxy.tell("GetObject") if "originals" in each.asked.key]
        assert 4 <= len(asked) <= 5  # three ranges, one or two of them again
