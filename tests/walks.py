"""Random walks through a world: whatever may happen to a station, in any order, and what must be true after each step."""

import contextlib
import os
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bucket_promises import check_bucket
from campaign import FULL, count
from crash_points import OF_BUCKET, OF_HEALING, find_points
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from puppets import Refused, Stage
from stores import Store
from wires import Wire
from worlds import CARDS, World, list_jobs

CARD = st.sampled_from(sorted(CARDS))
NTH = st.integers(1, 4)
POINTS = [point for point in find_points() if not point.startswith(OF_BUCKET)]
SAFE_MAKING = [point for point in POINTS if point.startswith(("copy.", "engine.", "library.", "state."))]
# Whoever waits in the middle of a transaction keeps the test out as well.
HOLDABLE = [
    point
    for point in POINTS
    if not point.startswith(("state.", "recover.")) and point != "engine.facts_written"
]
HOLD_AT = st.sampled_from([point for point in HOLDABLE if point in SAFE_MAKING]) | st.sampled_from(HOLDABLE)
POINT = st.sampled_from(SAFE_MAKING) | st.sampled_from(POINTS)  # most of what can go wrong goes wrong there
WHICH = st.integers(0, 7)
HOUR, DAY = 3600, 86_400
FIXED_ROOM = (0, 600_000, 1_300_000)  # bytes that are left on a full disk

MakeWorld = Callable[[Path], World]


