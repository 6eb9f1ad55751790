"""The watcher in worlds made for it: with other tables of disks and swap space, a dead udev, too few files. Needs root."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from disks import Disks, run
from running import need_tools

ASCII = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
UDEVD = "/lib/systemd/systemd-udevd"

# What runs in such a world. `tell` prints what a watcher said; the card's own disk is a loop device.
PRELUDE = """
import ctypes, json, os, resource, subprocess, sys
from ghostroll.cards.sight import CardRules
from ghostroll.cards.watch import Watcher
media, library, node = (os.fsencode(text) for text in sys.argv[1:4])
name = os.path.basename(os.fsdecode(node))
rules = CardRules(
    library=library, filesystems=frozenset({"ext4"}), mount_roots=(media,), readers=("loop*",), patience=0.0
)
def tell(changes):
    ours = lambda volumes: [volume for volume in volumes if volume.name == name]
    print(json.dumps({
        "arrived": [[volume.volume.label, os.fsdecode(volume.mount.point)] for volume in ours(changes.arrived)],
        "left": len(ours(changes.left)),
        "refused": [[volume.refusal.why, volume.refusal.words] for volume in ours(changes.refused)],
        "notes": changes.notes,
    }), flush=True)
with Watcher(rules, rescan=3600) as watcher:
    tell(watcher.wait())
"""


class World:
    """A card on a loop device, mounted where cards are looked for, in a world of its own."""

    def __init__(self, disks: Disks, folder: Path, *, place: str = "EOS") -> None:
        image = disks.format("CARD", mib=4, files={"DCIM/photo": b"x"})
        self.node = run("losetup", "--find", "--show", "--read-only", image)
        self.name = os.path.basename(self.node)
        self.folder, self.media, self.library = folder, folder / "media", folder / "library"
        self.point = self.media / place
        self.point.mkdir(parents=True)
        number = os.stat(self.node).st_rdev
        self.record = f"/run/udev/data/b{os.major(number)}:{os.minor(number)}"

    def live(self, code: str = "", *, setup: str = "", **variables: str) -> list[Any]:
        """What the watcher said at first, and after `code`. `setup` is for a shell, before anything runs."""
        world = (
            "set -e\nmount -t tmpfs tmpfs /run\n"
            f'mount -o ro,noload {self.node} {shlex.quote(str(self.point))}\n{setup}\nexec "$@"'
        )
        unshare = ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", world, "sh"]
        indented = "".join(f"    {line}\n" for line in code.splitlines())
        done = subprocess.run(
            [*unshare, sys.executable, "-c", PRELUDE + indented, self.media, self.library, self.node],
            check=False,
            capture_output=True,
            timeout=60,
            env=os.environ | variables,
        )
        assert done.returncode == 0, done.stderr.decode()
        return [json.loads(line) for line in done.stdout.splitlines()]

    def put(self, name: str, text: str) -> Path:
        """A file to be shown at another place."""
        path = self.folder / name
        path.write_text(text)
        return path


@pytest.fixture
def world(disks: Disks, tmp_path: Path) -> World:
    """A world with a card in its reader."""
    need_tools(unshare="util-linux", losetup="mount")
    return World(disks, tmp_path)


def test_a_card_arrives_without_udev(world: World) -> None:
    """Where no udev runs a mounted card arrives, called as its folder, and it is noted once what can't be told."""
    first, second = world.live("watcher.look_soon()\ntell(watcher.wait(0.5))")
    assert first["arrived"] == [["EOS", str(world.point)]]
    assert len(first["notes"]) == 1
    assert "udev doesn't run here" in first["notes"][0]
    assert second == {"arrived": [], "left": 0, "refused": [], "notes": []}


def test_a_disk_in_fstab(world: World) -> None:
    """What /etc/fstab names is refused."""
    fstab = world.put("fstab", f"{world.node} /mnt/x ext4 noauto 0 0\n")
    (first,) = world.live(setup=f"mount --bind {fstab} /etc/fstab")
    assert first["refused"][0][0] == "fstab"


@pytest.mark.parametrize("space", ["the device", "a file on it"])
def test_a_disk_with_swap_space(disks: Disks, tmp_path: Path, space: str) -> None:
    """What the kernel swaps to is refused, also where the names of folders have spaces."""
    need_tools(unshare="util-linux", losetup="mount")
    world = World(disks, tmp_path, place="my card")
    path = world.node if space == "the device" else str(world.point / "swapfile").replace(" ", "\\040")
    swaps = world.put("swaps", f"Filename\tType\tSize\tUsed\tPriority\n{path} file 1024 0 -2\n")
    (first,) = world.live(setup=f"mount --bind {swaps} /proc/swaps")
    assert first["refused"] == [["swap", "its disk holds swap space"]]


def test_swap_space_that_can_not_be_told(world: World) -> None:
    """In a sandbox that hides the list of swap spaces cards arrive all the same, and that is noted."""
    (first,) = world.live(setup="mount -t proc -o subset=pid proc /proc")
    assert first["arrived"] == [["EOS", str(world.point)]]
    assert any(note.startswith("/proc/swaps can't be read here") for note in first["notes"])


