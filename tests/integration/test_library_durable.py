"""A durable file: each step does what it promises, and they come in the right order."""

import ctypes
import errno
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import command, do_without, environment, need_tools
from tracing import join_calls

from ghostroll.errors import LibraryNotThere, NoSpace, TransientError
from ghostroll.library import durable
from ghostroll.library.durable import (
    ContentReader,
    Folders,
    has_size,
    library_errors,
    read_content,
    rename_into_place,
    write_whole,
)
from ghostroll.model import HEAD_BYTES

MIB = 1 << 20


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    """A descriptor of a fresh folder."""
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def nothing(_: int) -> None:
    """No objection."""


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, HEAD_BYTES - 1, HEAD_BYTES + 1, MIB, 3 * MIB + 5])
@pytest.mark.parametrize("chunk", [1 << 16, MIB])
def test_reading_back_gives_every_byte(size: int, chunk: int, root: int, tmp_path: Path) -> None:
    """Whatever its size, a file is read to its last byte, and its head is the first 64 KiB."""
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(data)
    reader = ContentReader(chunk)
    content = read_content(root, b"file", reader, check=nothing)
    reader.close()
    assert content.size == size
    assert content.sha256 == hashlib.sha256(data).digest()
    assert content.head == hashlib.sha256(data[:HEAD_BYTES]).digest()


@pytest.mark.parametrize("taken", ["file", "folder", "dangling link"])
@pytest.mark.parametrize("kernel", ["new", "old"])
def test_a_rename_never_replaces(
    taken: str, kernel: str, root: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever has the name keeps it, also where the filesystem knows no exclusive rename."""
    if kernel == "old":

        class _OldLibc:
            def renameat2(self, *_: object) -> int:
                ctypes.set_errno(errno.EINVAL)
                return -1

        monkeypatch.setattr(durable, "_libc", _OldLibc())
    final, temp = tmp_path / "final", tmp_path / "temp"
    temp.write_bytes(b"new")
    match taken:
        case "file":
            final.write_bytes(b"old")
        case "folder":
            final.mkdir()
        case _:
            final.symlink_to("nowhere")
    before = os.lstat(final)
    with pytest.raises(FileExistsError):
        rename_into_place(root, b"temp", b"final")
    assert os.lstat(final) == before
    assert temp.read_bytes() == b"new"
    rename_into_place(root, b"temp", b"free")
    assert (tmp_path / "free").read_bytes() == b"new"


def test_what_the_disk_says_becomes_what_to_do() -> None:
    """A full disk, a read-only disk and a failing disk are told apart."""
    for code, expected in (
        (errno.ENOSPC, NoSpace),
        (errno.EDQUOT, NoSpace),
        (errno.EROFS, LibraryNotThere),
        (errno.EIO, TransientError),
    ):
        with pytest.raises(expected), library_errors("writing"):
            raise OSError(code, os.strerror(code))


def test_a_whole_file_is_replaced_at_once(root: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the new one is whole and on the medium, the old one stands."""
    write_whole(root, b"file", [b"old"], b"temp")
    seen: list[bytes] = []
    fdatasync = os.fdatasync

    def look(descriptor: int) -> None:
        seen.append((tmp_path / "file").read_bytes())
        fdatasync(descriptor)

    monkeypatch.setattr(os, "fdatasync", look)
    write_whole(root, b"file", [b"new"], b"temp")
    assert seen == [b"old"]
    assert (tmp_path / "file").read_bytes() == b"new"
    assert not (tmp_path / "temp").exists()


def test_every_changed_folder_is_synced(root: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New folders are synced with all above them; afterwards only those where something changed again."""
    synced: list[bytes] = []
    sync_folder = durable.sync_folder

    def listen(root: int, folder: bytes) -> None:
        synced.append(folder)
        sync_folder(root, folder)

    monkeypatch.setattr(durable, "sync_folder", listen)
    folders = Folders()
    folders.make(root, b"a/b/c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
    folders.sync(root, [b"a/b/c"])
    assert synced == [b"a/b/c", b"a/b", b"a", b""]
    synced.clear()
    folders.sync(root, [b"a/b/c"])
    assert synced == [b"a/b/c"]
    synced.clear()
    folders.make(root, b"a/b/d")
    folders.sync(root, [b"a/b/d"])
    assert synced == [b"a/b/d", b"a/b"]
    synced.clear()
    Folders().sync(root, [b"a/b/d"])  # another process knows nothing of what this one made durable
    assert synced == [b"a/b/d", b"a/b", b"a", b""]


def test_a_failed_folder_sync_is_not_forgotten(root: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder whose sync failed is synced at the next occasion, though nothing new changed in it."""
    folders = Folders()
    folders.make(root, b"a/b")
    sync_folder = durable.sync_folder

    def fail(_root: int, folder: bytes) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), os.fsdecode(folder))

    monkeypatch.setattr(durable, "sync_folder", fail)
    with pytest.raises(OSError, match="a/b"):
        folders.sync(root, [b"a/b"])
    synced: list[bytes] = []

    def listen(root: int, folder: bytes) -> None:
        synced.append(folder)
        sync_folder(root, folder)

    monkeypatch.setattr(durable, "sync_folder", listen)
    folders.sync(root, [b"a/b"])
    assert synced == [b"a/b", b"a", b""]