class Walk(RuleBasedStateMachine):
    """Drives a world. After each rule everything is at rest, and what must be true is looked at."""

    make_world: MakeWorld

    def __init__(self) -> None:
        super().__init__()
        self._closed = False
        self._steps = 0
        self._folder = tempfile.TemporaryDirectory(prefix="ghostroll-world-")
        self.world = type(self).make_world(Path(self._folder.name))

    @initialize()
    def begin(self) -> None:
        """A station is up, and no card is in."""
        self.world.start()

    def teardown(self) -> None:
        """Mend everything, put every card in once more: then all is safe, and once."""
        try:
            if self._steps:
                self.finish()
                count("steps of random walks", self._steps)
        except AssertionError as error:
            error.add_note(self.world.describe())
            raise
        finally:
            self.leave()

    def leave(self) -> None:
        """Nothing of it is left."""
        self.world.end()
        self._folder.cleanup()

    @invariant()
    def promises_hold(self) -> None:
        """What must be true at every moment."""
        self._steps += 1
        self.world.check()

    # Cards come and go.

    @rule(name=CARD)
    def insert(self, name: str) -> None:
        """A card goes in, and is read to its end."""
        if name not in self.world.list_in():
            self.world.put_in(name)
        self.world.settle()

    @rule(name=CARD)
    def pull(self, name: str) -> None:
        """A card that is not being read comes out."""
        if name in self.world.list_in():
            self.world.pull(name)
            self._come_to_rest()

    @rule(name=CARD, point=HOLD_AT, nth=NTH)
    def pull_while_reading(self, name: str, point: str, nth: int) -> None:
        """A card comes out in the middle, and the station hears of it a moment later."""
        with self._in_the_middle(name, point, nth):
            self.world.pull(name)
        self._come_to_rest()

    @rule(name=CARD, other=CARD, point=HOLD_AT, nth=st.integers(1, 6))
    def read_two_at_once(self, name: str, other: str, point: str, nth: int) -> None:
        """A second card goes in while one is being read."""
        with self._in_the_middle(name, point, nth):
            if other not in self.world.list_in():
                self.world.put_in(other)
            if self.world.is_up and other in self.world.inside:
                with contextlib.suppress(Refused):
                    self.world.tell("follow", self.world.inside[other])
        self._come_to_rest()

    @rule(name=CARD, other=CARD, point=HOLD_AT, nth=NTH)
    def swap_while_reading(self, name: str, other: str, point: str, nth: int) -> None:
        """Another card is in at the same place, in the middle, before anybody hears of it."""
        swapped = other not in self.world.list_in() | {name}
        with self._in_the_middle(name, point, nth):
            if swapped:
                self.world.swap(name, other)
        if swapped:
            self.world.settle()
            self.world.sort_out(name, other)
        self._come_to_rest()

    @precondition(lambda self: self.world.mounted)  # as root alone can see what nobody may read
    @rule(name=CARD, which=WHICH)
    def insert_with_a_bad_file(self, name: str, which: int) -> None:
        """A card goes in of which one file can't be read."""
        self.pull(name)
        self.world.spoil(name, which)
        self.insert(name)

    @rule(name=CARD)
    def clean_contacts(self, name: str) -> None:
        """Every file of a card can be read again."""
        self.world.clean(name)

    # The station ends and begins.

    @rule()
    def kill(self) -> None:
        """SIGKILL while it waits, and a new start."""
        self.world.kill()
        self.world.check()
        self._restart()

    @rule(name=CARD, point=POINT, nth=NTH)
    def kill_while_reading(self, name: str, point: str, nth: int) -> None:
        """SIGKILL at a point, and a new start."""
        self._restart()
        self.pull(name)
        if self.world.is_up:
            self.world.tell("die_at", point, nth)
            self.insert(name)
        if self.world.is_up:
            self.world.tell("let_go")
        else:
            self.world.check()  # before anything is mended
            count("kills on random walks")
        self._restart()

    @rule(name=CARD, point=st.sampled_from(SAFE_MAKING), nth=st.integers(1, 8))
    def kill_while_storing(self, name: str, point: str, nth: int) -> None:
        """SIGKILL somewhere between a file's first byte and its record, and a new start."""
        self.kill_while_reading(name, point, nth)

    @rule()
    def restart(self) -> None:
        """It is stopped in order, and started."""
        self.world.stop()
        self._restart()

    @rule()
    def reboot(self) -> None:
        """The machine loses its power when nothing is under way; the boot-time clock begins anew."""
        self.world.kill()
        self.world.boot = 5.0
        self._restart()

    # The library's disk.

    @precondition(lambda self: self.world.mounted)
    @rule(leave=st.sampled_from(FIXED_ROOM))
    def fill_disk(self, leave: int) -> None:
        """Something else fills the disk."""
        self.world.fill(leave)
        self._come_to_rest()

    @precondition(lambda self: self.world.mounted)
    @rule(name=CARD, point=HOLD_AT, nth=NTH, leave=st.sampled_from(FIXED_ROOM))
    def fill_disk_while_reading(self, name: str, point: str, nth: int, leave: int) -> None:
        """The disk is full in the middle."""
        with self._in_the_middle(name, point, nth):
            self.world.fill(leave)
        self._come_to_rest()

    @rule()
    def make_room(self) -> None:
        """There is room again, and it goes on by itself."""
        self.world.make_room()
        self._come_to_rest()

    @rule(which=WHICH)
    def rot(self, which: int) -> None:
        """A stored file rots."""
        self.world.rot(which)

    @rule(which=WHICH)
    def lose(self, which: int) -> None:
        """A stored file is deleted."""
        self.world.lose(which)

    # What a person does.

    @rule()
    def verify(self) -> None:
        """`ghostroll verify` names every file that is not as it was, and no other."""
        self._restart()
        if self.world.is_up and not self.world.is_full:
            self.world.check_verified(self.world.tell("verify"))

    @rule(which=WHICH)
    def retry(self, which: int) -> None:
        """`ghostroll retry` for some job."""
        self._restart()
        jobs = list_jobs(self.world.library)
        if self.world.is_up and jobs:
            number, _, name = jobs[which % len(jobs)]
            with contextlib.suppress(Refused):
                slot = self.world.tell("retry", number, self.world.inside.get(name))
                if slot is not None:
                    self.world.inside[name] = slot
        self._come_to_rest()

    @rule(which=WHICH)
    def close(self, which: int) -> None:
        """`ghostroll close` for some job."""
        self._restart()
        jobs = list_jobs(self.world.library, "interrupted", "attention")
        if self.world.is_up and jobs:
            with contextlib.suppress(Refused):
                self.world.tell("give_up", jobs[which % len(jobs)][0])
                self._closed = True
        self._come_to_rest()

    # The clock.

    @rule(seconds=st.sampled_from([-400 * DAY, -DAY, -HOUR, HOUR, 40 * DAY, 400 * DAY]))
    def jump(self, seconds: int) -> None:
        """The wall clock jumps."""
        self._set_clock(self.world.wall + seconds, self.world.zone)

    @rule()
    def change_summer_time(self) -> None:
        """Summer time begins or ends: local time jumps, and so does what cards show."""
        summer = self.world.zone == 60
        self._set_clock(self.world.wall, 120 if summer else 60)
        self.world.shift_times(1 if summer else -1)

    def _set_clock(self, wall: float, zone: int) -> None:
        self.world.wall, self.world.zone = wall, zone
        if self.world.is_up:
            self.world.tell("set_clock", wall, zone)
        self._come_to_rest()

    # How all that is done.

    @contextlib.contextmanager
    def _in_the_middle(self, name: str, point: str, nth: int) -> Iterator[None]:
        """A card goes in, and is being read: some thread stands still at a point, as far as one gets there."""
        self._restart()
        if name in self.world.list_in():
            self.world.pull(name)
            self.world.notice()
        if self.world.is_up:
            self.world.tell("hold", point, nth)
        self.world.put_in(name)
        self.world.settle()
        yield
        if self.world.is_up:
            self.world.tell("let_go")
            self.world.settle()

    def _restart(self) -> None:
        self.world.start()
        self._come_to_rest()

    def _come_to_rest(self) -> None:
        """Detection has looked, and so has the daemon's beat."""
        self.world.notice()
        self.world.settle()
        if self.world.is_up:
            with contextlib.suppress(Refused):
                self.world.tell("tick")
            self.world.settle()

    def finish(self) -> None:
        """Mend everything, put every card in once more, and look at what came of it."""
        world = self.world
        self._mend()
        self._restart()
        assert world.is_up
        world.check_verified(world.tell("verify"))
        for name in sorted(world.list_in()):
            world.pull(name)
        self._come_to_rest()
        for name in sorted(CARDS):
            self.insert(name)
            world.pull(name)
            self._come_to_rest()
        for number, _, _ in list_jobs(world.library, "interrupted", "attention"):
            assert world.shifted, "a job was not gone on with, though its card was in"
            world.tell("give_up", number)
            self._closed = True
        self._come_to_rest()
        world.stop()
        world.check_finished(closed=self._closed)
        if world.store is not None:
            check_bucket(world.store, world.library)

    def _mend(self) -> None:
        self.world.make_room()
        for name in CARDS:
            self.world.clean(name)


