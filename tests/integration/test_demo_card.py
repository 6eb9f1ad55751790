"""The demo card, opened with the real decoders."""

import hashlib
import io
import wave
from datetime import datetime
from pathlib import Path

import av
import exifread
import numpy as np
import pillow_heif
import pytest
import rawpy
from PIL import Image, ImageChops

from ghostroll.demo.card import DemoCard, make_demo_card
from ghostroll.demo.exif import COMMENT
from ghostroll.demo.photos import CAMERA
from ghostroll.demo.raw import make_raw
from ghostroll.errors import UsageError

FOLDER = "DCIM/100CANON"


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> DemoCard:
    return make_demo_card(tmp_path_factory.mktemp("card") / "EOS")


def open_image(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


def open_preview(raw: rawpy.RawPy) -> Image.Image:
    thumb = raw.extract_thumb()
    assert thumb.format == rawpy.ThumbFormat.JPEG
    assert isinstance(thumb.data, bytes)
    return Image.open(io.BytesIO(thumb.data))


def scan(root: Path) -> dict[str, tuple[str, float]]:
    """Content and mtime of everything below a folder."""
    return {
        path.relative_to(root).as_posix(): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
            path.stat().st_mtime,
        )
        for path in root.rglob("*")
    }


def test_one_seed_makes_one_card(card: DemoCard, tmp_path: Path) -> None:
    """Made again, every byte and every time is the same."""
    make_demo_card(tmp_path / "again")
    assert scan(tmp_path / "again") == scan(card.root)


def test_another_seed_makes_other_pictures(card: DemoCard, tmp_path: Path) -> None:
    """Another seed gives the same names with other contents in every picture."""
    other = make_demo_card(tmp_path, seed=2)
    assert other.files == card.files
    assert all((tmp_path / name).read_bytes() != (card.root / name).read_bytes() for name in card.pictures)


def test_the_summary_tells_what_is_there(card: DemoCard) -> None:
    """Names, bytes and the four groups agree with the disk, and the whole stays small."""
    on_disk = {
        path.relative_to(card.root).as_posix(): path for path in card.root.rglob("*") if path.is_file()
    }
    assert sorted(card.files) == sorted(on_disk)
    assert card.bytes == sum(path.stat().st_size for path in on_disk.values()) < 6_000_000
    groups = [*card.pictures, *card.without_picture, card.duplicate, card.broken]
    assert sorted(groups) == sorted(card.files)
    assert len({hashlib.sha256(path.read_bytes()).digest() for path in on_disk.values()}) == len(on_disk) - 1
    assert (len(card.files), len(card.pictures), card.items, len(card.without_picture)) == (24, 16, 15, 6)


def test_the_duplicate_is_one(card: DemoCard) -> None:
    """The same bytes stand in two folders."""
    assert (card.root / card.duplicate).read_bytes() == (card.root / card.duplicate_of).read_bytes()


def test_times_are_when_the_pictures_were_taken(card: DemoCard) -> None:
    """The mtime is the capture time of EXIF with its offset, in even seconds as FAT keeps them."""
    image = open_image(card.root / FOLDER / "IMG_0001.JPG")
    assert image.getexif().get_ifd(34665)[36867] == "2025:09:20 06:04:00"
    assert (card.root / FOLDER / "IMG_0001.JPG").stat().st_mtime == 1758341040  # 04:04 UTC
    assert all((card.root / name).stat().st_mtime % 2 == 0 for name in card.files)


def test_jpegs_open_in_all_orientations(card: DemoCard) -> None:
    """Every whole JPEG decodes; the first eight carry the orientations 1 to 8."""
    jpegs = [name for name in card.pictures if name.lower().endswith(".jpg")]
    for name in jpegs:
        image = open_image(card.root / name)
        image.load()
        assert image.size == (1800, 1200)
    first = (open_image(card.root / FOLDER / f"IMG_{number:04}.JPG") for number in range(1, 9))
    assert [image.getexif()[274] for image in first] == list(range(1, 9))


def test_the_truncated_jpeg_fails_in_pillow(card: DemoCard) -> None:
    """Its header reads, its pixels don't."""
    image = open_image(card.root / card.broken)
    assert image.size == (1800, 1200)
    with pytest.raises(OSError, match="truncated"):
        image.load()


