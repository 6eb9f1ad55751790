"""The commands of other users beside the installed service: who is answered, and what the daemon reads for them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commanding import Person, make_person
from knocking import ask as knock_and_ask
from knocking import open_folder
from running import Run, check_sentence, do_without
from serving import Served, become, find_common_python

from ghostroll.daemon.wire import Failed, Folder, Ingest, encode_request

DAEMON, MEMBER, STRANGER, GROUP = 52_201, 52_202, 52_203, 52_210
COMMANDS = ["ingest", "retry", "close", "publish", "link"]


class Station:
    """A daemon as the installed service is: its own user and group, and people beside it."""

    def __init__(self, person: Person, python: str) -> None:
        self.person, self._python = person, python
        person.env["PYTHONPATH"] = os.pathsep.join(sys.path)
        shell = ["sh", "-c", 'umask 007; exec "$@"', "sh"]
        line = [*become(DAEMON, GROUP), *shell, python, "-m", "ghostroll", "daemon"]
        self.daemon = Served(person, line)
        self.daemon.wait_ready()

    def run_as(self, uid: int, *arguments: str | Path, groups: tuple[int, ...] = (), code: int = 0) -> str:
        """Run a command as somebody; everything that it said."""
        line = [*become(uid, uid, groups), self._python, "-m", "ghostroll", *arguments]
        done = subprocess.run(
            line, env=self.person.env, capture_output=True, check=False, text=True, timeout=60
        )
        run = Run(done.returncode, done.stdout, done.stderr)
        check_sentence(run)
        assert run.code == code, (run.out, run.err)
        return run.out + run.err


@pytest.fixture
def station() -> Iterator[Station]:
    """A daemon of its own user, with a library of its own, and a card without pictures: its workers need more rights."""
    if os.geteuid() != 0:
        do_without("not root: run the tests with sudo")
    python = find_common_python(STRANGER)
    if python is None:
        pytest.skip("other users can't run this Python: put the working copy where everybody may read it")
    with open_folder() as place:
        person = make_person(place)
        shutil.rmtree(person.card / "DCIM")
        for own in (place / "library", place / "daemon"):
            own.mkdir(mode=0o750)
            os.chown(own, DAEMON, GROUP)
        station = Station(person, python)
        try:
            yield station
            station.daemon.stop()
            assert "Traceback" not in station.daemon.log
        finally:
            station.daemon.process.kill()
            station.daemon.process.wait()


def test_people_beside_the_service(station: Station) -> None:
    """Root and members of the group have their requests done; a stranger is told of the group, whatever they ask for."""
    card = station.person.card
    assert "SECURED: 1 file" in station.run_as(0, "ingest", card)
    assert "file://" in station.run_as(MEMBER, "link", "1", groups=(GROUP,))
    assert "file://" in station.run_as(DAEMON, "publish", "1", groups=(GROUP,))
    assert "nothing of job 1 waits" in station.run_as(MEMBER, "retry", "1", groups=(5, GROUP))
    state = station.person.state
    assert [oct((state.parent / name).stat().st_mode & 0o777) for name in ("state.db", "state.db.lock")] == [
        "0o660"
    ] * 2
    for name in COMMANDS:
        said = station.run_as(STRANGER, name, card if name == "ingest" else "1", code=2)
        assert said == (
            f"ghostroll: you are not in the group {GROUP}: 'sudo usermod -aG {GROUP} {STRANGER}', then log in again\n"
        )
    for uid in (0, MEMBER, DAEMON):
        assert f"uid={uid}" in station.daemon.log


def test_a_stranger_at_the_socket_alone(station: Station) -> None:
    """Where only the socket keeps a stranger out, they are told the same."""
    library = station.person.library
    library.chmod(0o755)
    (library / ".ghostroll").chmod(0o755)
    station.person.state.with_name("state.db.lock").chmod(0o664)
    said = station.run_as(STRANGER, "close", "1", code=2)
    assert f"you are not in the group {GROUP}" in said


def test_the_daemon_reads_nothing_for_those_who_may_not(station: Station) -> None:
    """A member has cards read where cards are mounted; what else the daemon may read is for its owners to ask for."""
    home = station.person.home
    secret, mounted = home / "credentials", home / "media" / "CARD"
    for place in (secret, mounted):
        place.mkdir(parents=True)
        (place / "key.txt").write_text(f"for the daemon alone, in {place.name}")
        for path in (place / "key.txt", place):
            os.chown(path, DAEMON, GROUP)
            path.chmod(0o500)
    (home / "media" / "way").symlink_to(secret)
    for path in (secret, home / "media" / "way", home / "media" / ".." / "credentials", home / "media"):
        said = station.run_as(MEMBER, "ingest", path, groups=(GROUP,), code=2)
        assert f"is not where cards are mounted ({home}/media): ask for it with sudo" in said
    assert "SECURED: 1 file" in station.run_as(MEMBER, "ingest", mounted, groups=(GROUP,))
    assert "SECURED: 1 file" in station.run_as(DAEMON, "ingest", secret, groups=(GROUP,))


def test_what_the_daemon_may_not_read(station: Station) -> None:
    """A folder that the daemon can't read, though whoever asks can, is refused with what to do instead."""
    mine = station.person.home / "media" / "mine"
    (mine / "deep").mkdir(parents=True)
    for folder in (mine / "deep", mine):
        (folder / "a.txt").write_text("a")
        os.chown(folder, MEMBER, MEMBER)
        folder.chmod(0o700)
    for folder in (mine, mine / "deep"):
        said = station.run_as(MEMBER, "ingest", folder, groups=(GROUP,), code=2)
        assert f"the daemon does not see {folder} as you do" in said


def test_another_folder_at_the_same_path(station: Station) -> None:
    """A service with a /tmp of its own sees another folder there: it is not taken for the one that was meant."""
    place = station.person.home / "media" / "CARD"
    place.mkdir(parents=True)
    (place / "a.txt").write_text("a")
    found = place.stat()
    socket_path = station.daemon.runtime / "socket"
    meant = Ingest(os.fsencode(place), None, Folder(found.st_dev, found.st_ino + 1))
    (_, refused) = knock_and_ask(socket_path, encode_request(meant))
    assert isinstance(refused, Failed)
    assert "does not see" in refused.sentence
