"""Render workers that crash, hang, eat, vanish or lie: one photo is charged, the others go on, nothing is left over."""

import os
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaign import count, pick
from cgroups import MemoryGroup
from commanding import write_photo
from file_calls import FileCalls, trace_files
from integration.render_making import quadrants
from lying_worker import JPEG, write_liar
from promises import ask, check_finished
from render_batch import Batch, run_batch
from running import check_sentence, do_without, environment, run_command

from ghostroll.errors import InnocentError, PermanentError, TransientError
from ghostroll.model import Kind
from ghostroll.render.lane import Lane, RenderLimits

TASKS = pick(400, 10_000)
LIES = pick(50, 1000)
FAULTS = ("crash", "exit", "rubbish", "flood", "eat", "hang")
SAID = {
    "crash": "the decoder crashed (SIGSEGV)",
    "exit": "the decoder failed (exit status 3)",
    "rubbish": "the decoder's answer made no sense",
    "flood": "the decoder's answer made no sense",
    "eat": "needs more memory than render.memory_mib allows",
    "hang": "took longer than 5 s",
}
KILLED = "the decoder was killed (SIGKILL), perhaps because the machine ran out of memory"


def order_faults(names: tuple[str, ...] = FAULTS) -> str:
    """What makes workers fail by the name of the picture."""
    return ",".join(f"{name}:-{name}.jpg" for name in names)


@pytest.mark.timeout(900)
def test_many_tasks_leave_nothing_behind(tmp_path: Path) -> None:
    """Over thousands of pictures and hundreds of failures two lanes hold as much at the end as at the start."""
    picture = tmp_path / "good.jpg"
    quadrants((32, 32)).save(picture)
    dice = random.Random(7)
    names = []
    for number in range(TASKS):
        fault = "-" + dice.choice(FAULTS[:5]) if dice.random() < 0.05 else ""
        fault = "-hang" if number % 5000 == 100 else fault
        names.append(f"{number:05}{fault}.jpg")
        os.link(picture, tmp_path / names[-1])
    batch = Batch(
        "",
        str(tmp_path),
        files=[(name, Kind.JPEG.value) for name in names],
        limits={"seconds": 5, "memory_bytes": 128 << 20},
        lanes=2,
        faults=order_faults(),
    )
    harvest = run_batch(batch)
    wrong = {name: name.partition("-")[2].removesuffix(".jpg") for name in names if "-" in name}
    assert harvest.named == {name: SAID[fault] for name, fault in wrong.items()}
    assert Counter(harvest.rendered) == Counter(set(names) - set(wrong))
    assert harvest.innocent == {}
    assert harvest.before is not None
    assert harvest.after == harvest.before
    assert len(harvest.during) >= 8
    for held in harvest.during:
        assert held.zombies == 0
        assert held.children <= harvest.before.children + 2
        assert held.threads <= harvest.before.threads + 2
        assert held.descriptors <= harvest.before.descriptors + 2 * 9 + 1  # a start takes six for a moment
    count("tasks through render workers, of which nothing was left over", TASKS)
    for fault, times in Counter(wrong.values()).items():
        count(f"worker faults: {fault}", times)


@pytest.fixture
def station(tmp_path: Path) -> tuple[dict[str, str], Path, Path]:
    """A user's environment, a card with six good photos, and the library."""
    card = tmp_path / "CARD"
    card.mkdir()
    for number in range(6):
        write_photo(card / f"IMG_{number:04}.jpg", number)
    library = tmp_path / "library"
    return environment(tmp_path, library), card, library


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_photo_is_tried_so_often_and_no_more(
    attempts: int, station: tuple[dict[str, str], Path, Path], tmp_path: Path
) -> None:
    """Of a card with a photo for every way to fail, the others are shown, and each of those has had its tries."""
    env, card, library = station
    faults = FAULTS if attempts == 1 else FAULTS[:4]
    for number, fault in enumerate(faults):
        write_photo(card / f"BAD_{number}-{fault}.jpg", number + 20)
    trace = tmp_path / "trace"
    more = {"RENDER__ATTEMPTS": str(attempts), "RENDER__SECONDS": "5", "RENDER__MEMORY_MIB": "128"}
    env |= {f"GHOSTROLL_{key}": value for key, value in more.items()}
    env |= {"GHOSTROLL_RENDER_FAULT": order_faults(), "GHOSTROLL_RENDER__WORKERS": "2"}
    run = run_command(env, "ingest", card, "--json", before=trace_files(trace))
    check_sentence(run)
    assert run.code == 3, run.err
    assert run.document["secured"] is True
    assert run.document["publication"] == "complete"
    assert run.document["renditions"] == 2 * 6
    assert {failed["path"]: failed["error"] for failed in run.document["failed"]} == {
        f"BAD_{number}-{fault}.jpg": SAID[fault] for number, fault in enumerate(faults)
    }
    check_finished(library, card)
    dead = dict(ask(library, "SELECT attempts, count(*) FROM task WHERE stage = 'render' GROUP BY attempts"))
    assert dead == {attempts: len(faults)}
    started = FileCalls(trace).workers
    assert len(faults) * attempts <= started <= len(faults) * attempts + 2
    count("worker faults: in a whole ingest", len(faults) * attempts)


