"""Pictures and clips that are made to hurt, all in one list."""

from collections.abc import Iterator
from pathlib import Path

from box_bombs import BOXED_RAWS, CLIPS, HEIFS, point_elsewhere
from still_bombs import IMAGES, JPEGS, RAWS, Make, put

from ghostroll.model import Kind


def list_bombs(canary: Path) -> dict[str, tuple[Kind, Make]]:
    """Every bomb by its file's name; `canary` is a file that some of them want to be read."""
    return {
        **{name: (Kind.IMAGE, make) for name, make in IMAGES.items()},
        **{name: (Kind.JPEG, make) for name, make in JPEGS.items()},
        **{name: (Kind.HEIF, make) for name, make in HEIFS.items()},
        **{name: (Kind.RAW, make) for name, make in (RAWS | BOXED_RAWS).items()},
        **{name: (Kind.VIDEO, make) for name, make in CLIPS.items()},
        **{name: (Kind.VIDEO, put(data)) for name, data in point_elsewhere(canary).items()},
    }


def write_bombs(place: Path, bombs: dict[str, tuple[Kind, Make]]) -> Iterator[tuple[str, Kind]]:
    """Make the files, and say what each is called and is."""
    for name, (kind, make) in bombs.items():
        make(place / name)
        yield name, kind
