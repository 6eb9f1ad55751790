"""Root folders of a small Debian for containers, made once and kept: the system itself, and the system with ghostroll in it.

They lie in $XDG_CACHE_HOME/ghostroll-tests, else in /var/cache/ghostroll-tests, which must be on a disk that
overlayfs can write to (ext4, xfs, btrfs). Each is named by a hash of what it was made from, and is made under
a lock, so that several test runs can share them. The mirror is the one that apt uses; wheels come as pip on this
machine is set up to get them. Removing the folder is always safe while no test runs. Needs root.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from running import do_without, need_tools

TREE = Path(__file__).resolve().parents[1]
WHEELS = "/srv/wheels"  # where a container finds what it would fetch

TRIGGER = (
    "etc/systemd/system/systemd-udev-trigger.service.d/test.conf"  # which devices udevd hears of at boot
)
_PACKAGES = "ca-certificates,dbus,libpam-systemd,make,polkitd,procps,python3,python3-venv,sudo,systemd,systemd-sysv,udev"
# What `make install` takes from a source tree.
_SOURCES = (
    "LICENSE",
    "Makefile",
    "README.md",
    "config.example.toml",
    "pyproject.toml",
    "requirements",
    "src",
    "systemd",
    "udev",
)
# They would change the machine around the container, whose kernel it shares, or wait for what never comes.
_SILENCED = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "systemd-binfmt.service",
    "systemd-modules-load.service",
    "systemd-sysctl.service",
    "systemd-timesyncd.service",
)
_PEOPLE = {"alex": "sudo", "stranger": ""}  # who lives in there, and in which group
_FILES = {
    "etc/hostname": "ghostroll-test\n",
    "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 ghostroll-test\n",
    "etc/sudoers.d/test": "alex ALL=(ALL) NOPASSWD: ALL\n",
    "etc/pip.conf": f"[global]\nno-index = true\nfind-links = {WHEELS}\n",
    # Every line is kept, over reboots too.
    "etc/systemd/journald.conf.d/test.conf": "[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\n",
    # All devices of the machine would be heard of anew, here and in every other container.
    TRIGGER: "[Service]\nExecStart=\nExecStart=/bin/true\n",
}
_KEPT = 4  # folders of each kind
_PYTHON = "/usr/bin/python3"


def cache_folder() -> Path:
    """Where roots are kept, for root alone: programs in there have the set-user-id bit."""
    above = Path(os.environ.get("XDG_CACHE_HOME") or "/var/cache")
    folder = above / "ghostroll-tests"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != 0 or found.st_mode & 0o077:
        do_without(f"{folder} must be root's alone: remove it")
    return folder


def digest(parts: Iterable[str | bytes]) -> str:
    """A short name for what something was made from."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(b"%d:" % len(data) + data)
    return total.hexdigest()[:16]


@contextlib.contextmanager
def kept(name: str, make: Callable[[Path], None]) -> Iterator[Path]:
    """A folder of the cache, made by `make` if it is not there yet, and not removed while this goes on.

    `make` is given an empty folder, which gets its name only when it is complete. Others who want the same folder wait
    meanwhile. Older ones of the kind, the word before the `-`, are removed then.
    """
    place = cache_folder() / name
    with _locked(name, fcntl.LOCK_SH):
        if not place.is_dir():
            with _locked(f"{name}.making", fcntl.LOCK_EX):
                if not place.is_dir():
                    _make(place, make)
                    _forget_others(place)
        os.utime(place)
        yield place


@contextlib.contextmanager
def _locked(name: str, how: int) -> Iterator[None]:
    """Hold a named lock, alone or with others. It ends with the process at the latest. BlockingIOError by LOCK_NB."""
    with (cache_folder() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, how)
        yield


def _make(place: Path, make: Callable[[Path], None]) -> None:
    draft = place.with_name(f"{place.name}.draft")
    remove_folder(draft)
    draft.mkdir(mode=0o755)
    make(draft)
    draft.rename(place)


def _forget_others(place: Path) -> None:
    kind = place.name.partition("-")[0]
    others = [one for one in cache_folder().glob(f"{kind}-*") if one.is_dir() and one != place]
    for other in sorted(others, key=lambda one: one.stat().st_mtime)[: 1 - _KEPT]:
        name = other.name.removesuffix(".draft")
        # Whoever uses it, or makes it, holds the lock.
        with contextlib.suppress(BlockingIOError), _locked(name, fcntl.LOCK_EX | fcntl.LOCK_NB):
            remove_folder(other)
            for lock in cache_folder().glob(f"{name}*.lock"):
                lock.unlink()


def remove_folder(folder: Path) -> None:
    """Remove a whole root, if it is there."""
    subprocess.run(["rm", "-rf", "--one-file-system", folder], check=True)


