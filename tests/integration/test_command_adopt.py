"""`ghostroll adopt`: the ledger comes back from what stands beside the pictures."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commanding import Person, make_person, person_at, write_photo
from promises import ask, check_always, check_finished, hash_tree

EVERYTHING = {
    "sessions": "SELECT name, created_at FROM session ORDER BY name",
    "assets": "SELECT hex(sha256), size, hex(head), path, verified_at > 0 FROM asset ORDER BY sha256",
    "jobs": "SELECT session.name, folder, uuid, label, size, filesystem, safety, publication, secured_at"
    " FROM job JOIN session ON session.id = session_id ORDER BY session.name, folder",
    "sources": "SELECT session.name, source.path, source.size, mtime_ns, kind, state, hex(sha256), error FROM source"
    " JOIN job ON job.id = job_id JOIN session ON session.id = job.session_id LEFT JOIN asset ON asset.id = asset_id"
    " ORDER BY session.name, folder, source.path",
    "pictures": "SELECT session.name, source.path, share, width, height, share_bytes, thumb_bytes, taken, camera, lens,"
    " exposure, duration, picture.error FROM picture JOIN source ON source.id = source_id"
    " JOIN session ON session.id = picture.session_id ORDER BY session.name, source.path",
}


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """Somebody with a card in the library."""
    person = make_person(tmp_path)
    person.ingest()
    return person


def lose_state(person: Person) -> None:
    """The database is gone with everything beside it."""
    for name in ("state.db", "state.db-wal", "state.db-shm", "state.db.lock"):
        (person.library / ".ghostroll" / name).unlink(missing_ok=True)


def read_everything(person: Person) -> dict[str, list[tuple[Any, ...]]]:
    """The ledger, without numbers that may change."""
    return {name: ask(person.library, question) for name, question in EVERYTHING.items()}


def list_renditions(person: Person) -> dict[str, int]:
    """Every rendition and when it was written."""
    found = [path for folder in ("share", "thumbs") for path in person.library.glob(f"*/{folder}/*")]
    return {os.fspath(path): path.stat().st_mtime_ns for path in found}


def make_history(person: Person) -> Person:
    """A second card: duplicates of the first, odd names, a broken picture, and a file that can't be read."""
    other = make_person(person.home / "other")
    folder = other.card / "DCIM" / "100CANON"
    write_photo(folder / "IMG_0011.JPG", 11)
    (folder / "IMG_0012.JPG").write_bytes(b"no picture")
    for name in (b"caf\xe9.txt", b"two\nlines.txt", b"back\\slash.txt"):
        Path(os.fsdecode(os.fsencode(other.card) + b"/" + name)).write_bytes(name)
    (other.card / "locked.bin").write_bytes(b"locked")
    (other.card / "locked.bin").chmod(0)
    assert person.run("ingest", other.card, "--json", code=3).document["state"] == "attention"
    return other


def test_everything_comes_back(person: Person) -> None:
    """After the state was lost, jobs, sources, assets and pictures are as before, and nothing is rendered again."""
    other = make_history(person)
    before, renditions = read_everything(person), list_renditions(person)
    lose_state(person)
    document = person.run("adopt", "--json", code=None).document
    assert (document["sessions"], document["assets"], document["troubles"]) == (2, 9, [])
    after = read_everything(person)
    for name in EVERYTHING:
        assert after[name] == before[name], name
    assert list_renditions(person) == renditions
    assert person.run("verify", "--json").document["findings"] == []
    (other.card / "locked.bin").chmod(0o644)
    assert person.run("ingest", other.card, "--json", code=None).document["secured"] is True


def test_the_card_is_known_again(person: Person) -> None:
    """After an adoption the card that was secured is known without reading it."""
    lose_state(person)
    person.run("adopt")
    document = person.ingest().document
    assert (document["known"], document["new"]) == (5, 0)
    assert "copy" not in document["stages"]
    check_finished(person.library, person.card)


def test_adopting_twice(person: Person) -> None:
    """A second adoption finds nothing and changes nothing; without a loss there is nothing to adopt."""
    assert person.run("adopt", "--json").document["sessions"] == 0
    lose_state(person)
    assert person.run("adopt", "--json").document["sessions"] == 1
    before = read_everything(person)
    assert person.run("adopt", "--json").document == {
        "sessions": 0,
        "assets": 0,
        "missing": 0,
        "troubles": [],
    }
    assert read_everything(person) == before


