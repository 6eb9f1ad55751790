"""A desktop with card readers: loop devices that the real udev presents as readers, and mounts as a desktop makes them."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from disks import Disks, run
from running import do_without, need_tools, wait_until
from slots import Slot, write_table

UDEVD = Path("/lib/systemd/systemd-udevd")
RUN = Path("/run/udev")
CONTROL = RUN / "control"
RULE = RUN / "rules.d" / "91-ghostroll-test.rules"
# A loop device says that it is fixed; the mark is what an administrator gives such readers.
READER = 'SUBSYSTEM=="block", KERNEL=="loop*", ENV{ID_BUS}="usb", ENV{GHOSTROLL_CARD}="1"\n'


def settle() -> None:
    """Wait until udev has nothing to do."""
    run("udevadm", "settle", "--timeout=20")


def _answers() -> bool:
    """Whether an udevd runs here."""
    asked = ["udevadm", "control", "--ping", "--timeout=5"]
    return CONTROL.exists() and subprocess.run(asked, check=False, capture_output=True).returncode == 0


def _start_udevd() -> subprocess.Popen[bytes]:
    CONTROL.unlink(missing_ok=True)
    return subprocess.Popen([UDEVD], stderr=subprocess.DEVNULL)


def run_udev() -> Iterator[None]:
    """An udevd that takes loop devices for readers: the machine's own, or one that lives as long as the tests."""
    if os.geteuid() != 0:
        do_without("not root: run the tests with sudo")
    if not UDEVD.exists():
        do_without(f"no {UDEVD} here: apt install udev")
    need_tools(udevadm="udev", losetup="mount", partx="util-linux")
    was_there = RUN.exists()
    own = None if _answers() else _start_udevd()
    try:
        wait_until(_answers)
        RULE.parent.mkdir(parents=True, exist_ok=True)
        RULE.write_text(READER)
        run("udevadm", "control", "--reload", "--timeout=20")
        run("udevadm", "trigger", "--subsystem-match=block")
        settle()
        yield
    finally:
        RULE.unlink(missing_ok=True)
        if own is not None:
            own.terminate()
            own.wait()
            CONTROL.unlink(missing_ok=True)  # what it leaves behind looks as if it ran
            if not was_there:  # nobody may believe what it knew
                shutil.rmtree(RUN)
        else:
            run("udevadm", "control", "--reload", "--timeout=20")
            run("udevadm", "trigger", "--subsystem-match=block")
            settle()


class Desktop:
    """Readers, cards in them, and mounts below `media`."""

    def __init__(self, disks: Disks, folder: Path) -> None:
        self._disks = disks
        self._folder = folder
        self.media = folder / "media"
        self.media.mkdir()
        self._slots: list[Slot] = []

    def make(self, label: str, *, files: Mapping[str, bytes], mib: int = 16, table: bool = False) -> Path:
        """An image of a card; if wanted with a partition table that has it twice."""
        image = self._disks.format(label, mib=mib, files=files)
        if table:
            write_table(self._folder / f"{label}.card", [image, image])
            return self._folder / f"{label}.card"
        return image

    def put_in(self, image: Path) -> Slot:
        """A card in a new reader."""
        slot = Slot(image)
        self._slots.append(slot)
        return slot

    def mount(self, node: str, name: str) -> Path:
        """Mount a card where cards are looked for."""
        point = self.media / name
        point.mkdir(exist_ok=True)
        run("mount", "-o", "ro,noload", node, point)
        return point

    def insert(self, image: Path, name: str) -> tuple[Slot, Path]:
        """A card in a new reader, mounted."""
        slot = self.put_in(image)
        return slot, self.mount(slot.node, name)

    def remove(self) -> None:
        """Take out everything."""
        for point in self.media.iterdir():
            subprocess.run(["umount", "-l", point], check=False, capture_output=True)
        for slot in self._slots:
            # An emptied slot may hold somebody else's disk by now.
            backing = Path(f"/sys/block/{slot.name}/loop/backing_file")
            if backing.exists() and backing.read_text().startswith(str(self._folder)):
                slot.empty()
