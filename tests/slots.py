"""A card reader that is a loop device, in a mount namespace of its own: nothing mounted here is seen elsewhere. Needs root."""

import contextlib
import fcntl
import os
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from disks import run

_LOOP_CHANGE_FD = 0x4C06  # linux/loop.h
_SECTOR = 512
READER = "nobody"  # who the cards are mounted for
DONE, UNUSABLE, REFUSED, RETRY = 0, 2, 3, 75  # how a run of the mounter ends
_HARMLESS = {"ro", "nosuid", "nodev", "noexec"}


@dataclass(frozen=True, slots=True)
class Visit:
    """How one run of the mounter ended, and what it said."""

    code: int
    said: str


class Host:
    """A mount namespace, held by a process that waits in it; it ends with that process."""

    def __init__(self, folder: Path, *, own_events: bool = False) -> None:
        """`own_events`: what a udevd in here tells is heard in here alone."""
        self.cards = folder / "cards"
        self.cards.mkdir(parents=True, mode=0o755)
        self.config = folder / "config.toml"
        self._kinds = ["--mount", "--net"] if own_events else ["--mount"]
        self._holder = subprocess.Popen(
            ["unshare", *self._kinds, "--propagation", "private", "sh", "-c", "echo in; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"in\n"
        if os.path.exists("/run/udev"):  # what the machine's own udev says of loop devices is nothing to us
            self.do("mount", "-t", "tmpfs", "tmpfs", "/run/udev")

    def enter(self, *command: str | Path) -> list[str | Path]:
        """A command, as it runs in here."""
        return ["nsenter", "--target", str(self._holder.pid), *self._kinds, *command]

    def do(self, *command: str | Path) -> str:
        """Run a tool in here that must succeed."""
        return run(*map(str, self.enter(*command)))

    def see(self, path: Path) -> Path:
        """A path as it is in here, for reading from outside."""
        return Path(f"/proc/{self._holder.pid}/root{path}")

    def mounts(self) -> dict[str, tuple[str, str]]:
        """What is mounted below the cards' folder: name to options and identity of the mount."""
        found = {}
        for line in Path(f"/proc/{self._holder.pid}/mountinfo").read_text().splitlines():
            fields = line.split()
            if fields[4].startswith(f"{self.cards}/"):
                name = os.path.basename(fields[4])
                assert name not in found, "mounted twice"
                found[name] = (fields[5], fields[0])
        return found

    def visit(self, disk: str, *, before: str = "") -> Visit:
        """One run of the mounter. `before` is Python that spoils something first."""
        arguments = [disk, "--cards", str(self.cards), "--config", str(self.config), "--user", READER]
        program = f"import sys\nfrom ghostroll.mounter.__main__ import main\n{before}\nsys.exit(main())"
        done = subprocess.run(
            self.enter(sys.executable, "-c", program, *arguments),
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Visit(done.returncode, done.stderr)

    def end(self) -> None:
        """Everything that was mounted here is gone."""
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self._holder.wait()
        assert self._holder.stdout is not None
        self._holder.stdout.close()


class Slot:
    """A standing reader: cards are put in, swapped and taken out, and whoever reads them is not asked."""

    def __init__(self, image: Path, *, read_only: bool = True) -> None:
        # Only what is attached read-only can be swapped under its users.
        flags = ["--read-only"] if read_only else []
        self.node = run("losetup", "--find", "--show", *flags, image)
        self.name = os.path.basename(self.node)
        self._attached = True

    @property
    def diskseq(self) -> int:
        """The kernel's number of the medium that is in."""
        return int(Path(f"/sys/block/{self.name}/diskseq").read_text())

    def swap(self, image: Path) -> None:
        """Another card of the same size is in from now on."""
        with open(self.node, "rb") as device, image.open("rb") as backing:
            fcntl.ioctl(device, _LOOP_CHANGE_FD, backing.fileno())

    def empty(self) -> None:
        """The card is out; it must not be in use. A freed node may be somebody else's at once, so only once."""
        if not self._attached:
            return
        self._attached = False
        with contextlib.suppress(subprocess.CalledProcessError):
            run("partx", "--delete", self.node)
        with contextlib.suppress(subprocess.CalledProcessError):
            run("losetup", "--detach", self.node)


def read_name(host: Host, mount: str) -> str:
    """The name in the file of the card that is mounted here."""
    return host.see(host.cards / mount / "DCIM/name").read_text()


def check_one(host: Host, slot: Slot, name: str) -> None:
    """Exactly one card is mounted, harmlessly, and it is this one."""
    wanted = f"{slot.diskseq}-0"
    found = host.mounts()
    assert set(found) == {wanted}
    assert set(found[wanted][0].split(",")) >= _HARMLESS
    assert read_name(host, wanted) == name
    assert os.listdir(host.cards) == [wanted]


def write_table(image: Path, partitions: list[Path]) -> None:
    """A card with a partition table: these images, one behind the other, 1 MiB from the start."""
    table, start = bytearray(_SECTOR), 2048
    with image.open("wb") as card:
        for number, partition in enumerate(partitions):
            sectors = partition.stat().st_size // _SECTOR
            struct.pack_into("<8xII", table, 446 + 16 * number, start, sectors)
            table[446 + 16 * number + 4] = 0x83
            card.seek(start * _SECTOR)
            card.write(partition.read_bytes())
            start += sectors
        table[510:] = b"\x55\xaa"
        table[440:444] = os.urandom(4)
        card.seek(0)
        card.write(table)
        card.truncate(start * _SECTOR)


def write_fat(image: Path, *, serial: int) -> None:
    """An empty FAT16 filesystem of 8 MiB without a partition table, as some cameras make."""
    sectors, fat = 16384, 64
    head = bytearray(_SECTOR)
    struct.pack_into(
        "<3s8sHBHBHHBHHHII",
        head,
        0,
        b"\xeb\x3c\x90",
        b"CAMERA  ",
        512,
        1,
        1,
        2,
        512,
        sectors,
        0xF8,
        fat,
        63,
        255,
        0,
        0,
    )
    struct.pack_into("<BBBI11s8s", head, 36, 0x80, 0, 0x29, serial, b"CARD       ", b"FAT16   ")
    head[510:] = b"\x55\xaa"
    with image.open("wb") as card:
        card.truncate(sectors * _SECTOR)
        card.write(head)
        for copy in range(2):
            card.seek((1 + copy * fat) * _SECTOR)
            card.write(b"\xf8\xff\xff\xff")
