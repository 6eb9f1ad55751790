"""Pictures of every kind through a real worker: the right one of several, and upright, however the camera was held."""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pillow_heif
import pytest
from integration.render_making import (
    UPRIGHT,
    exif_with,
    fields,
    is_upright,
    opened,
    quadrants,
    stored_quadrants,
    write_clip,
    write_dng,
)
from PIL import Image

from ghostroll.model import Kind
from ghostroll.render.lane import Lane, RenderLimits

pillow_heif.register_heif_opener()


@pytest.fixture(scope="module")
def lane() -> Iterator[Lane]:
    """A lane for all of these pictures."""
    with contextlib.closing(Lane(RenderLimits())) as lane:
        yield lane


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(320, 200), (3000, 1500)], ids=["as it is", "scaled down"])
@pytest.mark.parametrize("name", ["a.jpg", "a.tif", "a.png", "a.webp"])
def test_every_orientation_is_turned_upright(
    lane: Lane, tmp_path: Path, name: str, size: tuple[int, int], orientation: int
) -> None:
    """However the camera was held, both renditions show the scene as it was."""
    path = tmp_path / name
    stored_quadrants(size, orientation).save(path, exif=exif_with(orientation))
    rendered = lane.render(bytes(path), Kind.IMAGE)
    assert rendered.share_size == (size if size[0] < 2048 else (2048, 1024))
    assert opened(rendered.share).size == rendered.share_size
    assert opened(rendered.thumb).size == rendered.thumb_size
    assert is_upright(rendered.share)
    assert is_upright(rendered.thumb)


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_does_not_exist_turns_nothing(
    lane: Lane, tmp_path: Path, orientation: int
) -> None:
    """A camera's nonsense leaves the picture as it is."""
    path = tmp_path / "a.jpg"
    quadrants((320, 200)).save(path, exif=exif_with(orientation))
    assert is_upright(lane.render(bytes(path), Kind.JPEG).share)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic_is_turned_once(lane: Lane, tmp_path: Path, orientation: int) -> None:
    """The decoder turns the picture by itself, and the EXIF beside it turns it no second time."""
    path = tmp_path / "a.heic"
    stored_quadrants((320, 256), orientation).save(
        path, "HEIF", exif=exif_with(orientation).tobytes(), quality=95
    )
    assert (b"irot" in path.read_bytes() or b"imir" in path.read_bytes()) is (orientation > 1)
    rendered = lane.render(bytes(path), Kind.HEIF)
    assert rendered.share_size == (320, 256)
    assert is_upright(rendered.share)


@pytest.mark.parametrize(
    ("preview", "orientation"),
    [(preview, orientation) for preview in (None, "as stored") for orientation in range(1, 9)]
    + [("turned already", orientation) for orientation in (1, 5, 6, 7, 8)],  # a half turn can't be seen
)
def test_raw_is_upright(lane: Lane, tmp_path: Path, preview: str | None, orientation: int) -> None:
    """Developed or by its preview, also by one that the camera has turned already."""
    size = (300, 200)
    data = io.BytesIO()
    if preview == "turned already":
        quadrants((900, 600) if orientation < 5 else (600, 900)).save(data, "JPEG")
    elif preview:
        scene = (900, 600) if orientation < 5 else (600, 900)
        stored_quadrants(scene, orientation).save(data, "JPEG")
    path = tmp_path / "a.dng"
    write_dng(path, size, orientation, data.getvalue() or None)
    rendered = lane.render(bytes(path), Kind.RAW)
    assert max(rendered.share_size) == (900 if preview else 150)
    assert (rendered.share_size[0] > rendered.share_size[1]) is (orientation < 5)
    assert is_upright(rendered.share, tolerance=40)
    assert rendered.info.taken == "2026-11-22T14:30:15"
    assert rendered.info.camera == "Ghost Roll One"


