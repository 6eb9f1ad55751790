"""What is no picture, or only half of one, ends in a sentence, and opens nothing else."""

import contextlib
import io
import struct
from collections.abc import Iterator
from pathlib import Path

import pillow_heif
import pytest
from integration.render_making import png_of, quadrants, write_clip, write_dng
from PIL import Image

from ghostroll.errors import PermanentError
from ghostroll.model import Kind
from ghostroll.render.lane import Lane, RenderLimits

pillow_heif.register_heif_opener()


@pytest.fixture(scope="module")
def lane() -> Iterator[Lane]:
    """A lane for all of these pictures."""
    with contextlib.closing(Lane(RenderLimits())) as lane:
        yield lane


def test_a_playlist_called_mp4_opens_nothing_else(lane: Lane, tmp_path: Path) -> None:
    """A hostile clip can't make the decoder read another file: only real containers are let in."""
    made = tmp_path / "made.mts"
    write_clip(made, [quadrants((320, 240))] * 10, 0)
    real = made.rename(tmp_path / "real.ts")
    drawn = io.BytesIO()
    quadrants((320, 240)).save(drawn, "PNG")
    for content in (
        f"ffconcat version 1.0\nfile '{real}'\n".encode(),
        f"#EXTM3U\n#EXTINF:1,\n{real}\n#EXT-X-ENDLIST\n".encode(),
        drawn.getvalue(),
    ):
        path = tmp_path / "a.mp4"
        path.write_bytes(content)
        with pytest.raises(PermanentError, match="clip is damaged"):
            lane.render(bytes(path), Kind.VIDEO)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp", "a.heic", "a.mp4", "a.dng"])
def test_a_truncated_file_is_named_as_such(lane: Lane, tmp_path: Path, name: str) -> None:
    """A file that ends early fails with a reason in words, at once and for good."""
    path = tmp_path / name
    kind = {"a.heic": Kind.HEIF, "a.mp4": Kind.VIDEO, "a.dng": Kind.RAW}.get(name, Kind.IMAGE)
    match name:
        case "a.mp4":
            write_clip(path, [quadrants((320, 240))] * 10, 0)
        case "a.dng":
            write_dng(path, (300, 200), 1)
        case _:
            noise = Image.effect_noise((640, 480), 80).convert("RGB")
            noise.save(path, "HEIF" if name == "a.heic" else None)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(PermanentError, match=r"truncated|damaged"):
        lane.render(bytes(path), kind)


@pytest.mark.parametrize("kind", [Kind.JPEG, Kind.IMAGE, Kind.HEIF, Kind.RAW, Kind.VIDEO, Kind.OTHER])
@pytest.mark.parametrize(
    "content", [b"", b"x", b"\0" * 5000, b"\xff\xd8\xff", b"<svg/>", b"%!PS-Adobe-3.0 EPSF\n"]
)
def test_what_is_no_picture_says_so(lane: Lane, tmp_path: Path, content: bytes, kind: Kind) -> None:
    """Any bytes under any kind end in a sentence for a person, without a Python object in it."""
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(PermanentError) as caught:
        lane.render(bytes(path), kind)
    assert "<" not in str(caught.value)
    assert str(caught.value) == "the file is empty" or content


def test_a_picture_that_claims_to_be_huge_is_refused_unread(lane: Lane, tmp_path: Path) -> None:
    """A few bytes that announce 60,000 x 60,000 pixels cost neither memory nor time."""
    path = tmp_path / "a"
    path.write_bytes(png_of(60000, 60000, bits=8, data=b""))
    with pytest.raises(PermanentError, match="60000 x 60000 pixels"):
        lane.render(bytes(path), Kind.IMAGE)
    small = io.BytesIO()
    Image.new("RGB", (16, 16)).save(small, "JPEG")
    at = small.getvalue().index(b"\xff\xc0") + 5
    path.write_bytes(small.getvalue()[:at] + struct.pack(">HH", 60000, 60000) + small.getvalue()[at + 4 :])
    with pytest.raises(PermanentError, match="60000 x 60000 pixels"):
        lane.render(bytes(path), Kind.JPEG)