# Becomes a user of few rights, who makes a session's folders and files in a library. Its folder is open already:
# such a user doesn't get through the folders above it.
AS_A_USER = """
import ctypes, os, platform, struct, sys
from ghostroll.library.durable import Folders, rename_into_place, write_whole
root, group, confined = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "confined"
os.setgroups([group]); os.setgid({user}); os.setuid({user}); os.umask(0o007)
libc = ctypes.CDLL(None, use_errno=True)
if confined:
    # What RestrictSUIDSGID= does: chmod, fchmod and fchmodat with one of these bits are EPERM (seccomp(2), linux/filter.h).
    numbers = {{"x86_64": {{90: 1, 91: 1, 268: 2}}, "aarch64": {{52: 1, 53: 2}}}}[platform.machine()]
    load, equal, any_bit, answer = 0x20, 0x15, 0x45, 0x06
    program = b"".join(
        struct.pack("=HBBI", load, 0, 0, 0)
        + struct.pack("=HBBI", equal, 0, 3, number)
        + struct.pack("=HBBI", load, 0, 0, 16 + 8 * argument)
        + struct.pack("=HBBI", any_bit, 0, 1, 0o6000)
        + struct.pack("=HBBI", answer, 0, 0, 0x00050001)
        for number, argument in numbers.items()
    ) + struct.pack("=HBBI", answer, 0, 0, 0x7FFF0000)
    kept = ctypes.create_string_buffer(program)
    wanted = struct.pack("@HP", len(program) // 8, ctypes.addressof(kept))
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert libc.prctl(22, 2, wanted, 0, 0) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    try:
        os.chmod("inherits", 0o2775, dir_fd=root)
    except PermissionError:
        pass
    else:
        raise AssertionError("nothing is refused")
folders = Folders(group)
folders.make(root, b"session/originals/CARD")
folders.make(root, b"inherits/session")
write_whole(root, b"session/index.html", [b"x"], b"session.new")
os.close(os.open("temp", os.O_WRONLY | os.O_CREAT, 0o664, dir_fd=root))
rename_into_place(root, b"temp", b"session/originals/CARD/IMG_1.JPG")
"""
USER, GROUP = 65534, 54321


@pytest.mark.parametrize("service", ["free", "confined"])
def test_a_library_for_a_group(service: str, root: int, tmp_path: Path) -> None:
    """Folders and files belong to the library's group, which may write in each, also where a service may set no such bit."""
    if os.geteuid() != 0:
        do_without("not root: run the tests with sudo")
    os.fchown(root, USER, USER)
    (tmp_path / "inherits").mkdir()
    os.chown(tmp_path / "inherits", USER, GROUP)
    (tmp_path / "inherits").chmod(0o2775)
    program = AS_A_USER.format(user=USER)
    done = subprocess.run(
        [sys.executable, "-c", program, str(root), str(GROUP), service],
        check=False,
        capture_output=True,
        pass_fds=[root],
    )
    assert done.returncode == 0, done.stderr.decode()
    bit = 0o2000 if service == "free" else 0
    for folder in ("session", "session/originals", "session/originals/CARD"):
        found = (tmp_path / folder).stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (USER, GROUP, bit | 0o775)
    found = (tmp_path / "inherits/session").stat()
    assert (found.st_gid, found.st_mode & 0o2070) == (GROUP, 0o2070)
    for file in ("session/index.html", "session/originals/CARD/IMG_1.JPG"):
        found = (tmp_path / file).stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (USER, GROUP, 0o660)