def test_a_session_that_was_deleted(person: Person) -> None:
    """What lay in a folder that is gone is missing: its duplicates elsewhere are open, and the card brings them."""
    first = person.find_session()
    other = make_person(person.home / "other")
    write_photo(other.card / "DCIM" / "100CANON" / "IMG_0011.JPG", 11)
    person.run("ingest", other.card)
    shutil.rmtree(first)
    lose_state(person)
    document = person.run("adopt", "--json", code=None).document
    assert (document["sessions"], document["assets"], document["missing"]) == (1, 1, 5)
    assert ask(person.library, "SELECT safety FROM job") == [("interrupted",)]
    assert person.run("ingest", other.card, "--json").document["secured"] is True
    check_finished(person.library, other.card)


def test_an_original_that_is_gone(person: Person) -> None:
    """A job that was secured and misses a file now is not secured any more, until its card heals it."""
    person.find_original("IMG_0002.JPG").unlink()
    lose_state(person)
    run = person.run("adopt", code=None)
    assert "1 file is missing" in run.out
    assert ask(person.library, "SELECT safety FROM job") == [("interrupted",)]
    assert person.ingest().document["secured"] is True
    check_finished(person.library, person.card)


def test_a_retry_after_adopting(person: Person) -> None:
    """Nobody remembers where an adopted job's card was, and `retry` says so."""
    person.find_original("IMG_0002.JPG").unlink()
    lose_state(person)
    person.run("adopt", code=None)
    assert (
        "the card of job 1 is not where anyone remembers: put it in" in person.run("retry", "1", code=2).err
    )


