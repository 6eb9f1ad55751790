"""How soon people see a card's pictures: a bucket at the end of a line of 40 ms, and a Chromium that polls.

`ghostroll ingest` of a card of 24-megapixel JPEGs, from the start of its process. Chromium waits with an empty page
and opens the link as soon as `link.txt` has it, over the same line. A picture is visible one frame after it was
loaded. The line is measured three times: while pictures are still being made, alone and with the originals that are
sent where no picture waits, and by `ghostroll publish` of pictures that were all made before, which shows what the
uploads alone can do. How full it is, is told as a mean from the link to the
last picture, as one from the first picture to the last, and four times a second between those: what share of those
moments was below 95 %.
"""

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

# The store, the line and the browser of the tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from browser.conftest import start_browser
from browser.looking import ask_page, run_first
from measuring import Figure, give_up, option_parser, report
from selenium.webdriver import Chrome
from staging import Stage, drop_from_cache, forget_run, list_files, make_photo_card, open_stage
from stores import Store, serve_rclone
from wires import Wire, open_wire

_ROUND_TRIP = 0.04  # seconds
_TIMEOUT = 120.0
_PAUSE = 0.01
_SLICE = 0.25  # seconds
_FULL = 0.95  # of the line
_MARK_FIRST_PICTURE = """
  document.addEventListener("load", (event) => {
    const paint = (then) => requestAnimationFrame(() => requestAnimationFrame(then));
    if (event.target.closest?.(".tile")) paint(() => { window.firstPicture ??= Date.now() / 1000; });
  }, true);
"""


@dataclass(frozen=True, slots=True)
class Moments:
    """Seconds since a process was started, and how full the line was from the link to the last picture."""

    link: float
    last: float
    megabits: float  # a second
    steady: float  # megabits a second from the first picture to the last
    not_full: float  # share of the moments between those two at which the line had room
    visible: float = 0.0


class _Run:
    """A ghostroll at work, and what came of it in the bucket."""

    def __init__(
        self, process: subprocess.Popen[bytes], began: float, bucket: Path, pictures: int, megabits: float
    ) -> None:
        self._process, self.began, self._megabits = process, began, megabits
        self._sessions, self._pictures = bucket / "sessions", pictures
        self._before = set(self._list_sessions())

    def wait_for(self, find: Callable[[], Any]) -> Any:
        """What it finds, as soon as it finds something; the benchmark ends where that can't be any more."""
        until = time.monotonic() + _TIMEOUT
        while not (found := find()):
            if self._process.poll() or time.monotonic() > until:
                give_up(f"what should have come did not: exit code {self._process.returncode}")
            time.sleep(_PAUSE)
        return found

    def measure(self, wire: Wire, look: Callable[[], object]) -> Moments:
        """Have somebody look once the link is out, and wait for the last picture."""
        page = self.wait_for(self._find_page)
        link, carried = time.time() - self.began, wire.traffic.up
        look()
        self.wait_for(lambda: _count_pictures(page))
        first, carried_first = time.time() - self.began, wire.traffic.up
        with _watch_line(wire) as slices:
            self.wait_for(lambda: _count_pictures(page) >= self._pictures)
        # The clock is read before the first count and after the last one: what is between them is never too short.
        up, last = wire.traffic.up, time.time() - self.began
        not_full = sum(rate < _FULL * self._megabits for rate in slices) / max(1, len(slices))
        steady = (up - carried_first) * 8 / 1e6 / (last - first)
        return Moments(link, last, (up - carried) * 8 / 1e6 / (last - link), steady, not_full)

    def _find_page(self) -> Path | None:
        new = [session for session in self._list_sessions() if session not in self._before]
        return new[0] if new and (new[0] / "index.html").exists() else None

    def _list_sessions(self) -> list[Path]:
        return list(self._sessions.iterdir()) if self._sessions.exists() else []


@contextmanager
def _watch_line(wire: Wire) -> Iterator[list[float]]:
    """Megabits a second that went up, slice by slice, until the block is left."""
    slices: list[float] = []
    over = threading.Event()

    def watch() -> None:
        before, carried = time.monotonic(), wire.traffic.up
        while not over.wait(_SLICE):
            now, more = time.monotonic(), wire.traffic.up
            slices.append((more - carried) * 8 / 1e6 / (now - before))
            before, carried = now, more

    watching = threading.Thread(target=watch, name="line-watch")
    watching.start()
    try:
        yield slices
    finally:
        over.set()
        watching.join()


