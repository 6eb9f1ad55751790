"""A small, real camera card: every kind of file that a card can hold, and two that go wrong."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from ghostroll.demo import clips, photos, raw, sidecars
from ghostroll.demo.colour import display_p3_profile
from ghostroll.demo.landscape import TERRAINS
from ghostroll.errors import UsageError

_FOLDER = "DCIM/100CANON"
_DAY = datetime(2025, 9, 20, tzinfo=timezone(timedelta(hours=2)))
_CUT = 0.6  # how much of the truncated picture is there
_LAKE, _MOUNTAINS, _SEA, _HILLS, _HIGH_LAKE, _DUNES = range(len(TERRAINS))


@dataclass(frozen=True, slots=True)
class DemoCard:
    """What stands on a demo card. Names are paths relative to `root`, with slashes, in order of writing."""

    root: Path
    files: tuple[str, ...]
    bytes: int
    pictures: tuple[str, ...]  # what can be rendered, each content once: JPEG, RAW, HEIC, the clip
    pairs: tuple[tuple[str, str], ...]  # a JPEG and the RAW of the same shot: one item of the gallery
    duplicate: str
    duplicate_of: str
    broken: str  # a JPEG cut short: stored, but it has no picture
    without_picture: tuple[str, ...]  # sidecars and texts, which are only stored

    @property
    def items(self) -> int:
        """How many items a gallery of this card has."""
        return len(self.pictures) - len(self.pairs)


@dataclass(frozen=True, slots=True)
class CardFile:
    """One file of a card: its path relative to the root, its bytes, and when it was written."""

    path: str
    data: bytes
    taken: datetime


def make_demo_card(root: Path, *, seed: int = 1) -> DemoCard:
    """Write a demo card into `root`, which is created or must be empty.

    On return all files are there, with the capture time as mtime (even seconds, as FAT keeps them);
    the same seed gives the same bytes. They are not synced to the disk. Raises UsageError where the
    folder can't be used.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        if any(root.iterdir()):
            raise UsageError(f"{root} is not empty: name a new folder for the demo card.")
        files = tuple(_write_file(root, file) for file in draw_card(seed))
        _date_folders(root)
    except OSError as error:
        raise UsageError(
            f"The demo card can't be written to {root} ({error.strerror}): name another folder."
        ) from error
    return _describe(root, files)


def draw_card(seed: int) -> Iterator[CardFile]:
    """The files of the card, one after the other, by nothing but the seed."""
    for draw in (_eight_orientations, _other_formats, _odd_colours_and_names, _texts):
        yield from draw(seed)


def _eight_orientations(seed: int) -> Iterator[CardFile]:
    """IMG_0001 to 0008, one for each EXIF orientation; the second also in another folder."""
    shots = (
        *(("06:04", _LAKE), ("07:00", _HILLS), ("08:10", _MOUNTAINS), ("09:30", _SEA)),
        *(("10:40", _HIGH_LAKE), ("12:00", _MOUNTAINS), ("13:20", _LAKE), ("15:10", _HILLS)),
    )
    for number, (clock, terrain) in enumerate(shots, start=1):
        taken = _at(clock)
        picture = photos.make_photo(
            seed=_seed(seed, number, terrain), taken=taken, orientation=number, label=f"{number:04}"
        )
        yield CardFile(f"{_FOLDER}/IMG_{number:04}.JPG", picture, taken)
        if number == 2:
            yield CardFile("DCIM/101CANON/IMG_0002.JPG", picture, taken)
        if number == 4:
            yield CardFile(f"{_FOLDER}/IMG_0004.WAV", clips.make_voice_memo(), taken + timedelta(seconds=20))