HOSTILE: dict[str, Callable[[dict[str, Any]], object]] = {
    "version": lambda m: m.update(version=2),
    "no version": lambda m: m.pop("version"),
    "another session": lambda m: m.update(session="../../etc"),
    "jobs is a number": lambda m: m.update(jobs=7),
    "jobs is null": lambda m: m.update(jobs=None),
    "a job is text": lambda m: m.update(jobs=["x"]),
    "sources is text": lambda m: m["jobs"][0].update(sources="abc"),
    "no sources": lambda m: m["jobs"][0].pop("sources"),
    "sources twice": lambda m: m["jobs"][0]["sources"].append(m["jobs"][0]["sources"][0]),
    "no volume": lambda m: m["jobs"][0].pop("volume"),
    "volume is a list": lambda m: m["jobs"][0].update(volume=[]),
    "uuid is a list": lambda m: m["jobs"][0]["volume"].update(uuid=["x"]),
    "size is negative": lambda m: m["jobs"][0]["volume"].update(size=-1),
    "size is huge": lambda m: m["jobs"][0]["volume"].update(size=10**30),
    "folder climbs": lambda m: m["jobs"][0].update(folder="../x"),
    "folder is null": lambda m: m["jobs"][0].update(folder=None),
    "two jobs in one folder": lambda m: m["jobs"].append(m["jobs"][0] | {"sources": []}),
    "safety is strange": lambda m: m["jobs"][0].update(safety="perfect"),
    "secured is null": lambda m: m["jobs"][0].update(secured=None),
    "state is strange": lambda m: m["jobs"][0]["sources"][0].update(state="fine"),
    "kind is strange": lambda m: m["jobs"][0]["sources"][0].update(kind="virus"),
    "path climbs": lambda m: m["jobs"][0]["sources"][0].update(path="../../x"),
    "path is absolute": lambda m: m["jobs"][0]["sources"][0].update(path="/etc/passwd"),
    "path has a NUL": lambda m: m["jobs"][0]["sources"][0].update(path="a\0b"),
    "path is a number": lambda m: m["jobs"][0]["sources"][0].update(path=7),
    "path_b64 is rubbish": lambda m: m["jobs"][0]["sources"][0].update(path_b64="%%%"),
    "path_b64 is a number": lambda m: m["jobs"][0]["sources"][0].update(path_b64=7),
    "stored climbs": lambda m: m["jobs"][0]["sources"][0].update(stored="../../etc/passwd"),
    "stored climbs inside": lambda m: m["jobs"][0]["sources"][0].update(
        stored=m["session"] + "/../../etc/passwd"
    ),
    "stored is absolute": lambda m: m["jobs"][0]["sources"][0].update(stored="/etc/passwd"),
    "stored is the manifest": lambda m: m["jobs"][0]["sources"][0].update(
        stored=m["session"] + "/manifest.json"
    ),
    "stored has a NUL": lambda m: m["jobs"][0]["sources"][0].update(stored=m["session"] + "/originals/a\0b"),
    "stored is a surrogate": lambda m: m["jobs"][0]["sources"][0].update(stored="\ud800"),
    "size of a file is text": lambda m: m["jobs"][0]["sources"][0].update(size="many"),
    "size of a file is infinite": lambda m: m["jobs"][0]["sources"][0].update(size=float("inf")),
    "size of a file is huge": lambda m: m["jobs"][0]["sources"][0].update(size=10**30),
    "mtime is huge": lambda m: m["jobs"][0]["sources"][0].update(mtime_ns=10**30),
    "sha256 is short": lambda m: m["jobs"][0]["sources"][0].update(sha256="abcd"),
    "sha256 is no hex": lambda m: m["jobs"][0]["sources"][0].update(sha256="x" * 64),
    "sha256 is a number": lambda m: m["jobs"][0]["sources"][0].update(sha256=7),
    "no head": lambda m: m["jobs"][0]["sources"][0].pop("head_sha256"),
    "head is short": lambda m: m["jobs"][0]["sources"][0].update(head_sha256=""),
    "verified is null": lambda m: m["jobs"][0]["sources"][0].update(verified=None),
    "failed with a content": lambda m: m["jobs"][0]["sources"][0].update(state="failed"),
    "pending with a content": lambda m: m["jobs"][0]["sources"][0].update(state="pending"),
    "created is a list": lambda m: m.update(created=[]),
    "picture is text": lambda m: m["jobs"][0]["sources"][1].update(picture="x"),
    "picture climbs": lambda m: m["jobs"][0]["sources"][1]["picture"].update(share="../../../x.jpg"),
    "picture is a number": lambda m: m["jobs"][0]["sources"][1]["picture"].update(share=7),
    "picture has no width": lambda m: m["jobs"][0]["sources"][1]["picture"].pop("width"),
    "picture's width is text": lambda m: m["jobs"][0]["sources"][1]["picture"].update(width="wide"),
    "picture's camera is a list": lambda m: m["jobs"][0]["sources"][1]["picture"].update(camera=[1]),
    "picture's taken is a number": lambda m: m["jobs"][0]["sources"][1]["picture"].update(taken=7),
    "picture's duration is text": lambda m: m["jobs"][0]["sources"][1]["picture"].update(duration="long"),
    "picture of another": lambda m: m["jobs"][0]["sources"][2].update(
        picture=m["jobs"][0]["sources"][1]["picture"]
    ),
}