class BucketWalk(Walk):
    """The same, with a bucket behind a line."""

    def _mend(self) -> None:
        super()._mend()
        self.plug_in()

    @rule()
    def unplug(self) -> None:
        """The network is down."""
        assert self.world.wire is not None
        self.world.wire.refuse()
        self.world.wire.cut()

    @rule()
    def plug_in(self) -> None:
        """The network is up, and everything goes up by itself."""
        assert self.world.wire is not None
        self.world.wire.mend()
        for _ in range(3):
            if self.world.is_up:
                self.world.tell("pass_time", 400.0)
                self._come_to_rest()
        self.world.check_bucket()

    @rule(
        name=CARD,
        point=st.sampled_from(
            [p for p in find_points() if p.startswith(OF_BUCKET) and not p.startswith(OF_HEALING)]
        ),
        nth=NTH,
    )
    def kill_while_sending(self, name: str, point: str, nth: int) -> None:
        """SIGKILL at a point of an upload, and a new start."""
        self.kill_while_reading(name, point, nth)


def make_remote(place: Path, stage: Stage, server: Store, wire: Wire) -> World:
    """A world with an empty bucket."""
    wire.mend()
    return World(place, stage, server.with_new_bucket(), wire)


def run_walks(walk: type[Walk], examples: int, steps: int, part: int) -> None:
    """So many random walks of so many steps each; in the campaign they are other ones each time.

    One that fails says its seed: with GHOSTROLL_SEED the same ones are walked again. It is shortened only where
    GHOSTROLL_SHRINK is set: that takes minutes.
    """
    number = int(os.environ.get("GHOSTROLL_SEED") or random.SystemRandom().randrange(1 << 32))
    if FULL:
        seed(f"{number} {part}")(walk)
    try:
        _run_walks(walk, examples, steps)
    except BaseException as error:
        error.add_note(
            f"the same walks again: GHOSTROLL_SEED={number}" if FULL else "these walks are the same each time"
        )
        raise
    count(f"random walks ({walk.__name__})", examples)


def _run_walks(walk: type[Walk], examples: int, steps: int) -> None:
    run_state_machine_as_test(
        walk,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=not FULL,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, *([Phase.shrink] if "GHOSTROLL_SHRINK" in os.environ else [])],
            print_blob=False,
        ),
    )
