"""Every call that a disk may refuse is refused once: nothing is lost, it is said in a sentence, and the same command mends it.

A clean run is counted first. Then the program runs again and again, and each time another call of it fails: only
that one, as a passing trouble does, or all from there on, as on a disk that is full, broken or read-only.

The campaign leaves no call out. Each call on the library meets each of the four errors (what only reads: EIO), and so
does each on the state, but for its writes: those are hundreds of pages alike, and each meets one of the four in turn.
A run begins as a fork, not as a new interpreter, or this would take hours.
"""

import itertools
import json
import os
import random
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from campaign import FULL, count, pick
from faulty import Fault, Faulty, count_met, list_calls, watch
from forking import fork_command
from promises import check_always, check_finished, hash_tree
from running import Run, check_sentence, environment

REMEDIES = {  # what a person is told, whatever else: exit code, and a word of it
    "ENOSPC": (5, "room"),
    "EDQUOT": (5, "room"),
    "EIO": (2, "check"),
    "EROFS": (2, "writ"),
}
_PATIENCE = pick(100, 3600)  # seconds for one run; a machine may have more to do than a campaign
_STATE = "*/.ghostroll/state.db*"
_COPY = re.compile(r"/incoming/\d+-\d+$")
_READS = ("open", "read", "list", "stat")
PLACES = {
    "library": ("*/shelf*", _STATE, ("create", "write", "sync", "rename", "mkdir", "unlink", *_READS)),
    "state": (_STATE, "-", ("create", "write", "sync", "truncate", "unlink", "read")),
}
KINDS = [(place, kind) for place, (_, _, kinds) in PLACES.items() for kind in kinds]
# What is only read is never refused for want of room. Of the others each fails with each error in the campaign, and
# with one of them in every test run. The many alike of the state take their errors in turn.
CASES = [
    (place, kind, error)
    for (place, kind), turn in zip(KINDS, itertools.cycle(REMEDIES), strict=False)
    for error in (["EIO"] if kind in _READS else REMEDIES if FULL else [turn])
    if FULL or kind not in ("open", "list", "stat")
]


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """What a run makes that meets no fault, and how many calls of each kind it takes."""

    pictures: list[str]
    calls: dict[str, int]


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a sweep takes place: the card that is read, and a clean run of it."""

    card: Path
    clean: Undisturbed


@pytest.fixture(scope="module")
def grounds(
    faulty: Faulty, small_card: Path, bare_card: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Ground]:
    """For each place a clean run, made once for each process of a test run."""
    made = {}
    for name, card in (("library", small_card), ("state", bare_card)):
        home = tmp_path_factory.mktemp("clean")
        glob, but, kinds = PLACES[name]
        armed = faulty.arm(*watch(glob, kinds, but=but), log=home / "calls")
        run = faulty.run(settle(home) | armed, "ingest", card, "--json", timeout=_PATIENCE)
        assert run.code == 0, run.err
        check_finished(home / "shelf", card)
        met = list_calls(home / "calls")
        calls = {kind: sum(call.kind == kind for call in met) for kind in kinds}
        made[name] = Ground(card, Undisturbed(list_pictures(home / "shelf"), calls))
    return made


def settle(place: Path) -> dict[str, str]:
    """A user whose runs are much alike: one thread each for copies and pictures. A picture's two files change places."""
    one = {"GHOSTROLL_RENDER__WORKERS": "1", "GHOSTROLL_COPY__THREADS_PER_CARD": "1"}
    return environment(place, place / "shelf", **one)


def list_pictures(library: Path) -> list[str]:
    """The checksums of all renditions. Which of two equal photos a picture is named after is a matter of chance."""
    return sorted(
        checksum
        for path, checksum in hash_tree(library).items()
        if path.split(b"/")[1] in (b"share", b"thumbs")
    )