@pytest.fixture(scope="module")
def two_sessions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of somebody who has two cards in the library, for others to copy; the name of the first session in a file."""
    person = make_person(tmp_path_factory.mktemp("two") / "home")
    person.ingest()
    (person.home / "first").write_text(person.find_session().name)
    other = make_person(person.home / "other")
    write_photo(other.card / "DCIM" / "100CANON" / "IMG_0011.JPG", 11)
    person.run("ingest", other.card)
    return person.home


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_manifest(two_sessions: Path, tmp_path: Path, name: str) -> None:
    """A manifest that is not as we write them is refused by name, and a good one beside it is adopted."""
    person = person_at(shutil.copytree(two_sessions, tmp_path / "home", symlinks=True))
    other = person_at(person.home / "other")
    session = person.library / (person.home / "first").read_text()
    manifest = json.loads((session / "manifest.json").read_bytes())
    HOSTILE[name](manifest)
    (session / "manifest.json").write_text(json.dumps(manifest))
    before = hash_tree(session / "originals")
    lose_state(person)
    run = person.run("adopt", "--json", code=None)
    assert run.code == 3
    assert run.err == ""
    assert run.document["sessions"] == 1
    (trouble,) = run.document["troubles"]
    assert trouble == f"{session.name} has no manifest that can be read; it was left alone"
    assert json.loads((session / "manifest.json").read_bytes()) == manifest
    assert hash_tree(session / "originals") == before
    for path, size in ask(person.library, "SELECT path, size FROM asset"):
        place = os.fsencode(person.library) + b"/" + path
        assert b"/originals/" in path
        assert b".." not in path.split(b"/")
        assert os.path.getsize(place) == size
    check_always_after(person)
    for report in ("status", "jobs", "verify", "show 1 --files"):
        person.run(*report.split(), code=None)
    assert person.ingest().document["secured"] is True
    assert person.run("ingest", other.card, "--json").document["secured"] is True


def test_a_session_speaks_for_its_own_files(person: Person) -> None:
    """What another session's manifest says of a file is believed only where its own says nothing."""
    first = person.find_session()
    other = make_person(person.home / "other")
    write_photo(other.card / "DCIM" / "100CANON" / "IMG_0011.JPG", 11)
    second = Path(person.run("ingest", other.card, "--json").document["session_dir"])
    ((stored, size),) = ask(
        person.library, "SELECT path, size FROM asset WHERE CAST(path AS TEXT) LIKE '%IMG_0011%'"
    )
    manifest = json.loads((first / "manifest.json").read_bytes())
    manifest["jobs"][0]["sources"][0].update(sha256="0" * 64, stored=os.fsdecode(stored), size=size)
    (first / "manifest.json").write_text(json.dumps(manifest))
    lose_state(person)
    assert person.run("adopt", "--json", code=None).document["missing"] == 1
    safeties = dict(
        ask(person.library, "SELECT name, safety FROM job JOIN session ON session.id = session_id")
    )
    assert safeties == {first.name: "interrupted", second.name: "secured"}
    assert person.run("verify", "2", "--json").document["findings"] == []


def check_always_after(person: Person) -> None:
    """What was called secured is there, byte for byte."""
    for (job,) in ask(person.library, "SELECT id FROM job WHERE safety = 'secured'"):
        assert person.run("verify", str(job), "--json", code=None).document["findings"] == []


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"7", b"\xff\xfe", b"[" * 100_000, b'{"version": 1}']
)
def test_a_damaged_manifest(person: Person, data: bytes) -> None:
    """A manifest that can't be read is named and its session left alone; so is a folder without one."""
    session = person.find_session()
    (session / "manifest.json").write_bytes(data)
    (person.library / "holi\x1bday").mkdir()
    lose_state(person)
    before = hash_tree(session)
    run = person.run("adopt", code=3)
    assert f"{session.name} has no manifest that can be read; it was left alone\n" in run.out
    assert "holi\ufffdday has no manifest" in run.out
    assert hash_tree(session) == before


def test_a_manifest_that_is_a_link(person: Person) -> None:
    """A manifest is not followed out of the library."""
    session = person.find_session()
    (session / "manifest.json").rename(person.home / "elsewhere.json")
    (session / "manifest.json").symlink_to(person.home / "elsewhere.json")
    lose_state(person)
    assert person.run("adopt", "--json", code=3).document["sessions"] == 0


@pytest.mark.parametrize("damage", ["rubbish", "pages", "pages beside a log"])
def test_a_corrupt_state(person: Person, damage: str) -> None:
    """A damaged state is left untouched; doing exactly what the error says brings everything back."""
    if damage.endswith("log"):
        person.run("ingest", person.card, code=-9, GHOSTROLL_CRASH_AT="secured.promised")
        assert person.state.with_name("state.db-wal").exists()
    before = read_everything(person)
    data = bytearray(person.state.read_bytes())
    data = bytearray(b"rubbish" * 1000) if damage == "rubbish" else data[:4096] + b"\x55" * (len(data) - 4096)
    person.state.write_bytes(data)
    for name in ("status", "jobs", "verify", "adopt"):
        run = person.run(name, code=2)
        assert "move it away, then run 'ghostroll adopt'" in run.err
    assert person.state.read_bytes() == data
    person.state.rename(person.home / "state.db")
    person.run("adopt")
    assert read_everything(person) == before
    assert person.ingest().document["known"] == 5
    check_always(person.library, person.card)
