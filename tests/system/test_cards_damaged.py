"""Cards whose filesystem is damaged: folders that contain themselves, names that lead nowhere, files that share blocks. Real ext4."""

import os
from pathlib import Path

import pytest
from campaign import count
from disks import Disks, run
from promises import check_records, hash_tree, list_originals
from running import Run, check_sentence, environment, run_command

FILES = {
    "DCIM/100/fine.bin": b"fine" * 9000,
    "DCIM/101/inner/deep.bin": b"deep" * 9000,
    "LOST/lost.bin": b"lost",
}


@pytest.fixture
def env(tmp_path: Path, library: Path) -> dict[str, str]:
    """A user with a library."""
    return environment(tmp_path, library)


def ingest_damaged(env: dict[str, str], card: Path) -> Run:
    """Ingest a card of which something can't be listed: never secured, and said in sentences."""
    done = run_command(env, "ingest", card, "--json")
    check_sentence(done)
    assert done.code == 3, done.err + done.out
    assert done.document["secured"] is False
    assert done.document["state"] == "attention"
    return done


@pytest.mark.parametrize(
    ("target", "place"),
    [("DCIM", "DCIM/101/inner/again"), ("DCIM/101", "DCIM/101/again"), (".", "DCIM/100/root")],
)
def test_a_folder_that_contains_itself(
    target: str, place: str, env: dict[str, str], disks: Disks, library: Path
) -> None:
    """A folder that is inside itself is named once, everything else is stored once, and the scan comes to an end."""
    image = disks.format("CARD", mib=16, files=FILES)
    run("debugfs", "-w", "-R", f"link {target} {place}", image)
    card = disks.mount(image, read_only=True)
    done = ingest_damaged(env, card.point)
    assert [failed["stage"] for failed in done.document["failed"]] == ["scan"]
    assert done.document["failed"][0]["path"] == place
    stored = sorted(list_originals(library).values())
    assert stored == sorted(set(stored))
    assert len(stored) == len(FILES)
    check_records(library)
    count("card: folders that contain themselves")


@pytest.mark.parametrize("wiped", ["LOST", "DCIM/100/fine.bin"])
def test_a_name_that_leads_nowhere(wiped: str, env: dict[str, str], disks: Disks, library: Path) -> None:
    """A folder or file whose inode is wiped is named, what is beside it is stored, and the card is not secured."""
    image = disks.format("CARD", mib=16, files=FILES)
    run("debugfs", "-w", "-R", f"clri /{wiped}", image)
    card = disks.mount(image, read_only=True)
    done = ingest_damaged(env, card.point)
    assert [failed["path"] for failed in done.document["failed"]] == [wiped]
    assert len(list_originals(library)) == len(FILES) - 1
    check_records(library)
    count("card: names that lead nowhere")


def test_files_that_share_a_block(env: dict[str, str], disks: Disks, library: Path) -> None:
    """Two files that a damaged card lets share a block are each stored as the card gives them."""
    image = disks.format("CARD", mib=16, files=FILES)
    shared = run("debugfs", "-R", "blocks /DCIM/100/fine.bin", image).split()[0]
    run("debugfs", "-w", "-R", f"sif /DCIM/101/inner/deep.bin block[0] {shared}", image)
    card = disks.mount(image, read_only=True)
    done = run_command(env, "ingest", card.point, "--json")
    check_sentence(done)
    assert done.code == 0, done.err + done.out
    given = hash_tree(card.point)
    assert set(list_originals(library).values()) == set(given.values())
    deep = (card.point / "DCIM/101/inner/deep.bin").read_bytes()
    assert deep[:4096] == (FILES["DCIM/100/fine.bin"])[:4096]
    count("card: files that share a block")


def test_a_source_is_read_again_from_the_medium(env: dict[str, str], disks: Disks, library: Path) -> None:
    """With copy.reread_source a card that gives other bytes from its medium than from memory never gets by."""
    image = disks.format("CARD", mib=16, files={"film.bin": os.urandom(300_000)})
    card = disks.mount(image, read_only=True)
    remembered = (card.point / "film.bin").read_bytes()  # in the page cache from here on
    card.flip(card.find(remembered[100_000:100_064]))
    env = env | {"GHOSTROLL_COPY__REREAD_SOURCE": "true"}
    done = run_command(env, "ingest", card.point, "--json")
    check_sentence(done)
    # The first try had the remembered bytes; what it stored in the end is what the medium gives.
    assert done.code == 0, done.err + done.out
    (stored,) = library.glob("*/originals/CARD/film.bin")
    assert stored.read_bytes() != remembered
    card.forget()
    assert stored.read_bytes() == (card.point / "film.bin").read_bytes()
    count("card: wrong bytes at the first read, found by reading twice")