def choose_faults(place: str, kind: str, error: str, number: int) -> Iterator[Fault]:
    """All of the calls, or one of them. In the library each fails once, and then for good; of the others it is one or the other."""
    glob, but, _ = PLACES[place]
    chance = random.Random(f"{place} {kind}")
    turn = list(REMEDIES).index(error)
    # No two runs take quite the same number of calls: the one that is chosen comes in every run.
    for nth in range(1, number + 1) if FULL else [chance.randint(1, max(1, number * 3 // 4))]:
        if place == "state" and FULL and number > 8 and kind not in _READS and nth % 4 != turn:
            continue
        lasting = (nth // 4 + turn) % 2 == 0
        for last in (0, nth) if FULL and place == "library" else (0,) if lasting else (nth,):
            yield Fault(kind, glob, error, nth, last, but=but)


@pytest.mark.timeout(pick(120, 7200))
@pytest.mark.parametrize(("place", "kind", "error"), CASES)
def test_a_call_that_fails(
    place: str, kind: str, error: str, *, faulty: Faulty, grounds: dict[str, Ground], tmp_path: Path
) -> None:
    """Whichever call the disk refuses, nothing is called secured that is not, and the next run ends as ever."""
    ground, met = grounds[place], 0
    assert ground.clean.calls[kind] > 0
    for fault in choose_faults(place, kind, error, ground.clean.calls[kind]):
        home = tmp_path / f"{fault.first}-{fault.last}"
        home.mkdir()
        met += check_fault(home, faulty, fault, ground.card, ground.clean)
        shutil.rmtree(home)
    assert met > 0
    count(f"disk: calls of the program that failed ({error})", met)


def check_fault(home: Path, faulty: Faulty, fault: Fault, card: Path, clean: Undisturbed) -> bool:
    """One disturbed run and the next one; whether it met its fault at all."""
    env, log, library = settle(home), home / "calls", home / "shelf"
    run = faulty.run(env | faulty.arm(fault, log=log), "ingest", card, "--json", timeout=_PATIENCE)
    told = f"{fault} at {[call for call in list_calls(log) if call.met][:1]}: {run.code} {run.err} {run.out}"
    try:
        check_always(library, card)
        if run.code == 0 and fault.kind != "unlink":  # what could not be removed is for the next run
            check_finished(library, card)
        check_told(run, fault)
        check_syncs(log)
        if fault.kind != "unlink":
            check_tidy(library)
        again = fork_command(env, "ingest", card, "--json", timeout=_PATIENCE)
        assert again.code == 0, again.err
        assert again.document["secured"] is True
        check_finished(library, card)
        assert list_pictures(library) == clean.pictures
    except (AssertionError, OSError) as error:
        raise AssertionError(f"{told}\n{error}") from error
    return count_met(log) > 0


def check_tidy(library: Path) -> None:
    """A run that ended by itself left nothing unfinished behind."""
    incoming = library / ".ghostroll" / "incoming"
    left = os.listdir(incoming) if incoming.exists() else []
    assert left == [], f"left in incoming: {left}"


def check_syncs(log: Path) -> None:
    """A copy whose sync failed is not synced again, for its bytes may be gone: it is made anew."""
    synced = [call for call in list_calls(log) if call.kind == "sync" and _COPY.search(call.path)]
    for call in synced:
        assert not call.met or sum(other.path == call.path for other in synced) == 1, call


def check_told(run: Run, fault: Fault) -> None:
    """A run that did not end well says so in a sentence with its remedy, by the right code, and blames no card."""
    check_sentence(run)
    if run.code == 0:
        return
    code, word = REMEDIES[fault.action]
    assert run.code == code or (_is_vague(fault) and run.code in (2, 5)), f"exit code {run.code}"
    document = read_document(run)
    said = run.err + " ".join(str(waiting["error"]) for waiting in document.get("waiting", []))
    assert word in said or _is_vague(fault), said
    assert document.get("failed", []) == [], "no file of the card is to blame"
    assert document.get("state") not in ("attention", "interrupted")


def _is_vague(fault: Fault) -> bool:
    """Whether a look afterwards can't tell want of room from a failure: it passed, or nothing but this call fails."""
    return fault.last > 0 or fault.kind == "truncate"


def read_document(run: Run) -> dict[str, Any]:
    """The document of a run; of one that ended early there is none."""
    document = json.loads(run.out) if run.out else {}
    assert isinstance(document, dict)
    return document
