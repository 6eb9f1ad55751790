"""`ghostroll demo`: the whole way once, with a card that is made for it or with one's own pictures."""

import os
import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from ghostroll.cards.volume import identify_volume
from ghostroll.cli.ingest import finish_ingest
from ghostroll.cli.opening import open_station
from ghostroll.cli.options import JsonOption
from ghostroll.cli.progress import choose_watcher
from ghostroll.cli.stopping import catch_stops
from ghostroll.config import Library, Settings
from ghostroll.errors import UsageError
from ghostroll.station.run import run_ingest
from ghostroll.station.witness import Witness

_MARK = ".ghostroll-demo"  # what stands in a folder that the demo may clear


def demo(
    card: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A folder with your own pictures; it is only read.")
    ] = None,
    into: Annotated[
        Path, typer.Option(metavar="FOLDER", help="The folder for the demo's card and library; made anew.")
    ] = Path("demo"),
    *,
    as_json: JsonOption = False,
) -> None:
    """Make a small camera card, ingest it, and show what came of it.

    Your own library is not touched. Exit code 3 is right here: one file of the made card is broken.

    Example: ghostroll demo --card ~/Pictures/wedding
    """
    console = Console(highlight=False)
    into = into.absolute()
    if card is not None:
        _keep_apart(card, into)
    _make_room(into)
    if card is None:
        from ghostroll.demo.card import make_demo_card  # noqa: PLC0415  # numpy and all codecs, for this command alone

        made = make_demo_card(into / "EOS_DIGITAL")
        card = made.root
        if not as_json:
            console.print(Text(f"made a card with {len(made.files)} files: {made.root}"), soft_wrap=True)
    library = Library(path=into / "library", allow_weak_filesystem=True, keep_free_mib=16)
    with (
        catch_stops(quiet=as_json) as stopped,
        open_station(
            Settings(library=library), "demo", quiet=as_json, bars=console.is_terminal, witness=Witness(None)
        ) as station,
    ):
        watcher = choose_watcher(station.wiring.meter, console, quiet=as_json)
        summary = run_ingest(station, os.fsencode(card), session=None, watcher=watcher, stopped=stopped)
    finish_ingest(console, summary, as_json=as_json, stopped=stopped.is_set())


def _keep_apart(card: Path, into: Path) -> None:
    """A card is only read: it is not where the demo clears a folder, nor around it."""
    identify_volume(os.fsencode(card))
    mine, other = card.resolve(), into.resolve()
    if mine.is_relative_to(other) or other.is_relative_to(mine):
        raise UsageError(
            f"{card} and the demo's folder {into} are one inside the other: choose another --into"
        )


def _make_room(into: Path) -> None:
    """An empty folder of the demo's own; an earlier demo in it goes, anything else is left alone."""
    try:
        if into.exists() and any(into.iterdir()):
            if not (into / _MARK).is_file():
                raise UsageError(f"{into} is not a demo's folder: choose another one with --into")
            shutil.rmtree(into)
        into.mkdir(parents=True, exist_ok=True)
        (into / _MARK).touch()
    except OSError as error:
        raise UsageError(
            f"{into} can't be used ({error.strerror or error}): choose another folder with --into"
        ) from error
