"""Commands that are forked, for tests that run hundreds: they begin and end as started ones do."""

import signal
from pathlib import Path

from commanding import POWERLESS, make_person
from faulty import Fault, Faulty, list_calls
from forking import Forked, fork_command
from running import KILLED, check_sentence, environment, run_command
from waiting import wait_for


def test_it_says_and_ends_what_a_started_one_does(tmp_path: Path) -> None:
    """Output, complaints and exit code are the same, for a command that works and for one that can't."""
    env = environment(tmp_path, tmp_path / "library")
    for arguments in (("--version",), ("ingest", tmp_path / "nowhere"), ("no-such-command",)):
        assert fork_command(env, *arguments) == run_command(env, *arguments)


def test_every_command_begins_from_nothing_too(tmp_path: Path) -> None:
    """What only a fork can do, because something else has imported what it needs, is seen here."""
    person = make_person(tmp_path)
    of_job = [f"{word} 1" for word in ("show", "link", "publish", "retry", "close")]
    plain = ["status", "jobs", "verify", "adopt", "doctor", "config show", "config check", "demo --help"]
    for word in (f"ingest {person.card}", *of_job, *plain):
        started = run_command(person.env, *word.split(), before=POWERLESS)
        check_sentence(started)
        assert fork_command(person.env, *word.split(), before=POWERLESS).code == started.code, word


def test_it_is_killed_at_a_point_of_its_own_environment(tmp_path: Path) -> None:
    """A crash point that is armed for one kills that one, and the next one goes on from there."""
    person = make_person(tmp_path)
    assert (
        fork_command(person.env | {"GHOSTROLL_CRASH_AT": "copy.read"}, "ingest", person.card).code == KILLED
    )
    assert fork_command(person.env, "ingest", person.card, "--json").document["secured"] is True


def test_it_is_alone_with_its_faults(tmp_path: Path) -> None:
    """Calls fail in the one that is armed, from its first one on, and are put down in its log."""
    person, faulty = make_person(tmp_path), Faulty(tmp_path)
    for nth in (1, 2):
        log = tmp_path / f"calls{nth}"
        armed = faulty.arm(Fault("mkdir", f"{person.library}*", "EROFS", nth, nth), log=log)
        run = faulty.run(
            person.env | {"GHOSTROLL_LIBRARY__PATH": f"{person.library}{nth}"} | armed, "ingest", person.card
        )
        assert run.code == 2, run.err
        assert [call.met for call in list_calls(log)].index(True) == nth - 1
    assert faulty.run(person.env, "ingest", person.card).code == 0


def test_it_is_killed_from_outside(tmp_path: Path) -> None:
    """A signal reaches it, how it ended is told, and nothing waits for it in vain."""
    person = make_person(tmp_path)
    word = tmp_path / "word"
    process = Forked(person.env | {"GHOSTROLL_CRASH_LOG": str(word)}, "daemon")
    wait_for(word.exists, "it never began")
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    assert process.wait(20) == KILLED
    assert process.poll() == KILLED
