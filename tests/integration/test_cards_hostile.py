"""Cards with names, entries and files that nobody expects."""

import base64
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from promises import check_finished, hash_tree, list_originals
from running import Run, check_sentence, environment, need_tools, run_command
from tracing import run_traced

from ghostroll.library.manifest import read_path

NAMES = [
    b"caf\xe9.bin",
    b"new\nline.bin",
    b"carriage\rreturn.bin",
    b"back\\slash.bin",
    b"back\\nslash.bin",
    "line\u2028separator.bin".encode(),
    "right\u202eto left.bin".encode(),
    b"\x1b[2J\x1b]0;owned\x07.bin",
    b"-rf",
    b"--help",
    b"~",
    b"  spaces  .bin ",
    b"<img src=x onerror=alert(1)>.bin",
    b"&amp;\"'.bin",
    b"$(reboot)`reboot`.bin",
    b"%s%n.bin",
    b"SHA256SUMS",
    b"manifest.json",
    b"CON.TXT",
    b"trailing.",
    b"...",
    b"\xff\xfe",
    b"n" * 255,
    b"\xc3\xa4" * 127,
    "e\u0301.bin".encode(),
    "\u00e9.bin".encode(),
    b"IMG.jpg.bin",
    b"img.JPG.BIN",
    b"IMG.JPG.bin",
]


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """An empty card."""
    root = tmp_path / "CARD"
    (root / "DCIM").mkdir(parents=True)
    return root


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Where the library will be."""
    return tmp_path / "library"


@pytest.fixture
def env(tmp_path: Path, library: Path) -> dict[str, str]:
    """A user's environment."""
    return environment(tmp_path, library)


