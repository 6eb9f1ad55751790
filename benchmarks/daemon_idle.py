"""What a daemon that has nothing to do costs: memory, and how often it wakes up."""

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from container import Container
from daemon_ears import seen_in
from measuring import Figure
from waiting import wait_for

from ghostroll.demo.photos import make_textured_jpeg

_BEAT = 30.0  # seconds; half of WatchdogSec= in systemd/ghostroll.service
_RESCAN = 60.0  # seconds; cards.rescan_seconds
_REST = 25.0  # seconds after which every thread has given back what it had: they wait 20 for more work
_PAUSE = 0.05  # seconds between two looks at the counters
_MIB = 2**20
_BARE = ("/opt/ghostroll/bin/python", "-I", "-c", "import signal; signal.pause()")
_SWITCHES = re.compile(r"^voluntary_ctxt_switches:\t(\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Idleness:
    """What happened while nothing happened. A wake-up is a moment in which any thread ran, however often it paused."""

    wake_ups: int
    switches: int
    cpu: float  # seconds


def measure_idle(folder: Path, seconds: int) -> list[Figure]:
    """Let a daemon copy, render and publish a card, take the card out, and look at what goes on then."""
    with Container(folder) as machine:
        _have_a_card_done(machine)
        # The kernel tells every container of everybody's disks; nobody else's may wake this one up.
        with machine.events_held():
            time.sleep(_REST)
            wait_for(lambda: len(_list_processes(machine)) == 1, "the render workers did not end")
            idleness = _watch(machine, seconds)
        daemon = _list_processes(machine)
        shared, whole = _read_memory(daemon, "Pss"), _read_memory(daemon, "Rss")
        bare = _measure_bare(machine)
    accounted = seconds / _BEAT + seconds / _RESCAN
    return [
        Figure("idle: memory, what is shared divided (PSS)", "MiB", (shared / _MIB,)),
        Figure("idle: memory, undivided (RSS), beside an empty Python", "MiB", (whole / _MIB,), (bare / _MIB,)),
        Figure("idle: wake-ups, beside watchdog and rescan", "", (idleness.wake_ups,), (accounted,)),
        Figure("idle: voluntary context switches in them", "", (idleness.switches,)),
        Figure("idle: CPU in a minute", "s", (idleness.cpu / seconds * 60,)),
    ]  # fmt: skip


def _have_a_card_done(machine: Container) -> None:
    photos = {f"DCIM/100BENCH/IMG_{n:04}.JPG": make_textured_jpeg(n, 2, 750_000) for n in range(1, 7)}
    reader = machine.insert(machine.format_card("IDLE", photos))
    machine.wait_for_line("gallery complete", timeout=100)
    reader.pull()
    machine.wait_for_line("removed", GHOSTROLL_CARD="IDLE")
    reader.wait_until_empty()
    machine.settle()


def _list_processes(machine: Container) -> list[int]:
    """The daemon and its children, by their numbers out here."""
    group = seen_in(machine, "/sys/fs/cgroup/system.slice/ghostroll.service/cgroup.procs")
    return [int(line) for line in group.read_text().split()]


def _watch(machine: Container, seconds: int) -> Idleness:
    """Look at the counters for so long. What goes on from one look to the next is one wake-up."""
    until = time.monotonic() + seconds
    first = last = _read_counters(machine)
    cpu = _read_cpu(machine)
    wake_ups, ran = 0, False
    while time.monotonic() < until:
        time.sleep(_PAUSE)
        now = _read_counters(machine)
        wake_ups += now != last and not ran
        last, ran = now, now != last
    return Idleness(wake_ups, sum(last.values()) - sum(first.values()), _read_cpu(machine) - cpu)


def _read_counters(machine: Container) -> dict[str, int]:
    """How often each thread has given up its processor by itself (proc(5))."""
    counters = {}
    for task in _list_tasks(machine):
        with contextlib.suppress(OSError):  # it ended
            match = _SWITCHES.search((task / "status").read_text())
            counters[task.name] = 0 if match is None else int(match[1])
    return counters


def _read_cpu(machine: Container) -> float:
    """Seconds that all threads have run (kernel: Documentation/scheduler/sched-stats.rst)."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in _list_tasks(machine)) / 1e9


def _list_tasks(machine: Container) -> Iterator[Path]:
    for pid in _list_processes(machine):
        with contextlib.suppress(OSError):
            yield from Path(f"/proc/{pid}/task").iterdir()


def _read_memory(processes: list[int], field: str) -> int:
    """A field of smaps_rollup, summed, in bytes (proc(5))."""
    rolled = "".join(Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in processes)
    return sum(int(size) * 1024 for size in re.findall(rf"^{field}: +(\d+) kB$", rolled, re.MULTILINE))


def _measure_bare(machine: Container) -> int:
    """The memory of the same Python that has nothing to do, undivided, in bytes."""
    process = machine.start(*_BARE)
    try:
        time.sleep(1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return _read_memory([int(pid) for pid in children], "Rss")
    finally:
        process.kill()
        process.communicate()
