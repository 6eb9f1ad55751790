"""Files that real cameras wrote, and broken ones that broke real decoders, through one lane."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.render_making import jpeg_markers, opened

from ghostroll.errors import PermanentError
from ghostroll.model import Kind, Rendered
from ghostroll.render.lane import Lane, RenderLimits

KINDS = {
    ".jpg": Kind.JPEG,
    ".heic": Kind.HEIF,
    ".heif": Kind.HEIF,
    ".hif": Kind.HEIF,
    ".avi": Kind.VIDEO,
    ".mov": Kind.VIDEO,
    ".mp4": Kind.VIDEO,
    ".mts": Kind.VIDEO,
}
BARE = {0xD8, 0xE0, 0xDB, 0xC0, 0xC4, 0xDA, 0xD9}

# Without a picture in them: cut down to their metadata, truncated, or hostile
NAMED = {
    "heic/corrupted.heic": "truncated",
    "heic/corrupted.hif": "truncated",
    "heic/empty.heic": "empty",
    "invalid/issue_1791_new.raf": "not a RAW file",
    "invalid/issue_1793_poc.heic": "damaged",
    "invalid/issue_839_poc.rw2": "not a RAW file",
    "invalid/issue_841_poc.crw": "truncated",
    "invalid/issue_857_poc.raf": "not a RAW file",
    "raw/Canon-R6-pruned.CR3": "truncated",
    "raw/IMG_1361.dng": "truncated",
    "raw/exiftool-CanonRaw.cr2": "not a RAW file",
    "raw/exiftool-CanonRaw.cr3": "truncated",
    "raw/exiftool-DNG.dng": "truncated",
    "raw/exiftool-Nikon.nef": "truncated",
    "raw/exiftool-Panasonic.rw2": "truncated",
    "raw/exiv2-canon-powershot-s40.crw": "truncated",
}
# Name: share size, camera, the start of when it was taken
KNOWN = {
    "heic/200MP.heic": ((1536, 2048), "samsung Galaxy S24 Ultra", "2025-01-19T14:53:27+03:00"),
    "heic/arrow.heic": ((1536, 2048), "Apple iPhone 8 Plus", "2018-07-31T14:52:07"),
    "heic/cat.hif": ((2048, 1368), "SONY ILCE-7SM3", "2020-09-14T11:09:34-05:00"),
    "jpeg/Canon_40D.jpg": ((100, 68), "Canon EOS 40D", "2008-05-30T15:56:01"),
    "jpeg/hdr/canon_hdr_NO.jpg": ((1536, 2048), "Canon PowerShot SX60 HS", "2015-02-09T22:47:44"),
    "jpeg/orientation/Landscape_6.jpg": ((1800, 1200), None, None),
    "jpeg/orientation/Portrait_8.jpg": ((1200, 1800), None, None),
    "raw/nikon-1.nef": ((425, 640), "NIKON D70s", "2010-03-01T21:50:21"),
    "video/with-gps.mov": ((320, 568), "Apple iPhone 6", "2019-07-24T11:25:40+03:00"),
    "video/with-gps.mp4": ((1920, 1080), None, "2017-02-22T08:20:28+00:00"),
}


@pytest.fixture(scope="module")
def lane() -> Iterator[Lane]:
    lane = Lane(RenderLimits())
    yield lane
    lane.close()


@pytest.fixture(scope="module")
def results(samples: Path, lane: Lane) -> dict[str, Rendered | str]:
    """Every sample's renditions, or the reason why there are none."""
    results: dict[str, Rendered | str] = {}
    for path in sorted(samples.rglob("*.*")):
        if path.name != "README.md":
            name = str(path.relative_to(samples))
            try:
                results[name] = lane.render(bytes(path), KINDS.get(path.suffix.lower(), Kind.RAW))
            except PermanentError as error:
                results[name] = str(error)
    return results


def test_every_sample_is_rendered_or_named(results: dict[str, Rendered | str]) -> None:
    """One worker survives them all, and what has no picture says why."""
    named = {name: result for name, result in results.items() if isinstance(result, str)}
    assert named.keys() == NAMED.keys()
    for name, reason in named.items():
        assert NAMED[name] in reason


def test_every_rendition_is_small_and_bare(results: dict[str, Rendered | str]) -> None:
    """At most the edge, of the size it says, baseline JPEG without metadata."""
    for result in results.values():
        if isinstance(result, Rendered):
            for data, size, edge in (
                (result.share, result.share_size, 2048),
                (result.thumb, result.thumb_size, 512),
            ):
                assert opened(data).size == size
                assert max(size) <= edge
                assert set(jpeg_markers(data)) == BARE


def test_known_samples_come_out_as_they_should(results: dict[str, Rendered | str]) -> None:
    """Turned upright, with the right camera and time."""
    for name, (size, camera, taken) in KNOWN.items():
        result = results[name]
        assert isinstance(result, Rendered)
        assert (result.share_size, result.info.camera, result.info.taken) == (size, camera, taken)


def test_a_caption_never_tells_the_place_or_a_serial_number(
    samples: Path, results: dict[str, Rendered | str]
) -> None:
    """What is known of these files' places and serial numbers stands in no caption."""
    with_places = [name for name in results if "gps" in name or "iphone" in name]
    assert len(with_places) > 8
    for name in with_places:
        result = results[name]
        assert isinstance(result, Rendered)
        said = " ".join(str(part) for part in (result.info.camera, result.info.lens, result.info.exposure))
        for place in ("32.09", "51.41", "43.46", "11.88"):
            assert place not in said
    assert samples.is_dir()


def test_the_head_of_any_sample_never_breaks_the_lane(samples: Path, lane: Lane, tmp_path: Path) -> None:
    """Every sample cut short anywhere is rendered or named, by the same worker."""
    for path in sorted(samples.rglob("*.*")):
        if path.suffix.lower() in KINDS | {".nef": 0, ".raf": 0, ".dng": 0} and path.stat().st_size:
            cut = tmp_path / path.name
            data = path.read_bytes()
            cut.write_bytes(data[: min(len(data) * 2 // 3, 400_000)])
            with contextlib.suppress(PermanentError):
                lane.render(bytes(cut), KINDS.get(path.suffix.lower(), Kind.RAW))
