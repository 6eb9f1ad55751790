"""When each photo of one ingest was read, stored, rendered and shown: a table of the stages, and a picture of them.

Nothing is added to ghostroll for it. The library's ledger is read beside the ingest fifty times a second, and so is the
folder in which files arrive; a moment is as exact as that. With `--svg` a picture is written: a line per photo, in the
order of the card, time to the right.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from drawing import Bar, draw
from measuring import Figure, give_up, option_parser, report
from slow_cards import open_slot
from staging import Stage, make_photo_card, open_stage

_LOOK = 0.02  # seconds
_RUNNING = "SELECT subject FROM task WHERE stage = 'render' AND state = 'running'"
_STORED = "SELECT id FROM source WHERE state = 'stored'"
_MADE = "SELECT source_id, share FROM picture WHERE error IS NULL"
_SECURED = "SELECT 1 FROM job WHERE safety = 'secured'"


@dataclass(frozen=True, slots=True)
class Course:
    """Moments by source, in seconds from the start of the process; `secured` is the job's."""

    reading: dict[int, float] = field(default_factory=dict)  # its bytes begin to arrive
    stored: dict[int, float] = field(default_factory=dict)  # verified, in place and recorded
    rendering: dict[int, float] = field(default_factory=dict)  # a worker has it
    rendered: dict[int, float] = field(default_factory=dict)
    shown: dict[int, float] = field(default_factory=dict)  # the gallery names it
    secured: dict[int, float] = field(default_factory=dict)


def main() -> None:
    """One ingest, watched."""
    parser = option_parser("when each photo of an ingest was read, stored, rendered and shown")
    parser.add_argument("--photos", type=int, default=100, help="on the card")
    parser.add_argument("--megapixels", type=float, default=24, help="of each photo")
    parser.add_argument("--speed", type=float, default=90, help="of the card in MB/s; 0 is no limit")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw them as a picture")
    options = parser.parse_args()
    if min(options.photos, options.megapixels) <= 0 or options.speed < 0:
        parser.error("photos and megapixels must be more than 0, speed 0 or more")
    with ExitStack() as undo:
        stage = undo.enter_context(open_stage(options.cache))
        made = make_photo_card(
            options.cache, stage.folder, photos=options.photos, megapixels=options.megapixels
        )
        slot = undo.enter_context(open_slot(made, options.speed))
        with slot.insert() as card, _watch(stage) as course:
            document, cost = stage.ingest(card, enter=slot.enter)
    if document["renditions"] != 2 * options.photos or len(course.rendered) != options.photos:
        give_up("the ingest did not render every photo")
    if options.svg is not None:
        _draw(course, cost.wall, options.svg)
    report(options, [*_tell(course, cost.wall)])


@contextmanager
def _watch(stage: Stage) -> Iterator[Course]:
    course, over = Course(), threading.Event()
    began = time.monotonic()

    def watch() -> None:
        while not stage.state.with_name("state.db-wal").exists() and not over.wait(_LOOK):
            pass
        with closing(
            sqlite3.connect(f"file:{stage.state}?mode=ro", uri=True, timeout=30, isolation_level=None)
        ) as db:
            while not over.wait(_LOOK):
                _look(stage, db, course, time.monotonic() - began)
            _look(stage, db, course, time.monotonic() - began)

    watching = threading.Thread(target=watch, name="stage-watch")
    watching.start()
    try:
        yield course
    finally:
        over.set()
        watching.join()


def _look(stage: Stage, db: sqlite3.Connection, course: Course, now: float) -> None:
    """Note what is so for the first time."""
    for path in (stage.library / ".ghostroll" / "incoming").glob("*-*"):
        source = path.name.partition("-")[0]
        if source.isdigit():
            course.reading.setdefault(int(source), now)
    try:
        db.execute("BEGIN")  # all that is seen at one moment agrees
        for question, moments in (
            (_RUNNING, course.rendering),
            (_STORED, course.stored),
            (_SECURED, course.secured),
        ):
            for (source,) in db.execute(question):
                moments.setdefault(source, now)
        made = db.execute(_MADE).fetchall()
    except sqlite3.OperationalError:  # it has no tables yet
        return
    finally:
        db.execute("COMMIT")
    for source, _ in made:
        course.rendered.setdefault(source, now)
        course.rendering.setdefault(source, now)
    for gallery in stage.library.glob("*/gallery.json"):
        named = {item["share"].rpartition("/")[2] for item in json.loads(gallery.read_bytes())["items"]}
        for source, share in made:
            if share in named:
                course.shown.setdefault(source, now)


def _tell(course: Course, wall: float) -> Iterator[Figure]:
    for name, moments in (
        ("stored", course.stored),
        ("rendered", course.rendered),
        ("shown in the gallery", course.shown),
    ):
        yield Figure(f"the first photo {name} after", "s", (min(moments.values()),))
        yield Figure(f"the last photo {name} after", "s", (max(moments.values()),))
    yield Figure("secured after", "s", tuple(course.secured.values()))
    yield Figure("the process ended after", "s", (wall,))
    waits = [course.rendering[source] - course.stored[source] for source in course.rendered]
    yield Figure("a stored photo waits for a worker, at most", "s", (max(waits),))
    delays = [course.shown[source] - course.rendered[source] for source in course.shown]
    yield Figure("a rendered photo waits for the gallery, at most", "s", (max(delays),))


def _draw(course: Course, wall: float, path: Path) -> None:
    rows: list[Sequence[Bar]] = [
        (
            Bar("read, verified, stored", course.reading.get(source, course.stored[source]), course.stored[source]),
            Bar("waits for a worker", course.stored[source], course.rendering[source]),
            Bar("rendered", course.rendering[source], course.rendered[source]),
            Bar("waits for the gallery", course.rendered[source], course.shown.get(source, wall)),
        )
        for source in sorted(course.rendered)
    ]  # fmt: skip
    marks = {"secured": next(iter(course.secured.values())), "end": wall}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(draw(rows, marks))


if __name__ == "__main__":
    main()
