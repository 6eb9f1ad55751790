"""The whole of it in a whole machine: the kernel's event, udevd, the root unit, the daemon's sandbox, the journal. Needs root."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from container import CARDS, LIBRARY, Container
from holding import HeldReads, hold_reads
from promises import hash_tree, list_originals
from running import wait_until

NAME = "DCIM/100/file2.bin"  # the file that tests hold


def blobs(number: int = 4, size: int = 300_000) -> dict[str, bytes]:
    """Files that no two cards share."""
    return {f"DCIM/100/file{n}.bin": os.urandom(size) for n in range(number)}


def inside(container: Container, path: str) -> Path:
    """A path as processes in the machine see it, mounts and all."""
    return Path(f"/proc/{container._leader}/root{path}")


def originals(container: Container) -> dict[bytes, str]:
    """What is in the library."""
    return list_originals(inside(container, LIBRARY))


def jobs(container: Container) -> list[tuple[int, str]]:
    """The jobs as a person lists them, oldest first."""
    listed = json.loads(container.run("ghostroll", "jobs", "--json", user="alex"))
    return [(job["job"], job["state"]) for job in reversed(listed)]


@contextlib.contextmanager
def held(container: Container, image: Path) -> Iterator[tuple[HeldReads, str]]:
    """A card in a new reader, and the daemon in the middle of reading it: where it is mounted."""
    container.run("systemctl", "kill", "--signal=STOP", "--kill-whom=main", "ghostroll")
    reader = container.insert(image)
    container.wait_for_mount(reader.point())
    with hold_reads(inside(container, reader.point()) / NAME) as reads:
        container.run("systemctl", "kill", "--signal=CONT", "--kill-whom=main", "ghostroll")
        reads.catch()
        yield reads, reader.point()


def check_story(container: Container, label: str, *words: str) -> None:
    """The journal tells a card's story in this order."""
    lines = [str(entry["MESSAGE"]) for entry in container.journal() if label in str(entry["MESSAGE"])]
    place = 0
    for word in words:
        found = [number for number, line in enumerate(lines) if number >= place and word in line]
        assert found, f"{word!r} is not told after line {place} of {lines}"
        place = found[0] + 1


@pytest.mark.parametrize("partitioned", [False, True], ids=["no-table", "table"])
def test_a_standing_reader(container: Container, partitioned: bool) -> None:
    """Three cards, one after the other in one reader: each is copied, called safe, pulled and forgotten."""
    cards = {name: blobs(2) for name in ("AAA", "BBB", "CCC")}
    images = {name: container.format_card(name, files) for name, files in cards.items()}
    reader = container.plug()
    for name, image in images.items():
        reader.insert(image, partitioned=partitioned)
        container.wait_for_line(f"{name}: safe to remove, 2 files verified")
        reader.pull()
        container.wait_for_line(f"{name} ({reader.name}{'p1' if partitioned else ''}): removed")
        reader.wait_until_empty()
    assert len(originals(container)) == 6
    assert jobs(container) == [(1, "secured"), (2, "secured"), (3, "secured")]
    assert container.mounted() == []
    check_story(
        container,
        "BBB",
        "a camera's card of 16.8 MB is in",
        "2 files, 600 kB on the card, all to copy; this is job 2",
        "copied and verified",
        "safe to remove",
    )


def test_a_card_that_is_in_at_boot(container: Container) -> None:
    """A card that was in before anything ran is taken when the machine has started."""
    container.power_off()
    container.insert(container.format_card("EARLY", blobs(2)))
    container.boot()
    container.wait_for_line("EARLY: safe to remove, 2 files verified")


def test_several_readers(container: Container) -> None:
    """Cards that go into three readers at once are all copied, each to its own job."""
    for name in ("ONE", "TWO", "TRI"):
        container.insert(container.format_card(name, blobs(2)), partitioned=name == "TWO")
    for name in ("ONE", "TWO", "TRI"):
        container.wait_for_line(f"{name}: safe to remove, 2 files verified")
    assert sorted(jobs(container)) == [(1, "secured"), (2, "secured"), (3, "secured")]
    assert len(originals(container)) == 6


