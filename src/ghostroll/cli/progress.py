"""How an ingest looks while it runs: bars on a terminal, plain lines elsewhere."""

import time

from rich.console import Console, JustifyMethod
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column

from ghostroll.model import SourceState, Stage
from ghostroll.observe.meter import Meter, Reading
from ghostroll.observe.wording import say_bytes, say_count
from ghostroll.state.assets import Tally
from ghostroll.state.pictures import PictureTally
from ghostroll.station.run import Watcher

_LINE_SECONDS = 5.0  # between two plain lines
_SETTLED = (SourceState.STORED, SourceState.DUPLICATE, SourceState.KNOWN)


class QuietWatcher:
    """Shows nothing."""

    def show(self, tally: Tally, pictures: PictureTally) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class BarWatcher:
    """Bars: bytes on their way into the library, pictures made, and what is sent where a bucket is filled."""

    def __init__(self, meter: Meter, console: Console) -> None:
        self._meter = meter
        self._bars = Progress(*_choose_columns(console.width), console=console, transient=True, expand=True)
        self._copy = self._add_row("copy")
        self._render = self._add_row("pictures")
        self._upload: TaskID | None = None
        self._bars.start()

    def show(self, tally: Tally, pictures: PictureTally) -> None:
        """Move the bars."""
        read = self._meter.read()
        self._show_copies(tally, read[Stage.COPY])
        self._show_pictures(pictures, read[Stage.RENDER])
        self._show_uploads(pictures, read[Stage.UPLOAD])

    def close(self) -> None:
        """Take the bars away."""
        self._bars.stop()

    def _show_copies(self, tally: Tally, copied: Reading) -> None:
        if not tally.files:
            return
        settled = sum(tally.states.get(state, 0) for state in _SETTLED)
        known = max(tally.bytes_done, min(tally.bytes, copied.bytes))
        self._bars.update(
            self._copy,
            total=max(1, tally.bytes),
            completed=known if tally.bytes else int(settled == tally.files),
            count=f"{settled} of {say_count(tally.files, 'file')}",
            size=f"{say_bytes(known)} of {say_bytes(tally.bytes)}",
            rate=_say_rate(copied),
        )

    def _show_pictures(self, pictures: PictureTally, made: Reading) -> None:
        if not pictures.wanted:
            return
        done = pictures.shown + pictures.failed
        self._bars.update(
            self._render,
            total=pictures.wanted,
            completed=done,
            count=f"{done} of {pictures.wanted}",
            rate=f"{made.items / made.seconds:.1f}/s" if made.seconds else "",
        )

    def _show_uploads(self, pictures: PictureTally, sent: Reading) -> None:
        """No row before there is something to send: without a bucket there never is."""
        if not pictures.to_upload:
            return
        if self._upload is None:
            self._upload = self._add_row("upload")
        self._bars.update(
            self._upload,
            total=pictures.to_upload,
            completed=pictures.uploaded,
            count=f"{pictures.uploaded} of {pictures.to_upload}",
            size=say_bytes(sent.bytes),
            rate=_say_rate(sent),
        )

    def _add_row(self, name: str) -> TaskID:
        return self._bars.add_task(name, total=None, count="", size="", rate="")


def _say_rate(reading: Reading) -> str:
    return f"{say_bytes(reading.bytes / reading.seconds)}/s" if reading.seconds else ""


def _choose_columns(width: int) -> list[ProgressColumn]:
    """What fits: a narrow terminal is told less, so that each row stays one line."""
    bar = BarColumn(
        None, style="bright_black", complete_style="cyan", finished_style="green", pulse_style="cyan"
    )
    columns: list[ProgressColumn] = [_column("{task.description:<8}"), bar]
    columns.append(_column("{task.percentage:>3.0f}%"))
    if width >= 50:
        columns.append(_column("{task.fields[count]}"))
    if width >= 76:
        columns.append(_column("{task.fields[size]}"))
    if width >= 60:
        columns.append(_column("{task.fields[rate]}", justify="right"))
    return [*columns, TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True))]


def _column(text: str, justify: JustifyMethod = "left") -> TextColumn:
    return TextColumn(text, style="none", justify=justify, table_column=Column(no_wrap=True))


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
        uploads = f"; {pictures.uploaded} of {pictures.to_upload} uploaded" if pictures.to_upload else ""
        self._console.print(
            f"{settled} of {tally.files} files, {say_bytes(tally.bytes_done)} of {say_bytes(tally.bytes)} copied;"
            f" {done} of {pictures.wanted} pictures{uploads}",
            highlight=False,
        )

    def close(self) -> None:
        """Nothing."""


def choose_watcher(meter: Meter, console: Console, *, quiet: bool) -> Watcher:
    """Bars for a terminal, lines for a file or a pipe, nothing where a machine reads."""
    if quiet:
        return QuietWatcher()
    return BarWatcher(meter, console) if console.is_terminal else LineWatcher(meter, console)
