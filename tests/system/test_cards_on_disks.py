"""Cards as disks: bad sectors, pulled and swapped cards, and what stands on them that is no file."""

import os
import stat
from pathlib import Path

import pytest
from disks import Disk, Disks, run
from holding import hold_reads
from promises import ask, check_finished, check_records, hash_tree, list_originals
from running import Run, check_sentence, environment, finish_command, run_command, start_command

from ghostroll.cards.inventory import take_inventory
from ghostroll.cards.volume import identify_volume
from ghostroll.errors import CardGone
from ghostroll.model import SourceState


@pytest.fixture
def env(tmp_path: Path, library: Path) -> dict[str, str]:
    """A user whose copies are recorded one by one, by one thread."""
    return environment(
        tmp_path, library, GHOSTROLL_COPY__BATCH_FILES="1", GHOSTROLL_COPY__THREADS_PER_CARD="1"
    )


def ingest(env: dict[str, str], card: Disk | Path, *, code: int = 0) -> Run:
    """Ingest to the expected end."""
    done = run_command(env, "ingest", card.point if isinstance(card, Disk) else card, "--json")
    check_sentence(done)
    assert done.code == code, done.err + done.out
    assert done.document["secured"] is (code == 0)
    return done


def test_a_card_is_secured_and_known(env: dict[str, str], card: Disk, library: Path) -> None:
    """A card of its own filesystem is secured, and known when it comes back in another slot."""
    ingest(env, card)
    check_finished(library, card.point)
    assert ask(library, "SELECT label, filesystem, size FROM job") == [("CARD", "ext4", 16 << 20)]
    image = card.image
    card.unmount()
    other = Disks(card.point.parent).mount(image, read_only=True)
    assert ingest(env, other).document["known"] == 3


def test_a_bad_sector_costs_one_file(env: dict[str, str], disks: Disks, library: Path) -> None:
    """A file with an unreadable block is named, the others are stored; cleaned and tried again, it is secured."""
    files = {f"DCIM/file{number}.bin": os.urandom(40_000) for number in range(4)}
    card = disks.make("CARD", mib=16, files=files, bad={"DCIM/file2.bin": 3})
    card.cut()
    card.forget()
    done = ingest(env, card, code=3)
    assert done.document["state"] == "attention"
    (failed,) = done.document["failed"]
    assert (failed["path"], failed["stage"]) == ("DCIM/file2.bin", "copy")
    assert "bad sector" in failed["error"]
    assert "ghostroll retry" in failed["error"]
    assert len(list_originals(library)) == 3
    check_records(library)
    os.truncate(card.image, 16 << 20)  # the contacts are clean now
    card.forget()
    again = ingest(env, card)
    assert again.document["job"] == done.document["job"]
    check_finished(library, card.point)


def test_a_folder_that_cannot_be_listed_is_a_failure(
    env: dict[str, str], disks: Disks, library: Path
) -> None:
    """An unreadable folder is named itself and the card is not secured; once it can be listed, its files join the job."""
    files = {"DCIM/fine.bin": b"fine", "LOST/inner.bin": b"inner"}
    card = disks.make("CARD", mib=16, files=files, bad={"LOST": 0})
    card.cut()
    card.forget()
    done = ingest(env, card, code=3)
    (failed,) = done.document["failed"]
    assert (failed["path"], failed["stage"]) == ("LOST", "scan")
    assert "can't be listed" in failed["error"]
    assert len(list_originals(library)) == 1