@pytest.fixture
def group() -> Iterator[MemoryGroup]:
    """A control group that has less memory than a worker may take."""
    try:
        group = MemoryGroup(f"ghostroll-test-{os.getpid()}", 200 << 20)
    except OSError as error:
        do_without(f"no control group with a limit on memory can be made ({error}): run the tests as root")
    yield group
    group.remove()


def test_the_kernel_kills_a_worker_for_memory(
    group: MemoryGroup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that the kernel kills because memory ran out costs its photo a try, and the next photo is rendered."""
    good, bad = tmp_path / "good.jpg", tmp_path / "bad-eat.jpg"
    quadrants((64, 64)).save(good)
    quadrants((64, 64)).save(bad)
    monkeypatch.setenv("GHOSTROLL_RENDER_FAULT", order_faults())
    lane = Lane(RenderLimits())
    try:
        for killed in (1, 2):
            lane.start()
            assert lane._child is not None
            group.add(lane._child.pid)
            with pytest.raises(TransientError) as caught:
                lane.render(bytes(bad), Kind.JPEG)
            assert str(caught.value) == KILLED
            assert not isinstance(caught.value, InnocentError)
            assert group.count_kills() == killed
            assert lane.render(bytes(good), Kind.JPEG).share_size == (64, 64)
    finally:
        lane.close()
    count("worker faults: killed by the kernel for memory", 2)


def test_a_machine_without_memory_loses_a_picture_and_nothing_else(
    group: MemoryGroup, station: tuple[dict[str, str], Path, Path]
) -> None:
    """Where everything together has too little memory, the kernel takes the worker, and the card is secured and shown."""
    env, card, library = station
    write_photo(card / "IMG_9999-eat.jpg", 30)
    env |= {"GHOSTROLL_RENDER_FAULT": order_faults()}
    run = run_command(env, "ingest", card, "--json", before=group.start_in())
    check_sentence(run)
    assert run.code == 3, run.err
    assert run.document["secured"] is True
    assert [(failed["path"], failed["error"]) for failed in run.document["failed"]] == [
        ("IMG_9999-eat.jpg", KILLED)
    ]
    assert run.document["renditions"] == 2 * 6
    check_finished(library, card)
    assert group.count_kills() == 3  # render.attempts
    count("worker faults: killed by the kernel for memory", 3)


@pytest.mark.timeout(900)
def test_whatever_a_worker_says_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that lies in any way costs one photo one sentence, and the next real one does its work."""
    real = tmp_path / "real.jpg"
    quadrants((64, 64)).save(real)
    honest = sys.executable
    liar = write_liar(tmp_path / "liar")
    limits = RenderLimits(seconds=1.0)
    lane = Lane(limits)
    said: dict[str, str] = {}
    believed = 0
    try:
        for seed in range(LIES):
            monkeypatch.setattr(sys, "executable", str(liar))
            try:
                rendered = lane.render(b"/lie/%d" % seed, Kind.JPEG)
            except (PermanentError, TransientError) as error:
                said[f"lie:{seed}"] = str(error)
            else:
                for picture, size, edge in (
                    (rendered.share, rendered.share_size, limits.share_edge),
                    (rendered.thumb, rendered.thumb_size, limits.thumb_edge),
                ):  # another picture than that of the file is still a picture
                    assert (picture[:3], picture[-2:]) == (JPEG[:3], JPEG[-2:])
                    assert 1 <= min(size) <= max(size) <= edge
                believed += 1
            lane.rest()
        monkeypatch.setattr(sys, "executable", honest)
        assert lane.render(bytes(real), Kind.JPEG).share_size == (64, 64)
    finally:
        lane.close()
    assert len(said) + believed == LIES
    assert len(said) > believed > 0
    assert {lie: text for lie, text in said.items() if not text.isprintable() or len(text) > 400} == {}
    assert {"the decoder's answer made no sense", "the decoder crashed (SIGSEGV)"} <= set(said.values())
    count("worker faults: lies", LIES)
