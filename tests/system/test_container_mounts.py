"""Cards in a whole machine: from the kernel's event through udevd, the rule and the root unit to a mount that the daemon's sandbox sees."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from container import CARD_UNITS, Container

LOOK = 'while sleep 0.05; do echo "sees <$(cat /run/ghostroll/cards/*/DCIM/name 2>/dev/null)>"; done\n'


@pytest.fixture
def names(container: Container) -> dict[str, Path]:
    """Two cards of one size, each with its name in a file."""
    return {name: container.format_card(name, {"DCIM/name": name.encode()}) for name in "AB"}


def read_name(container: Container, point: str) -> str:
    """What the daemon's user reads on a card."""
    return container.run("cat", f"{point}/DCIM/name", user="ghostroll")


@pytest.mark.parametrize("partitioned", [False, True], ids=["no-table", "table"])
def test_cards_come_and_go(container: Container, names: dict[str, Path], partitioned: bool) -> None:
    """In one standing reader a card is mounted when it is put in, let go of when it is pulled, and so are the next ones."""
    reader = container.plug()
    for name in ("A", "B", "B"):
        reader.insert(names[name], partitioned=partitioned)
        container.wait_for_mount(reader.point())
        assert read_name(container, reader.point()) == name
        assert container.mounted() == [reader.point()]
        reader.pull()
        reader.wait_until_empty()
        container.settle()
        assert container.mounted() == []
    said = [entry["MESSAGE"] for entry in container.journal(CARD_UNITS, SYSLOG_IDENTIFIER="ghostroll-card")]
    assert sum("mounted read-only" in line for line in said) == 3
    assert sum("let go: its card is gone" in line for line in said) == 3


def test_a_card_is_not_written(container: Container, names: dict[str, Path]) -> None:
    """The mount is read-only, runs nothing, and only the daemon's user gets in."""
    card = container.insert(names["A"])
    container.wait_for_mount(card.point())
    options = container.run("findmnt", "--noheadings", "--output", "OPTIONS", card.point()).split(",")
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(options)
    assert container.execute("touch", f"{card.point()}/DCIM/x").code != 0
    assert container.execute("ls", card.point(), user="stranger").code != 0


def test_two_readers(container: Container, names: dict[str, Path]) -> None:
    """Cards in two readers are mounted at once, and the one goes without the other."""
    first, second = container.insert(names["A"]), container.insert(names["B"], partitioned=True)
    for card, name in ((first, "A"), (second, "B")):
        container.wait_for_mount(card.point())
        assert read_name(container, card.point()) == name
    first.unplug()
    container.settle()
    assert container.mounted() == [second.point()]


@pytest.mark.parametrize("partitioned", [False, True], ids=["no-table", "table"])
def test_a_card_swapped_in_one_moment(
    container: Container, names: dict[str, Path], partitioned: bool
) -> None:
    """A card that takes the place of another before anybody looks is mounted anew, as itself."""
    card = container.insert(names["A"], partitioned=partitioned)
    container.wait_for_mount(card.point())
    before = card.point()
    card.swap(names["B"], partitioned=partitioned)
    container.wait_for_mount(card.point())
    assert card.point() != before
    assert read_name(container, card.point()) == "B"
    container.settle()
    assert container.mounted() == [card.point()]


def test_cards_swapped_again_and_again(container: Container, names: dict[str, Path]) -> None:
    """Of many cards, one in the place of another without a pause, the last one is mounted, however many events fell together."""
    card = container.insert(names["A"])
    for name in "BABAB" * 3:
        card.swap(names[name])
        container.run("udevadm", "settle")
    container.wait_for_mount(card.point())
    assert read_name(container, card.point()) == "B"
    container.settle()
    assert container.mounted() == [card.point()]


def test_a_damaged_card(container: Container, names: dict[str, Path], tmp_path: Path) -> None:
    """A card whose filesystem can't be mounted is one line in the journal that says what to do; the next card works."""
    damaged = tmp_path / "damaged.img"
    damaged.write_bytes(names["A"].read_bytes())
    with damaged.open("r+b") as image:
        image.seek(1024 + 32)  # blocks and inodes of a group: the superblock is recognized and makes no sense
        image.write(bytes(12))
    reader = container.plug()
    reader.insert(damaged)
    container.settle()
    assert container.mounted() == []
    said = [
        entry
        for entry in container.journal(CARD_UNITS, SYSLOG_IDENTIFIER="ghostroll-card")
        if "empty" not in entry["MESSAGE"]
    ]
    assert len({entry["MESSAGE"] for entry in said}) == 1
    assert re.search(r"loop\d+: .*(can't be mounted|refuse|damaged)", said[0]["MESSAGE"])
    assert int(said[0]["PRIORITY"]) <= 4
    reader.pull()
    reader.wait_until_empty()
    reader.insert(names["B"])
    container.wait_for_mount(reader.point())
    assert read_name(container, reader.point()) == "B"


def start_probe(container: Container, unit: str, program: str) -> None:
    """Start a program in the sandbox of a unit, as `probe@x` or `probe`."""
    text = container.read(f"/usr/lib/systemd/system/{unit}")
    text = re.sub(r"^ExecStart=.*$", "ExecStart=/bin/sh /usr/local/bin/probe", text, flags=re.MULTILINE)
    text = re.sub(r"^(Type=notify|WatchdogSec|RuntimeDirectory)\b.*\n", "", text, flags=re.MULTILINE)
    name = unit.replace("ghostroll-card", "probe").replace("ghostroll", "probe")
    container.write("/usr/local/bin/probe", program)
    container.write(f"/run/systemd/system/{name}", text)
    container.run("systemctl", "daemon-reload")
    container.run("systemctl", "start", name.replace("@", "@x"))


def test_the_root_unit_mounts_for_all_and_writes_to_nothing(
    container: Container, names: dict[str, Path]
) -> None:
    """The mounter runs in PID 1's mount namespace, else nobody would see its mounts; and the kernel itself refuses it a card for writing."""
    card = container.insert(names["A"])
    container.wait_for_mount(card.point())
    program = (
        f"readlink /proc/self/ns/mnt; (exec 3<>{card.node}) || echo refused; exec 3<{card.node}; echo reads"
    )
    start_probe(container, "ghostroll-card@.service", program)
    namespace = container.run("readlink", "/proc/1/ns/mnt")
    for wanted in (namespace, "refused", "reads"):
        container.wait_for_line(wanted, "probe@x.service")


def test_the_daemons_sandbox_sees_cards(container: Container, names: dict[str, Path]) -> None:
    """In the daemon's whole sandbox cards appear that were mounted before and after its start, and they go."""
    early, late = container.insert(names["A"]), container.plug()
    container.wait_for_mount(early.point())
    start_probe(container, "ghostroll.service", LOOK)
    container.wait_for_line("sees <A>", "probe.service")
    late.insert(names["B"])
    container.wait_for_line("sees <AB>", "probe.service")
    for reader in (early, late):
        reader.pull()
        reader.wait_until_empty()  # the sandbox holds nothing
    container.wait_for_line("sees <>", "probe.service", since=container.mark())


def test_a_card_that_is_in_at_boot(container: Container, names: dict[str, Path]) -> None:
    """A card that is in while the machine starts, in order or after a power cut, is mounted."""
    card = container.insert(names["A"])
    container.wait_for_mount(card.point())
    stops: list[Callable[[], None]] = [container.power_off, container.kill]
    for stop in stops:
        stop()
        container.boot()
        container.wait_for_mount(card.point())
        assert read_name(container, card.point()) == "A"
    assert os.path.basename(card.point()).startswith(str(card.diskseq))
