"""Disks that are files: ext4 on loop devices, that can fail, fill up, be pulled and be swapped. Needs root."""

import contextlib
import fcntl
import mmap
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_LOOP_CHANGE_FD = 0x4C06  # linux/loop.h: another backing file of the same size; the kernel sees a new medium
_BLOCK = 4096
# Without checksums and extents, a single block can be made bad by pointing at one that is not there.
_PLAIN = "^has_journal,^metadata_csum,^extent,^dir_index,^64bit"


def run(*arguments: str | Path) -> str:
    """A tool that must succeed; what it printed."""
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.strip()


@dataclass
class Disk:
    """A filesystem in a file, and where it is mounted."""

    image: Path
    point: Path
    device: str

    @property
    def diskseq(self) -> int:
        """The kernel's number of the medium that is in."""
        return int(Path(f"/sys/block/{os.path.basename(self.device)}/diskseq").read_text())

    def remount(self, *, read_only: bool) -> None:
        """Change whether the mounted disk takes writes."""
        run("mount", "-o", f"remount,{'ro' if read_only else 'rw'}", self.point)

    def unmount(self) -> None:
        """Take the disk out, politely."""
        run("umount", self.point)
        run("losetup", "-d", self.device)

    def pull(self, other: Path) -> None:
        """Another medium is in the slot from now on; whoever has files open is not asked."""
        with open(self.device, "rb") as device, other.open("rb") as backing:
            fcntl.ioctl(device, _LOOP_CHANGE_FD, backing.fileno())

    def cut(self) -> None:
        """The last sixteen blocks can't be read any more; nothing stands there but what `break_block` put there."""
        os.truncate(self.image, self.image.stat().st_size - 16 * _BLOCK)

    def forget(self) -> None:
        """Nothing that was read before is remembered."""
        run("sync", "-f", self.point)
        Path("/proc/sys/vm/drop_caches").write_text("3")

    def find(self, data: bytes) -> int:
        """Where these bytes stand in the image."""
        with self.image.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
            return view.find(data)

    def flip(self, place: int) -> None:
        """Turn one bit on the medium, behind the filesystem's back."""
        with self.image.open("r+b") as file:
            file.seek(place)
            (byte,) = file.read(1)
            file.seek(place)
            file.write(bytes([byte ^ 1]))


class Disks:
    """Makes disks in a folder and takes them all away at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[Disk] = []

    def format(
        self,
        label: str,
        *,
        mib: int,
        files: Mapping[str, bytes] | None = None,
        bad: Mapping[str, int] | None = None,
        more: str = "",
    ) -> Path:
        """An image of a filesystem with these files. `bad` names files or folders and which block of them is beyond `cut`.

        `more` are further features of the filesystem.
        """
        content = self._folder / f"{label}.content"
        content.mkdir(parents=True)
        for name, data in (files or {}).items():
            (content / name).parent.mkdir(parents=True, exist_ok=True)
            (content / name).write_bytes(data)
        image = self._folder / f"{label}.img"
        with image.open("wb") as file:
            file.truncate(mib << 20)
        run(
            "mkfs.ext4",
            "-q",
            "-F",
            "-m",
            "0",
            "-b",
            str(_BLOCK),
            "-O",
            f"{_PLAIN},{more}" if more else _PLAIN,
            "-L",
            label,
            "-d",
            content,
            image,
        )
        last = (mib << 20) // _BLOCK - 1
        for number, (name, block) in enumerate((bad or {}).items()):
            run("debugfs", "-w", "-R", f'sif "/{name}" block[{block}] {last - number}', image)
        return image

    def mount(self, image: Path, *, read_only: bool, option: str = "rw") -> Disk:
        """Put an image into a slot and mount it, a writable one with this option."""
        point = self._folder / image.stem
        point.mkdir(exist_ok=True)
        device = run("losetup", "--find", "--show", *(["--read-only"] if read_only else []), image)
        run("mount", "-o", "ro,noload" if read_only else option, device, point)
        disk = Disk(image, point, device)
        self._made.append(disk)
        return disk

    def make(
        self,
        label: str,
        *,
        mib: int,
        files: Mapping[str, bytes] | None = None,
        bad: Mapping[str, int] | None = None,
        read_only: bool = True,
    ) -> Disk:
        """A new disk with these files, mounted."""
        return self.mount(self.format(label, mib=mib, files=files, bad=bad), read_only=read_only)

    def remove(self) -> None:
        """Unmount and detach everything that was made here, and whatever is mounted on top of it."""
        points = re.findall(
            rf"^\S+ ({re.escape(str(self._folder))}\S*)", Path("/proc/mounts").read_text(), re.MULTILINE
        )
        for point in reversed(points):
            with contextlib.suppress(subprocess.CalledProcessError):
                run("umount", "-l", point)
        attached = run("losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE").splitlines()
        for line in attached:
            device, _, backing = line.partition(" ")
            if backing.strip().startswith(str(self._folder)):
                with contextlib.suppress(subprocess.CalledProcessError):
                    run("losetup", "-d", device)