class _Bench:
    """A card, a bucket at the end of a line, and somebody with a browser."""

    def __init__(self, stage: Stage, store: Store, wire: Wire, card: Path, megabits: float) -> None:
        self._stage, self._wire, self._card, self._megabits = stage, wire, card, megabits
        self._bucket = stage.folder / "store" / store.bucket
        self._environment = stage.environment | store.at(wire.endpoint).settings

    def ingest(self, browser: Chrome, *, originals: bool = False) -> Moments:
        """Ingest the card while somebody waits for its pictures."""
        self._environment["GHOSTROLL_PUBLISH__ORIGINALS"] = "all" if originals else "none"
        forget_run(self._stage)
        drop_from_cache(list_files(self._card))
        browser.get("about:blank")
        with self._start("ingest", self._card) as run:
            moments = run.measure(self._wire, lambda: browser.get(run.wait_for(self._find_link)))
            visible = run.wait_for(lambda: ask_page(browser, "window.firstPicture"))
            return replace(moments, visible=visible - run.began)

    def publish(self) -> Moments:
        """Ingest the card without publishing it, then publish it."""
        forget_run(self._stage)
        document, _ = replace(
            self._stage, environment=self._environment | {"GHOSTROLL_PUBLISH__AUTO": "false"}
        ).ingest(self._card)
        with self._start("publish", str(document["job"])) as run:
            return run.measure(self._wire, lambda: None)

    @contextmanager
    def _start(self, *words: str | Path) -> Iterator[_Run]:
        """A command, which has ended well afterwards."""
        command = [sys.executable, "-m", "ghostroll", *words, "--json"]
        began = time.time()  # the browser's clock
        pictures = 2 * len(list_files(self._card))
        with subprocess.Popen(command, env=self._environment, stdout=subprocess.DEVNULL) as process:
            try:
                yield _Run(process, began, self._bucket, pictures, self._megabits)
                process.wait(_TIMEOUT)
            finally:
                process.kill()
        if process.returncode != 0:
            give_up(f"'ghostroll {words[0]}' ended with exit code {process.returncode}")

    def _find_link(self) -> str | None:
        found = list(self._stage.library.glob("*/link.txt"))
        return found[0].read_text().splitlines()[0] if found else None


def _count_pictures(session: Path) -> int:
    """Renditions that are whole: the store gives an object its name last."""
    return sum(not path.name.startswith(".") for path in session.glob("*/*.jpg"))


def main() -> None:
    """Ingests with somebody looking, and uploads alone, in turns."""
    options = _read_options()
    with ExitStack() as undo:
        stage = undo.enter_context(open_stage(options.cache))
        try:
            store = undo.enter_context(serve_rclone(stage.folder / "store"))
            browser = start_browser(stage.folder / "profile")
        except pytest.skip.Exception as obstacle:  # what the store of the tests lacks
            give_up(str(obstacle.msg))
        except FileNotFoundError as obstacle:
            give_up(str(obstacle))
        undo.callback(browser.quit)
        run_first(browser, _MARK_FIRST_PICTURE)
        rate = options.megabits * 1e6
        wire = undo.enter_context(open_wire(store.address, rtt=_ROUND_TRIP, bits_per_second=rate))
        card = make_photo_card(
            options.cache, stage.folder, photos=options.photos, megapixels=options.megapixels
        )
        bench = _Bench(stage, store, wire, card, options.megabits)
        runs: dict[str, list[Moments]] = {}
        for _ in range(options.rounds):
            runs.setdefault("ingest", []).append(bench.ingest(browser))
            if not options.pictures_alone:
                runs.setdefault("with originals", []).append(bench.ingest(browser, originals=True))
            runs.setdefault("publish", []).append(bench.publish())
    report(options, [*_tell(runs, options.megabits)])


def _read_options() -> argparse.Namespace:
    parser = option_parser("how soon people see the pictures of a card, over a line of 40 ms")
    parser.add_argument("--photos", type=int, default=48, help="on the card")
    parser.add_argument("--megapixels", type=float, default=24, help="of each photo")
    parser.add_argument("--megabits", type=float, default=50, help="a second that the line carries")
    parser.add_argument("--pictures-alone", action="store_true", help="no run with originals: they take long")
    parser.add_argument("--rounds", type=int, default=3, help="of everything")
    options = parser.parse_args()
    if min(options.photos, options.rounds, options.megapixels, options.megabits) <= 0:
        parser.error("photos, rounds, megapixels and megabits must be more than 0")
    return options


def _tell(runs: Mapping[str, Sequence[Moments]], megabits: float) -> Iterator[Figure]:
    for run, moments in runs.items():
        line = (megabits,) * len(moments)
        yield Figure(f"{run}: seconds until the link is out", "s", tuple(each.link for each in moments))
        if run != "publish":
            visible = tuple(each.visible for each in moments)
            yield Figure(f"{run}: seconds until the first picture is visible", "s", visible)
        last = tuple(each.last for each in moments)
        yield Figure(f"{run}: seconds until the last picture is in the bucket", "s", last)
        mean = tuple(each.megabits for each in moments)
        yield Figure(f"{run}: the line, from the link to the last picture", "Mbit/s", mean, line)
        steady = tuple(each.steady for each in moments)
        yield Figure(f"{run}: the line, from the first picture to the last", "Mbit/s", steady, line)
        shares = tuple(100 * each.not_full for each in moments)
        yield Figure(f"{run}: moments with less than 95 % of the line in use", "%", shares)


if __name__ == "__main__":
    main()