def test_a_library_behind_a_link(world: World) -> None:
    """The disk that the library's path leads to is refused, however it leads there; places of cards may be links too."""
    world.library.symlink_to(world.point / "DCIM")
    (first,) = world.live()
    assert first["refused"] == [["library", "its disk holds the library"]]
    world.library.unlink()
    here = world.folder / "here"
    world.media.rename(here)
    world.media.symlink_to(here)
    (first,) = world.live()
    assert first["arrived"] == [["EOS", str(here / "EOS")]]


@pytest.mark.parametrize("control", ["", "touch /run/udev/control"])
def test_what_a_dead_udev_knew(world: World, control: str) -> None:
    """The database of an udev that runs is believed; one that was left behind describes cards that are long gone."""
    known = "I:1\\nE:ID_FS_TYPE=ext4\\nE:ID_FS_LABEL=KNOWN\\nE:ID_FS_LABEL_ENC=KNOWN\\n"
    (first,) = world.live(setup=f"mkdir -p /run/udev/data\nprintf '{known}' > {world.record}\n{control}")
    assert first["arrived"] == [["KNOWN" if control else "EOS", str(world.point)]]


@pytest.mark.parametrize(("variables", "label"), [({}, "Käse"), (ASCII, "EOS")])
def test_a_label_that_the_locale_does_not_know(world: World, variables: dict[str, str], label: str) -> None:
    """Letters of a label that this process can't read make the card one that only its mount tells of."""
    known = "I:1\nE:ID_FS_TYPE=ext4\nE:ID_FS_LABEL=Käse\nE:ID_FS_LABEL_ENC=Käse\n"
    setup = f"mkdir -p /run/udev/data\ntouch /run/udev/control\nprintf '{known}' > {world.record}"
    code = "from ghostroll.cards.volume import identify_volume\nprint(json.dumps(identify_volume(media + b'/EOS')[0].label))"
    first, named = world.live(code, setup=setup, **variables)
    assert first["arrived"] == [[label, str(world.point)]]
    assert named == label


def test_a_device_that_udev_has_not_been_at(world: World) -> None:
    """While udev hasn't been at a device its mount alone tells what it is."""
    setup = "mkdir -p /run/udev/data\ntouch /run/udev/control"
    (first,) = world.live(setup=setup)
    assert first["arrived"] == [["EOS", str(world.point)]]


def test_a_card_without_a_name(world: World) -> None:
    """The helper's folders are numbers, and no card is called by one; any other folder's name will do."""
    setup = f"mkdir -p /run/ghostroll/cards/5-0\nmount -o ro,noload {world.node} /run/ghostroll/cards/5-0"
    code = """
from ghostroll.cards.volume import identify_volume
print(json.dumps([identify_volume(place)[0].label for place in (b"/run/ghostroll/cards/5-0", media + b"/EOS")]))
"""
    assert world.live(code, setup=setup)[1:] == [["CARD", "EOS"]]


def test_an_udev_that_comes_later(world: World) -> None:
    """Where /dev is a container's, libudev is deaf until udev runs; at the next look after that its events are heard."""
    need_tools(udevadm="udev")
    number = os.stat(world.node).st_rdev
    setup = f"""
mkdir -p {world.folder}/dev && mount -t tmpfs dev {world.folder}/dev
cp -a /dev/null /dev/urandom {world.folder}/dev/
mknod {world.folder}{world.node} b {os.major(number)} {os.minor(number)}
mount --move {world.folder}/dev /dev
"""
    code = f"""
udevd = subprocess.Popen(["{UDEVD}"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
while not os.path.exists("/run/udev/control"):
    os.sched_yield()
watcher.look_soon()
tell(watcher.wait(0.5))
looks = watcher.looks
subprocess.run(["udevadm", "trigger", "--action=add", "/sys/block/" + name], check=True)
subprocess.run(["udevadm", "settle", "--timeout=20"], check=True)
tell(watcher.wait(1))
assert watcher.looks > looks, "nothing was heard"
udevd.terminate()
udevd.wait()
"""
    first, second, _ = world.live(code, setup=setup)
    assert "udev doesn't run here" in first["notes"][0]
    assert second["left"] == 0


def test_too_few_files_are_no_pulled_card(world: World) -> None:
    """A process that runs out of files keeps what it knew, and looks again soon once it has some."""
    code = """
limit = resource.getrlimit(resource.RLIMIT_NOFILE)
used = max(map(int, os.listdir("/proc/self/fd")))
looks = watcher.looks
for more in range(4):
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + more, limit[1]))
    watcher.look_soon()
    tell(watcher.wait(0.1))
assert watcher.looks >= looks + 4
resource.setrlimit(resource.RLIMIT_NOFILE, (used, limit[1]))
assert ctypes.CDLL(None).umount2(os.path.join(media, b"EOS"), 0) == 0
tell(watcher.wait(0.5))
resource.setrlimit(resource.RLIMIT_NOFILE, limit)
tell(watcher.wait(30))
"""
    first, *starved, last = world.live(code)
    assert len(first["arrived"]) == 1
    assert {(one["left"], len(one["refused"])) for one in starved} == {(0, 0)}
    assert last["left"] == 1
