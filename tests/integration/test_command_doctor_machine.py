"""`ghostroll doctor` of the machine: disks, decoders, kernel and installation, each broken for real."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commanding import Person, make_person
from disks import Disks
from doctoring import examine, examine_inside, find, levels, pick, read_checks
from holding import hold_reads
from running import check_sentence, do_without, need_tools, run_command

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
    silent = [one["what"] for one in read_checks(run) if one["check"] == "answer"]
    assert "the library did not answer within 5 s" in silent
    assert "the library's disk did not answer within 5 s" in silent
    assert pick(read_checks(run), "memory")["level"] in ("ok", "hint")


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
