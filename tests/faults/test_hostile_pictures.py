"""Pictures that are made to hurt: each ends in bounded memory and time, and is rendered or named."""

import io
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from bombs import list_bombs, write_bombs
from box_bombs import make_many_extents
from campaign import FULL, count
from file_calls import FileCalls, trace_files
from integration.render_making import quadrants
from render_batch import Batch, run_batch
from small_pictures import make_clip
from still_bombs import make_endless_scans, make_packed_pixels
from verdicts import find_surprises

from ghostroll.errors import PermanentError, TransientError
from ghostroll.model import Kind
from ghostroll.render.lane import Lane, RenderLimits

LIMIT = RenderLimits().memory_bytes
BESIDE = 160 << 20  # bytes: the libraries' code and tables, which RLIMIT_DATA doesn't count
ENDLESS = {"exif.jpg", "endless.mkv", "endless.mts", "endless.avi", "endless.mpg"}
SLOW = {
    "half-a-million-chunks.png",
    "deflated.tif",
    "grey-480-megapixels.png",
    "colour-480-megapixels.png",
}


@pytest.fixture
def lane() -> Iterator[Lane]:
    lane = Lane(RenderLimits(seconds=20))
    yield lane
    lane.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("endless", [False, True] if FULL else [False])
def test_every_bomb_is_rendered_or_named(endless: bool, tmp_path: Path) -> None:
    """No picture takes more memory than a worker may have, more time than a picture may have, or another file."""
    canary = tmp_path / "canary"
    canary.write_bytes(make_clip("mov", "mjpeg"))
    place = tmp_path / "card"
    place.mkdir()
    bombs = {
        name: bomb
        for name, bomb in list_bombs(canary).items()
        if (name in ENDLESS) is endless and (FULL or name not in SLOW)
    }
    files = [(name, kind.value) for name, kind in write_bombs(place, bombs)]
    trace = tmp_path / "trace"
    harvest = run_batch(
        Batch("", str(place), files=files, limits={"seconds": 60 if FULL and not endless else 10}),
        before=trace_files(trace),
    )
    calls = FileCalls(trace)
    assert len(harvest.rendered) + len(harvest.named) == len(files)
    assert find_surprises(harvest.named) == {}
    assert harvest.innocent == {}
    late = {name for name, said in harvest.named.items() if said.startswith("took longer")}
    assert late <= (ENDLESS if endless else set())
    assert harvest.largest_worker - BESIDE < LIMIT
    assert harvest.after == harvest.before
    assert calls.strange_reads_of_workers(place) == set()
    assert calls.writes() == set()
    assert calls.addresses == set()
    if not endless:
        for name in ("comments.jpg", "in-a-circle.mts", "lasts-for-ever.mov", "packed-pixels.png"):
            assert name in harvest.rendered
        for name in ("clear-60000.png", "60000.jpg", "60000.heic", "60000.dng", "one-bit-60000.tif"):
            assert "60000 x 60000 pixels" in harvest.named[name]
    count("hostile pictures: rendered", len(harvest.rendered))
    count("hostile pictures: named", len(harvest.named))


def test_work_without_end_ends_when_its_time_is_up(tmp_path: Path) -> None:
    """A small file that is days of work, or that never ends, takes as long as one picture may, and no longer."""
    scans, clip, after = tmp_path / "scans.jpg", tmp_path / "clip.mts", tmp_path / "after.jpg"
    make_endless_scans(scans)
    list_bombs(after)["endless.mts"][1](clip)
    quadrants((64, 64)).save(after)
    lane = Lane(RenderLimits(seconds=1.5))
    try:
        for path, kind in ((scans, Kind.JPEG), (clip, Kind.VIDEO)):
            with pytest.raises(TransientError, match=r"^took longer than 1\.5 s$"):
                lane.render(bytes(path), kind)
        assert lane.render(bytes(after), Kind.JPEG).share_size == (64, 64)
    finally:
        lane.close()
    count("hostile pictures: stopped when their time was up", 2)


def test_what_unpacks_to_more_than_the_limit_is_refused(lane: Lane, tmp_path: Path) -> None:
    """A picture of a sane size whose pixels don't fit in a worker's memory names the key, and the next one is rendered."""
    bomb, after = tmp_path / "bomb.png", tmp_path / "after.jpg"
    make_packed_pixels(bomb)
    quadrants((64, 64)).save(after)
    with pytest.raises(TransientError, match=r"^needs more memory than render\.memory_mib allows$"):
        lane.render(bytes(bomb), Kind.IMAGE)
    assert lane.render(bytes(after), Kind.JPEG).share_size == (64, 64)


# What the campaign found, made small


def tiff_with_words_for_numbers() -> bytes:
    """Where the pixels are is told in letters."""
    file = io.BytesIO()
    quadrants((16, 16)).save(file, "TIFF")
    data = bytearray(file.getvalue())
    at = data.index(struct.pack("<HHI", 273, 4, 1))
    data[at + 2 : at + 4] = struct.pack("<H", 2)
    return bytes(data)


def tiff_beyond_every_disk() -> bytes:
    """A BigTIFF whose directory is where no file can reach."""
    return b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**63 - 1)


@pytest.mark.parametrize("make", [tiff_with_words_for_numbers, tiff_beyond_every_disk])
def test_a_broken_directory_is_the_pictures_fault(make: object, lane: Lane, tmp_path: Path) -> None:
    """Numbers that make the decoder itself stumble are no fault of the disk or of the program, and are final."""
    path = tmp_path / "a.tif"
    path.write_bytes(make())  # type: ignore[operator]  # one of the above
    with pytest.raises(PermanentError, match=r"^the picture is damaged and can't be decoded$"):
        lane.render(bytes(path), Kind.IMAGE)


def test_a_count_that_no_picture_has_is_no_lack_of_memory(lane: Lane, tmp_path: Path) -> None:
    """What libheif refuses for its own limits is damaged for good: no larger render.memory_mib would help."""
    path = tmp_path / "a.heic"
    make_many_extents(path)
    with pytest.raises(PermanentError, match=r"^the picture is damaged and can't be decoded$"):
        lane.render(bytes(path), Kind.HEIF)


def test_a_clip_of_an_unknown_coding_says_so(lane: Lane, tmp_path: Path) -> None:
    """A camera's new codec is named as such, at the first try."""
    path = tmp_path / "a.mov"
    path.write_bytes(make_clip("mov", "mjpeg").replace(b"jpeg", b"new!").replace(b"mjpg", b"new!"))
    with pytest.raises(
        PermanentError, match=r"^the clip's picture is coded in a way that FFmpeg doesn't know$"
    ):
        lane.render(bytes(path), Kind.VIDEO)
