"""How long a card takes whose files are all known, beside a bare loop of stat and 64 KiB of each.

Taken twice: as whole process, with the start of Python and all, and as inner time, from the card to
*secured*. Cold means that none of the card's bytes are in the page cache, as after inserting it. With `--assets`
it is taken a third time, in turns with the first: with a state that has the rows of so many assets of other cards.
"""

import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from filling import fill
from measuring import Cost, Figure, give_up, measure, option_parser, report
from staging import Stage, drop_from_cache, list_files, make_small_card, open_stage, warm_cache

_BARE = Path(__file__).with_name("bare_heads.py")
_HEAD = 64 * 1024  # bytes
_COLD = 0.9  # of the bytes must come from the disk, or the cache was not empty


def main() -> None:
    """Secure a card once, then put it in again and again."""
    parser = option_parser("the time to settle a card whose files are all known")
    parser.add_argument("--files", type=int, default=1000, help="on the card")
    parser.add_argument("--kib", type=int, default=100, help="in each file")
    parser.add_argument("--rounds", type=int, default=5, help="of everything")
    parser.add_argument("--assets", type=int, default=0, help="in the library's state, put in as rows")
    options = parser.parse_args()
    if options.assets < 0:
        parser.error("assets must be 0 or more")
    if min(options.files, options.rounds, options.kib) <= 0:
        parser.error("files, rounds and kib must be more than 0")
    with open_stage(options.cache) as stage:
        card = make_small_card(stage.folder, files=options.files, size=options.kib * 1024)
        stage.ingest(card)
        full = _fill_copy(stage, options.assets) if options.assets else None
        rounds = [
            _Rounds(stage, card, options.files, full, cold=True),
            _Rounds(stage, card, options.files, full, cold=False),
        ]
        for _ in range(options.rounds):
            for state in rounds:
                state.take()
        figures = [figure for state in rounds for figure in state.figures()]
        figures += _start_up(stage, options.rounds)
    report(options, figures)


def _fill_copy(stage: Stage, assets: int) -> Path:
    """Another database of the same library, which knows more."""
    full = stage.folder / "full.db"
    with closing(sqlite3.connect(stage.state)) as source, closing(sqlite3.connect(full)) as target:
        source.backup(target)
    fill(full, assets)
    return full


class _Rounds:
    """Re-inserts and bare loops in turns, with the card's bytes in the page cache or not."""

    def __init__(self, stage: Stage, card: Path, files: int, full: Path | None, *, cold: bool) -> None:
        self._stage, self._card, self._files, self._cold = stage, card, files, cold
        self._full = full
        self._of_full: list[tuple[float, Cost]] = []
        self._paths = list_files(card)
        self._names = stage.folder / "names"
        self._names.write_text("".join(f"{path}\n" for path in self._paths))
        self._ingests: list[tuple[float, Cost]] = []
        self._loops: list[tuple[float, Cost]] = []

    def take(self) -> None:
        """One round."""
        self._prepare()
        loop = measure([sys.executable, str(_BARE), str(self._names)], self._stage.environment)
        self._loops.append((float(loop.out), loop))
        self._ingests.append(self._insert())
        if self._full is not None:
            self._of_full.append(self._insert({"GHOSTROLL_STATE__PATH": str(self._full)}))

    def _insert(self, settings: Mapping[str, str] | None = None) -> tuple[float, Cost]:
        self._prepare()
        document, cost = self._stage.ingest(self._card, settings=settings)
        if document["known"] != self._files or document["new"] != 0:
            give_up(
                "the card was read again: its filesystem has no UUID, so put --cache on ext4, xfs or btrfs"
            )
        return document["seconds"]["secured"], cost

    def figures(self) -> list[Figure]:
        """Times of this state. Cold ones are left out where the cache could not be emptied."""
        wanted = sum(min(_HEAD, path.stat().st_size) for path in self._paths)
        if self._cold and any(loop.disk_read < _COLD * wanted for _, loop in self._loops):
            sys.stderr.write(
                "reinsert.py: the page cache can't be emptied here, so there are no cold figures\n"
            )
            return []
        state = "cold" if self._cold else "warm"
        return [
            *_compare(f"{state}: ", self._ingests, self._loops),
            *(_compare(f"{state}, with more assets: ", self._of_full, self._ingests) if self._full else ()),
        ]

    def _prepare(self) -> None:
        if self._cold:
            drop_from_cache(self._paths)
        else:
            warm_cache(self._paths)


def _compare(
    state: str, values: list[tuple[float, Cost]], floors: list[tuple[float, Cost]]
) -> Iterator[Figure]:
    for name, take in (
        ("from the card to secured", lambda one: one[0]),
        ("whole process", lambda one: one[1].wall),
        ("CPU of the whole process", lambda one: one[1].cpu),
    ):
        yield Figure(f"{state}{name}", "s", tuple(map(take, values)), tuple(map(take, floors)))


def _start_up(stage: Stage, rounds: int) -> list[Figure]:
    commands, bare = [], []
    for _ in range(rounds):
        bare.append(measure([sys.executable, "-c", "pass"], stage.environment).wall)
        commands.append(measure([sys.executable, "-m", "ghostroll", "--version"], stage.environment).wall)
    return [Figure("start of the command, beside Python's", "s", tuple(commands), tuple(bare))]


if __name__ == "__main__":
    main()