def test_pulled_and_put_back_in_another_reader(container: Container) -> None:
    """A card that is pulled while it is read is not safe; in another reader the same job goes on to its end."""
    files = blobs(4)
    image = container.format_card("PULLED", files)
    other = container.plug()
    with held(container, image) as (_, point):
        pulled = next(reader for reader in container._readers if not reader.is_empty)
        since = container.mark()
        pulled.pull()
        line = container.wait_for_line("PULLED: NOT SAFE, it was removed too early", since=since)
        assert line["PRIORITY"] == "3"
        assert (line["GHOSTROLL_JOB"], line["GHOSTROLL_CARD"]) == ("1", "PULLED")
    pulled.wait_until_empty()
    assert jobs(container) == [(1, "interrupted")]
    assert len(originals(container)) < 4
    other.insert(image)
    container.wait_for_line("PULLED: safe to remove, 4 files verified")
    assert jobs(container) == [(1, "secured")]
    assert len(originals(container)) == 4
    assert point != other.point()


def test_swapped_in_the_middle_of_a_file(container: Container) -> None:
    """Of a card that took another's place between two reads of a file, no byte stands under a name of the first."""
    first = container.format_card("FIRST", {NAME: os.urandom(8 << 20)}, mib=24)
    contents = os.urandom(8 << 20)
    second = container.format_card("SECOND", {NAME: contents}, mib=24)
    with held(container, first):
        (reader,) = container._readers
        reader.swap(second)
    container.wait_for_line("FIRST: NOT SAFE")
    container.wait_for_line("SECOND: safe to remove, 1 file verified")
    stored = originals(container)
    assert all(b"/SECOND/" in path for path in stored), stored
    whole = hash_tree(inside(container, reader.point()))
    assert list(stored.values()) == list(whole.values())
    assert jobs(container) == [(1, "interrupted"), (2, "secured")]


@pytest.mark.parametrize("signal", ["KILL", "TERM"])
def test_a_daemon_that_ends_in_the_middle(container: Container, signal: str) -> None:
    """Killed or stopped in the middle of a copy, the daemon goes on with the card at its next start; nothing is twice."""
    with held(container, container.format_card("CUT", blobs(4))):
        if signal == "KILL":
            container.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", "ghostroll")
        else:
            container.run("systemctl", "--no-block", "stop", "ghostroll")
            container.wait_until(
                lambda: "deactivating" in container.execute("systemctl", "is-active", "ghostroll").out
            )
    if signal == "TERM":
        container.wait_until(
            lambda: "inactive" in container.execute("systemctl", "is-active", "ghostroll").out
        )
        assert "result 'timeout'" not in container.tell(200)
        container.run("systemctl", "start", "ghostroll")
    container.wait_for_line("CUT: safe to remove, 4 files verified")
    assert jobs(container) == [(1, "secured")]
    assert len(originals(container)) == 4


def test_a_reboot_in_the_middle(container: Container) -> None:
    """After a reboot in the middle of a copy the same job goes on with the card that is still in."""
    with held(container, container.format_card("REBOOT", blobs(4))):
        container.execute("systemctl", "--no-block", "poweroff")
        container.wait_until(
            lambda: "deactivating" in container.execute("systemctl", "is-active", "ghostroll").out
        )
    container._ended(60)
    container.boot()
    container.wait_for_line("REBOOT: safe to remove, 4 files verified")
    assert jobs(container) == [(1, "secured")]
    assert len(originals(container)) == 4


def test_a_damaged_card_and_a_stick(container: Container, tmp_path: Path) -> None:
    """What can't be mounted and what is no camera's is one clear line each, and the next card works."""
    damaged = tmp_path / "damaged.img"
    damaged.write_bytes(container.format_card("DAMAGED", blobs(1)).read_bytes())
    with damaged.open("r+b") as image:
        image.seek(1024 + 32)  # blocks and inodes of a group: recognized, and makes no sense
        image.write(bytes(12))
    bad = container.plug()
    bad.insert(damaged)
    container.settle()
    stick = container.insert(container.format_card("STICK", {"letters/one.txt": b"Dear"}))
    container.wait_for_line(f"STICK ({stick.name}): not taken")
    container.insert(container.format_card("GOOD", blobs(2)))
    container.wait_for_line("GOOD: safe to remove")
    said = [str(entry["MESSAGE"]) for entry in container.journal()]
    assert sum("STICK" in line for line in said) == 1
    assert len(originals(container)) == 2


