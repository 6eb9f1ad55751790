"""`ghostroll doctor`: the real command on this machine, with each thing broken for real that can be.

What needs another mount is broken in a mount namespace of the command's own, which ends with it. What needs a
system that systemd runs is broken where the tests have one.
"""

import fcntl
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commanding import POWERLESS, Person, make_person
from disks import Disks
from holding import hold_reads
from promises import hash_tree
from running import Run, check_sentence, do_without, need_tools, run_command

from ghostroll.state.owner import Ownership

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """Somebody who has put nothing in yet, and whose runtime folder says nothing of this machine's user."""
    return make_person(tmp_path)


@pytest.fixture
def keeper(person: Person) -> Person:
    """Somebody who has ingested a card."""
    person.ingest()
    return person


def examine(person: Person, *arguments: str, **more: str) -> list[dict[str, Any]]:
    """Everything that is said, as the person sees it."""
    return _read(person.run("doctor", "--json", *arguments, code=None, **more))


def examine_inside(person: Person, script: str, **more: str) -> list[dict[str, Any]]:
    """Everything that is said to root in a mount namespace that a script has changed."""
    return _read(run_inside(person, script, "doctor", "--json", **more))


def run_inside(person: Person, script: str, *arguments: str, **more: str) -> Run:
    """Run a command as root in a mount namespace of its own, after a script has changed it."""
    if os.geteuid() != 0:
        do_without("not root: run the tests with sudo")
    need_tools(unshare="util-linux")
    inside = ("unshare", "--mount", "sh", "-ec", f'{script}\nexec "$@"', "sh")
    run = run_command(person.env | more, *arguments, before=inside)
    check_sentence(run)
    return run


def _read(run: Run) -> list[dict[str, Any]]:
    checks: list[dict[str, Any]] = run.document["checks"]
    assert [one["level"] for one in checks].count("finding") == run.document["findings"]
    assert [one["level"] for one in checks].count("hint") == run.document["hints"]
    assert run.code == (3 if run.document["findings"] else 0)
    return checks


def pick(found: list[dict[str, Any]], check: str) -> dict[str, Any]:
    """What was said of one thing, once."""
    (one,) = (one for one in found if one["check"] == check)
    return one


def find(found: list[dict[str, Any]], check: str) -> dict[str, Any]:
    """The finding about one thing: it says what, why, and what mends it."""
    one = pick(found, check)
    assert one["level"] == "finding", one
    assert all(one[text] for text in ("what", "why", "remedy"))
    return one


def levels(found: list[dict[str, Any]]) -> dict[str, str]:
    """How bad each check came out."""
    return {one["check"]: one["level"] for one in found}


def mend(person: Person, remedy: str) -> None:
    """Type what is said, with this very program as `ghostroll`; whoever tests needs no sudo."""
    script = f'ghostroll() {{ {shlex.join([sys.executable, "-m", "ghostroll"])} "$@"; }}\nsudo() {{ "$@"; }}\n{remedy}'
    subprocess.run(["sh", "-ec", script], env=person.env, check=True, capture_output=True)


def test_a_person_who_begins(person: Person) -> None:
    """Where nothing is there yet nothing has to be mended, and nothing is made."""
    before = hash_tree(person.home)
    run = person.run("doctor")
    assert f"the library {person.library} is new: the first card begins it" in run.out
    assert "there is no state yet" in run.out
    assert run.out.splitlines()[-1].startswith("nothing has to be mended")
    assert hash_tree(person.home) == before
    assert not person.library.exists()


def test_a_person_who_has_ingested(keeper: Person) -> None:
    """A library at rest is sound in every respect, and is as it was afterwards."""
    before = hash_tree(keeper.library)
    found = examine(keeper)
    for check in ("library", "filesystem", "writable", "sync", "state", "target", "formats", "colours"):
        assert pick(found, check)["level"] == "ok", check
    assert hash_tree(keeper.library) == before
    assert os.listdir(keeper.library / ".ghostroll" / "incoming") == []


def test_root_finds_no_more(keeper: Person) -> None:
    """With all its powers root comes to the same."""
    mine = levels(examine(keeper))
    assert levels(_read(run_command(keeper.env, "doctor", "--json"))) == mine
    assert "finding" not in mine.values()


