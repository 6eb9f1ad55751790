"""A card whose every name wants to be obeyed, on every surface: nothing is, and all of it is kept."""

import base64
import json
import os
import pty
import subprocess
from pathlib import Path

import pytest
from campaign import count
from daemons import RunningDaemon
from hostile_names import LABEL, NAMES, fill_card, find_forged_lines, find_orders, show
from promises import check_finished, hash_tree
from running import Run, check_sentence, command, environment, run_command

from ghostroll.library.manifest import read_path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one card was ingested, for all that is looked at afterwards."""
    return tmp_path_factory.mktemp("names")


@pytest.fixture(scope="module")
def env(place: Path) -> dict[str, str]:
    """A user's environment, on a terminal that knows UTF-8."""
    return environment(place, place / "library") | {"LC_ALL": "C.UTF-8", "PYTHONUTF8": "1", "COLUMNS": "200"}


@pytest.fixture(scope="module", autouse=True)
def ingested(place: Path, env: dict[str, str]) -> Run:
    """The run that a person sees."""
    run = run_command(env, "ingest", fill_card(place / "card"))
    check_sentence(run)
    assert run.code == 3, run.err
    return run


def session_of(place: Path) -> Path:
    (session,) = (entry for entry in (place / "library").iterdir() if entry.name != ".ghostroll")
    return session


def check_text(text: str) -> None:
    """No escape, no forged line, no picture of a bug."""
    assert find_orders(text) == []
    assert find_forged_lines(text) == []
    assert "Traceback" not in text


def test_the_terminal_obeys_nothing(ingested: Run, env: dict[str, str]) -> None:
    """Whatever a command prints for people holds no control character, no invisible letter and no forged line."""
    check_text(ingested.out)
    check_text(ingested.err)
    said = ""
    for arguments in (("status",), ("jobs",), ("retry", "1"), ("show", "1", "--files")):
        run = run_command(env, *arguments)
        check_sentence(run)
        assert run.code in (0, 3), (arguments, run.err)
        check_text(run.out)
        check_text(run.err)
        said += run.out
    assert said.count("[bold red]markup[reverse]") >= 2
    count("hostile names: on a terminal", len(NAMES) * 2)


def test_machines_read_what_was_on_the_card(place: Path, env: dict[str, str]) -> None:
    """JSON, manifest, checksums and gallery give every name back, byte for byte where they promise it."""
    session = session_of(place)
    card = place / "card" / os.fsdecode(LABEL)
    check_finished(place / "library", card)
    assert set(session.name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    (volume,) = (session / "originals").iterdir()
    assert volume.name.isascii()
    assert hash_tree(volume) == hash_tree(card)
    manifest = json.loads((session / "manifest.json").read_bytes())
    (job,) = manifest["jobs"]
    assert {read_path(source, "path") for source in job["sources"]} == set(hash_tree(card))
    gallery = json.loads((session / "gallery.json").read_bytes())
    assert sorted(item["name"] for item in gallery["items"]) == sorted(map(show, NAMES))
    assert len(gallery["failed"]) == len(NAMES)
    shown = json.loads(run_command(env, "show", "1", "--files", "--json").out)
    failed = {
        base64.b64decode(one["path_b64"]) if "path_b64" in one else one["path"].encode()
        for one in shown["failed"]
    }
    assert failed == {b"BAD/" + name for name in NAMES}
    for arguments in (("status", "--json"), ("jobs", "--json")):
        assert json.loads(run_command(env, *arguments).out) is not None
    count("hostile names: in JSON, manifest, checksums and gallery", len(NAMES) * 2)


def test_renditions_stay_where_they_belong(place: Path) -> None:
    """No name makes a rendition, or anything else, stand outside its folder; none is executable."""
    session = session_of(place)
    assert {entry.name for entry in session.iterdir()} == {
        "originals", "share", "thumbs", "index.html", "gallery.json", "SHA256SUMS", "manifest.json",
    }  # fmt: skip
    for folder in ("share", "thumbs"):
        names = os.listdir(os.fsencode(session / folder))
        assert len(names) == len(NAMES)
        assert all(name.decode("ascii").isprintable() for name in names)
    assert {entry.name for entry in place.iterdir()} == {"card", "library", ".local"}
    assert os.listdir(place / ".local" / "state" / "ghostroll") == ["libraries.json"]


def test_a_real_terminal_with_bars_obeys_nothing(tmp_path: Path, env: dict[str, str]) -> None:
    """Where progress is drawn, what the names say stays out of it."""
    ours, theirs = pty.openpty()
    card = fill_card(tmp_path / "card", good=False)
    own = env | {"GHOSTROLL_LIBRARY__PATH": str(tmp_path / "library"), "TERM": "xterm-256color"}
    with subprocess.Popen(
        command("ingest", card), env=own, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        said = b"".join(iter(lambda: read_terminal(ours), b""))
        os.close(ours)
    assert process.returncode == 3
    text = said.decode("utf-8", "replace")
    assert "SECURED: 39 files" in text
    for order in (
        "\x1b]0;",
        "\x1b]8;;http",
        "\x1b[2J",
        "\x07",
        "\x08",
        "\x9b",
        "\u202e",
        "\u2066",
        "\t",
        "owned\x1b",
    ):
        assert order not in text, repr(order)
    assert find_forged_lines(text.replace("\r", "\n")) == []
    count("hostile names: on a terminal with progress bars", len(NAMES))


def read_terminal(descriptor: int) -> bytes:
    """What was written, nothing once nobody writes any more."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def test_the_daemons_log_and_status_are_clean(tmp_path: Path) -> None:
    """A line of the log is one line, whatever a file is called; the snapshot is JSON that holds every name it shows."""
    env = environment(tmp_path, tmp_path / "library") | {"GHOSTROLL_LOG__LEVEL": "debug", "LC_ALL": "C.UTF-8"}
    env |= {"GHOSTROLL_CARDS__MOUNT_ROOTS": json.dumps([str(tmp_path / "mounts")])}
    (tmp_path / "mounts").mkdir()
    card = fill_card(tmp_path / "card", good=False)
    daemon = RunningDaemon(tmp_path / "daemon", env)
    try:
        daemon.wait_ready()
        asked = env | {"RUNTIME_DIRECTORY": str(daemon.runtime)}
        run = run_command(asked, "ingest", card)
        check_sentence(run)
        assert run.code == 3, run.err + daemon.text()
        check_text(run.out + run.err)
        json.dumps(daemon.status())
        assert daemon.stop() == 0
    finally:
        daemon.end()
    lines = daemon.lines()
    failed = [line for line in lines if "BAD/" in json.dumps(line)]
    assert len(failed) >= len(NAMES)
    for line in lines:
        for value in line.values():
            assert find_orders(str(value)) == [], line
            assert "\n" not in str(value), line
    count("hostile names: in the daemon's log", len(NAMES))
