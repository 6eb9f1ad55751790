"""A whole small machine for tests: systemd as PID 1, journald, udevd, D-Bus, logind, polkit, and ghostroll as `make install` puts it there.

    with Container(tmp_path) as machine:            # boots in a second or two
        card = machine.insert(machine.format_card("A", {"DCIM/1.jpg": b"..."}))
        machine.wait_for_mount(card.point())
        machine.run("ls", card.point() + "/DCIM", user="ghostroll")
        card.pull()

What is real: PID 1 and the units with their sandboxes, the kernel's events of block devices, udevd and its rules, mounts, signals,
the journal. What is not: the kernel is this machine's (no vfat where it has none: cards are ext4), the clock is shared,
there is no network but lo, `DeviceAllow=` and `IPAddressDeny=` may not be enforced, and a kill is no power cut, since the kernel keeps
its caches. The root is an overlay in memory over a kept root (see `roots`), so that no test spoils another's;
/var/lib/ghostroll is an ext4 disk of its own. Everything ends with this process, even if that is killed. Needs root.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

import roots
from disks import Disks
from machine import Machine
from readers import Reader, Shelf
from running import do_without

CARDS = "/run/ghostroll/cards"
CONFIG = "/etc/ghostroll/config.toml"
STATE = "/var/lib/ghostroll"
LIBRARY = f"{STATE}/library"
HOME = "/home/alex/ghostroll"  # the source tree
CARD_UNITS = "ghostroll-card@*"
# What every test's configuration begins with; ext4 is what every kernel can mount.
SETTINGS = f"""
[library]
path = "{LIBRARY}"
keep_free_mib = 1

