"""Scale pictures by Lanczos: FFmpeg's vector code near the wanted size, Pillow's from afar.

`docs/performance.md` says what each costs. Both round to whole values and differ by half
a step on the average; at a picture's border Pillow leaves out what isn't there, FFmpeg repeats the last pixel.
"""

import functools
from collections import deque
from collections.abc import Iterator
from typing import cast

from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from PIL import Image

_GAP = 2.0  # how many times too large a picture may be when the exact scaling begins
_STRIP = 128  # rows that are handed over at once: bytes of a whole plane would be there twice for a moment
_MUCH_LARGER = 2  # times the pixels of the new picture
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

    Unless it is to be kept, `image` may be closed on the way: its pixels and the new ones need not be there together.
    """
    if image.size == size:
        return image
    reducible = max(image.width / size[0], image.height / size[1]) >= 2 * _GAP
    # Pillow weighs colours by their transparency; and of a single line FFmpeg's filter sees too little.
    if reducible or image.mode not in ("L", "RGB", "CMYK") or min(size) == 1:
        return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=_GAP)
    mode, scale = image.mode, VideoReformatter()
    # `map` lets go of each plane before the next is taken; a loop's variable would not.
    shrunk = map(functools.partial(_shrink_plane, scale, size), _take_planes(image, size, keep=keep))
    return Image.merge(mode, list(shrunk))


def _shrink_plane(scale: VideoReformatter, size: tuple[int, int], plane: VideoFrame) -> Image.Image:
    (pixels,) = scale.reformat(plane, *size, interpolation=_LANCZOS, threads=1).planes
    return Image.frombuffer("L", size, cast("bytes", pixels), "raw", "L", pixels.line_size, 1)


def _take_planes(image: Image.Image, size: tuple[int, int], *, keep: bool) -> Iterator[VideoFrame]:
    """The colours of a picture, one after the other; all of them first where the picture is then closed.

    Which of both needs less memory depends on how much larger than the new picture it is.
    """
    frames = (_take_plane(image, band) for band in image.getbands())
    if keep or image.width * image.height > _MUCH_LARGER * size[0] * size[1]:
        yield from frames
        return
    taken = deque(frames)
    image.close()
    while taken:
        yield taken.popleft()


def _take_plane(image: Image.Image, band: str) -> VideoFrame:
    """One colour's values as FFmpeg wants them."""
    frame = VideoFrame(*image.size, "gray")
    (pixels,) = frame.planes
    row, room = pixels.line_size, memoryview(pixels)
    for top in range(0, image.height, _STRIP):
        strip = image.crop((0, top, image.width, min(top + _STRIP, image.height))).getchannel(band)
        room[top * row : (top + strip.height) * row] = strip.tobytes("raw", "L", row, 1)
    return frame
