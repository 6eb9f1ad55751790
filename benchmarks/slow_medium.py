"""What an ingest loses on a medium that takes long to sync: a library and a state on an SD card or a USB stick.

Every fsync and fdatasync of ghostroll returns some milliseconds late, by strace; beside it the same under strace without
the delay. How often it syncs is told as well, for it is that number that a slow medium multiplies.
"""

from dataclasses import dataclass
from pathlib import Path
from shutil import which

from measuring import Figure, give_up, option_parser, report
from staging import Stage, drop_from_cache, forget_run, list_files, make_photo_card, open_stage


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds of an ingest, and how often it synced."""

    secured: float
    published: float
    wall: float
    syncs: int


def main() -> None:
    """With the delay and without, in turns."""
    parser = option_parser("what an ingest loses on a medium that takes long to sync")
    parser.add_argument("--photos", type=int, default=100, help="on the card")
    parser.add_argument("--megapixels", type=float, default=24, help="of each photo")
    parser.add_argument("--milliseconds", type=float, default=30, help="that a sync takes longer")
    parser.add_argument("--rounds", type=int, default=2, help="of everything")
    options = parser.parse_args()
    if min(options.photos, options.megapixels, options.milliseconds, options.rounds) <= 0:
        parser.error("photos, megapixels, milliseconds and rounds must be more than 0")
    if which("strace") is None:
        give_up("nothing can be made slow without strace: apt install strace")
    with open_stage(options.cache) as stage:
        card = make_photo_card(
            options.cache, stage.folder, photos=options.photos, megapixels=options.megapixels
        )
        rounds = [
            (_ingest(stage, card, options.milliseconds), _ingest(stage, card, 0))
            for _ in range(options.rounds)
        ]
    slow, fast = zip(*rounds, strict=True)
    figures = [
        Figure(
            f"{name}, beside no delay",
            "s",
            tuple(getattr(one, key) for one in slow),
            tuple(getattr(one, key) for one in fast),
        )
        for name, key in (("secured", "secured"), ("published", "published"), ("whole process", "wall"))
    ]
    report(options, [*figures, Figure("syncs", "", tuple(float(one.syncs) for one in slow))])


def _ingest(stage: Stage, card: Path, milliseconds: float) -> Taken:
    drop_from_cache(list_files(card))
    log = stage.folder / "syncs"

    def enter(*command: str | Path) -> list[str | Path]:
        delay = f"-einject=fsync,fdatasync:delay_exit={round(1000 * milliseconds)}"
        traced: list[str | Path] = ["strace", "-f", "--seccomp-bpf", "-qq", "-etrace=fsync,fdatasync"]
        return [*traced, *([delay] if milliseconds else []), "-o", log, *command]

    document, cost = stage.ingest(card, enter=enter)
    if document["renditions"] != 2 * len(list_files(card)):
        give_up("the ingest did not store and render every photo")
    forget_run(stage)
    seconds = document["seconds"]
    syncs = sum(b"sync(" in line for line in log.read_bytes().splitlines())
    return Taken(seconds["secured"], seconds["published"], cost.wall, syncs)


if __name__ == "__main__":
    main()