def test_a_finding_on_a_terminal(keeper: Person) -> None:
    """A finding has its reason and its command below it, and the last line counts."""
    (keeper.library / ".ghostroll" / "library.json").write_text('{"id": "another"}')
    run = keeper.run("doctor", code=3)
    lines = run.out.splitlines()
    at = lines.index(f"✗ {keeper.library} is another library than the state knows")
    assert lines[at + 1].startswith("    why  ")
    assert lines[at + 2].startswith("    do   lsblk ")
    assert lines[-1].startswith("1 thing to mend")
    plain = run_command(keeper.env | {"PYTHONIOENCODING": "ascii"}, "doctor", before=POWERLESS)
    assert plain.code == 3
    assert f"x {keeper.library} is another library than the state knows" in plain.out
    assert plain.out.isascii()


def test_a_configuration_that_can_not_be_used(person: Person) -> None:
    """Without a configuration there is nothing to look at: exit code 2, and a sentence."""
    file = person.home / "bad.toml"
    file.write_text("[library]\npath = 3\n")
    run = person.run("doctor", "--config", file, code=2)
    assert "bad.toml:2" in run.err
    assert run.out == ""


def test_a_library_that_is_gone(keeper: Person) -> None:
    """Neither a missing folder nor an empty one is taken for a new library."""
    keeper.library.rename(keeper.home / "away")
    one = find(examine(keeper), "library")
    assert one["what"] == f"the library {keeper.library} is gone: there is no such folder"
    assert "libraries.json" in one["remedy"]  # its state is gone with it, and only the witness knows
    keeper.library.mkdir()
    found = examine(keeper)
    assert "its folder holds no library" in find(found, "library")["what"]
    assert {"state", "space", "sync"}.isdisjoint(levels(found))


def test_a_folder_of_somebody_else(person: Person) -> None:
    """A library doesn't begin where other things are; their names steer no terminal."""
    person.library.mkdir()
    (person.library / "evil\x1b[2J\nname").touch()
    assert "not empty and no library: evil\ufffd[2J\ufffdname" in find(examine(person), "library")["what"]


def test_a_marker_that_is_damaged(keeper: Person) -> None:
    """A damaged marker is written anew by what is said, from the records."""
    marker = keeper.library / ".ghostroll" / "library.json"
    before = json.loads(marker.read_text())
    marker.write_text("{")
    mend(keeper, find(examine(keeper), "library")["remedy"])
    assert json.loads(marker.read_text()) == before
    assert pick(examine(keeper), "library")["level"] == "ok"


@pytest.mark.parametrize("closed", [".ghostroll/incoming", "."])
def test_a_library_that_takes_no_files(keeper: Person, closed: str) -> None:
    """A library that this user may not write to is found, and nothing is tried in it."""
    (keeper.library / closed).chmod(0o500)
    found = examine(keeper)
    (keeper.library / closed).chmod(0o700)
    assert "may not write to" in find(found, "writable")["what"]
    assert "sync" not in levels(found)


def test_a_session_that_is_closed(keeper: Person) -> None:
    """A session's folder that can't be written is named."""
    session = keeper.find_session()
    session.chmod(0o500)
    found = examine(keeper)
    session.chmod(0o700)
    assert f"1 of 1 session folders: {session.name}" in find(found, "target")["what"]


def test_records_that_are_damaged(keeper: Person) -> None:
    """Damaged records are put aside and made anew by what is said."""
    with keeper.state.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)
    one = find(examine(keeper), "state")
    assert "damaged" in one["what"]
    mend(keeper, one["remedy"])
    found = examine(keeper)
    assert pick(found, "state")["level"] == "ok"
    assert pick(found, "library")["level"] == "ok"
    assert keeper.run("show", "1", "--json").document["state"] == "secured"
    assert Path(f"{keeper.state}.damaged").exists()


def test_records_that_are_something_else(keeper: Person) -> None:
    """A file that is no database is said to be none."""
    keeper.state.write_bytes(b"a letter to the bank")
    assert "is not a database of ghostroll" in find(examine(keeper), "state")["what"]


def test_records_that_are_lost(keeper: Person) -> None:
    """A library with sessions and without records is a hint, with the way to make them anew."""
    keeper.state.unlink()
    one = pick(examine(keeper), "state")
    assert (one["level"], one["remedy"]) == ("hint", "ghostroll adopt")