def put(card: Path, name: bytes, data: bytes) -> None:
    """A file on the card; its folders are made."""
    path = os.path.join(os.fsencode(card), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def ingest(env: dict[str, str], card: Path, *, code: int = 0) -> Run:
    """Ingest to the expected end."""
    run = run_command(env, "ingest", card, "--json")
    check_sentence(run)
    assert run.code == code, run.err + run.out
    assert run.document["secured"] is (code == 0)
    return run


def read_manifest(run: Run) -> dict[bytes, dict[str, Any]]:
    """The sources of a session's only job, by path."""
    manifest = json.loads((Path(run.document["session_dir"]) / "manifest.json").read_bytes())
    (job,) = manifest["jobs"]
    return {read_path(source, "path"): source for source in job["sources"]}


def test_names_are_kept_byte_for_byte(env: dict[str, str], card: Path, library: Path) -> None:
    """Whatever files and folders are called, they are called so in the library, the checksums and the manifest."""
    for number, name in enumerate(NAMES):
        put(card, name, b"%d" % number)
        put(card, b"DCIM/d" + name[:200] + b"/" + name, b"in %d" % number)
    run = ingest(env, card)
    check_finished(library, card)
    originals = os.fsencode(run.document["session_dir"]) + b"/originals/CARD"
    assert hash_tree(Path(os.fsdecode(originals))) == hash_tree(card)
    sources = read_manifest(run)
    assert set(sources) == set(hash_tree(card))
    for path, source in sources.items():
        assert source["sha256"] == hash_tree(card)[path]
        assert (
            read_path(source, "stored")
            == os.path.basename(os.fsencode(run.document["session_dir"])) + b"/originals/CARD/" + path
        )
    odd = sources[b"caf\xe9.bin"]
    assert odd["path"] == "caf\ufffd.bin"
    assert base64.b64decode(odd["path_b64"]) == b"caf\xe9.bin"


def test_no_name_reaches_the_terminal_as_it_is(env: dict[str, str], card: Path) -> None:
    """What is printed about files holds nothing that a terminal obeys."""
    long_folder = b"/".join([b"\x1b]0;owned\x07" + b"n" * 190] * 22)
    descriptor = os.open(card, os.O_RDONLY)
    for part in long_folder.split(b"/"):
        os.mkdir(part, dir_fd=descriptor)
        inner = os.open(part, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(os.open("file.bin", os.O_WRONLY | os.O_CREAT, dir_fd=descriptor))
    os.close(descriptor)
    run = run_command(env, "ingest", card)
    check_sentence(run)
    assert run.code == 3
    assert "too long" in run.out + run.err
    assert "\x1b]" not in run.out + run.err
    assert "\x07" not in run.out + run.err


def test_a_path_beyond_path_max_fails_alone(env: dict[str, str], card: Path, library: Path) -> None:
    """A file whose path no file system call takes is named with the reason, everything else is stored."""
    put(card, b"DCIM/fine.bin", b"fine")
    descriptor = os.open(card, os.O_RDONLY)
    for _ in range(25):
        os.mkdir(b"n" * 200, dir_fd=descriptor)
        inner = os.open(b"n" * 200, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(os.open("deep.bin", os.O_WRONLY | os.O_CREAT, dir_fd=descriptor))
    os.close(descriptor)
    run = ingest(env, card, code=3)
    assert run.document["state"] == "attention"
    (failed,) = run.document["failed"]
    assert failed["path"].endswith("/deep.bin")
    assert failed["stage"] == "copy"
    assert "too long" in failed["error"]
    assert list(list_originals(library)) == [
        os.path.basename(os.fsencode(run.document["session_dir"])) + b"/originals/CARD/DCIM/fine.bin"
    ]


@pytest.mark.parametrize("depth", [60, 70])
def test_deep_folders(depth: int, env: dict[str, str], card: Path, library: Path) -> None:
    """Sixty folders deep all is well; a damaged card's endless folder ends, by name, and is not secured."""
    put(card, b"/".join([b"d"] * depth) + b"/deep.bin", b"deep")
    put(card, b"DCIM/fine.bin", b"fine")
    if depth == 60:
        ingest(env, card)
        check_finished(library, card)
    else:
        run = ingest(env, card, code=3)
        (failed,) = run.document["failed"]
        assert failed["stage"] == "scan"
        assert "contains itself" in failed["error"]
        assert len(list_originals(library)) == 1


def test_what_is_not_a_file_is_skipped(env: dict[str, str], card: Path, tmp_path: Path) -> None:
    """Links, pipes and sockets are listed with the reason and never opened; the card is secured without them."""
    secret = tmp_path / "secret.bin"
    secret.write_bytes(b"secret")
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "diary.bin").write_bytes(b"diary")
    put(card, b"DCIM/real.bin", b"real")
    links = {
        "file": "DCIM/real.bin",
        "folder": "DCIM",
        "out": str(secret),
        "outside": str(tmp_path / "private"),
        "up": "..",
        "dangling": "nowhere",
        "itself": "itself",
    }
    for name, target in links.items():
        (card / name).symlink_to(target)
    os.mkfifo(card / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(card / "socket"))
    run, _, opened = run_traced(env, tmp_path, "ingest", card, "--json")
    check_sentence(run)
    assert run.code == 0
    assert run.document["secured"] is True
    assert run.document["files"] == 1
    sources = read_manifest(run)
    for name in (*links, "pipe", "socket"):
        source = sources[name.encode()]
        assert source["state"] == "skipped", name
        kind = {"pipe": "a named pipe", "socket": "a socket"}.get(name, "a symbolic link")
        assert source["error"] == f"{kind} is not followed or opened"
    assert set(sources) == {name.encode() for name in (*links, "pipe", "socket")} | {b"DCIM/real.bin"}
    mine = {path for path in opened if path.startswith(os.fsencode(tmp_path))}
    assert os.fsencode(secret) not in mine
    assert os.fsencode(tmp_path / "private") not in mine
    assert not mine & {os.fsencode(card / name) for name in (*links, "pipe", "socket")}


def test_a_link_that_comes_later_is_not_followed(env: dict[str, str], card: Path, tmp_path: Path) -> None:
    """A folder that turns into a link between scan and copy gives nothing from outside the card."""
    put(card, b"DCIM/real.bin", b"real")
    killed = run_command(env | {"GHOSTROLL_CRASH_AT": "copy.read"}, "ingest", card)
    assert killed.code < 0
    (card / "DCIM").rename(tmp_path / "moved")
    (card / "DCIM").symlink_to(tmp_path / "moved")
    run = run_command(env, "ingest", card, "--json")
    check_sentence(run)
    assert run.code == 2
    assert "there is no file" in run.err


def test_left_out_is_listed(env: dict[str, str], card: Path, library: Path) -> None:
    """What the short list leaves out stands in the manifest, in any case of letters; LOST.DIR is kept."""
    put(card, b"DCIM/._real.bin", b"x")
    put(card, b"SYSTEM volume information/IndexerVolumeGuid", b"x")
    put(card, b".Trashes/501/gone.bin", b"x")
    put(card, b"LOST.DIR/0001", b"the only copy")
    put(card, b".hidden", b"kept")
    run = ingest(env, card)
    sources = read_manifest(run)
    left_out = {path for path, source in sources.items() if source["state"] == "skipped"}
    assert left_out == {b"DCIM/._real.bin", b"SYSTEM volume information", b".Trashes"}
    assert len(list_originals(library)) == 2


def test_odd_sizes_and_times(env: dict[str, str], card: Path, library: Path) -> None:
    """Empty files, a sparse file and times from 1901 to 2107 are kept, and known when they come again."""
    put(card, b"DCIM/empty1.bin", b"")
    put(card, b"DCIM/empty2.bin", b"")
    put(card, b"DCIM/sparse.bin", b"start")
    os.truncate(card / "DCIM" / "sparse.bin", 20_000_001)
    for year, seconds in (
        ("1901", -(2**31) + 1),
        ("1970", 0),
        ("1980", 315_532_800),
        ("2107", 4_354_819_198),
    ):
        put(card, b"DCIM/%s.bin" % year.encode(), year.encode())
        os.utime(card / "DCIM" / f"{year}.bin", (seconds, seconds))
    run = ingest(env, card)
    check_finished(library, card)
    assert run.document["files"] == 7
    assert run.document["duplicates"] == 1
    assert ingest(env, card).document["known"] == 7


def test_a_card_with_nothing_but_links_is_not_secured(env: dict[str, str], card: Path) -> None:
    """Where there is no file there is nothing to call safe: more likely the card is not mounted."""
    (card / "DCIM").mkdir(exist_ok=True)
    (card / "link").symlink_to("DCIM")
    run = run_command(env, "ingest", card, "--json")
    check_sentence(run)
    assert run.code == 2
    assert "is the card mounted" in run.err


@pytest.mark.parametrize("path", ["none", "file"])
def test_no_card_is_a_usage_error(path: str, env: dict[str, str], tmp_path: Path) -> None:
    """A path that is no folder ends with exit code 2 and a remedy."""
    (tmp_path / "file").write_text("")
    run = run_command(env, "ingest", tmp_path / path, "--json")
    check_sentence(run)
    assert run.code == 2
    assert "give the folder where the card is mounted" in run.err


def test_what_may_not_be_read_is_named(tmp_path: Path) -> None:
    """A folder that can't be listed and a file that can't be opened are named, the rest is stored; later they heal."""
    card = tmp_path / "CARD"
    put(card, b"DCIM/fine.bin", b"fine")
    put(card, b"DCIM/closed.bin", b"closed")
    put(card, b"SHUT/inner.bin", b"inner")
    (card / "DCIM" / "closed.bin").chmod(0)
    (card / "SHUT").chmod(0)
    env = environment(tmp_path, tmp_path / "library")
    before: list[str] = []
    if os.geteuid() == 0:
        need_tools(setpriv="util-linux")
        # Permission bits bind root only without these.
        capabilities = "-dac_override,-dac_read_search"
        before = ["setpriv", f"--bounding-set={capabilities}", f"--inh-caps={capabilities}"]
    run = run_command(env, "ingest", card, "--json", before=before)
    check_sentence(run)
    assert run.code == 3, run.err
    assert run.document["state"] == "attention"
    assert run.document["secured"] is False
    assert {(failed["path"], failed["stage"]) for failed in run.document["failed"]} == {
        ("SHUT", "scan"),
        ("DCIM/closed.bin", "copy"),
    }
    assert run.document["new"] == 1
    sources = read_manifest(run)
    assert sources[b"SHUT"]["state"] == "failed"
    (card / "DCIM" / "closed.bin").chmod(0o644)
    (card / "SHUT").chmod(0o755)
    again = run_command(env, "ingest", card, "--json", before=before)
    check_sentence(again)
    assert again.code == 0, again.out
    assert again.document["job"] == run.document["job"], "the job goes on"
    assert again.document["failed"] == []
    check_finished(tmp_path / "library", card)
