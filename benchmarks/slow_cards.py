"""Cards as slow as cards are: ext4 in memory on loop devices, which a control group may read at a given speed.

The control group is of version 1 (blkio). Its members alone are slow; what they start is in it as well. Needs root.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# The disks of the tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from disks import Disk, Disks, run
from measuring import give_up
from staging import drop_from_cache, list_files

_BLKIO = Path("/sys/fs/cgroup/blkio")
_MEMORY = "/dev/shm"  # noqa: S108  # a folder of our own is made in it
_TOOLS = ("losetup", "mkfs.ext4", "mount", "umount")
_MB = 1_000_000
_SPARE = 48 << 20  # bytes for the filesystem itself


def find_obstacle(*, slow: bool = True) -> str | None:
    """Why no card can be put in here, or made slow, with the remedy; None where it can."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if os.geteuid() != 0:
        return "only root can mount a card, make it slow and count what is read of it: run it with sudo"
    if missing:
        return f"{', '.join(missing)} can't be found: install util-linux and e2fsprogs"
    if slow and not (_BLKIO / "blkio.throttle.read_bps_device").exists():
        return (
            f"{_BLKIO} is not there, so no card can be made slow: "
            "boot with systemd.unified_cgroup_hierarchy=0 for control groups of version 1"
        )
    return None


class SlowCards:
    """Images of cards, and slots that they are put into, each time with nothing of them in the page cache."""

    def __init__(self, folder: Path) -> None:
        """`folder` is in memory; images and mounts are made in it."""
        self.folder = folder
        self._disks = Disks(folder)
        self._group = _BLKIO / f"ghostroll-{os.getpid()}"
        if _BLKIO.exists():
            self._group.mkdir()

    def make_image(self, card: Path, name: str) -> Path:
        """An ext4 image that holds a card's files."""
        image = self.folder / f"{name}.img"
        size = sum(path.stat().st_size for path in list_files(card))
        size += size // 20 + _SPARE
        if shutil.disk_usage(self.folder).free < size:
            give_up(f"{self.folder.parent} has no room for the cards: take fewer --photos")
        with image.open("wb") as file:
            file.truncate(size)
        run("mkfs.ext4", "-q", "-F", "-m", "0", "-L", name, "-d", card, image)
        return image

    @contextlib.contextmanager
    def insert(self, images: Sequence[Path], speed: int) -> Iterator[list[Disk]]:
        """Mount cards, which the group reads at so many bytes a second, each; 0 is no limit."""
        mounted: list[Disk] = []
        try:
            for image in images:
                mounted.append(self._disks.mount(image, read_only=True))
                if speed:
                    self._limit(mounted[-1].device, speed)
            yield mounted
        finally:
            for disk in mounted:
                if speed:
                    self._limit(disk.device, 0)
                disk.unmount()

    def take(self, process: int) -> None:
        """Have a process, and what it starts from now on, read so."""
        (self._group / "cgroup.procs").write_text(str(process))

    def enter(self, *command: str | Path) -> list[str | Path]:
        """Turn a command into one that reads so."""
        if not self._group.exists():
            return list(command)
        return ["sh", "-c", 'echo $$ > "$1"; shift; exec "$@"', "sh", self._group / "cgroup.procs", *command]

    def remove(self) -> None:
        """Nothing is left of the cards; the members have ended."""
        self._disks.remove()
        if self._group.exists():
            self._group.rmdir()

    def _limit(self, device: str, speed: int) -> None:
        number = os.stat(device).st_rdev
        rule = f"{os.major(number)}:{os.minor(number)} {speed}"
        (self._group / "blkio.throttle.read_bps_device").write_text(rule)


@contextlib.contextmanager
def open_slots() -> Iterator[SlowCards]:
    """Slots for slow cards, taken away at the end."""
    with tempfile.TemporaryDirectory(dir=_MEMORY, prefix="ghostroll-") as folder:
        cards = SlowCards(Path(folder))
        try:
            yield cards
        finally:
            cards.remove()


@dataclass(frozen=True, slots=True)
class Slot:
    """`insert` gives a card's folder, cold; `enter` turns a command into one that reads it at the card's speed."""

    insert: Callable[[], contextlib.AbstractContextManager[Path]]
    enter: Callable[..., list[str | Path]]


@contextlib.contextmanager
def open_slot(card: Path, speed: float) -> Iterator[Slot]:
    """A slot for this card at a speed in MB/s; 0 is no limit. Ends the benchmark where there can be none."""
    obstacle = find_obstacle(slow=speed > 0)
    if obstacle is None:
        with open_slots() as slots:
            image = slots.make_image(card, "BENCH")

            @contextlib.contextmanager
            def insert() -> Iterator[Path]:
                with slots.insert([image], round(speed * _MB)) as (disk,):
                    yield disk.point

            yield Slot(insert, slots.enter)
        return
    if speed:
        give_up(f"{obstacle}, or take --speed 0")
    sys.stderr.write(f"the card is a folder: {obstacle}\n")

    @contextlib.contextmanager
    def point_at() -> Iterator[Path]:
        drop_from_cache(list_files(card))
        yield card

    yield Slot(point_at, lambda *command: list(command))
