"""Every benchmark runs and says something plausible; how fast anything is, no test decides."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from figures import BENCHMARKS, figures_of, run_benchmark
from running import do_without, need_tools
from stores import find_rclone

from ghostroll.cards.volume import tell_filesystem


@pytest.fixture
def disk(tmp_path: Path) -> None:
    """Where a volume has an identity, so that its files can be known again."""
    found = tell_filesystem(os.fsencode(tmp_path))
    if found not in ("ext4", "xfs", "btrfs"):
        do_without(f"the temporary folder is on {found}: use --basetemp on ext4, xfs or btrfs")


def test_an_ingest_is_measured_beside_bare_loops(tmp_path: Path) -> None:
    """CPU, memory and time of an ingest stand beside those of bare loops that did the same work on the same photos."""
    document = run_benchmark("ingest_cost.py", tmp_path, photos=2, megapixels=1, rounds=1)
    figures = figures_of(document)
    for name in (
        "CPU seconds a photo, beside bare renders",
        "CPU seconds a photo, beside bare renders and copies",
        "peak memory of all processes, beside the bare render's",
    ):
        assert figures[name]["value"] > 0
        assert figures[name]["floor"] > 0
        assert figures[name]["ratio"] == pytest.approx(
            figures[name]["value"] / figures[name]["floor"], rel=0.01
        )
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["photos-1mp"]


@pytest.mark.usefixtures("disk")
def test_a_known_card_is_measured_cold_and_warm(tmp_path: Path) -> None:
    """Re-inserting a secured card is timed as inner time and as whole process, and the inner time is part of the whole."""
    document = run_benchmark("reinsert.py", tmp_path, files=6, kib=80, rounds=1, assets=2000)
    figures = figures_of(document)
    full = figures["warm, with more assets: from the card to secured"]
    assert full["floor"] == figures["warm: from the card to secured"]["value"]
    assert full["value"] > 0
    inner, whole = figures["warm: from the card to secured"], figures["warm: whole process"]
    assert 0 < inner["value"] < whole["value"]
    assert 0 < inner["floor"] < whole["floor"]
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_slow_medium_is_measured_beside_a_fast_one(tmp_path: Path) -> None:
    """An ingest whose syncs take long stands beside one whose syncs do not, and they are counted."""
    need_tools(strace="strace")
    document = run_benchmark("slow_medium.py", tmp_path, photos=2, megapixels=1, milliseconds=5, rounds=1)
    figures = figures_of(document)
    secured = figures["secured, beside no delay"]
    assert min(secured["value"], secured["floor"]) > 0
    assert figures["syncs"]["value"] >= 2


def test_each_part_is_measured_beside_a_bare_loop(tmp_path: Path) -> None:
    """Hash, copy, render, state and uploads have their rates, each beside that of a loop over the same input."""
    find_rclone()
    document = run_benchmark(
        "parts.py", tmp_path, photos=2, megapixels=1, transactions=50, uploads=4, rounds=1
    )
    figures = figures_of(document)
    assert len(figures) == 7
    for name, figure in figures.items():
        assert min(figure["value"], figure["floor"]) > 0, name


def test_the_rate_and_the_memory_of_many_files_are_told(tmp_path: Path) -> None:
    """Each part of a card of many files has its time, by the ledger, and all parts have different moments."""
    document = run_benchmark("counts.py", tmp_path, files=40, part=20, rounds=1)
    figures = figures_of(document)
    for what in ("stored", "with a picture"):
        last = figures[f"the last 20 files {what}, beside the first 20"]
        assert last["floor"] == figures[f"20 files {what} after 0"]["value"]
        assert last["value"] == figures[f"20 files {what} after 20"]["value"]
        assert min(last["value"], last["floor"]) > 0
    memory = figures["peak memory with 40 files, beside 40"]
    assert min(memory["value"], memory["floor"]) > 10
    assert list((tmp_path / "cache").iterdir()) == []


def test_bytes_read_from_the_card_are_counted(tmp_path: Path) -> None:
    """The card's own device counts what an ingest reads of it: every file once, and of a known card less."""
    if os.geteuid() != 0:
        do_without("not root: run the tests with sudo")
    need_tools(losetup="mount", mkfs_ext4="e2fsprogs")
    document = run_benchmark("card_reads.py", tmp_path, photos=3, megapixels=2, rounds=1)
    figures = figures_of(document)
    media = figures["read from the card, of its files' bytes"]
    assert media["ratio"] == pytest.approx(1, abs=0.02)
    assert figures["the same, with listing"]["value"] > media["value"]
    assert figures["a known card again, of its files' heads"]["value"] < media["value"]


def test_a_whole_ingest_is_measured_beside_its_floors_and_the_classic_design(tmp_path: Path) -> None:
    """A plain read, bare renders and the classic design stand beside an ingest, each over the same card at its speed."""
    speed = 20 if os.geteuid() == 0 else 0
    document = run_benchmark("whole.py", tmp_path, photos=2, megapixels=1, speed=speed, rounds=1)
    figures = figures_of(document)
    for name in (
        "secured, beside a plain read of the card",
        "wall of the classic design, beside ghostroll's",
        "CPU of the classic design, beside ghostroll's",
        "peak memory, beside the classic design's",
        "CPU a photo, beside bare renders",
    ):
        assert min(figures[name]["value"], figures[name]["floor"]) > 0
    assert figures["CPU a photo of all but the render workers"]["value"] < figures["CPU a photo, beside bare renders"]["value"]  # fmt: skip
    whole = figures["whole process, beside the slower of that read and bare renders"]
    secured = figures["secured, beside a plain read of the card"]
    assert secured["value"] < whole["value"]
    first = figures["first picture in the gallery, from the start of the process"]
    assert 0 < first["value"] < whole["value"]
    stages = {name: each for name, each in figures.items() if name.startswith("the classic design's stage")}
    assert {name.rpartition(": ")[2] for name in stages} == {"scan", "hash", "copy", "render", "publish"}
    total = sum(each["value"] for each in stages.values())
    assert total < figures["wall of the classic design, beside ghostroll's"]["value"]


def test_results_say_nothing_of_whose_machine_it_is(tmp_path: Path) -> None:
    """A JSON document can be published: no host name and no path stands in it."""
    document = run_benchmark("ingest_cost.py", tmp_path, photos=1, megapixels=0.5, rounds=1)
    text = json.dumps(document)
    assert str(tmp_path) not in text
    assert f'"{platform.node()}"' not in text


@pytest.mark.parametrize(
    "name",
    [
        "ingest_cost.py",
        "reinsert.py",
        "card_reads.py",
        "daemon.py",
        "whole.py",
        "counts.py",
        "parts.py",
        "slow_medium.py",
    ],
)
def test_numbers_that_make_no_sense_are_refused(name: str) -> None:
    """No rounds at all is a wrong use, said in a sentence."""
    done = subprocess.run(
        [sys.executable, BENCHMARKS / name, "--rounds=0"], capture_output=True, check=False, text=True
    )
    assert done.returncode == 2
    assert "must be more than 0" in done.stderr
    assert "Traceback" not in done.stderr
