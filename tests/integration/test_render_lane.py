"""Lanes under attack: what a worker's end costs, and what it leaves behind."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.render_making import is_upright, quadrants
from PIL import Image

from ghostroll.errors import InnocentError, PermanentError, Stopped, TransientError
from ghostroll.model import Kind, Rendered
from ghostroll.render.child import Child
from ghostroll.render.lane import Lane, RenderLimits
from ghostroll.render.wire import Tag

FAULTS = ("crash", "exit", "rubbish", "flood", "eat", "hang", "early")
LIMITS = RenderLimits(seconds=20, memory_bytes=256 * 2**20)


@pytest.fixture
def lane(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lane]:
    """A lane whose worker fails by the name of the picture."""
    monkeypatch.setenv("GHOSTROLL_RENDER_FAULT", ",".join(f"{fault}:/{fault}.jpg" for fault in FAULTS))
    lane = Lane(LIMITS)
    yield lane
    lane.close()


@pytest.fixture
def picture(tmp_path: Path) -> bytes:
    path = tmp_path / "good.jpg"
    quadrants((320, 200)).save(path)
    return bytes(path)


@pytest.fixture
def bad(tmp_path: Path) -> bytes:
    """Good pictures as well, but for their names."""
    for fault in FAULTS:
        quadrants((320, 200)).save(tmp_path / f"{fault}.jpg")
    return bytes(tmp_path)


def pid_of(lane: Lane) -> int:
    assert lane._child is not None
    return lane._child.pid


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("crash", r"the decoder crashed \(SIGSEGV\)"),
        ("exit", r"the decoder failed \(exit status 3\)"),
        ("rubbish", "answer made no sense"),
        ("flood", "answer made no sense"),
        ("eat", "needs more memory than render.memory_mib allows"),
    ],
)
def test_a_worker_that_fails_costs_its_own_photo_only(
    lane: Lane, picture: bytes, bad: bytes, fault: str, message: str
) -> None:
    """The photo is charged with the reason, and the next ones are rendered by a new worker."""
    assert is_upright(lane.render(picture, Kind.JPEG).share)
    for _ in range(2):
        before = pid_of(lane)
        with pytest.raises(TransientError, match=message) as caught:
            lane.render(bad + b"/" + fault.encode() + b".jpg", Kind.JPEG)
        assert not isinstance(caught.value, InnocentError)
        assert is_upright(lane.render(picture, Kind.JPEG).share)
        assert pid_of(lane) != before
        assert not exists(before)


def test_a_worker_that_hangs_is_killed_when_its_time_is_up(
    monkeypatch: pytest.MonkeyPatch, picture: bytes, bad: bytes
) -> None:
    """The time limit ends the worker for certain, and names itself."""
    monkeypatch.setenv("GHOSTROLL_RENDER_FAULT", "hang:/hang.jpg")
    lane = Lane(RenderLimits(seconds=1.5))
    try:
        lane.start()
        hanging = pid_of(lane)
        with pytest.raises(TransientError, match=r"took longer than 1\.5 s"):
            lane.render(bad + b"/hang.jpg", Kind.JPEG)
        assert not exists(hanging)
        assert is_upright(lane.render(picture, Kind.JPEG).share)
    finally:
        lane.close()


def test_a_worker_that_ends_before_taking_a_photo_charges_nobody(
    lane: Lane, picture: bytes, bad: bytes
) -> None:
    """Such an end is told apart from one during the work."""
    with pytest.raises(InnocentError, match="before it took a picture"):
        lane.render(bad + b"/early.jpg", Kind.JPEG)
    assert is_upright(lane.render(picture, Kind.JPEG).share)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_worker_killed_while_idle_is_replaced_unnoticed(
    lane: Lane, picture: bytes, how: signal.Signals
) -> None:
    """What dies between two photos costs none."""
    lane.render(picture, Kind.JPEG)
    before = pid_of(lane)
    end_of = os.pidfd_open(before)
    os.kill(before, how)
    select.select([end_of], [], [])
    os.close(end_of)
    assert is_upright(lane.render(picture, Kind.JPEG).share)
    assert pid_of(lane) != before


def test_a_worker_killed_at_work_charges_its_photo(
    lane: Lane, bad: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the kernel does when memory runs out."""
    lane.start()
    taken = when_taken(monkeypatch)

    def kill() -> None:
        taken.wait()
        os.kill(pid_of(lane), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(TransientError, match="SIGKILL"):
        lane.render(bad + b"/hang.jpg", Kind.JPEG)
    killer.join()


def when_taken(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """An event that is set once a worker has said that it took its task."""
    taken = threading.Event()
    receive = Child.receive

    def watched(child: Child, deadline: float) -> tuple[Tag, bytes]:
        tag, payload = receive(child, deadline)
        if tag is Tag.TAKEN:
            taken.set()
        return tag, payload

    monkeypatch.setattr(Child, "receive", watched)
    return taken


def test_an_interrupt_stops_a_render_under_way_and_all_later_ones(
    lane: Lane, picture: bytes, bad: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From another thread, with the worker gone afterwards; a second interrupt does no harm."""
    lane.start()
    worker = pid_of(lane)
    taken = when_taken(monkeypatch)

    def stop() -> None:
        taken.wait()
        lane.interrupt()

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(Stopped):
        lane.render(bad + b"/hang.jpg", Kind.JPEG)
    stopper.join()
    assert not exists(worker)
    lane.interrupt()
    with pytest.raises(Stopped):
        lane.render(picture, Kind.JPEG)


def test_a_closed_lane_renders_no_more(lane: Lane, picture: bytes) -> None:
    """Closing ends the worker; interrupting and closing again do no harm."""
    lane.render(picture, Kind.JPEG)
    worker = pid_of(lane)
    lane.close()
    assert not exists(worker)
    lane.interrupt()
    lane.close()
    with pytest.raises(Stopped):
        lane.render(picture, Kind.JPEG)


def test_a_neighbour_is_not_blamed(monkeypatch: pytest.MonkeyPatch, picture: bytes, bad: bytes) -> None:
    """Of two lanes side by side, one that crashes again and again leaves the other alone."""
    monkeypatch.setenv("GHOSTROLL_RENDER_FAULT", "crash:/crash.jpg")
    started = threading.Barrier(2)

    def work(path: bytes, times: int, results: list[Rendered | TransientError]) -> None:
        lane = Lane(LIMITS)
        lane.start()
        started.wait()
        for _ in range(times):
            try:
                results.append(lane.render(path, Kind.JPEG))
            except TransientError as error:
                results.append(error)
        lane.close()

    crashes: list[Rendered | TransientError] = []
    pictures: list[Rendered | TransientError] = []
    threads = [
        threading.Thread(target=work, args=(bad + b"/crash.jpg", 8, crashes)),
        threading.Thread(target=work, args=(picture, 60, pictures)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(result) for result in crashes] == [TransientError] * 8
    assert [type(result) for result in pictures] == [Rendered] * 60


def test_fifty_crashes_leave_nothing_behind(lane: Lane, picture: bytes, bad: bytes) -> None:
    """No descriptor and no process is left over, however often a worker dies."""
    others = children()  # servers that other tests started
    lane.render(picture, Kind.JPEG)
    descriptors = os.listdir("/proc/self/fd")
    for _ in range(50):
        with pytest.raises(TransientError, match="SIGSEGV"):
            lane.render(bad + b"/crash.jpg", Kind.JPEG)
    lane.render(picture, Kind.JPEG)
    assert len(os.listdir("/proc/self/fd")) == len(descriptors)
    assert set(children()) == {pid_of(lane), *others}
    lane.close()
    assert children() == others


def children() -> list[int]:
    """The processes whose parent is this one, also those that ended and were not reaped."""
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and f"\nPPid:\t{os.getpid()}\n" in Path(f"/proc/{entry}/status").read_text():
                found.append(int(entry))
    return found


def test_a_real_picture_beyond_the_memory_limit_is_refused(tmp_path: Path, picture: bytes) -> None:
    """RLIMIT_DATA bounds the decoder itself, and a smaller picture is rendered afterwards."""
    path = tmp_path / "large.png"
    Image.new("L", (8000, 8000)).save(path)
    lane = Lane(RenderLimits(memory_bytes=56 * 2**20))
    try:
        with pytest.raises(TransientError, match=r"needs more memory than render\.memory_mib allows"):
            lane.render(bytes(path), Kind.IMAGE)
        assert is_upright(lane.render(picture, Kind.JPEG).share)
    finally:
        lane.close()


@pytest.mark.parametrize(
    ("program", "message"),
    [("/bin/false", "ended before it took a picture"), ("/nowhere/python", "No such file or directory")],
)
def test_a_worker_that_can_not_start_charges_nobody(
    monkeypatch: pytest.MonkeyPatch, picture: bytes, program: str, message: str
) -> None:
    """A broken machine blames no photo, leaks nothing, and a stop needn't wait for the next try."""
    monkeypatch.setattr(sys, "executable", program)
    lane = Lane(LIMITS)
    try:
        with pytest.raises(InnocentError, match=message):
            lane.render(picture, Kind.JPEG)
        descriptors = os.listdir("/proc/self/fd")
        with pytest.raises(InnocentError, match=message):
            lane.render(picture, Kind.JPEG)
        assert len(os.listdir("/proc/self/fd")) == len(descriptors)
        lane.interrupt()
        with pytest.raises(Stopped):
            lane.render(picture, Kind.JPEG)
    finally:
        lane.close()


def test_a_worker_dies_with_its_parent(tmp_path: Path, bad: bytes) -> None:
    """A daemon that is SIGKILLed leaves no decoder behind, even one that hangs."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys\n"
        "from ghostroll.model import Kind\n"
        "from ghostroll.render.child import Child\n"
        "from ghostroll.render.lane import Lane, RenderLimits\n"
        "from ghostroll.render.wire import Tag\n"
        "receive = Child.receive\n"
        "def watched(child, deadline):\n"
        "    answer = receive(child, deadline)\n"
        "    if answer[0] is Tag.TAKEN:\n"
        "        print(child.pid, flush=True)\n"
        "    return answer\n"
        "Child.receive = watched\n"
        "Lane(RenderLimits()).render(sys.argv[1].encode(), Kind.JPEG)\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script), os.fsdecode(bad + b"/hang.jpg")],
        stdout=subprocess.PIPE,
        env=os.environ | {"GHOSTROLL_RENDER_FAULT": "hang:/hang.jpg"},
    ) as parent:
        assert parent.stdout is not None
        worker = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        ended, _, _ = select.select([worker], [], [])
        os.close(worker)
    assert ended


def test_a_worker_knows_no_secret_and_can_write_no_file(
    lane: Lane, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is niced, bounded, the first that dies for memory, in its own session, and without the parent's environment and descriptors."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "do not tell")
    leaked, other = os.pipe()
    os.set_inheritable(leaked, True)  # the standard library's own signature
    lane.render(picture, Kind.JPEG)
    worker = Path(f"/proc/{pid_of(lane)}")
    assert b"do not tell" not in (worker / "environ").read_bytes()
    limits = (worker / "limits").read_text()
    bounds = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()}
    assert bounds["Max data size"] == [str(LIMITS.memory_bytes)] * 2
    assert bounds["Max file size"] == ["0", "0"]
    assert bounds["Max core file size"] == ["0", "0"]
    assert os.getpriority(os.PRIO_PROCESS, pid_of(lane)) == min(19, os.nice(0) + LIMITS.niceness)
    assert (worker / "oom_score_adj").read_text() == "500\n"
    assert os.getsid(pid_of(lane)) == pid_of(lane)
    targets = sorted(os.readlink(entry).split(":")[0] for entry in (worker / "fd").iterdir())
    assert targets == ["/dev/null", "/dev/null", "pipe", "socket"]
    os.close(leaked)
    os.close(other)


def test_a_ctrl_c_at_the_terminal_is_the_parents_business(lane: Lane, picture: bytes) -> None:
    """SIGINT does nothing to a worker; SIGTERM is not blocked."""
    lane.render(picture, Kind.JPEG)
    before = pid_of(lane)
    os.kill(before, signal.SIGINT)
    assert is_upright(lane.render(picture, Kind.JPEG).share)
    assert pid_of(lane) == before


def test_a_picture_that_is_not_there_can_come_back(lane: Lane, tmp_path: Path) -> None:
    """A missing file is the disk's fault, not the picture's; a folder is no picture."""
    with pytest.raises(TransientError, match="No such file"):
        lane.render(bytes(tmp_path / "gone.jpg"), Kind.JPEG)
    with pytest.raises(PermanentError, match="not a regular file"):
        lane.render(bytes(tmp_path), Kind.JPEG)
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(PermanentError, match="not a regular file"):
        lane.render(bytes(tmp_path / "pipe.jpg"), Kind.JPEG)


def test_the_starts_of_workers_are_crash_points(tmp_path: Path) -> None:
    """Before and after a child's start the process can be made to crash."""
    log = tmp_path / "log"
    program = (
        "import sys\n"
        "from ghostroll.render.lane import Lane, RenderLimits\n"
        "lane = Lane(RenderLimits())\n"
        "lane.start()\n"
        "lane.close()\n"
    )
    environment = os.environ | {"GHOSTROLL_CRASH_LOG": str(log)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert log.read_text().split() == ["render.child_starting", "render.child_started"]