def test_nodes_and_mounts_on_a_card_are_skipped(env: dict[str, str], disks: Disks, library: Path) -> None:
    """Device nodes are not opened, and what is mounted inside a card is not the card's: both are listed as skipped."""
    card = disks.make(
        "CARD", mib=16, files={"DCIM/fine.bin": b"fine", "inner/hidden.bin": b"h"}, read_only=False
    )
    os.mknod(card.point / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(card.point / "disk", stat.S_IFBLK | 0o666, os.makedev(7, 0))
    run("mount", "-t", "tmpfs", "tmpfs", card.point / "inner")
    (card.point / "inner" / "foreign.bin").write_bytes(b"foreign")
    done = ingest(env, card)
    assert done.document["files"] == 1
    skipped = dict(ask(library, "SELECT path, error FROM source WHERE state = 'skipped'"))
    assert set(skipped) == {b"null", b"disk", b"inner"} | ({b"lost+found"} & set(skipped))
    assert "another filesystem is mounted here" in skipped[b"inner"]


def test_the_card_is_not_written(env: dict[str, str], card: Disk, library: Path) -> None:
    """Not one bit of a card's image changes, and it is not even marked as mounted."""
    before = hash_tree(card.image.parent)[b"CARD.img"]
    ingest(env, card)
    check_finished(library, card.point)
    run("sync")
    assert hash_tree(card.image.parent)[b"CARD.img"] == before


def test_a_swap_is_noticed_though_the_mount_stays(card: Disk, disks: Disks) -> None:
    """Another medium in the slot, with a file of the old one open: its number rises, and the card is gone."""
    _, medium = identify_volume(os.fsencode(card.point))
    found = take_inventory(medium, (), check=lambda: None)
    assert sum(entry.state is SourceState.PENDING for entry in found) == 3
    before = card.diskseq
    with (card.point / "DCIM" / "100" / "file0.bin").open("rb"):
        card.pull(disks.format("OTHER", mib=16))
        assert card.diskseq > before
        assert card.point.exists(), "the mount is still there"
        with pytest.raises(CardGone, match="pulled or swapped"):
            medium.check_present()
        with pytest.raises(CardGone):
            take_inventory(medium, (), check=lambda: None)


@pytest.mark.parametrize("way", ["swapped", "unmounted", "renamed"])
def test_a_card_pulled_in_the_middle(
    way: str, env: dict[str, str], disks: Disks, library: Path, tmp_path: Path
) -> None:
    """Pulled in the middle of a file: exit code 4, NOT SAFE, what was verified stays; put back, the job is completed."""
    files = {f"DCIM/100/file{number}.bin": os.urandom(3_000_000) for number in range(3)}
    disk = disks.make("CARD", mib=16, files=files)
    card = disk.point
    if way == "renamed":
        card = tmp_path / "CARD"
        for name, data in files.items():
            (card / name).parent.mkdir(parents=True, exist_ok=True)
            (card / name).write_bytes(data)
    with hold_reads(card / "DCIM" / "100" / "file1.bin") as held:
        process = start_command(env, "ingest", card)
        held.catch()
        held.let_one_go()
        held.catch()
        match way:
            case "swapped":
                disk.pull(disks.format("OTHER", mib=16))
            case "unmounted":
                run("umount", "-l", card)
            case _:
                card.rename(tmp_path / "away")
                (card / "DCIM").mkdir(parents=True)
    done = finish_command(process)
    check_sentence(done)
    assert done.code == 4, done.err
    assert "NOT SAFE" in done.out
    assert "SECURED" not in done.out
    check_records(library)
    assert ask(library, "SELECT path FROM source WHERE state = 'stored'") == [(b"DCIM/100/file0.bin",)]
    assert os.listdir(library / ".ghostroll" / "incoming") == []
    match way:
        case "swapped":
            run("umount", card)
            run("losetup", "-d", disk.device)
            disks.mount(disk.image, read_only=True)
        case "unmounted":
            disks.mount(disk.image, read_only=True)
        case _:
            (card / "DCIM").rmdir()
            card.rmdir()
            (tmp_path / "away").rename(card)
    again = ingest(env, card)
    assert again.document["job"] == 1
    check_finished(library, card)


@pytest.mark.parametrize("change", ["grows", "shrinks", "changes", "vanishes"])
def test_a_file_that_changes_while_it_is_read(
    change: str, env: dict[str, str], disks: Disks, library: Path
) -> None:
    """A file that another program changes between two chunks is named and fails alone; the next run heals it."""
    files = {f"DCIM/file{number}.bin": os.urandom(2_500_000) for number in range(3)}
    card = disks.make("CARD", mib=16, files=files, read_only=False)
    path = card.point / "DCIM" / "file1.bin"
    with hold_reads(path) as held:
        process = start_command(env, "ingest", card.point, "--json")
        held.catch()
        held.let_one_go()
        held.catch()
        match change:
            case "grows":
                with path.open("ab") as file:
                    file.write(b"more")
            case "shrinks":
                os.truncate(path, 1_500_000)
            case "changes":
                with path.open("r+b") as file:
                    file.write(b"another beginning")
            case _:
                path.unlink()
    done = finish_command(process)
    check_sentence(done)
    if change == "vanishes":  # it was open, and could be read to its end
        assert done.code == 0, done.err
        assert len(list_originals(library)) == 3
    else:
        assert done.code == 3, done.err
        assert done.document["state"] == "attention"
        assert [failed["path"] for failed in done.document["failed"]] == ["DCIM/file1.bin"]
        assert len(list_originals(library)) == 2
    check_records(library)
    again = ingest(env, card)
    assert again.document["secured"] is True
    assert set(hash_tree(card.point).values()) <= set(list_originals(library).values())
