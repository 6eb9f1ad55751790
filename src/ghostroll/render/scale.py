"""Scale pictures by Lanczos: FFmpeg's vector code near the wanted size, Pillow's from afar.

`docs/performance.md` says what each costs. Both round to whole values and differ by half
a step on the average; at a picture's border Pillow leaves out what isn't there, FFmpeg repeats the last pixel.
"""

from typing import cast

from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from PIL import Image

_GAP = 2.0  # how many times too large a picture may be when the exact scaling begins
_STRIP = 128  # rows that are handed over at once: bytes of a whole plane would be there twice for a moment
# The second and third make every processor give the same bytes, and keep 0 at 0.
_LANCZOS = Interpolation.LANCZOS | Interpolation.ACCURATE_RND | Interpolation.BITEXACT


def fit(size: tuple[int, int], edge: int) -> tuple[int, int]:
    """`size` scaled so that its longer side is at most `edge` pixels; never larger than it was."""
    longest = max(size)
    if longest <= edge:
        return size
    width, height = (max(1, round(side * edge / longest)) for side in size)
    return width, height


def shrink(image: Image.Image, size: tuple[int, int], *, keep: bool = False) -> Image.Image:
    """`image` at `size`, by Lanczos; what is four times too large or more is halved by boxes first.

    Unless it is to be kept, `image` is closed on the way: its pixels and the new ones need not be there together.
    """
    if image.size == size:
        return image
    reducible = min(image.width / size[0], image.height / size[1]) >= 2 * _GAP
    if reducible or image.mode not in ("L", "RGB", "CMYK"):  # Pillow weighs colours by their transparency
        return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=_GAP)
    frames = [_take_plane(image.getchannel(band)) for band in reversed(image.getbands())]
    mode = image.mode
    if not keep:
        image.close()
    scale, scaled = VideoReformatter(), Image.new(mode, size)
    for number in range(len(frames)):
        (pixels,) = scale.reformat(frames.pop(), *size, interpolation=_LANCZOS, threads=1).planes
        plane = Image.frombuffer("L", size, cast("bytes", pixels), "raw", "L", pixels.line_size, 1)
        scaled.im.putband(plane.im, number)
    return scaled


def _take_plane(plane: Image.Image) -> VideoFrame:
    """One colour's values as FFmpeg wants them."""
    frame = VideoFrame(*plane.size, "gray")
    (pixels,) = frame.planes
    row, room = pixels.line_size, memoryview(pixels)
    for top in range(0, plane.height, _STRIP):
        strip = plane.crop((0, top, plane.width, min(top + _STRIP, plane.height)))
        room[top * row : (top + strip.height) * row] = strip.tobytes("raw", "L", row, 1)
    return frame
