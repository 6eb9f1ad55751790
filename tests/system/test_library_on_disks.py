"""The library's disk: not mounted, read-only, full, and giving back other bytes than were written."""

import contextlib
import os
from pathlib import Path

import pytest
from disks import Disk, Disks
from keeping import copy_all, found_library, list_sources, make_ledger
from promises import ask, check_finished, check_records, hash_tree, list_originals
from running import Run, check_sentence, environment, run_command

from ghostroll.errors import TransientError
from ghostroll.library import copying, durable
from ghostroll.library.copying import Failed, Stored


@pytest.fixture(params=["state inside", "state elsewhere"])
def env(request: pytest.FixtureRequest, tmp_path: Path, shelf: Disk) -> dict[str, str]:
    """A user whose library is that disk, with the database on it or somewhere else."""
    more = (
        {}
        if request.param == "state inside"
        else {"GHOSTROLL_STATE__PATH": str(tmp_path / "db" / "state.db")}
    )
    return environment(tmp_path, shelf.point, **more)


def ingest(env: dict[str, str], card: Path, *, code: int = 0) -> Run:
    """Ingest to the expected end."""
    done = run_command(env, "ingest", card, "--json")
    check_sentence(done)
    assert done.code == code, done.err + done.out
    return done


def test_a_disk_that_is_not_mounted(env: dict[str, str], photos: Path, shelf: Disk, disks: Disks) -> None:
    """The empty mount point of the library's disk stays empty; with the disk back, all is known."""
    ingest(env, photos)
    shelf.unmount()
    run = ingest(env, photos, code=2)
    assert "mount its disk" in run.err
    assert os.listdir(shelf.point) == []
    disks.mount(shelf.image, read_only=False)
    assert ingest(env, photos).document["known"] == 6


@pytest.mark.parametrize("used", ["new", "used"])
def test_a_read_only_disk(used: str, env: dict[str, str], photos: Path, shelf: Disk) -> None:
    """A library on a read-only disk is refused in one sentence; nothing is called secured."""
    if used == "used":
        ingest(env, photos)
        (photos / "more.bin").write_bytes(b"more")
    shelf.remount(read_only=True)
    run = ingest(env, photos, code=2)
    assert "writable" in run.err
    shelf.remount(read_only=False)
    assert ingest(env, photos).document["secured"] is True


