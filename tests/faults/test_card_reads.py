"""A card that reads badly: sectors that fail, reads that end early, bytes that are others the first time."""

import itertools
import os
import random
import shutil
from pathlib import Path

import pytest
from campaign import FULL, count, pick
from daemons import RunningDaemon
from faulty import READS, Fault, Faulty, count_met, list_calls, watch
from promises import check_always, check_finished, hash_tree, list_originals
from running import Run, check_sentence, environment, run_command

ERRORS = ("EIO", "ENODEV", "EUCLEAN", "end")
CASES = [
    (kind, error)
    for kind, error in itertools.product(READS, ERRORS)
    if (error != "end" or kind == "read") and (FULL or error in ("EIO", "end"))
]
_PATIENCE = pick(100, 3600)  # seconds for one run; a machine may have more to do than a campaign
PHOTO = "DCIM/100CANON/IMG_0002.JPG"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A user whose runs are much alike."""
    return settle(tmp_path)


def settle(home: Path, **more: str) -> dict[str, str]:
    """An environment with one reader of cards."""
    return environment(home, home / "library", GHOSTROLL_COPY__THREADS_PER_CARD="1", **more)


def ingest(env: dict[str, str], card: Path, *, code: int) -> Run:
    """Ingest to the expected end."""
    done = run_command(env, "ingest", card, "--json", timeout=_PATIENCE)
    check_sentence(done)
    assert done.code == code, done.err + done.out
    assert done.document["secured"] is (code == 0)
    return done


def name_failed(run: Run) -> list[str]:
    """The files that a run names as failed."""
    return [failed["path"] for failed in run.document["failed"]]


@pytest.fixture(scope="module")
def calls(faulty: Faulty, small_card: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """How often a clean run opens, reads, lists and looks at anything on the card."""
    home = tmp_path_factory.mktemp("clean")
    log = home / "calls"
    armed = faulty.arm(*watch(f"{small_card}*", READS), log=log)
    ingest(settle(home) | armed, small_card, code=0)
    made = list_calls(log)
    return {kind: sum(call.kind == kind for call in made) for kind in READS}


@pytest.mark.timeout(pick(120, 3600))
@pytest.mark.parametrize(("kind", "error"), CASES)
def test_a_call_that_the_card_fails(
    kind: str, error: str, *, faulty: Faulty, small_card: Path, calls: dict[str, int], tmp_path: Path
) -> None:
    """Whichever call on the card fails, what it hides is named or tried again, and a good card is secured afterwards."""
    met = 0
    assert calls[kind] > 0
    for nth in range(1, calls[kind] + 1) if FULL else [random.Random(kind).randint(1, calls[kind] * 3 // 4)]:
        home = tmp_path / str(nth)
        home.mkdir()
        lasting = (nth + ERRORS.index(error)) % 2 == 0
        fault = Fault(kind, f"{small_card}*", error, nth, 0 if lasting else nth)
        met += check_fault(home, faulty, fault, small_card)
        shutil.rmtree(home)
    assert met > 0
    count(f"card: calls on it that failed ({error})", met)


def check_fault(home: Path, faulty: Faulty, fault: Fault, card: Path) -> bool:
    """One run with a bad card and one with a good one; whether it met its fault at all."""
    env, log, library = settle(home), home / "calls", home / "library"
    run = faulty.run(env | faulty.arm(fault, log=log), "ingest", card, "--json", timeout=_PATIENCE)
    told = f"{fault} at {[call for call in list_calls(log) if call.met][:1]}: {run.code} {run.err} {run.out}"
    try:
        check_sentence(run)
        check_always(library, card)
        assert run.code in (0, 3, 4)
        if run.code == 0:
            check_finished(library, card)
        if run.code == 3:
            assert name_failed(run), "what is not there is named"
        ingest(env, card, code=0)
        check_finished(library, card)
    except (AssertionError, OSError) as error:
        raise AssertionError(f"{told}\n{error}") from error
    return count_met(log) > 0


@pytest.mark.parametrize("kind", ["stat", "list"])
@pytest.mark.parametrize("error", ["EIO", "ENODEV"])
def test_a_card_of_which_nothing_can_be_read(
    kind: str, error: str, *, faulty: Faulty, small_card: Path, env: dict[str, str], tmp_path: Path
) -> None:
    """A card whose own folder fails is a bad card, not a wrong path, whoever is asked; mended, it is taken as any other."""
    gate = tmp_path / "gate"
    gate.touch()
    armed = env | faulty.arm(Fault(kind, str(small_card), error, gate=gate))
    alone = run_command(armed, "ingest", small_card)
    daemon = RunningDaemon(tmp_path / "daemon", armed)
    try:
        daemon.wait_ready()
        asked = run_command(env, "ingest", small_card)
        for run in (alone, asked):
            check_sentence(run)
            assert run.code == 4, run.err + run.out
            assert "try another reader" in run.err
        gate.unlink()
        ingest(env, small_card, code=0)
        assert daemon.stop() == 0
    finally:
        daemon.end()
    check_finished(tmp_path / "library", small_card)


def test_a_retry_of_a_card_of_which_nothing_can_be_read(
    faulty: Faulty, small_card: Path, env: dict[str, str], tmp_path: Path
) -> None:
    """Files that wait for a card are not lost sight of while it fails as a whole: that is said, and the next retry works."""
    spoilt, gone = tmp_path / "spoilt", tmp_path / "gone"
    faults = (
        Fault("read", f"{small_card}/notes.bin", "EIO", gate=spoilt),
        Fault("stat", str(small_card), "EIO", gate=gone),
    )
    armed = env | faulty.arm(*faults)
    spoilt.touch()
    ingest(armed, small_card, code=3)
    gone.touch()
    alone = run_command(armed, "retry", "1")
    daemon = RunningDaemon(tmp_path / "daemon", armed)
    try:
        daemon.wait_ready()
        asked = run_command(env, "retry", "1")
        for run in (alone, asked):
            check_sentence(run)
            assert run.code == 4, run.err + run.out
            assert "try another reader" in run.err
        gone.unlink()
        spoilt.unlink()
        again = run_command(env, "retry", "1")
        assert again.code == 0, again.err + again.out
        assert daemon.stop() == 0
    finally:
        daemon.end()
    check_finished(tmp_path / "library", small_card)


@pytest.mark.parametrize("sector", [0, 700_000, 1_499_999] if FULL else [1_100_000])
def test_a_bad_sector(
    sector: int, faulty: Faulty, small_card: Path, env: dict[str, str], tmp_path: Path
) -> None:
    """A sector that can't be read, wherever in a file it is, costs that file alone, by name, and nothing of it is kept."""
    card = small_card
    fault = Fault("read", f"{card}/notes.bin", f"bad:{sector}-{sector}")
    run = ingest(env | faulty.arm(fault), card, code=3)
    assert name_failed(run) == ["notes.bin"]
    assert "bad sector" in run.document["failed"][0]["error"]
    assert hash_tree(card)[b"notes.bin"] not in list_originals(tmp_path / "library").values()
    assert os.listdir(tmp_path / "library" / ".ghostroll" / "incoming") == []
    ingest(env, card, code=0)
    check_finished(tmp_path / "library", card)
    count("card: sectors that can't be read")


