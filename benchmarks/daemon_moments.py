"""How soon: from a card's event to its first byte, from its last byte to the word that it is safe, from a pull to the word that it is not."""

import contextlib
import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from container import Container
from daemon_ears import Act, EventEar, IncomingEar, library_of, moment_of, seen_in
from holding import hold_reads
from measuring import Figure, give_up
from readers import Reader

MOST_ROUNDS = 9  # a machine has ten readers
_FILES, _SIZE = 12, 1 << 20  # of a card
_PULLED_FILES, _PULLED_SIZE = (
    40,
    3 << 20,
)  # of one that is pulled: more than is copied before anybody can look
_HELD = "DCIM/100BENCH/IMG_0002.BIN"


@dataclass(frozen=True, slots=True)
class Way:
    """A way in which a card comes."""

    name: str
    standing: bool
    table: bool


WAYS = (
    Way("standing reader", standing=True, table=False),
    Way("standing reader, partitioned", standing=True, table=True),
    Way("reader with its card", standing=False, table=False),
    Way("reader with its card, partitioned", standing=False, table=True),
)


@dataclass(frozen=True, slots=True)
class Moments:
    """When things happened to one card, in seconds of one clock."""

    kernel: float  # told of it first
    udev: float
    unit: float  # began to start
    mounted: float
    read: float  # the first byte, and it was written too
    verified: float  # the last byte
    safe: float  # stands in the journal


def measure_ways(folder: Path, rounds: int) -> list[Figure]:
    """Put cards in in every way; what stood in the journal and what the kernel saw, beside each other."""
    figures, everything = [], []
    for number, way in enumerate(WAYS):
        place = folder / f"way{number}"
        place.mkdir()
        taken = list(_take_cards(place, way, rounds))
        everything += taken
        figures.append(
            Figure(
                f"udev's event to first byte, beside the mount: {way.name}",
                "s",
                tuple(one.read - one.udev for one in taken),
                tuple(one.mounted - one.unit for one in taken),
            )
        )
    safe = tuple(one.safe - one.verified for one in everything)
    return [
        *figures,
        Figure("udev's event to first byte, the slowest of all", "s", (max(one.read - one.udev for one in everything),)),
        Figure("kernel's event to first byte, the slowest of all", "s", (max(one.read - one.kernel for one in everything),)),
        Figure("last byte verified to 'safe to remove' in the journal", "s", safe),
        Figure("last byte verified to 'safe to remove', the slowest", "s", (max(safe),)),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Scene:
    """A machine, and who listens in it."""

    machine: Container
    incoming: IncomingEar
    events: EventEar


def _take_cards(folder: Path, way: Way, rounds: int) -> Iterator[Moments]:
    """One card after the other, in a machine of their own."""
    with Container(folder) as machine:
        standing = machine.plug() if way.standing else None
        with IncomingEar(library_of(machine)) as incoming, EventEar(machine, folder) as events:
            scene = _Scene(machine, incoming, events)
            for number in range(1, rounds + 1):
                yield _take_card(scene, f"CARD{number}", standing, partitioned=way.table)


def _take_card(scene: _Scene, label: str, standing: Reader | None, *, partitioned: bool) -> Moments:
    machine = scene.machine
    image = machine.format_card(label, make_files(_FILES, _SIZE), mib=24)
    machine.settle()
    began = time.monotonic()
    if standing is None:
        reader = machine.insert(image, partitioned=partitioned)
    else:
        reader = standing
        reader.insert(image, partitioned=partitioned)
    # Nothing that asks the journal may run beside what is measured.
    scene.incoming.wait_for(Act.MOVED, began, times=_FILES)
    safe = moment_of(machine.wait_for_line(f"{label}: safe to remove, {_FILES} files verified"))
    unit, mounted = _find_mount(machine, reader.name, began)
    reader.pull()
    machine.wait_for_line("removed", GHOSTROLL_CARD=label)
    reader.wait_until_empty()
    return Moments(
        kernel=scene.events.first("KERNEL", reader.name, began),
        udev=scene.events.first("UDEV", reader.name, began),
        unit=unit,
        mounted=mounted,
        read=scene.incoming.moments(Act.WRITTEN, began)[0],
        verified=scene.incoming.moments(Act.READ_BACK, began)[-1],
        safe=safe,
    )


def _find_mount(machine: Container, disk: str, began: float) -> tuple[float, float]:
    """When a disk's unit began to start for this card, and when it had mounted it."""
    entries = [entry for entry in machine.journal(f"ghostroll-card@{disk}") if moment_of(entry) >= began]
    starts = [moment_of(entry) for entry in entries if str(entry["MESSAGE"]).startswith("Starting ")]
    mounts = [moment_of(entry) for entry in entries if "mounted read-only" in str(entry["MESSAGE"])]
    if not starts or not mounts:
        give_up("the journal does not tell when the card was mounted")
    return starts[0], mounts[0]


def measure_pulls(folder: Path, rounds: int) -> list[Figure]:
    """Pull cards while they are read, and while a read of one hangs."""
    with Container(folder) as machine, IncomingEar(library_of(machine)) as incoming:
        reader = machine.plug()
        numbers = itertools.count(1)
        running = [_pull_running(machine, reader, incoming, next(numbers)) for _ in range(rounds)]
        hanging = [_pull_hanging(machine, reader, next(numbers)) for _ in range(rounds)]
    return [
        Figure("card pulled while it is read, to 'NOT SAFE' in the journal", "s", tuple(running)),
        Figure("card pulled while a read of it hangs, to 'NOT SAFE'", "s", tuple(hanging)),
        Figure("card pulled to 'NOT SAFE', the slowest of all", "s", (max(running + hanging),)),
    ]


def _pull_running(machine: Container, reader: Reader, incoming: IncomingEar, number: int) -> float:
    image = machine.format_card(f"PULL{number}", make_files(_PULLED_FILES, _PULLED_SIZE), mib=160)
    machine.settle()
    began = time.monotonic()
    reader.insert(image)
    incoming.wait_for(Act.WRITTEN, began)
    return _pull(machine, reader, number)


def _pull_hanging(machine: Container, reader: Reader, number: int) -> float:
    image = machine.format_card(f"PULL{number}", make_files(_FILES, _SIZE), mib=24)
    machine.settle()
    with contextlib.ExitStack() as undo:
        with _stopped(machine):
            reader.insert(image)
            machine.wait_for_mount(reader.point())
            held = undo.enter_context(hold_reads(seen_in(machine, reader.point()) / _HELD))
        held.catch()
        return _pull(machine, reader, number)


@contextlib.contextmanager
def _stopped(machine: Container) -> Iterator[None]:
    """The daemon stands still meanwhile."""
    kill = ("systemctl", "kill", "--kill-whom=main", "ghostroll")
    machine.run(*kill, "--signal=STOP")
    try:
        yield
    finally:
        machine.run(*kill, "--signal=CONT")


def _pull(machine: Container, reader: Reader, number: int) -> float:
    """Take the card out; seconds until the journal says that it is not safe."""
    began = time.monotonic()
    reader.pull()
    entry = machine.wait_for_line("NOT SAFE", GHOSTROLL_CARD=f"PULL{number}")
    return moment_of(entry) - began


def make_files(number: int, size: int) -> dict[str, bytes]:
    """Files that no two cards share and that nobody has to render."""
    return {f"DCIM/100BENCH/IMG_{n:04}.BIN": os.urandom(size) for n in range(1, number + 1)}
