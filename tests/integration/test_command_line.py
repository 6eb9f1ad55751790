"""The command line itself: help, wrong arguments, and streams and environments that are not as usual."""

import os
import pty
import subprocess
from pathlib import Path

import pytest
from commanding import POWERLESS, Person, make_person
from running import check_sentence, command, run_command

import ghostroll

COMMANDS = [
    "ingest",
    "demo",
    "status",
    "jobs",
    "show",
    "retry",
    "close",
    "publish",
    "link",
    "verify",
    "adopt",
    "doctor",
    "daemon",
]


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """Somebody with a card."""
    return make_person(tmp_path)


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Person:
    """Somebody whose card is in the library."""
    person = make_person(tmp_path_factory.mktemp("walked"))
    person.ingest()
    return person


def test_help_names_every_command(person: Person) -> None:
    """The help of the program names each command."""
    words = person.run("--help").out.split()
    assert set(COMMANDS) | {"config"} <= set(words)


@pytest.mark.parametrize("name", [*COMMANDS, "config check", "config show"])
def test_help_has_an_example(person: Person, name: str) -> None:
    """The help of each command shows a line to type."""
    assert f"Example: ghostroll {name}" in person.run(*name.split(), "--help").out


def test_version(person: Person) -> None:
    """The version stands alone on its line."""
    assert person.run("--version").out == f"ghostroll {ghostroll.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["config"]])
def test_no_command_is_help(person: Person, arguments: list[str]) -> None:
    """Without a command the help goes to stderr, and the exit code says that nothing was done."""
    run = person.run(*arguments, code=2)
    assert run.out == ""
    assert run.err.startswith("Usage: ghostroll")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["inges"], "did you mean 'ingest'?"),
        (["ingest"], "missing argument 'PATH'"),
        (["ingest", "--wrong", "x"], "no such option: --wrong"),
        (["ingest", "/nowhere"], "can't be read (No such file or directory)"),
        (["ingest", "/etc/passwd"], "is not a folder"),
        (["ingest", ".", "--session", "../x"], "can't be a session's name"),
        (["ingest", ".", "--config", "/nowhere.toml"], "/nowhere.toml"),
        (["show"], "missing argument 'JOB'"),
        (["show", "one"], "invalid value for 'JOB'"),
        (["show", "0"], "invalid value for 'JOB'"),
        (["show", "9" * 25], "invalid value for 'JOB'"),
        (["jobs", "--limit", "0"], "invalid value for '--limit'"),
        (["jobs", "--limit", "9" * 25], "invalid value for '--limit'"),
        (["verify", "x"], "invalid value for 'JOB'"),
        (["config", "nix"], "no such command 'nix'"),
    ],
)
def test_wrong_arguments(person: Person, arguments: list[str], part: str) -> None:
    """What is wrong with a command line is one sentence, and nothing was made."""
    run = person.run(*arguments, code=2)
    assert part in run.err
    assert run.err.count("\n") == 1
    assert run.out == ""
    if arguments[-1] != "../x":  # said by the station, which has opened the library
        assert not person.library.exists()


def test_too_many_arguments(person: Person) -> None:
    """An argument too many is named."""
    run = run_command(person.env, "ingest", "one", "two")
    assert run.code == 2
    assert "extra argument(s) (two): see 'ghostroll ingest --help'\n" in run.err


@pytest.mark.parametrize("name", ["status", "jobs", "show 1", "retry 1", "close 1", "verify 1"])
def test_before_any_card(person: Person, name: str) -> None:
    """Before there is anything, each command says so in a sentence."""
    run = person.run(*name.split(), code=2)
    assert run.err.startswith("ghostroll: there is no ")
    assert run.err.count("\n") == 1


@pytest.mark.parametrize("name", ["jobs", "status", "show 1 --files", "verify", "config show", "--help"])
def test_a_reader_that_leaves(walked: Person, name: str) -> None:
    """Whoever reads only the start of the output causes no noise."""
    done = run_unread(walked, *name.split())
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_ingest_goes_on_without_a_reader(person: Person) -> None:
    """`ghostroll ingest | head -1` secures the card all the same."""
    assert run_unread(person, "ingest", person.card).returncode == 0
    assert person.run("jobs", "--json").out.count('"secured"') == 1