@pytest.mark.parametrize("name", ["IMG_0010.DNG", "IMG_0011.DNG"])
def test_a_raw_has_a_preview_and_develops_to_it(card: DemoCard, name: str) -> None:
    """LibRaw finds the JPEG preview, and the half-size develop of the mosaic shows the same picture."""
    with rawpy.imread(str(card.root / FOLDER / name)) as raw:
        preview = open_preview(raw)
        developed = raw.postprocess(half_size=True, use_camera_wb=True, no_auto_bright=True)
    preview.load()
    assert preview.size == (1536, 1024)
    assert developed.shape == (300, 450, 3)
    shown = Image.fromarray(developed)
    assert np.asarray(ImageChops.difference(shown, preview.resize(shown.size))).mean() < 12


def test_a_raw_without_preview_develops(card: DemoCard, tmp_path: Path) -> None:
    """Where there is no preview LibRaw says so, and the mosaic can be developed all the same."""
    stamp = exifread.process_file(io.BytesIO((card.root / FOLDER / "IMG_0011.DNG").read_bytes()))
    assert str(stamp["Image Model"]) == CAMERA.model
    file = tmp_path / "bare.dng"
    file.write_bytes(make_raw(seed=1, taken=datetime(2025, 9, 20, 12, 0), preview=False))  # noqa: DTZ001
    with rawpy.imread(str(file)) as raw:
        with pytest.raises(rawpy.LibRawNoThumbnailError):
            raw.extract_thumb()
        assert raw.postprocess(half_size=True).shape == (300, 450, 3)


def test_the_pair_shows_one_scene(card: DemoCard) -> None:
    """The RAW's preview and the JPEG beside it are the same picture."""
    jpeg, raw_name = card.pairs[0]
    with rawpy.imread(str(card.root / raw_name)) as raw:
        preview = open_preview(raw)
    beside = open_image(card.root / jpeg).resize(preview.size)
    assert np.asarray(ImageChops.difference(preview, beside)).mean() < 4


def test_the_heic_opens_with_its_exif(card: DemoCard) -> None:
    """pillow-heif decodes it and finds the camera."""
    heif = pillow_heif.open_heif(card.root / FOLDER / "IMG_0012.HEIC")
    image = heif.to_pillow()
    assert image.size == (1800, 1200)
    assert image.getexif()[272] == CAMERA.model


def test_the_clip_plays_two_seconds(card: DemoCard) -> None:
    """FFmpeg decodes fifty frames and reads when it was taken; its THM is a small JPEG of the first."""
    with av.open(str(card.root / FOLDER / "MVI_0013.MP4")) as clip:
        frames = list(clip.decode(video=0))
        created, duration = clip.metadata["creation_time"], clip.duration
    assert (len(frames), duration) == (50, 2_000_000)
    assert created == "2025-09-20T17:24:00.000000Z"
    assert b"Lav" not in (card.root / FOLDER / "MVI_0013.MP4").read_bytes()  # no version of FFmpeg
    thumb = open_image(card.root / FOLDER / "MVI_0013.THM")
    assert (thumb.format, thumb.size) == ("JPEG", (160, 120))
    first = Image.fromarray(frames[0].to_ndarray(format="rgb24")).resize((160, 90))
    assert np.asarray(ImageChops.difference(thumb.crop((0, 15, 160, 105)), first)).mean() < 6


def test_the_voice_memo_has_sound(card: DemoCard) -> None:
    """The WAV lasts a second and a half and is not silent."""
    with wave.open(str(card.root / FOLDER / "IMG_0004.WAV")) as memo:
        samples = np.frombuffer(memo.readframes(memo.getnframes()), "<i2")
        assert memo.getnframes() == memo.getframerate() * 3 // 2
    assert np.abs(samples).max() > 5000


def test_pictures_carry_what_must_stay_private(card: DemoCard) -> None:
    """Owner, serial number and comment are in every JPEG, so that a leak can be found by searching bytes."""
    for name in card.pictures:
        if name.lower().endswith(".jpg"):
            data = (card.root / name).read_bytes()
            assert all(word.encode() in data for word in (CAMERA.serial, CAMERA.owner, COMMENT))


def test_colour_spaces_are_told_in_two_ways(card: DemoCard) -> None:
    """One picture has an embedded Display P3 profile, one is Adobe RGB by EXIF alone."""
    wide = open_image(card.root / FOLDER / "IMG_0009.JPG")
    adobe = open_image(card.root / FOLDER / "_IMG_0015.JPG")
    assert b"D\0i\0s\0p\0l\0a\0y\0 \0P\x003" in wide.info["icc_profile"]
    assert "icc_profile" not in adobe.info
    assert adobe.getexif().get_ifd(34665)[40961] == 0xFFFF


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """A folder that holds anything, or a file in its place, is refused and left as it is."""
    (tmp_path / "mine.txt").write_text("keep")
    for place in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(UsageError, match=r"name (a new|another) folder"):
            make_demo_card(place)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