def test_reads_that_give_less(faulty: Faulty, small_card: Path, env: dict[str, str], tmp_path: Path) -> None:
    """A card that gives half of what is asked for, each time, is read whole all the same."""
    fault = Fault("read", f"{small_card}/*", "half")
    ingest(env | faulty.arm(fault), small_card, code=0)
    check_finished(tmp_path / "library", small_card)
    count("card: reads that gave less than was asked for")


def test_a_file_that_ends_early(
    faulty: Faulty, small_card: Path, env: dict[str, str], tmp_path: Path
) -> None:
    """Reads that give nothing before the file's end, without an error, make it a failed one and never a shorter one."""
    fault = Fault("read", f"{small_card}/notes.bin", "end", first=2)
    run = ingest(env | faulty.arm(fault), small_card, code=3)
    assert name_failed(run) == ["notes.bin"]
    assert "ended early" in run.document["failed"][0]["error"]
    ingest(env, small_card, code=0)
    check_finished(tmp_path / "library", small_card)
    count("card: files that ended early")


def test_wrong_bytes_that_are_read_once(
    faulty: Faulty, small_card: Path, env: dict[str, str], tmp_path: Path
) -> None:
    """Bytes that are others only the first time are what was read and stored: the check of the copy can't know better."""
    fault = Fault("read", f"{small_card}/{PHOTO}", "flip", last=1)
    ingest(env | faulty.arm(fault), small_card, code=0)
    stored = set(list_originals(tmp_path / "library").values())
    assert hash_tree(small_card)[PHOTO.encode()] not in stored


@pytest.mark.parametrize("name", ["notes.bin", PHOTO][: pick(1, 2)])
def test_a_source_read_twice(
    name: str, faulty: Faulty, small_card: Path, env: dict[str, str], tmp_path: Path
) -> None:
    """With copy.reread_source, bytes that are others only the first time are found out, and the file is copied anew."""
    log = tmp_path / "calls"
    fault = Fault("read", f"{small_card}/{name}", "flip", last=1)
    armed = faulty.arm(fault, log=log)
    ingest(env | {"GHOSTROLL_COPY__REREAD_SOURCE": "true"} | armed, small_card, code=0)
    assert count_met(log) == 1
    check_finished(tmp_path / "library", small_card)
    count("card: wrong bytes at the first read, found by reading twice")


def test_a_source_that_never_agrees(
    faulty: Faulty, small_card: Path, env: dict[str, str], tmp_path: Path
) -> None:
    """With copy.reread_source, a file that reads differently each time is named and the card is not secured."""
    env |= {"GHOSTROLL_COPY__REREAD_SOURCE": "true"}
    fault = Fault("read", f"{small_card}/{PHOTO}", "flip")
    run = ingest(env | faulty.arm(fault), small_card, code=3)
    assert run.document["state"] == "attention"
    assert name_failed(run) == [PHOTO]
    assert "other bytes each time" in run.document["failed"][0]["error"]
    assert "ghostroll retry" in run.document["failed"][0]["error"]
    assert hash_tree(small_card)[PHOTO.encode()] not in list_originals(tmp_path / "library").values()
    ingest(env, small_card, code=0)
    check_finished(tmp_path / "library", small_card)
    count("card: files that never agreed with themselves")


def test_a_source_is_read_once(faulty: Faulty, small_card: Path, env: dict[str, str], tmp_path: Path) -> None:
    """Every file of a card is opened once, and twice only where copy.reread_source asks for it."""
    for wanted, times in (("false", 1), ("true", 2)):
        home = tmp_path / wanted
        home.mkdir()
        log = home / "calls"
        more = {"GHOSTROLL_LIBRARY__PATH": str(home / "library"), "GHOSTROLL_COPY__REREAD_SOURCE": wanted}
        armed = faulty.arm(*watch(f"{small_card}/*.[Jb]*", ("open",)), log=log)
        ingest(env | more | armed, small_card, code=0)
        opened = [call.path for call in list_calls(log)]
        assert {opened.count(path) for path in opened} == {times}
        assert len(set(opened)) == len(hash_tree(small_card))