def run_unread(person: Person, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    """Run a command whose output goes to a pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        return subprocess.run(
            command(*arguments), env=person.env, stdout=pipe, stderr=subprocess.PIPE, check=False
        )


@pytest.mark.parametrize("which", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams(tmp_path: Path, which: str) -> None:
    """A closed stream is as good as none, and no file of the library takes its place."""
    person = make_person(tmp_path)
    line = subprocess.list2cmdline([os.fsdecode(part) for part in command("ingest", person.card)])
    subprocess.run(["bash", "-c", f"{line} {which}"], env=person.env, capture_output=True, check=True)
    assert person.run("verify").out.endswith("every one as it was secured\n")


def test_a_full_disk_behind_stdout(walked: Person) -> None:
    """Output that can't be written is one sentence."""
    with Path("/dev/full").open("wb") as full:
        process = subprocess.run(
            command("jobs"), env=walked.env, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert process.returncode == 2
    assert process.stderr == (
        b"ghostroll: the output can't be written (No space left on device): send it somewhere else\n"
    )


@pytest.mark.parametrize(
    "more",
    [
        {"TERM": "dumb"},
        {"COLUMNS": "40"},
        {"COLUMNS": "1"},
        {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "latin-1"},
        {"NO_COLOR": "1"},
    ],
)
def test_odd_terminals(tmp_path: Path, more: dict[str, str]) -> None:
    """An ingest and its reports end well in every environment."""
    person = make_person(tmp_path)
    (person.card / "日本.txt").write_text("letters that not every terminal has")
    person.env |= more
    person.run("ingest", person.card)
    for name in ("status", "jobs", "show 1 --files", "verify", "config show", "--help"):
        person.run(*name.split())


def test_a_user_without_a_home(tmp_path: Path) -> None:
    """With a library that is named by the environment, no home is needed."""
    person = make_person(tmp_path)
    del person.env["HOME"]
    person.ingest()
    assert person.ingest().document["known"] == 5


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    """Started in a folder that somebody removes, all is made of a card whose path is whole; else a sentence says why not."""
    person = make_person(tmp_path)
    lost = tmp_path / "lost"
    for card, code in (("EOS_DIGITAL", 2), (person.card, 0)):
        lost.mkdir()
        leave = ("sh", "-c", 'cd "$0" && rmdir "$0" && exec "$@"', lost)
        run = run_command(person.env, "ingest", card, "--json", before=leave)
        check_sentence(run)
        assert run.code == code, run.err
        assert ("folder that this was started in is gone" in run.err) is (code == 2)
        assert code == 2 or run.document["renditions"] == 6


def test_a_path_that_is_not_utf8(tmp_path: Path) -> None:
    """A card's folder may have any name; a wrong one is named as far as it can be."""
    person = make_person(tmp_path)
    odd = os.fsencode(person.home) + b"/caf\xe9"
    assert person.run("ingest", odd, code=2).err.startswith("ghostroll: ")
    os.rename(person.card, odd)
    run = person.run("ingest", odd, "--json")
    assert run.document["secured"] is True


def test_a_library_that_is_not_utf8(tmp_path: Path) -> None:
    """The library may be in a folder of any name; JSON gives all its bytes."""
    person = make_person(tmp_path)
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/lib\xe9")
    run = person.run("ingest", person.card, "--json", GHOSTROLL_LIBRARY__PATH=odd)
    assert "\ufffd" in run.document["session_dir"]
    assert "session_dir_b64" in run.document
    for name in ("status", "show 1", "jobs", "verify", "status --json"):
        person.run(*name.split(), GHOSTROLL_LIBRARY__PATH=odd)


@pytest.mark.parametrize("mode", [0o000, 0o555])
def test_a_library_without_access(tmp_path: Path, mode: int) -> None:
    """A folder that the user may not read or write can't become a library, and it is said how to go on."""
    person = make_person(tmp_path)
    person.library.mkdir()
    person.library.chmod(mode)
    run = person.run("ingest", person.card, code=2)
    assert "choose a folder that you may write" in run.err
    assert run.err.count("\n") == 1
    person.library.chmod(0o755)


@pytest.mark.parametrize(
    "name", ["ingest", "status", "jobs", "show 1", "retry 1", "close 1", "verify", "adopt"]
)
@pytest.mark.parametrize(("place", "mode"), [("", 0o000), (".ghostroll", 0o000), (".ghostroll", 0o555)])
def test_a_library_that_was_taken_away(tmp_path: Path, name: str, place: str, mode: int) -> None:
    """A library that can't be read or written any more is a sentence for every command."""
    person = make_person(tmp_path)
    person.ingest()
    closed = person.library / place
    closed.chmod(mode)
    arguments = [*name.split(), *([os.fspath(person.card)] if name == "ingest" else [])]
    run = person.run(*arguments, code=None)
    closed.chmod(0o755)
    if mode == 0o000:
        assert run.code == 2, run
        assert run.err.startswith("ghostroll: ")


def test_names_never_reach_a_terminal_raw(tmp_path: Path) -> None:
    """An escape sequence in a file's name is shown, not obeyed, with bars and at the end."""
    person = make_person(tmp_path)
    (person.card / "evil\x1b]0;owned\x07.JPG").write_bytes(b"no picture")
    shown = run_on_terminal(person, "ingest", person.card, code=3)
    assert b"evil\xef\xbf\xbd]0;owned\xef\xbf\xbd.JPG" in shown
    assert b"\x1b]0;owned" not in shown
    shown += run_on_terminal(person, "show", "1", "--files", code=0)
    assert b"\x1b]0;owned" not in shown
    assert b"SECURED" in shown


def run_on_terminal(person: Person, *arguments: str | Path, code: int) -> bytes:
    """Run a command on a terminal of 80 columns; everything that the terminal was given."""
    keyboard, screen = pty.openpty()
    with os.fdopen(keyboard, "rb", buffering=0) as shown:
        process = subprocess.Popen(
            [*POWERLESS, *command(*arguments)],
            env=person.env | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"},
            stdin=screen,
            stdout=screen,
            stderr=screen,
        )
        os.close(screen)
        parts = []
        while True:
            try:
                part = shown.read(65536)
            except OSError:  # the terminal's other end is closed
                break
            if not part:
                break
            parts.append(part)
        assert process.wait(60) == code, b"".join(parts)
    return b"".join(parts)


def test_config_is_checked(person: Person) -> None:
    """`config check` and `config show` go through the real program."""
    assert "the defaults are fine" in person.run("config", "check").out
    assert f'library.path = "{person.library}"' in person.run("config", "show").out
    wrong = person.home / "wrong.toml"
    wrong.write_text("[libary]\npath = 1\n[copy]\nattempts = 'x'\n")
    run = person.run("config", "check", "--config", wrong, code=2)
    assert "libary" in run.err
    assert "attempts" in run.err


def test_as_the_module(person: Person) -> None:
    """`python -m ghostroll` calls itself ghostroll."""
    assert run_command(person.env, "--help").out.startswith("Usage: ghostroll [OPTIONS]")