@pytest.mark.parametrize(
    ("socket", "level", "words"),
    [
        (None, "ok", "(ingest /card) is at work"),
        ("silent", "finding", "(daemon) holds the state and does not"),
    ],
)
def test_an_owner_at_work(keeper: Person, socket: str | None, level: str, words: str) -> None:
    """Whoever holds the records is named; one that takes requests has to answer."""
    place = None if socket is None else str(keeper.home / socket)
    owner = Ownership.take(str(keeper.state), command="daemon" if socket else "ingest /card", socket=place)
    found = examine(keeper)
    owner.release()
    assert pick(found, "state")["level"] == "ok"
    one = pick(found, "owner")
    assert one["level"] == level
    assert f"process {os.getpid()} {words}" in one["what"].replace(",", "")
    assert "owner" not in levels(examine(keeper))


def test_looking_hinders_nobody(keeper: Person) -> None:
    """Nobody who wants the state finds it held because somebody looked."""
    examine(keeper)
    with open(f"{keeper.state}.lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_disk_that_is_read_only(keeper: Person) -> None:
    """A library that is mounted read-only is found, and mended by what is said."""
    place = shlex.quote(str(keeper.library))
    broken = f"mount --bind {place} {place}; mount -o remount,bind,ro {place}"
    found = examine_inside(keeper, broken)
    one = find(found, "writable")
    assert one["what"] == f"the library's disk is mounted read-only at {keeper.library}"
    assert "sync" not in levels(found)
    mended = examine_inside(keeper, f'{broken}; sudo() {{ "$@"; }}; {one["remedy"]}')
    assert pick(mended, "sync")["level"] == "ok"


def test_a_disk_that_is_full(keeper: Person) -> None:
    """A library without room is found; nothing can be tried there either."""
    place = shlex.quote(str(keeper.library))
    full = f"""
        mount -t tmpfs -o size=4m tmpfs /mnt; cp -a {place}/. /mnt; mount --bind /mnt {place}
        head -c 8m /dev/zero > {place}/.ghostroll/filler 2>/dev/null || true
    """
    found = examine_inside(keeper, full, GHOSTROLL_LIBRARY__ALLOW_WEAK_FILESYSTEM="true")
    assert (
        "is full: 0 B of 4.2 MB are left, and library.keep_free_mib keeps 1.0 MB free"
        in find(found, "space")["what"]
    )
    assert "No space left on device" in find(found, "sync")["what"]
    assert any("the disk of the state is full" in one["what"] for one in found)


def test_a_disk_that_is_weak(person: Person) -> None:
    """A filesystem that promises nothing is a finding, or a hint where it is allowed."""
    weak = f"mkdir -p {shlex.quote(str(person.library))}; mount -t tmpfs tmpfs {shlex.quote(str(person.library))}"
    one = find(examine_inside(person, weak), "filesystem")
    assert one["what"] == "the library is on tmpfs"
    allowed = examine_inside(person, weak, GHOSTROLL_LIBRARY__ALLOW_WEAK_FILESYSTEM="true")
    assert pick(allowed, "filesystem")["level"] == "hint"


def test_a_disk_that_is_not_mounted(person: Person) -> None:
    """A new library isn't begun below a mount point of fstab, and the command that is said is the one."""
    point = person.home / "my disk"
    escaped = str(point).replace(" ", "\\040")
    script = f"""
        printf '%s\\n' {shlex.quote(f"tmpfs {escaped} tmpfs noauto 0 0")} > {shlex.quote(str(person.home / "fstab"))}
        mkdir -p {shlex.quote(str(point))}
        mount --bind {shlex.quote(str(person.home / "fstab"))} /etc/fstab
    """
    person.env["GHOSTROLL_LIBRARY__PATH"] = str(point / "library")
    one = find(examine_inside(person, script), "library")
    assert one["what"] == f"{point} is not mounted"
    mended = examine_inside(person, f'{script}\nsudo() {{ "$@"; }}; {one["remedy"]}')
    assert pick(mended, "library")["level"] == "ok"


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[Disks]:
    """A maker of loop disks, all taken away at the end."""
    if os.geteuid() != 0:
        do_without("not root: run the tests with sudo")
    need_tools(losetup="mount", mkfs_ext4="e2fsprogs", debugfs="e2fsprogs")
    made = Disks(tmp_path / "disks")
    yield made
    made.remove()


def test_a_library_on_a_card(person: Person, disks: Disks) -> None:
    """A library inside a camera's card is found, where the disk is one that ghostroll would read as a card."""
    card = disks.make("EOS_DIGITAL", mib=16, files={"DCIM/100CANON/1.bin": b"x"}, read_only=False)
    name = os.path.basename(card.device)
    person.env["GHOSTROLL_LIBRARY__PATH"] = str(card.point / "library")
    reader = {"GHOSTROLL_CARDS__FILESYSTEMS": '["ext4"]', "GHOSTROLL_CARDS__READERS": f'["{name}"]'}
    no_udev = "mkdir -p /run/udev; mount -t tmpfs tmpfs /run/udev"
    assert pick(examine_inside(person, no_udev), "medium")["level"] == "ok"
    one = find(examine_inside(person, no_udev, **reader), "medium")
    assert one["what"] == f"the library is on {name}, which is a camera's card itself"
    (card.point / "DCIM").rename(card.point / "Pictures")
    assert pick(examine_inside(person, no_udev, **reader), "medium")["level"] == "ok"


def test_a_disk_that_does_not_answer(keeper: Person) -> None:
    """A disk that hangs is a finding by itself after a while, and everything else is said all the same."""
    if os.geteuid() != 0:
        do_without("not root: run the tests with sudo")
    with hold_reads(keeper.library / ".ghostroll" / "library.json"):
        run = run_command(keeper.env, "doctor", "--json", "--patience", "5")
    check_sentence(run)
    silent = [one["what"] for one in _read(run) if one["check"] == "answer"]
    assert "the library did not answer within 5 s" in silent
    assert "the library's disk did not answer within 5 s" in silent
    assert pick(_read(run), "memory")["level"] in ("ok", "hint")


def test_formats_that_fail(person: Person) -> None:
    """A decoder that crashes costs its own format alone."""
    found = examine(person, GHOSTROLL_RENDER_FAULT="crash:sample.heic,exit:sample.mp4")
    failed = [one for one in found if one["check"] == "formats"]
    assert [one["level"] for one in failed] == ["finding", "finding", "ok"]
    assert failed[0]["what"] == "no picture can be made of HEIC files: the decoder crashed (SIGSEGV)"
    assert "video" in failed[1]["what"]
    assert failed[2]["what"] == "a render worker makes pictures of JPEG, RAW files"


def test_more_workers_than_memory(person: Person) -> None:
    """Limits beyond this machine's memory are a hint, and no more."""
    found = examine(person, GHOSTROLL_RENDER__WORKERS="64", GHOSTROLL_RENDER__MEMORY_MIB="65536")
    assert pick(found, "memory")["level"] == "hint"


def test_readers_that_nobody_asks(person: Person) -> None:
    """The kernel's polling of readers, and udev, are looked at; without a service they are no findings."""
    value = person.home / "value"
    parameter = "/sys/module/block/parameters/events_dfl_poll_msecs"
    script = f"mount --bind {shlex.quote(str(value))} {parameter}; mkdir -p /run/udev; mount -t tmpfs tmpfs /run/udev"
    value.write_text("0\n")
    found = examine_inside(person, script)
    assert pick(found, "polling")["remedy"] == f"echo 2000 | sudo tee {parameter}"
    assert (pick(found, "polling")["level"], pick(found, "udevd")["level"]) == ("hint", "hint")
    value.write_text("2000\n")
    found = examine_inside(person, f"{script}; touch /run/udev/control")
    assert (pick(found, "polling")["level"], pick(found, "udevd")["level"]) == ("ok", "ok")


def test_a_kernel_without_drivers(person: Person) -> None:
    """Filesystems that the kernel has, or could load, are told from those that it lacks."""
    script = """
        mount -t tmpfs tmpfs /mnt; printf 'nodev\\ttmpfs\\n\\tvfat\\n' > /mnt/list; mount --bind /mnt/list /proc/filesystems
    """
    one = pick(examine_inside(person, script), "drivers")
    assert one["level"] == "hint"
    assert one["what"] == "the kernel has no driver for exfat"
    modules = """
        mkdir -p /mnt/upper/modules/$(uname -r) /mnt/work
        echo 'kernel/fs/exfat/exfat.ko.xz: kernel/x.ko' > /mnt/upper/modules/$(uname -r)/modules.dep
        mount -t overlay -o lowerdir=/usr/lib,upperdir=/mnt/upper,workdir=/mnt/work overlay /usr/lib
    """
    assert pick(examine_inside(person, script + modules), "drivers")["level"] == "ok"


INSTALL = f"""
    mount -t tmpfs -o mode=755 tmpfs /mnt
    for folder in /usr/lib /usr/share /etc; do
        mkdir -p /mnt/upper$folder /mnt/work$folder
        mount -t overlay -o lowerdir=$folder,upperdir=/mnt/upper$folder,workdir=/mnt/work$folder overlay $folder
    done
    cd {shlex.quote(str(ROOT))}
    sed -n '/<<FILES/,/^FILES/p' systemd/install.sh | sed '1d;$d;/DOC/d;s/^?//;s,\\$UNITS,/usr/lib/systemd/system,' | while read -r from to; do
        [ ! -e "$from" ] || install -D -m 644 "$from" "$to"
    done
    getent passwd ghostroll >/dev/null || systemd-sysusers ghostroll.conf
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir -p /run/ghostroll/cards; chown root:ghostroll /run/ghostroll/cards; chmod 750 /run/ghostroll/cards
    cd /
"""


@pytest.mark.parametrize(
    ("script", "check", "level", "words"),
    [
        ("", "installed", "ok", "each as version"),
        ("", "account", "ok", "user and group ghostroll are there"),
        ("", "cards-folder", "ok", "/run/ghostroll/cards is there"),
        ("", "service", "hint", "not looked at"),
        ("", "udevd", "finding", "udev doesn't run"),
        ("rm /usr/lib/udev/rules.d/90-ghostroll.rules", "installed", "finding", "90-ghostroll.rules"),
        ("echo >> /usr/lib/systemd/system/ghostroll.service", "installed", "finding", "not as version"),
        ("ln -s /dev/null /etc/udev/rules.d/90-ghostroll.rules", "installed", "finding", "switched off by"),
        ("sed -i /^ghostroll:/d /etc/passwd", "account", "finding", "there is no user ghostroll"),
        ("chmod 755 /run/ghostroll/cards", "cards-folder", "finding", "mode 755"),
        ("rmdir /run/ghostroll/cards", "cards-folder", "finding", "is not there"),
    ],
)
def test_an_installation(person: Person, script: str, check: str, level: str, words: str) -> None:
    """What the installer puts in place is compared with what this version ships."""
    need_tools(**{"systemd-sysusers": "systemd"})
    one = pick(examine_inside(person, f"{INSTALL}\n{script}"), check)
    assert one["level"] == level
    assert words in one["what"]


def test_root_looks_as_the_service(person: Person) -> None:
    """For the service's own configuration root looks with the rights of the service's user."""
    need_tools(**{"systemd-sysusers": "systemd"})
    script = f"""{INSTALL}
        mkdir -p /etc/ghostroll /mnt/photos
        printf '[library]\\npath = "/mnt/photos"\\nallow_weak_filesystem = true\\n' > /etc/ghostroll/config.toml
    """
    del person.env["GHOSTROLL_LIBRARY__PATH"], person.env["GHOSTROLL_LIBRARY__KEEP_FREE_MIB"]
    one = find(examine_inside(person, script), "writable")
    assert one["what"] == "ghostroll may not write to /mnt/photos"
    mended = examine_inside(person, f'{script}\nsudo() {{ "$@"; }}; {one["remedy"]}')
    assert pick(mended, "writable")["level"] == "ok"


LOOKING = """
import os, signal, sys, time
from ghostroll.doctor.finding import Check, ok
from ghostroll.doctor.looking import Crashed, NoAnswer, finish_look, start_look

def crash():
    os.kill(os.getpid(), signal.SIGILL)

def leave():
    os._exit(3)

def hang():
    print("heard by nobody", flush=True)
    signal.pause()

def err():
    raise ValueError("a mistake")

for look in (crash, leave, hang, err, lambda: [ok(Check.CLOCK, "x" * 1_000_000)]):
    looking = start_look(look, None)
    try:
        (one,) = finish_look(looking, time.monotonic() + (0.1 if look is hang else 30))
        print(one.check, len(one.what))
    except NoAnswer:
        print("no answer")
    except Crashed as error:
        print("crashed", error)
    except RuntimeError as error:
        print("mistake", str(error).splitlines()[-1])
"""


def test_looks_that_go_wrong() -> None:
    """A look that crashes, ends, hangs or meets a bug is told apart, and takes nothing else along."""
    done = subprocess.run(
        [sys.executable, "-c", LOOKING], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines() == [
        "crashed by signal 4 (Illegal instruction)",
        "crashed without a word",
        "no answer",
        "mistake ValueError: a mistake",
        "clock 1000000",
    ]
    assert done.stderr == ""