def test_requests_of_the_group(container: Container) -> None:
    """A member of the group asks the daemon that runs; a stranger is told what to do, and gets nothing."""
    container.insert(container.format_card("ASKED", blobs(2)))
    container.wait_for_line("ASKED: safe to remove")
    done = container.execute("ghostroll", "retry", "1", "--json", user="alex")
    assert done.code == 0, done.err
    assert json.loads(done.out)["secured"] is True
    refused = container.execute("ghostroll", "retry", "1", user="stranger")
    assert refused.code not in (0, 1)
    assert "group ghostroll" in refused.err
    assert "Traceback" not in refused.err
    again = container.execute("ghostroll", "ingest", container.mounted()[0], "--json", user="alex")
    assert again.code == 0, again.err
    assert json.loads(again.out)["new"] == 0


def test_what_systemd_knows(container: Container) -> None:
    """The unit is ready and watched, its status is a sentence; a daemon that hangs is replaced and goes on."""
    drop_in = "/etc/systemd/system/ghostroll.service.d/test.conf"
    container.run("mkdir", "-p", os.path.dirname(drop_in))
    container.write(drop_in, "[Service]\nWatchdogSec=4\n")
    container.run("systemctl", "daemon-reload")
    container.run("systemctl", "restart", "ghostroll")
    show = container.run("systemctl", "show", "ghostroll", "--property=StatusText,NRestarts,SubState")
    assert "StatusText=waiting for a card" in show
    assert "SubState=running" in show
    container.run("systemctl", "kill", "--signal=STOP", "--kill-whom=main", "ghostroll")
    container.wait_until(
        lambda: "NRestarts=1" in container.run("systemctl", "show", "ghostroll", "--property=NRestarts")
    )
    container.insert(container.format_card("AFTER", blobs(2)))
    container.wait_for_line("AFTER: safe to remove")


def test_the_machine_stays_awake_while_a_card_is_read(container: Container) -> None:
    """Sleep and shutdown are inhibited while a card is being copied, and not after."""
    with held(container, container.format_card("AWAKE", blobs(4))):
        wait_until(lambda: "ghostroll" in container.run("systemd-inhibit", "--list", "--no-legend"))
        listed = container.run("systemd-inhibit", "--list", "--no-legend")
        assert "AWAKE is being copied" in listed
        assert "block" in listed
    container.wait_for_line("AWAKE: safe to remove")
    wait_until(lambda: "ghostroll" not in container.run("systemd-inhibit", "--list", "--no-legend"))


def test_a_second_daemon_is_refused(container: Container) -> None:
    """Whoever starts another daemon on the same state is told who holds it."""
    second = container.execute("/opt/ghostroll/bin/ghostroll", "daemon", user="ghostroll")
    assert second.code == 7
    assert "(daemon)" in second.err + container.tell()


def test_the_daemon_has_no_power(container: Container) -> None:
    """The daemon runs without any capability, as its own user, and no card below /run/ghostroll is writable for it."""
    pid = container.run("systemctl", "show", "ghostroll", "--property=MainPID", "--value")
    status = container.read(f"/proc/{pid}/status")
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert f"{kind}:\t0000000000000000" in status
    assert container.run("stat", "--format=%U:%G:%a", CARDS) == "root:ghostroll:750"


def test_a_users_own_service(container: Container) -> None:
    """As a desktop user's own service the daemon takes what the desktop mounts; the system's one is switched off."""
    container.run("systemctl", "disable", "--now", "ghostroll")
    container.write("/etc/udev/rules.d/95-off.rules", 'ENV{UDISKS_AUTO}="1"\n')
    container.run("systemctl", "start", "user@1000")
    runtime = ("env", "XDG_RUNTIME_DIR=/run/user/1000", "HOME=/home/alex")
    container.run("install", "-d", "-o", "alex", "/home/alex/.config", "/home/alex/.config/ghostroll")
    container.write(
        "/home/alex/.config/ghostroll/config.toml",
        '[library]\npath = "/home/alex/photos"\nkeep_free_mib = 1\nallow_weak_filesystem = true\n'
        '[cards]\nfilesystems = ["ext4"]\nmount_roots = ["/media"]\n',
    )
    container.run(*runtime, "systemctl", "--user", "start", "ghostroll", user="alex")
    reader = container.insert(container.format_card("DESK", blobs(2)))
    container.run("mkdir", "-p", "/media/alex/DESK")
    container.settle()
    for point in container.mounted():
        container.run("umount", point)
    container.run("mount", "-o", "ro,noload", reader.node, "/media/alex/DESK")
    wait_until(
        lambda: "DESK: safe to remove" in container.execute("journalctl", "--no-pager", "_UID=1000").out
    )
    assert len(list_originals(inside(container, "/home/alex/photos"))) == 2