def test_a_tiny_preview_is_worth_less_than_a_development(lane: Lane, tmp_path: Path) -> None:
    """A preview below 512 pixels is passed over where the RAW itself can be developed, and only there."""
    data = io.BytesIO()
    Image.new("RGB", (160, 120), "gray").save(data, "JPEG")
    path = tmp_path / "a.dng"
    write_dng(path, (300, 200), 1, data.getvalue())
    assert lane.render(bytes(path), Kind.RAW).share_size == (150, 100)
    whole = path.read_bytes()
    start = whole.index(data.getvalue()) + len(data.getvalue())
    path.write_bytes(whole[:start] + bytes(300 * 200 * 2) + whole[start + 300 * 200 * 2 :])
    assert lane.render(bytes(path), Kind.RAW).share_size == (160, 120)


@pytest.mark.parametrize(
    ("name", "turn"),
    [(name, turn) for name in ("a.mp4", "a.mov") for turn in (0, 90, -90, 180)]
    + [("a.avi", 0), ("a.mts", 0)],  # these have no display matrix
)
def test_a_clip_shows_an_upright_frame(lane: Lane, tmp_path: Path, name: str, turn: int) -> None:
    """The poster is turned by the display matrix, where the container has one."""
    path = tmp_path / name
    scene = quadrants((320, 240) if turn in (0, 180) else (240, 320)).rotate(-turn, expand=True)
    write_clip(path, [scene] * 20, turn)
    rendered = lane.render(bytes(path), Kind.VIDEO)
    assert is_upright(rendered.share, tolerance=40)
    assert rendered.info.duration == pytest.approx(2.0, abs=0.2)


def test_a_clip_that_fades_in_from_black_shows_what_comes_later(lane: Lane, tmp_path: Path) -> None:
    """A flat first frame is passed over."""
    path = tmp_path / "a.mp4"
    black = Image.new("RGB", (320, 240))
    write_clip(path, [black] * 15 + [quadrants((320, 240))] * 25, 0)
    assert is_upright(lane.render(bytes(path), Kind.VIDEO).share, tolerance=40)


def test_a_picture_of_several_is_its_first(lane: Lane, tmp_path: Path) -> None:
    """MPO, animated PNG and WebP, and TIFF with pages show the first picture."""
    for name, format_name in (("a.jpg", "MPO"), ("a.png", "PNG"), ("a.webp", "WEBP"), ("a.tif", "TIFF")):
        path = tmp_path / name
        second = Image.new("RGB", (320, 200), "black")
        quadrants((320, 200)).save(path, format_name, save_all=True, append_images=[second])
        assert is_upright(lane.render(bytes(path), Kind.JPEG).share), name


def test_a_file_is_known_by_its_content_where_the_name_lies(lane: Lane, tmp_path: Path) -> None:
    """HEIC called .jpg and JPEG called .heic are both shown."""
    path = tmp_path / "a.jpg"
    quadrants((320, 256)).save(path, "HEIF")
    assert is_upright(lane.render(bytes(path), Kind.JPEG).share)
    quadrants((320, 256)).save(path, "JPEG")
    assert is_upright(lane.render(bytes(path), Kind.HEIF).share)


def test_a_name_that_is_not_utf8_is_read(lane: Lane, tmp_path: Path) -> None:
    """Names come from a card byte for byte, for every decoder."""
    for kind in (Kind.JPEG, Kind.RAW, Kind.VIDEO):
        path = bytes(tmp_path) + b"/\xff\xfe " + kind.value.encode()
        made = tmp_path / "made"
        match kind:
            case Kind.RAW:
                write_dng(made, (300, 200), 1)
            case Kind.VIDEO:
                write_clip(made.with_suffix(".mp4"), [quadrants((320, 240))] * 10, 0)
                made = made.with_suffix(".mp4")
            case _:
                quadrants((320, 200)).save(made, "JPEG")
        os.rename(made, path)
        assert is_upright(lane.render(path, kind).share, tolerance=40)


def test_the_scene_of_these_tests_is_what_it_says() -> None:
    """The pictures that are made here have the corners that the tests look for."""
    assert fields(quadrants((40, 20))) == list(UPRIGHT)
    assert fields(stored_quadrants((40, 20), 6).rotate(-90, expand=True)) == list(UPRIGHT)
