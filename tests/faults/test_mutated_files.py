"""Thousands of spoilt pictures through a render worker: each is rendered or named, and nothing else happens."""

import json
from pathlib import Path

import pytest
from campaign import count, pick
from file_calls import FileCalls, trace_files
from mutants import FAMILIES, make_mutant, read_stock
from promises import check_finished
from render_batch import Batch, Harvest, run_batch
from running import check_sentence, environment, run_command
from verdicts import find_surprises

from ghostroll.model import Kind

EACH = pick(120, 5000)  # files of a family
ROUNDS = pick(1, 4)  # in which they are made, so that the campaign's processes share them
ON_CARD = pick(10, 300)  # of a family
ENDINGS = {Kind.JPEG: ".jpg", Kind.HEIF: ".heic", Kind.RAW: ".dng", Kind.VIDEO: ".mov", Kind.IMAGE: ".png"}
LIMITS = {"share_edge": 1024, "thumb_edge": 256, "memory_bytes": 1280 << 20, "seconds": 30}
BESIDE = 160 << 20  # bytes: the libraries' code and tables, which RLIMIT_DATA doesn't count


def render_traced(batch: Batch) -> tuple[Harvest, FileCalls]:
    """Render a batch, every call of it that names a file or an address seen."""
    trace = Path(batch.place, "trace")
    harvest = run_batch(batch, before=trace_files(trace))
    calls = FileCalls(trace)
    trace.unlink()
    return harvest, calls


def check_harvest(harvest: Harvest, files: int) -> None:
    """Every file has come to a good end, and nothing is left behind."""
    assert len(harvest.rendered) + len(harvest.named) == files
    assert harvest.innocent == {}
    assert find_surprises(harvest.named) == {}
    assert harvest.largest_worker < LIMITS["memory_bytes"] + BESIDE
    assert harvest.growth < 64 << 20
    assert harvest.after == harvest.before


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(ROUNDS))
@pytest.mark.parametrize("family", FAMILIES)
def test_a_spoilt_file_is_rendered_or_named(family: str, part: int, samples: Path, tmp_path: Path) -> None:
    """Whatever is wrong with it costs that file alone, in bounded memory, and makes nobody read or write another file."""
    number = EACH // ROUNDS
    batch = Batch(str(samples), str(tmp_path), family, part * number, number, limits=LIMITS)
    harvest, calls = render_traced(batch)
    check_harvest(harvest, number)
    assert harvest.rendered, "so much was spoilt that nothing is proven"
    assert harvest.named, "nothing was spoilt"
    assert calls.strange_reads_of_workers(tmp_path) == set()
    assert calls.writes_of_workers() == set()
    assert calls.addresses == set()
    count(f"mutated files: {family}, rendered", len(harvest.rendered))
    count(f"mutated files: {family}, named", len(harvest.named))


@pytest.mark.timeout(900)
def test_a_card_of_spoilt_files_is_secured_and_shown(samples: Path, tmp_path: Path) -> None:
    """Through the whole program: every file is stored as it is, and stands in the gallery or among the failures, by name."""
    card = tmp_path / "CARD"
    card.mkdir()
    contents: set[bytes] = set()  # the second file with the same bytes is not shown again
    for family in FAMILIES:
        stock = read_stock(samples, family)
        for seed in range(100_000, 100_000 + ON_CARD):
            mutant = make_mutant(stock, seed)
            if mutant.data not in contents:
                contents.add(mutant.data)
                (card / f"{family}-{seed}{ENDINGS[mutant.kind]}").write_bytes(mutant.data)
    run = run_command(environment(tmp_path, tmp_path / "library"), "ingest", card, "--json", timeout=800)
    check_sentence(run)
    assert run.code == 3, run.err
    check_finished(tmp_path / "library", card)
    gallery = json.loads((Path(run.document["session_dir"]) / "gallery.json").read_bytes())
    shown = {item["name"] for item in gallery["items"]}
    failed = {failure["path"]: failure["error"] for failure in run.document["failed"]}
    assert find_surprises(failed) == {}
    assert shown | set(failed) == {entry.name for entry in card.iterdir()}
    assert not shown & set(failed)
    count("mutated files: through a whole ingest, shown", len(shown))
    count("mutated files: through a whole ingest, named", len(failed))


def test_a_failure_can_be_repeated_from_its_seed(samples: Path) -> None:
    """The same seed makes the same bytes, another makes others."""
    for family in FAMILIES:
        stock, again = read_stock(samples, family), read_stock(samples, family)
        files = [make_mutant(stock, seed) for seed in range(20)]
        assert [make_mutant(again, seed) for seed in range(20)] == files
        assert len({mutant.data for mutant in files}) > 15
