"""How an ingest looks while it runs: bars on a terminal, plain lines elsewhere."""

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from ghostroll.model import SourceState, Stage
from ghostroll.observe.meter import Meter
from ghostroll.observe.wording import say_bytes
from ghostroll.state.assets import PictureTally, Tally
from ghostroll.station.run import Watcher

_LINE_SECONDS = 5.0  # between two plain lines
_SETTLED = (SourceState.STORED, SourceState.DUPLICATE, SourceState.KNOWN)


class _Rate(ProgressColumn):
    """What the description can't hold: files, bytes and the rate."""

    def render(self, task: Task) -> Text:
        return Text(str(task.fields.get("detail", "")), style="progress.data.speed")


class QuietWatcher:
    """Shows nothing."""

    def show(self, tally: Tally, pictures: PictureTally) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class BarWatcher:
    """Two bars: bytes on their way into the library, and pictures made."""

    def __init__(self, meter: Meter, console: Console) -> None:
        self._meter = meter
        self._bars = Progress(
            TextColumn("{task.description:<8}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            _Rate(),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
        )
        self._copy = self._bars.add_task("copy", total=None)
        self._render = self._bars.add_task("pictures", total=None)
        self._bars.start()

    def show(self, tally: Tally, pictures: PictureTally) -> None:
        """Move the bars."""
        reading = self._meter.read()[Stage.COPY]
        settled = sum(tally.states.get(state, 0) for state in _SETTLED)
        known = max(tally.bytes_done, min(tally.bytes, reading.bytes))
        rate = f", {say_bytes(reading.bytes / reading.seconds)}/s" if reading.seconds else ""
        if tally.files:
            detail = f"{settled} of {tally.files} files, {say_bytes(known)} of {say_bytes(tally.bytes)}{rate}"
            self._bars.update(self._copy, total=max(1, tally.bytes), completed=known, detail=detail)
        if pictures.wanted:
            done = pictures.shown + pictures.failed
            made = self._meter.read()[Stage.RENDER]
            pace = f", {made.items / made.seconds:.1f}/s" if made.seconds else ""
            detail = f"{done} of {pictures.wanted}{pace}"
            self._bars.update(self._render, total=pictures.wanted, completed=done, detail=detail)

    def close(self) -> None:
        """Take the bars away."""
        self._bars.stop()


class LineWatcher:
    """A plain line now and then, where it is not a terminal that looks."""

    def __init__(self, meter: Meter, console: Console) -> None:
        self._meter, self._console = meter, console
        self._next = time.monotonic()

    def show(self, tally: Tally, pictures: PictureTally) -> None:
        """Say how far it is, if the last time is long enough ago."""
        now = time.monotonic()
        if now < self._next or not tally.files:
            return
        self._next = now + _LINE_SECONDS
        settled = sum(tally.states.get(state, 0) for state in _SETTLED)
        done = pictures.shown + pictures.failed
        self._console.print(
            f"{settled} of {tally.files} files, {say_bytes(tally.bytes_done)} of {say_bytes(tally.bytes)} copied;"
            f" {done} of {pictures.wanted} pictures",
            highlight=False,
        )

    def close(self) -> None:
        """Nothing."""


def choose_watcher(meter: Meter, console: Console, *, quiet: bool) -> Watcher:
    """Bars for a terminal, lines for a file or a pipe, nothing where a machine reads."""
    if quiet:
        return QuietWatcher()
    return BarWatcher(meter, console) if console.is_terminal else LineWatcher(meter, console)
