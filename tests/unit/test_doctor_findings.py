"""What the doctor says, and whom it looks after."""

from dataclasses import replace
from pathlib import Path

import pytest

from ghostroll.config import Loaded, load_settings
from ghostroll.config.loading import SYSTEM_FILE
from ghostroll.doctor.finding import Check, Finding, Level, could_not_look, finding, hint, join_names, ok
from ghostroll.doctor.surroundings import Account, Service, Surroundings, choose_service, is_own
from ghostroll.station.witness import Witness


def load(file: Path | None, **variables: str) -> Loaded:
    """Settings as if they came from that file and these variables."""
    loaded = load_settings(None, {"HOME": "/home/alex", "XDG_CONFIG_HOME": "/nowhere", **variables})
    return replace(loaded, file=file)


def make_surroundings(*, own: bool, uid: int, service: Service = Service.SYSTEM) -> Surroundings:
    """Somebody's look at a machine whose service runs as user 990."""
    return Surroundings(
        settings=load(SYSTEM_FILE).settings,
        service=service,
        both_services=False,
        own_settings=own,
        booted=True,
        uid=uid,
        person=None if uid == 0 else "alex",
        account=Account("ghostroll", 990, 990),
        witness=Witness(None),
    )


@pytest.mark.parametrize(
    "one",
    [
        ok(Check.CLOCK, "fine"),
        hint(Check.SPACE, "little room", "why", "du -h"),
        finding(Check.UDEVD, "udev doesn't run", "nothing is seen", "sudo systemctl start systemd-udevd"),
        could_not_look(Check.STATE, "the state", "not yours"),
    ],
)
def test_a_finding_gets_through_a_pipe(one: Finding) -> None:
    """What is described can be read again."""
    assert Finding.parse(one.describe()) == one


def test_what_was_not_looked_at_is_no_finding() -> None:
    """What this user may not see is a hint, with the way to see it."""
    one = could_not_look(Check.STATE, "the state", "not yours")
    assert one.level is Level.HINT
    assert one.remedy == "sudo ghostroll doctor"


@pytest.mark.parametrize("level", list(Level))
def test_hostile_names_steer_no_terminal(level: Level) -> None:
    """Whatever stands in a name, no text holds control codes, line feeds or bytes that are no text."""
    name = "a\x1b[2J\nb\r\u202e\udcff"
    made = {
        Level.OK: ok(Check.LIBRARY, name),
        Level.HINT: hint(Check.LIBRARY, name, name, name),
        Level.FINDING: finding(Check.LIBRARY, name, name, name),
    }[level]
    texts = made.what + made.why + made.remedy
    assert texts.isprintable()
    assert "a\ufffd[2J\ufffdb" in texts


def test_many_names_are_cut() -> None:
    """Of many names a sentence has the first ones, and how many more there are."""
    assert join_names(["a", "b"]) == "a, b"
    assert join_names(list("abcde")) == "a, b, c and 2 more"


@pytest.mark.parametrize(
    ("installed", "enabled", "own", "service"),
    [
        (False, False, False, Service.NONE),
        (True, False, False, Service.SYSTEM),
        (True, True, False, Service.SYSTEM),
        (True, False, True, Service.USER),
        (False, False, True, Service.USER),
        (True, True, True, Service.SYSTEM),
    ],
)
def test_which_service_is_meant(*, installed: bool, enabled: bool, own: bool, service: Service) -> None:
    """One's own service is meant where one switched it on, unless the system's is on as well."""
    assert choose_service(system_installed=installed, system_enabled=enabled, user_enabled=own) is service


def test_whose_settings_these_are() -> None:
    """Only the system's file, with nothing of our environment in it, is what the system's service runs by."""
    assert not is_own(load(SYSTEM_FILE), Service.SYSTEM)
    assert is_own(load(SYSTEM_FILE), Service.USER)
    assert is_own(load(SYSTEM_FILE), Service.NONE)
    assert is_own(load(Path("/home/alex/.config/ghostroll/config.toml")), Service.SYSTEM)
    assert is_own(load(None), Service.SYSTEM)
    assert is_own(load(SYSTEM_FILE, GHOSTROLL_LIBRARY__PATH="/srv"), Service.SYSTEM)


def test_root_looks_as_the_service_does() -> None:
    """Root becomes the service's user for the service's library, and nobody else for one's own."""
    root = make_surroundings(own=False, uid=0)
    assert root.writer == Account("ghostroll", 990, 990)
    assert root.sees_as_writer
    assert root.writer_name == "ghostroll"
    assert make_surroundings(own=True, uid=0).writer is None
    assert make_surroundings(own=True, uid=0).writer_name == "root"


def test_others_know_what_they_can_not_tell() -> None:
    """What a person may do says nothing about the service; what the service's own user may do does."""
    assert not make_surroundings(own=False, uid=1000).sees_as_writer
    assert make_surroundings(own=False, uid=990).sees_as_writer
    assert make_surroundings(own=True, uid=1000).sees_as_writer
    assert make_surroundings(own=True, uid=1000).writer_name == "alex"
    assert make_surroundings(own=True, uid=1000).runner is Service.NONE
    assert make_surroundings(own=False, uid=1000).runner is Service.SYSTEM
    assert make_surroundings(own=True, uid=1000, service=Service.USER).runner is Service.USER
