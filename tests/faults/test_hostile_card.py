"""A card that was made by somebody else's root: what on it is no plain file, and what turns into something else."""

import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from campaign import count
from file_calls import FileCalls, trace_files
from holding import hold_reads
from promises import check_finished, hash_tree, list_originals
from running import Run, check_sentence, do_without, environment, finish_command, run_command, start_command

from ghostroll.library.manifest import read_path

SECRET = b"what the card may not have"


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A card with one plain file. Made by root, as device nodes are."""
    if os.geteuid() != 0:
        do_without("device nodes can't be made here: run the tests as root")
    root = tmp_path / "CARD"
    (root / "DCIM").mkdir(parents=True)
    (root / "DCIM" / "plain.bin").write_bytes(b"plain")
    return root


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A user's environment."""
    return environment(tmp_path, tmp_path / "library")


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file beside the card, that a reader leaves a mark on."""
    place = tmp_path / "private"
    place.mkdir()
    canary = place / "canary.jpg"
    canary.write_bytes(SECRET)
    forget_reads(canary)
    with canary.open("rb") as file:
        file.read()
    if canary.stat().st_atime_ns == 0:
        do_without("reads leave no mark here: the tests' folder is mounted with noatime")
    forget_reads(canary)
    return canary


def forget_reads(path: Path) -> None:
    """Set a file's time of last reading so that the next one shows, also where only some are written down."""
    os.utime(path, ns=(0, 10**18))


def list_surroundings(place: Path) -> dict[str, tuple[int, ...]]:
    """Everything below a folder but the library: its kind, mode, size, times of reading and change, and inode."""
    found: dict[str, tuple[int, ...]] = {}
    for folder, folders, files in os.walk(place):
        if Path(folder) == place:
            folders[:] = [name for name in folders if name not in ("library", ".local")]
        for name in (*folders, *files):
            entry = os.lstat(os.path.join(folder, name))
            seen = entry.st_atime_ns if stat.S_ISREG(entry.st_mode) and "private" in folder else 0
            found[os.path.join(folder, name)] = (
                *(entry.st_mode, entry.st_size, entry.st_mtime_ns, entry.st_ctime_ns, entry.st_ino, seen),
            )
    return found