def _other_formats(seed: int) -> Iterator[CardFile]:
    """IMG_0010 to 0014: RAW with and without its JPEG, HEIC, a clip, a JPEG cut short."""
    taken, shot = _at("17:40"), _seed(seed, 10, _DUNES)
    yield CardFile(f"{_FOLDER}/IMG_0010.JPG", photos.make_photo(seed=shot, taken=taken, label="0010"), taken)
    yield CardFile(f"{_FOLDER}/IMG_0010.DNG", raw.make_raw(seed=shot, taken=taken, label="0010"), taken)
    yield CardFile(f"{_FOLDER}/IMG_0010.XMP", sidecars.make_xmp(taken=taken, rating=4), taken)
    taken, shot = _at("18:24"), _seed(seed, 11, _MOUNTAINS)
    yield CardFile(f"{_FOLDER}/IMG_0011.DNG", raw.make_raw(seed=shot, taken=taken, label="0011"), taken)
    taken, shot = _at("18:56"), _seed(seed, 12, _LAKE)
    heic = photos.make_heic(seed=shot, taken=taken, size=(1800, 1200), label="0012")
    yield CardFile(f"{_FOLDER}/IMG_0012.HEIC", heic, taken)
    taken, shot = _at("19:24"), _seed(seed, 13, _SEA)
    yield CardFile(f"{_FOLDER}/MVI_0013.MP4", clips.make_clip(seed=shot, taken=taken), taken)
    yield CardFile(f"{_FOLDER}/MVI_0013.THM", clips.make_thm(seed=shot, taken=taken), taken)
    taken, shot = _at("19:36"), _seed(seed, 14, _HILLS)
    whole = photos.make_photo(seed=shot, taken=taken, label="0014")
    yield CardFile(f"{_FOLDER}/IMG_0014.JPG", whole[: int(len(whole) * _CUT)], taken)


def _odd_colours_and_names(seed: int) -> Iterator[CardFile]:
    """Display P3 by profile, Adobe RGB by EXIF alone, and a name outside ASCII."""
    taken = _at("16:20")
    wide = photos.make_photo(
        seed=_seed(seed, 9, _HIGH_LAKE), taken=taken, icc=display_p3_profile(), label="0009 Display P3"
    )
    yield CardFile(f"{_FOLDER}/IMG_0009.JPG", wide, taken)
    taken = _at("19:50")
    adobe = photos.make_photo(
        seed=_seed(seed, 15, _MOUNTAINS), taken=taken, adobe_rgb=True, label="0015 Adobe RGB"
    )
    yield CardFile(f"{_FOLDER}/_IMG_0015.JPG", adobe, taken)
    taken = _at("22:10")
    night = photos.make_photo(seed=_seed(seed, 16, _HIGH_LAKE), taken=taken, label="0016")
    yield CardFile(f"{_FOLDER}/Übersicht-é.jpg", night, taken)


def _texts(_seed: int) -> Iterator[CardFile]:
    """A clip tree of another maker, and a print order."""
    taken = _at("19:24")
    yield CardFile("PRIVATE/M4ROOT/MEDIAPRO.XML", sidecars.make_media_profile(), taken)
    notes = sidecars.make_clip_notes(taken=taken, camera=photos.CAMERA)
    yield CardFile("PRIVATE/M4ROOT/CLIP/C0001M01.XML", notes, taken)
    order = sidecars.make_print_order(taken=taken, picture=f"../{_FOLDER}/IMG_0001.JPG")
    yield CardFile("MISC/AUTPRINT.MRK", order, taken)


def _at(clock: str) -> datetime:
    hour, minute = clock.split(":")
    return _DAY.replace(hour=int(hour), minute=int(minute))


def _seed(seed: int, number: int, terrain: int) -> int:
    """A seed for one picture: of the wanted terrain, and different for every card and number."""
    return (seed * 1000 + number) * len(TERRAINS) + terrain


def _write_file(root: Path, file: CardFile) -> tuple[str, int]:
    path = root / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.data)
    os.utime(path, (file.taken.timestamp(), file.taken.timestamp()))
    return file.path, len(file.data)


def _date_folders(root: Path) -> None:
    """Folders carry the day's time, so that two cards of one seed are equal in all that a scan sees."""
    for folder in sorted(path for path in root.rglob("*") if path.is_dir()):
        os.utime(folder, (_DAY.timestamp(), _DAY.timestamp()))


def _describe(root: Path, files: tuple[tuple[str, int], ...]) -> DemoCard:
    names = tuple(name for name, _ in files)
    duplicate, broken = "DCIM/101CANON/IMG_0002.JPG", f"{_FOLDER}/IMG_0014.JPG"
    rendered = {".jpg", ".dng", ".heic", ".mp4"}
    can_be_shown = [name for name in names if Path(name).suffix.lower() in rendered]
    return DemoCard(
        root=root,
        files=names,
        bytes=sum(size for _, size in files),
        pictures=tuple(name for name in can_be_shown if name not in {duplicate, broken}),
        pairs=((f"{_FOLDER}/IMG_0010.JPG", f"{_FOLDER}/IMG_0010.DNG"),),
        duplicate=duplicate,
        duplicate_of=f"{_FOLDER}/IMG_0002.JPG",
        broken=broken,
        without_picture=tuple(name for name in names if name not in can_be_shown),
    )
