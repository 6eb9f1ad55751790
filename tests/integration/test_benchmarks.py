"""Every benchmark runs and says something plausible; how fast anything is, no test decides."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from figures import BENCHMARKS, figures_of, run_benchmark
from running import do_without, need_tools
from stores import find_rclone

from ghostroll.cards.volume import tell_filesystem

_SPEED = 20 if os.geteuid() == 0 else 0  # MB/s of a card


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


def test_the_stages_of_an_ingest_are_told_and_drawn(tmp_path: Path) -> None:
    """Every photo has its line in the picture, and no stage of any begins before the one in front of it."""
    svg = tmp_path / "stages.svg"
    document = run_benchmark("stages.py", tmp_path, photos=3, megapixels=1, speed=_SPEED, svg=svg)
    figures = {name: figure["value"] for name, figure in figures_of(document).items()}
    for moment in ("first", "last"):
        order = [
            f"the {moment} photo {what} after" for what in ("stored", "rendered", "shown in the gallery")
        ]
        assert sorted(figures[name] for name in order) == [figures[name] for name in order]
    assert figures["the last photo stored after"] <= figures["secured after"]
    assert figures["secured after"] < figures["the process ended after"]
    assert svg.read_text().startswith("<svg ")
    bars = re.findall(r'<path d="([^"]*)" fill=', svg.read_text())
    assert [path.count("z") for path in bars] == [3] * 4
    assert str(tmp_path) not in json.dumps(document)


def test_what_is_chosen_by_itself_stands_beside_fixed_choices(tmp_path: Path) -> None:
    """Every fixed number of workers and copiers has its time, and the best of them stands beside the chosen ones."""
    need_tools(taskset="util-linux")
    document = run_benchmark(
        "adaptive.py", tmp_path, photos=1, megapixels=0.5, workers=1, copiers=1, cores=1, rounds=1
    )
    figures = figures_of(document)
    speeds = (20, 90) if os.geteuid() == 0 else (0,)
    assert len(figures) == 2 * len(speeds)
    for speed in speeds:
        best = figures[f"{speed} MB/s, 1 cores: by itself, beside the best (1 workers, 1 copiers)"]
        assert best["floor"] == figures[f"{speed} MB/s, 1 cores: 1 workers, 1 copiers"]["value"]
        assert best["value"] > 0


def test_each_part_is_measured_beside_a_bare_loop(tmp_path: Path) -> None:
    """Hash, copy, render, state and uploads have their rates, each beside that of a loop over the same input."""
    find_rclone()
    # CPU a photo is the difference of two runs: pictures this large cost many times what a start varies by.
    document = run_benchmark(
        "parts.py", tmp_path, photos=3, megapixels=24, transactions=50, uploads=4, rounds=1
    )
    figures = figures_of(document)
    assert len(figures) == 7
    for name, figure in figures.items():
        assert min(figure["value"], figure["floor"]) > 0, name


def test_the_rate_and_the_memory_of_many_files_are_told(tmp_path: Path) -> None:
    """Each part of a card of many files has its time, by the ledger, and all parts have different moments."""
    document = run_benchmark("counts.py", tmp_path, files=40, photos=1, part=20, rounds=1)
    figures = figures_of(document)
    for what in ("stored", "with a picture"):
        last = figures[f"the last 20 files {what}, beside the first 20"]
        assert last["floor"] == figures[f"20 files {what} after 0"]["value"]
        assert last["value"] == figures[f"20 files {what} after 20"]["value"]
        assert min(last["value"], last["floor"]) > 0
    memory = figures["peak memory with 40 files, beside 40"]
    assert min(memory["value"], memory["floor"]) > 10
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["photos-24mp"]


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
    document = run_benchmark("whole.py", tmp_path, photos=2, megapixels=1, speed=_SPEED, rounds=1)
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


def test_common_advice_is_measured_beside_what_is_done(tmp_path: Path) -> None:
    """Each piece of advice has its seconds beside those of what is done instead."""
    document = run_benchmark("advice.py", tmp_path, photos=1, megapixels=1, rounds=1)
    figures = figures_of(document)
    assert len(figures) == 12
    assert all(figure["value"] > 0 and figure["floor"] > 0 for figure in figures.values())
    assert figures["CPU: two processes decode each photo, beside one"]["ratio"] > 1


def test_ways_to_make_a_picture_are_compared(tmp_path: Path) -> None:
    """Every way has its CPU and its quality; none is nearer to the ideal than the ideal itself."""
    out = tmp_path / "pictures.json"
    told: list[str | Path] = ["--count=1", "--megapixels=6", "--cache", tmp_path / "cache", "--json", out]
    subprocess.run([sys.executable, BENCHMARKS / "pictures.py", *told], check=True, capture_output=True)
    document = json.loads(out.read_text())
    for table in (document["shares"], document["thumbs"]):
        ideal = table["in full, Lanczos"]
        for decode, scale, encode, decibels, likeness, size in table.values():
            assert min(decode, scale, encode, size) > 0
            assert 20 < decibels <= ideal[3] + 0.1
            assert 0.5 < likeness <= ideal[4] + 0.001


def test_goals_that_are_not_reached_are_told(tmp_path: Path) -> None:
    """What `make bench` found stands beside its goals, and only what falls short of one says so."""
    figures = [
        {"name": "secured, beside a plain read of the card", "unit": "s", "value": 10.4, "ratio": 1.04},
        {"name": "wall of the classic design, beside ghostroll's", "unit": "s", "value": 44, "ratio": 4.4},
    ]
    (tmp_path / "whole-90.json").write_text(json.dumps({"figures": figures}))
    command: list[str | Path] = [sys.executable, BENCHMARKS / "core.py", "--show", "--results", tmp_path]
    said = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    rows = [line for line in said.splitlines() if line.startswith("whole-90")]
    assert [("not reached" in row, "1.040 x" in row) for row in rows] == [(False, True), (True, False)]


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
        "advice.py",
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