def put_nodes(card: Path, canary: Path) -> dict[str, str]:
    """Everything that is no file, with what is said of it."""
    os.mknod(card / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    os.mknod(card / "memory.jpg", stat.S_IFCHR | 0o666, os.makedev(1, 1))
    os.mknod(card / "terminal.jpg", stat.S_IFCHR | 0o666, os.makedev(5, 0))
    os.mknod(card / "disk.mp4", stat.S_IFBLK | 0o666, os.makedev(254, 0))
    os.mknod(card / "nothing", stat.S_IFCHR, os.makedev(0, 0))
    os.mkfifo(card / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(card / "socket.jpg"))
    for name, target in (
        ("out.jpg", canary), ("folder", canary.parent), ("above", ".."), ("root", "/"), ("process", "/proc/self/environ"),
        ("fd.jpg", "/proc/self/fd/0"), ("long", "x/" * 2000), ("round", "round"),
    ):  # fmt: skip
        (card / name).symlink_to(target)
    kinds = {"pipe.jpg": "a named pipe", "socket.jpg": "a socket"}
    kinds |= dict.fromkeys(("zero", "memory.jpg", "terminal.jpg", "nothing", "disk.mp4"), "a device node")
    links = ("out.jpg", "folder", "above", "root", "process", "fd.jpg", "long", "round")
    return kinds | dict.fromkeys(links, "a symbolic link")


def test_nothing_around_the_card_is_touched(
    env: dict[str, str], card: Path, canary: Path, tmp_path: Path
) -> None:
    """Devices, pipes, sockets and links out of the card are named and left alone; not one byte beside it is read or written."""
    nodes = put_nodes(card, canary)
    before = list_surroundings(tmp_path)
    trace = tmp_path / "library.trace"
    run = run_command(env, "ingest", card, "--json", before=trace_files(trace))
    calls = FileCalls(trace)
    trace.unlink()
    check_sentence(run)
    assert run.code == 0, run.err
    assert run.document["secured"] is True
    assert run.document["files"] == 1
    skipped = {
        os.fsdecode(path): source["error"]
        for path, source in read_sources(run).items()
        if source["state"] == "skipped"
    }
    assert skipped == {name: f"{kind} is not followed or opened" for name, kind in nodes.items()}
    assert list_surroundings(tmp_path) == before
    inside = (str(tmp_path / "library"), str(tmp_path / ".local"))
    assert len(calls.writes()) > 20
    assert {path for path in calls.writes() if not path.startswith(inside)} == set()
    check_finished(tmp_path / "library", Path(card, "DCIM"))
    count("hostile cards: entries that are no files", len(nodes))


def read_sources(run: Run) -> dict[bytes, dict[str, str]]:
    manifest = json.loads((Path(run.document["session_dir"]) / "manifest.json").read_bytes())
    return {read_path(source, "path"): source for job in manifest["jobs"] for source in job["sources"]}


def test_no_power_comes_along_with_a_file(env: dict[str, str], card: Path, tmp_path: Path) -> None:
    """Setuid, setgid and execute bits, owners and attributes stay on the card; names of one file are stored once."""
    tool = card / "DCIM" / "tool.bin"
    tool.write_bytes(b"#!/bin/sh\nreboot\n")
    os.chown(tool, 12345, 54321)
    tool.chmod(0o7777)
    os.setxattr(tool, "user.note", b"a note")
    os.setxattr(tool, "security.capability", bytes.fromhex("0100000200000000000000000000000000000000"))
    (card / "DCIM").chmod(0o7777)
    beside = tmp_path / "beside.bin"
    beside.write_bytes(b"of this very disk")
    for name in ("one", "two", "three"):
        os.link(beside, card / f"{name}.bin")
    os.link(tool, card / "again.bin")
    run = run_command(env, "ingest", card, "--json")
    check_sentence(run)
    assert run.code == 0, run.err
    assert (run.document["new"], run.document["duplicates"]) == (3, 3)
    check_finished(tmp_path / "library", card)
    session = Path(run.document["session_dir"])
    for path in session.rglob("*"):
        entry = path.lstat()
        assert entry.st_nlink == 1 or path.is_dir()
        assert not entry.st_mode & (stat.S_ISUID | stat.S_ISVTX), path
        assert path.is_dir() or not entry.st_mode & 0o3111, path
        assert entry.st_uid == os.geteuid()
        assert os.listxattr(path) == []
    assert beside.stat().st_nlink == 4
    count("hostile cards: files with powers", 1)


SWAPS: dict[str, Callable[[Path, Path], None]] = {
    "link": lambda path, canary: path.symlink_to(canary),
    "link to a folder": lambda path, canary: path.symlink_to(canary.parent),
    "pipe": lambda path, _: os.mkfifo(path),
    "device": lambda path, _: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5)),
    "folder": lambda path, _: path.mkdir(),
    "other size": lambda path, _: path.touch(),
    "nothing": lambda _path, _canary: None,
}


def test_what_turns_into_something_else_gives_nothing(
    env: dict[str, str], card: Path, canary: Path, tmp_path: Path
) -> None:
    """Files that are links, pipes, devices or other files by the time they are read are named, and never stored."""
    first = card / "DCIM" / "a.bin"
    first.write_bytes(b"first" * 1000)
    later = {card / "DCIM" / f"z{number}.bin": swap for number, swap in enumerate(SWAPS.values())}
    for path in later:
        path.write_bytes(SECRET[::-1])  # as long and as old as the canary: only what it is tells them apart
        forget_reads(path)
    one_by_one = {"GHOSTROLL_COPY__THREADS_PER_CARD": "1", "GHOSTROLL_COPY__BATCH_FILES": "1"}
    with hold_reads(first) as held:
        process = start_command(env | one_by_one, "ingest", card, "--json")
        try:
            held.catch()
            for path, swap in later.items():
                path.unlink()
                swap(path, canary)
        finally:
            held.end()
    run = finish_command(process)
    check_sentence(run)
    assert run.code == 3, run.err
    assert run.document["secured"] is False
    failed = {failure["path"]: failure for failure in run.document["failed"]}
    assert set(failed) == {f"DCIM/{path.name}" for path in later}
    for failure in failed.values():
        assert failure["stage"] == "copy"
        assert failure["error"].startswith(("changed since the card was scanned", "is not there any more"))
    assert len(list_originals(tmp_path / "library")) == 2
    kept = [path.read_bytes() for path in (tmp_path / "library").rglob("*") if path.is_file()]
    assert SECRET not in b"".join(kept)
    assert canary.stat().st_atime_ns == 0
    assert set(hash_tree(tmp_path / "private")) == {b"canary.jpg"}
    count("hostile cards: files that turn into something else", len(SWAPS))