def test_a_file_stays_with_its_group_where_it_must(root: int, tmp_path: Path) -> None:
    """A file in a folder of a group that this user is not in gets there all the same."""
    if os.geteuid() != 0:
        do_without("not root: run the tests with sudo")
    os.fchown(root, USER, USER)
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", USER, GROUP)
    program = (
        "import os, sys\nfrom ghostroll.library.durable import write_whole\n"
        f"os.setgroups([]); os.setgid({USER}); os.setuid({USER})\n"
        "write_whole(int(sys.argv[1]), b'theirs/file', [b'x'], b'theirs/new')\n"
    )
    subprocess.run([sys.executable, "-c", program, str(root)], check=True, pass_fds=[root])
    assert (tmp_path / "theirs/file").stat().st_gid == USER


def test_a_file_is_there_only_with_its_size(root: int, tmp_path: Path) -> None:
    """A shorter file, a folder, a link and nothing at all don't count as the recorded file."""
    (tmp_path / "file").write_bytes(b"1234")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folder").mkdir()
    assert has_size(root, b"file", 4)
    assert not has_size(root, b"file", 5)
    assert not any(has_size(root, name, 4) for name in (b"link", b"folder", b"none", b"file/inner"))


def test_the_steps_come_in_order(tmp_path: Path) -> None:
    """As the kernel sees it: write, fdatasync, re-read, rename, fsync of every folder, and only then the record."""
    need_tools(strace="strace")
    card = tmp_path / "CARD"
    (card / "DCIM").mkdir(parents=True)
    (card / "DCIM" / "one.bin").write_bytes(os.urandom(300_000))
    library = tmp_path / "library"
    trace = tmp_path / "trace"
    calls = "openat,write,pwrite64,readv,fdatasync,fsync,renameat2,mkdirat"
    subprocess.run(
        [*("strace", "-f", "-y", "-s", "0", "-e", f"trace={calls}", "-o", trace), *command("ingest", card)],
        env=environment(tmp_path, library, GHOSTROLL_STATE__PATH=str(tmp_path / "db" / "state.db")),
        capture_output=True,
        check=True,
        timeout=100,
    )
    lines = [os.fsdecode(line) for line in join_calls(trace.read_bytes().splitlines())]
    (temp,) = {
        match[1]
        for line in lines
        if (match := re.search(r"<([^>]*/\.ghostroll/incoming/\d+-\d+)>", line)) is not None
    }
    session = next(iter(library.glob("2*"))).name

    def find(pattern: str, *, after: int = -1, last: bool = False) -> int:
        hits = [number for number, line in enumerate(lines) if number > after and re.search(pattern, line)]
        assert hits, f"never came to: {pattern}"
        return hits[-1 if last else 0]

    temp = re.escape(temp)
    written = find(rf"\bwrite\(\d+<{temp}>", last=True)
    synced = find(rf"\bfdatasync\(\d+<{temp}>")
    reread = find(rf"\breadv\(\d+<{temp}>", after=synced)
    renamed = find(r"\brenameat2\(.*RENAME_NOREPLACE", after=reread)
    home = re.escape(str(library))
    tree = [
        find(rf"\bfsync\(\d+<{home}{re.escape(folder)}>", after=renamed)
        for folder in (
            f"/{session}/originals/CARD/DCIM",
            f"/{session}/originals/CARD",
            f"/{session}/originals",
            f"/{session}",
        )
    ]
    assert written < synced < reread < renamed < tree[0] < tree[1] < tree[2] < tree[3]
    direct = find(rf"\bopenat\(.*O_DIRECT.*<{temp}>", after=synced)
    assert direct < reread, "the read-back went through the page cache"
    wal = [
        number for number, line in enumerate(lines) if re.search(r"pwrite64\(\d+<[^>]*state\.db-wal>", line)
    ]
    early = [number for number in wal if renamed < number < tree[3]]
    assert not early, "something was recorded between the rename and the last folder's fsync"
    recorded = next(number for number in wal if number > tree[3])
    promised = find(r"fdatasync\(\d+<[^>]*state\.db-wal>", after=recorded)
    manifest = find(rf"\bfdatasync\(\d+<{home}/\.ghostroll/incoming/manifest", after=promised)
    assert tree[3] < recorded < promised < manifest, "secured was written before it was durable"