def base() -> AbstractContextManager[Path]:
    """The root of a Debian like this machine's, with systemd, udev, D-Bus, logind and polkit, and without ghostroll.

    The first time this fetches about 100 MB of packages.
    """
    codename = _read_os_release()["VERSION_CODENAME"]
    parts = [codename, _PACKAGES, *_SILENCED, repr(sorted(_FILES.items())), repr(sorted(_PEOPLE.items()))]

    def make(draft: Path) -> None:
        need_tools(debootstrap="debootstrap")
        _bootstrap(codename, draft)
        _furnish(draft)

    return kept("base-" + digest(parts), make)


def _read_os_release() -> dict[str, str]:
    lines = Path("/etc/os-release").read_text().splitlines()
    return {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}


def _find_mirror(codename: str) -> tuple[str, str]:
    """The address that apt fetches this release's main part from, and its keyring; "" where that is the default."""
    form = "$(RELEASE)\t$(COMPONENT)\t$(REPO_URI)\t$(SIGNED_BY)"
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages"],
        check=True,
        capture_output=True,
        text=True,
    )
    for line in listed.stdout.splitlines():
        release, component, address, keyring = line.split("\t")
        if (release, component) == (codename, "main"):
            return address, keyring if keyring.startswith("/") else ""
    return do_without(f"apt knows no mirror of {codename}: apt-get update")


def _bootstrap(codename: str, draft: Path) -> None:
    address, keyring = _find_mirror(codename)
    proxy = subprocess.run(
        ["apt-config", "shell", "PROXY", "Acquire::http::Proxy"], check=True, capture_output=True, text=True
    ).stdout.strip()
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if proxy.startswith("PROXY='"):
        environment.setdefault("http_proxy", proxy[len("PROXY='") : -1])
    options = [f"--keyring={keyring}"] if keyring else []
    with (draft.parent / "debootstrap.log").open("w+") as log:
        done = subprocess.run(
            [
                "debootstrap",
                "--variant=minbase",
                f"--include={_PACKAGES}",
                *options,
                codename,
                draft,
                address,
            ],
            check=False,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            timeout=900,
        )
        if done.returncode != 0:
            log.seek(0)
            do_without(f"debootstrap failed, its log is {log.name}: {log.read()[-300:]}")


def _furnish(root: Path) -> None:
    for unit in _SILENCED:
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
    for name, text in _FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for person, group in _PEOPLE.items():
        groups = ["--groups", group] if group else []
        subprocess.run(
            ["chroot", root, "useradd", "--create-home", "--shell", "/bin/sh", *groups, person], check=True
        )
    (root / WHEELS.lstrip("/")).mkdir(parents=True)
    (root / "etc/machine-id").write_text("")  # each container gets its own


def wheels() -> AbstractContextManager[Path]:
    """A folder with every wheel that `make install` fetches, got as pip on this machine gets things; hashes are checked."""
    locks = [TREE / "requirements" / name for name in ("runtime.lock", "build.lock")]
    version = subprocess.run([_PYTHON, "--version"], check=True, capture_output=True, text=True).stdout

    def make(draft: Path) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            # The same Python as in the container: the wheels must be for that one.
            subprocess.run([_PYTHON, "-m", "venv", scratch], check=True)
            for file in locks:
                options: list[str | Path] = [
                    "--require-hashes",
                    "--only-binary=:all:",
                    "--dest",
                    draft,
                    "--requirement",
                    file,
                ]
                _fetch([f"{scratch}/bin/pip", "download", "--quiet", "--disable-pip-version-check", *options])

    return kept("wheels-" + digest([version, *(file.read_bytes() for file in locks)]), make)


def _fetch(command: list[str | Path]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        do_without(f"what {command[-1]} lists can't be fetched: {done.stderr[-300:]}")


def list_sources() -> list[Path]:
    """Every file of the working tree that `make install` needs."""
    found: list[Path] = []
    for name in _SOURCES:
        place = TREE / name
        files = [place] if place.is_file() else sorted(place.rglob("*"))
        found += [file for file in files if file.is_file() and "__pycache__" not in file.parts]
    return found


def copy_sources(into: Path) -> None:
    """Put a copy of the working tree's sources into a folder."""
    for file in list_sources():
        target = into / file.relative_to(TREE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)


def name_installed(below: Path, sources: Path) -> str:
    """What the layer with a copy of the sources installed over a base is called."""
    parts: list[str | bytes] = [below.name, Path(__file__).read_bytes()]
    for file in sorted(sources.rglob("*")):
        if file.is_file():
            parts += [str(file.relative_to(sources)), str(file.stat().st_mode), file.read_bytes()]
    return "installed-" + digest(parts)