def test_a_disk_that_gives_back_other_bytes(
    photos: Path, shelf: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bit that turns on the medium after the sync is found by the read-back, and the file is copied again."""
    library = found_library(shelf.point / "library")
    ledger = make_ledger(photos)
    sources = list_sources(photos)
    needle = (photos / "file3.bin").read_bytes()[1_000_000:1_000_064]
    sync_data = durable.sync_data
    flipped: list[int] = []

    def flip(descriptor: int) -> None:
        sync_data(descriptor)
        place = shelf.find(needle)
        if place >= 0 and not flipped:
            flipped.append(place)
            shelf.flip(place)

    monkeypatch.setattr(copying, "sync_data", flip)
    fates = copy_all(library, ledger, sources)
    assert flipped
    (failed,) = [fate for fate in fates if isinstance(fate, Failed)]
    assert failed.source.path == b"file3.bin"
    assert isinstance(failed.error, TransientError)
    assert len(list_originals(shelf.point / "library")) == 5
    (again,) = copy_all(library, ledger, [failed.source])
    assert isinstance(again, Stored)
    assert set(list_originals(shelf.point / "library").values()) == set(hash_tree(photos).values())


def test_a_rotten_orphan_is_not_adopted(photos: Path, shelf: Disk) -> None:
    """A final name without a record whose bytes rotted on the medium is moved aside, not recorded."""
    library = found_library(shelf.point / "library")
    sources = list_sources(photos)[:1]
    copy_all(library, make_ledger(photos), sources)
    shelf.forget()
    shelf.flip(shelf.find((photos / "file0.bin").read_bytes()[:64]))
    ledger = make_ledger(photos)  # its record was lost
    (fate,) = copy_all(library, ledger, sources)
    assert isinstance(fate, Stored)
    assert "moved aside" in ledger.notices[0]
    assert set(list_originals(shelf.point / "library").values()) == {hash_tree(photos)[b"file0.bin"]}


def test_a_disk_that_is_full(env: dict[str, str], photos: Path, shelf: Disk) -> None:
    """What is short is said at the start, what fits is kept, exit code 5; with room, the same job is completed."""
    ballast = shelf.point.parent / "ballast"
    ballast.symlink_to(shelf.point / "lost+found" / "ballast")
    space = os.statvfs(shelf.point)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize - 9_000_000)
    run = ingest(env, photos, code=5)
    assert run.document["secured"] is False
    assert 0 < run.document["new"] < 6
    (waiting,) = run.document["waiting"]
    assert waiting["cause"] == "no-space"
    assert waiting["tasks"] == 6 - run.document["new"]
    ballast.resolve().unlink()
    again = ingest(env, photos)
    assert again.document["job"] == run.document["job"]
    assert again.document["secured"] is True
    assert again.document["new"] == 6
    if "GHOSTROLL_STATE__PATH" not in env:
        check_records(shelf.point)


def test_what_is_short_is_said_for_people(env: dict[str, str], photos: Path, shelf: Disk) -> None:
    """On the terminal a full disk is a NOT SAFE with the amount that is missing and what to do."""
    with (shelf.point / "lost+found" / "ballast").open("wb") as file:
        space = os.statvfs(shelf.point)
        os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize - 5_000_000)
    run = run_command(env, "ingest", photos)
    check_sentence(run)
    assert run.code == 5
    assert "NOT SAFE" in run.out
    assert "SECURED" not in run.out
    assert "make room" in run.out + run.err
    assert " MB" in run.err, "how much is short"


@pytest.mark.parametrize("left", [0, 20_000, 150_000, 250_000])
def test_a_state_that_is_full(left: int, photos: Path, disks: Disks, library: Path, tmp_path: Path) -> None:
    """Without room for the database nothing is called secured, and it is said in a sentence; with room all is well."""
    for number in range(2000):
        (photos / f"small{number}.bin").write_text(str(number))
    desk = disks.make("DESK", mib=16, read_only=False)
    env = environment(tmp_path, library, GHOSTROLL_STATE__PATH=str(desk.point / "state.db"))
    ballast = desk.point / "ballast"
    space = os.statvfs(desk.point)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize - left - 100_000)
    fill = desk.point / "fill"
    with fill.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while os.statvfs(desk.point).f_bavail * space.f_frsize > left:
            file.write(bytes(4096))
    run = run_command(env, "ingest", photos, "--json")
    check_sentence(run)
    assert run.code == 5, run.err
    assert '"secured": true' not in run.out
    assert "SECURED" not in run.out
    ballast.unlink()
    fill.unlink()
    again = ingest(env, photos)
    assert again.document["secured"] is True
    assert set(list_originals(library).values()) == set(hash_tree(photos).values())


def test_a_library_of_an_ordinary_user(photos: Path, tmp_path: Path) -> None:
    """Where nothing may be written, neither in the library nor at home, it is said in a sentence."""
    library = tmp_path / "library"
    library.mkdir(mode=0o555)
    capabilities = "-dac_override,-dac_read_search"
    before = ["setpriv", f"--bounding-set={capabilities}", f"--inh-caps={capabilities}"]
    run = run_command(environment(tmp_path, library), "ingest", photos, before=before)
    check_sentence(run)
    assert run.code == 2
    library.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    run = run_command(environment(home, library), "ingest", photos, before=before)
    check_sentence(run)
    assert run.code == 0, "a home that takes nothing is no reason not to secure a card"
    check_finished(library, photos)
    assert ask(library, "SELECT safety FROM job") == [("secured",)]
