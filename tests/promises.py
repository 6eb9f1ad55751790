"""The promises as checks: what must be true of a library at any moment, and after a run that ended well."""

import contextlib
import hashlib
import json
import os
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any


def hash_tree(top: Path) -> dict[bytes, str]:
    """Every regular file below a folder, by its path in bytes, with its SHA-256."""
    found = {}
    start = os.fsencode(top)
    for folder, _, names in os.walk(start):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path):
                # In a library at work a file may get its final name, or end, while it is looked at.
                with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
                    found[os.path.relpath(path, start)] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def list_originals(library: Path) -> dict[bytes, str]:
    """Every original in the library, in whatever session, with its SHA-256."""
    return {
        path: checksum
        for path, checksum in hash_tree(library).items()
        if len(path.split(b"/")) > 2 and path.split(b"/")[1] == b"originals"
    }


def list_renditions(library: Path) -> dict[bytes, str]:
    """Every rendition of a library, whatever its session is called."""
    return {
        path.split(b"/", 1)[1]: checksum
        for path, checksum in hash_tree(library).items()
        if path.split(b"/")[1] in (b"share", b"thumbs")
    }


def ask(library: Path, question: str) -> list[tuple[Any, ...]]:
    """Rows of the library's own state."""
    with contextlib.closing(sqlite3.connect(library / ".ghostroll" / "state.db")) as db:
        return db.execute(question).fetchall()


def check_always(library: Path, card: Path) -> None:
    """What holds at every moment, also right after a crash.

    No half file under a final name, no content twice, every record has its file, and where it says
    secured, every byte of the card is there.
    """
    contents = set(hash_tree(card).values())
    if check_unharmed(library, contents) and ask(library, "SELECT 1 FROM job WHERE safety = 'secured'"):
        assert contents <= set(list_originals(library).values()), "called secured with files missing"


def check_stored(library: Path, contents: set[str]) -> dict[bytes, str]:
    """As `check_always`, for the contents of cards of which nobody says which are secured; what is stored."""
    originals = list_originals(library)
    check_unharmed(library, contents, originals=originals)
    return originals


def list_lost(library: Path) -> set[bytes]:
    """Originals whose record was lost when their job was killed: they wait for their card, which finds or removes them."""
    recorded = {path for (path,) in ask(library, "SELECT path FROM asset")}
    waiting = {name.encode() for (name,) in ask(library, "SELECT name FROM session JOIN job ON session_id = session.id"
                                                " WHERE safety NOT IN ('secured', 'closed')")}  # fmt: skip
    return {
        path
        for path in list_originals(library)
        if path not in recorded and path.partition(b"/")[0] in waiting
    }


def check_unharmed(
    library: Path,
    contents: set[str],
    *,
    lost: Collection[bytes] = (),
    originals: Mapping[bytes, str] | None = None,
) -> bool:
    """What holds whatever was promised, where cards gave these contents; whether there is any record yet.

    `lost` are files that may be there beside another one of the same content; `originals`: as `check_records` has it.
    """
    originals = list_originals(library) if originals is None else originals
    strangers = [path for path, checksum in originals.items() if checksum not in contents]
    assert not strangers, f"files under final names that are not what the card gave: {strangers}"
    kept = Counter(checksum for path, checksum in originals.items() if path not in lost)
    twice = [checksum for checksum, number in kept.items() if number > 1]
    assert not twice, f"contents that are stored more than once: {twice}"
    if not has_records(library):
        return False
    assert ask(library, "PRAGMA integrity_check") == [("ok",)]
    assert ask(library, "PRAGMA foreign_key_check") == []
    check_records(library, originals)
    check_wishes(library)
    return True


def has_records(library: Path) -> bool:
    """Whether there is a state that got as far as its tables."""
    if not (library / ".ghostroll" / "state.db").exists():
        return False
    return bool(ask(library, "SELECT 1 FROM sqlite_schema WHERE name = 'asset'"))


def check_wishes(library: Path) -> None:
    """No copy is wanted of a file that has one: nobody would make it, and it would be waited for."""
    wanted = ask(
        library,
        "SELECT task.state, source.state, path FROM task JOIN source ON source.id = subject WHERE stage = 'copy'"
        " AND task.state IN ('ready', 'parked') AND asset_id IS NOT NULL",
    )
    assert wanted == [], "copies that are wanted though there is one"


def check_records(library: Path, originals: Mapping[bytes, str] | None = None) -> None:
    """Every record has its file, with the bytes that were recorded. `originals`: what there is, for who has looked."""
    originals = list_originals(library) if originals is None else originals
    for path, checksum in ask(library, "SELECT path, hex(sha256) FROM asset"):
        assert originals.get(path) == checksum.lower(), (
            f"{path!r} is recorded and not there, or not as recorded"
        )


def check_finished(library: Path, card: Path, *, aside: int | None = 0, closed: bool = False) -> None:
    """What holds after a run that ended well: everything, once, verified, named and shown.

    `aside` is how many damaged files were moved out of the way, None for any number. `closed`: whether some
    job was given up.
    """
    good = {"secured", "closed"} if closed else {"secured"}
    check_always(library, card)
    originals = list_originals(library)
    contents = set(hash_tree(card).values())
    assert set(originals.values()) == contents
    recorded = {path for (path,) in ask(library, "SELECT path FROM asset")}
    assert recorded == set(originals), "a file without a record, or a record without a file"
    assert os.listdir(library / ".ghostroll" / "incoming") == [], "something is left in incoming"
    assert aside in (None, len(os.listdir(library / ".ghostroll" / "aside")))
    left = ask(
        library, "SELECT stage, state, cause, error FROM task WHERE state IN ('ready', 'running', 'parked')"
    )
    assert left == []
    assert {safety for (safety,) in ask(library, "SELECT safety FROM job")} <= good
    assert not ask(library, "SELECT 1 FROM job WHERE session_id IS NOT NULL AND publication <> 'complete'")
    sessions = [entry for entry in library.iterdir() if entry.name != ".ghostroll"]
    assert {entry.name for entry in sessions} == {
        name for (name,) in ask(library, "SELECT name FROM session")
    }
    for session in sessions:
        check_session(session, good)


def check_session(session: Path, good: Collection[str] = ("secured",)) -> None:
    """One session's folder agrees with itself: checksums, manifest, gallery and renditions. `good`: what its jobs may be."""
    if hash_tree(
        session / "originals"
    ):  # where another card was faster there is none, and no sum to be checked
        done = subprocess.run(
            ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"],
            cwd=session,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
    listed = (session / "SHA256SUMS").read_bytes().count(b"\n")
    assert listed == len(hash_tree(session / "originals"))
    manifest = json.loads((session / "manifest.json").read_bytes())
    assert {job["safety"] for job in manifest["jobs"]} <= set(good)
    gallery = json.loads((session / "gallery.json").read_bytes())
    assert gallery["state"] == "complete"
    assert gallery["total"] == len(gallery["items"])
    for folder, key in (("share", "share"), ("thumbs", "thumb")):
        shown = {os.path.basename(item[key]) for item in gallery["items"]}
        there = set(os.listdir(session / folder)) if gallery["items"] else set()
        assert shown == there, f"{folder} holds {there}, the gallery shows {shown}"
    assert gallery["session"].encode() in (session / "index.html").read_bytes()


def check_sums(session: Path) -> None:
    """`sha256sum -c` passes."""
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=session, check=True)