[cards]
filesystems = ["ext4"]
"""
# The kernel makes no device nodes in a container, so udevd does; and it takes the readers of this container for USB readers.
_RULES = """
SUBSYSTEM!="block", GOTO="end"
KERNEL!="{readers}|{readers}p*", GOTO="end"
ACTION=="add", PROGRAM=="/bin/sh -c 'rm -f /dev/%k; mknod -m 660 /dev/%k b %M %m'"
ACTION=="change", PROGRAM=="/bin/sh -c 'test -b /dev/%k || mknod -m 660 /dev/%k b %M %m'"
ACTION=="remove", RUN+="/bin/rm -f /dev/%k"
ACTION!="remove", ENV{{GHOSTROLL_CARD}}="1"
# A reader that was unplugged can't be asked whether it was one.
ACTION=="remove", ENV{{GHOSTROLL_CARD}}=""
LABEL="end"
"""


_TRIGGER = """
[Service]
ExecStart=
ExecStart=udevadm trigger --action=add --subsystem-match=block --sysname-match={readers}*
"""


class Container(Machine):
    """A machine with ghostroll installed and running, a library disk, and card readers."""

    def __init__(
        self, folder: Path, *, settings: str = SETTINGS, library_mib: int = 512, installed: bool = True
    ) -> None:
        """Make it and boot it.

        `settings` become /etc/ghostroll/config.toml. `installed=False`: a machine that ghostroll was never installed on, with
        its source tree in /home/alex/ghostroll (alex may sudo) and everything that `make install` would fetch.
        """
        if os.geteuid() != 0:
            do_without("not root: run the tests with sudo")
        with contextlib.ExitStack() as undo:
            layers = [undo.enter_context(roots.base())]
            binds = {
                undo.enter_context(roots.wheels()): roots.WHEELS,
                folder / "library": "/var/lib/ghostroll",
            }
            if installed:
                layers.insert(0, undo.enter_context(make_installed(layers[0], folder)) / "upper")
            super().__init__(folder, layers, binds=binds, upper=None)
            undo.callback(super().end)
            _mount_library(self, folder, library_mib)
            self._holds = 0
            (folder / "cards").mkdir()
            self._cards = Disks(folder / "cards")
            self.shelf = Shelf()
            undo.callback(self.shelf.end)
            self._readers: list[Reader] = []
            undo.callback(self._empty_readers)
            self._put("/etc/udev/rules.d/00-test.rules", _RULES.format(readers=self.shelf.pattern))
            self._put(f"/{roots.TRIGGER}", _TRIGGER.format(readers=self.shelf.pattern))
            if installed:
                self._put(CONFIG, settings)
            else:
                roots.copy_sources(folder / "sources")
                _put_sources(self, folder / "sources")
            self.boot()
            self._undo = undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Nothing of it is left but its folder."""
        self._undo.close()

    def plug(self) -> Reader:
        """Plug in another card reader, whose slot is empty."""
        reader = Reader(self.shelf, self._folder, self.events_held)
        self._readers.append(reader)
        return reader

    def insert(self, image: Path, *, partitioned: bool = False) -> Reader:
        """Plug in another card reader with a card in it."""
        with self.events_held():
            reader = self.plug()
            reader.insert(image, partitioned=partitioned)
        return reader

    @contextlib.contextmanager
    def events_held(self) -> Iterator[None]:
        """What the kernel tells in here is handled by udevd only afterwards. May be nested."""
        self._holds += 1
        try:
            if self._holds == 1 and self.is_running:
                self.run("udevadm", "control", "--stop-exec-queue")
            yield
        finally:
            self._holds -= 1
            if self._holds == 0 and self.is_running:
                self.run("udevadm", "control", "--start-exec-queue")

    def settle(self) -> None:
        """Wait until udevd has handled every event, and no unit that it started is at work."""
        self.run("udevadm", "settle", "--timeout=30")
        self.wait_until(self._is_idle, "a card's unit is still at work")

    def mounted(self) -> list[str]:
        """The cards' mounts that root sees, by full path, sorted."""
        lines = self.run("cat", "/proc/self/mountinfo").splitlines()
        return sorted(point for point in (line.split()[4] for line in lines) if point.startswith(f"{CARDS}/"))

    def format_card(self, label: str, files: Mapping[str, bytes], *, mib: int = 16) -> Path:
        """An image of a card with these files, all of which ghostroll may read; without a partition table."""
        image = self._cards.format(label, mib=mib, files=files)
        self.prepare("debugfs", "-w", "-R", "rmdir lost+found", image)
        return image

    def wait_for_mount(self, point: str) -> None:
        """Wait until a card is mounted there: see `Reader.point`."""
        self.wait_until(lambda: point in self.mounted(), f"nothing was mounted at {point}")

    def _is_idle(self) -> bool:
        listed = self.run(
            "systemctl", "list-units", "--plain", "--no-legend", "--state=activating,deactivating", CARD_UNITS
        )
        return not listed

    def _put(self, path: str, text: str) -> None:
        place = self.outside(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def _empty_readers(self) -> None:
        for reader in self._readers:
            reader.end()


def make_installed(base: Path, folder: Path) -> AbstractContextManager[Path]:
    """The layer over `base` in which alex has run `sudo make install` on this very working tree. Made once per state of the tree."""
    work = folder / "installing"
    sources = work / "sources"
    roots.copy_sources(sources)  # others may change the tree meanwhile

    def make(draft: Path) -> None:
        with roots.wheels() as wheels:
            binds = {wheels: roots.WHEELS, work / "library": STATE}
            machine = Machine(work, [base], binds=binds, upper=draft)
            try:
                _mount_library(machine, work, 64)
                _install(machine, sources)
            finally:
                machine.end()

    return roots.kept(roots.name_installed(base, sources), make)


def _mount_library(machine: Machine, folder: Path, mib: int) -> None:
    """A disk of its own for the photos: an overlay is no filesystem that ghostroll trusts."""
    image, point = folder / "library.img", folder / "library"
    with image.open("wb") as file:
        file.truncate(mib << 20)
    machine.prepare("mkfs.ext4", "-q", "-F", "-m", "0", image)
    point.mkdir()
    machine.prepare("mount", "-o", "loop", image, point)


def _put_sources(machine: Machine, sources: Path) -> None:
    machine.prepare("mkdir", "-p", f"{machine.root}{HOME}")
    machine.prepare("cp", "-rT", "--preserve=mode,timestamps", sources, f"{machine.root}{HOME}")
    machine.prepare("chown", "-R", "1000:1000", f"{machine.root}{HOME}")


def _install(machine: Machine, sources: Path) -> None:
    _put_sources(machine, sources)
    machine.boot()
    done = machine.execute("sudo", "make", "-C", HOME, "install", user="alex", timeout=300)
    assert done.code == 0, f"make install failed: {done.out}{done.err}{machine.tell(unit='*')}"
    machine.power_off()
    machine.prepare("rm", "-rf", f"{machine.root}/var/log/journal")
    machine.outside("/etc/machine-id").write_text("")  # each machine has its own; and this is no first boot
