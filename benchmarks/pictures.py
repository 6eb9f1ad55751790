"""What a picture costs and how good it is: ways to decode, scale and encode a photo, side by side.

Each way makes the share picture, or the thumb, of the same photos. CPU is the median over the photos of this
process's own seconds. Quality is what a viewer gets, after JPEG: PSNR in decibels (10 log10 of 255² over the mean
squared error) and SSIM (Wang et al. 2004, on luma, in windows of 8 by 8) against the ideal, which is decoded in full
and scaled by Lanczos. The first row of each table is that ideal, encoded: nothing can be nearer to it.
"""

import io
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measuring import describe_machine, give_up, option_parser
from PIL import Image, ImageFile
from staging import list_files, make_photo_card, open_stage

from ghostroll.render.raster import draft
from ghostroll.render.scale import fit, shrink

R = Image.Resampling
Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
# By way: seconds to decode, to scale and to encode, PSNR, SSIM, bytes.
Table = dict[str, list[float]]
_WINDOW = 8  # pixels


@dataclass(frozen=True, slots=True)
class Way:
    """How one row makes a picture: the decoded photo, the scaling, the options of the encoder."""

    name: str
    decode: Callable[[Path, tuple[int, int]], Image.Image]
    scale: Callable[[Image.Image, tuple[int, int]], Image.Image]
    encode: dict[str, Any]


def main() -> None:
    """Print the tables of share pictures and thumbs."""
    parser = option_parser("what a picture costs and how good it is, by several ways")
    parser.add_argument("photos", nargs="*", type=Path, help="JPEG files; none: made ones of 24 megapixels")
    parser.add_argument("--count", type=int, default=8, help="of made photos")
    parser.add_argument("--megapixels", type=float, default=24, help="of made photos")
    parser.add_argument(
        "--shrink",
        type=float,
        default=0,
        metavar="RATIO",
        help="make share pictures this share of the photo's size; 0: of 2048 pixels",
    )
    options = parser.parse_args()
    if options.photos:
        tables = compare(options.photos, options.shrink)
    else:
        with open_stage(options.cache) as stage:
            card = make_photo_card(
                options.cache, stage.folder, photos=options.count, megapixels=options.megapixels
            )
            tables = compare(list_files(card), options.shrink)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(
            json.dumps({"machine": describe_machine(options.cache), **tables}, indent=1) + "\n"
        )


def compare(photos: Sequence[Path], ratio: float) -> dict[str, Table]:
    """Both tables, over the photos that are large enough for a share picture to be smaller."""
    targets = {path: size for path in photos if (size := _choose_target(path, ratio)) is not None}
    if not targets:
        give_up("no photo is larger than a share picture: name larger ones, or use --shrink 0.34")
    print(f"share pictures of {len(targets)} photos, JPEG quality 85")
    shares = _print_table(_share_ways(), targets, quality=85)
    print(f"thumbs of the same, {512} pixels, JPEG quality 80")
    thumbs = {path: fit(size, 512) for path, size in targets.items()}
    return {"shares": shares, "thumbs": _print_table(_thumb_ways(targets), thumbs, quality=80)}


def _choose_target(path: Path, ratio: float) -> tuple[int, int] | None:
    with Image.open(path) as image:
        edge = round(max(image.size) * ratio) if ratio else 2048
        return fit(image.size, edge) if max(image.size) > edge else None


def _share_ways() -> list[Way]:
    best: dict[str, Any] = {"optimize": True}
    return [
        Way("in full, Lanczos", _in_full, _by(R.LANCZOS), best),
        Way("ghostroll's", _as_ghostroll, shrink, best),
        Way("1/2, bicubic (a bare Pillow loop)", _drafted("RGB"), _by(R.BICUBIC), best),
        Way("1/2, Lanczos", _drafted("RGB"), _by(R.LANCZOS), best),
        Way("1/2, Hamming", _drafted("RGB"), _by(R.HAMMING), best),
        Way("1/2, bilinear", _drafted("RGB"), _by(R.BILINEAR), best),
        Way("1/2 in YCbCr, bicubic", _drafted("YCbCr"), _by(R.BICUBIC), best),
        Way("ghostroll's, scaled by Pillow", _as_ghostroll, _by(R.LANCZOS), best),
        Way("ghostroll's, scaled by Pillow's bicubic", _as_ghostroll, _by(R.BICUBIC), best),
        Way("ghostroll's, in blocks of 16 MiB", _in_one_block, shrink, best),
        Way("ghostroll's, without optimize", _as_ghostroll, shrink, {}),
        Way("ghostroll's, progressive", _as_ghostroll, shrink, {"progressive": True, "optimize": True}),
    ]


def _thumb_ways(targets: dict[Path, tuple[int, int]]) -> list[Way]:
    def share(path: Path, _: tuple[int, int]) -> Image.Image:
        picture = shrink(_as_ghostroll(path, targets[path]), targets[path])
        picture.load()
        return picture

    best = {"optimize": True}
    return [
        Way("in full, Lanczos", _in_full, _by(R.LANCZOS), best),
        Way("ghostroll's: of the share, Lanczos after a halving", share, shrink, best),
        Way("of the share, bicubic", share, _by(R.BICUBIC), best),
        Way("of the share, bicubic after a halving", share, _by(R.BICUBIC, gap=2.0), best),
        Way("of the share, Lanczos", share, _by(R.LANCZOS), best),
        Way("in full, bilinear (what is often advised)", _in_full, _by(R.BILINEAR), best),
    ]


def _print_table(ways: Sequence[Way], targets: dict[Path, tuple[int, int]], *, quality: int) -> Table:
    rows: dict[str, list[tuple[float, ...]]] = {way.name: [] for way in ways}
    for path, target in targets.items():
        ideal = _in_full(path, target).resize(target, R.LANCZOS)
        for way in ways:
            rows[way.name].append(_take(way, path, target, ideal, quality))
    print(f"  {'way':<50} {'decode':>7} {'scale':>7} {'encode':>7}   {'PSNR':>6} {'SSIM':>7} {'kB':>6}")
    medians = {name: [*map(statistics.median, zip(*taken, strict=True))] for name, taken in rows.items()}
    for name, (decode, scale, encode, decibels, likeness, size) in medians.items():
        times = "".join(f"{seconds * 1000:>5.1f} ms" for seconds in (decode, scale, encode))
        print(f"  {name:<50}{times}   {decibels:>6.2f} {likeness:>7.4f} {size / 1000:>6.0f}")
    return medians


def _take(
    way: Way, path: Path, target: tuple[int, int], ideal: Image.Image, quality: int
) -> tuple[float, ...]:
    began = time.process_time()
    decoded = way.decode(path, target)
    read = time.process_time()
    scaled = way.scale(decoded, target)
    done = time.process_time()
    file = io.BytesIO()
    scaled.save(file, "JPEG", quality=quality, **way.encode)
    ended = time.process_time()
    with Image.open(file) as shown:
        decibels, likeness = _psnr(shown, ideal), _ssim(shown, ideal)
    return read - began, done - read, ended - done, decibels, likeness, float(file.tell())


def _by(
    filter_: Image.Resampling, gap: float | None = None
) -> Callable[[Image.Image, tuple[int, int]], Image.Image]:
    return lambda image, target: image.resize(target, filter_, reducing_gap=gap)


def _in_full(path: Path, _: tuple[int, int]) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _drafted(mode: str) -> Callable[[Path, tuple[int, int]], Image.Image]:
    def decode(path: Path, target: tuple[int, int]) -> Image.Image:
        with Image.open(path) as image:
            image.draft(mode, target)
            image.load()
            return image.copy()

    return decode


def _as_ghostroll(path: Path, target: tuple[int, int]) -> Image.Image:
    with Image.open(path) as image:
        draft(image, target)
        image.load()
        return image.copy()


def _in_one_block(path: Path, target: tuple[int, int]) -> Image.Image:
    with Image.open(path) as image:
        assert isinstance(image, ImageFile.ImageFile)
        image.decodermaxblock = 16 << 20
        draft(image, target)
        image.load()
        return image.copy()


def _psnr(one: Image.Image, other: Image.Image) -> float:
    error: Array = (_as_array(one, "RGB") - _as_array(other, "RGB")) ** 2
    return 10 * math.log10(255**2 / max(float(error.mean()), sys.float_info.min))


def _ssim(one: Image.Image, other: Image.Image) -> float:
    first, second = _as_array(one, "L"), _as_array(other, "L")
    mean_1, mean_2 = _window_means(first), _window_means(second)
    spread_1 = _window_means(first**2) - mean_1**2
    spread_2 = _window_means(second**2) - mean_2**2
    together = _window_means(first * second) - mean_1 * mean_2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    likeness = (2 * mean_1 * mean_2 + c1) * (2 * together + c2)
    likeness /= (mean_1**2 + mean_2**2 + c1) * (spread_1 + spread_2 + c2)
    return float(likeness.mean())


def _window_means(values: Array) -> Array:
    sums = np.pad(values, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    n = _WINDOW
    means: Array = (sums[n:, n:] - sums[:-n, n:] - sums[n:, :-n] + sums[:-n, :-n]) / n**2
    return means


def _as_array(image: Image.Image, mode: str) -> Array:
    return np.asarray(image.convert(mode), dtype=np.float64)


if __name__ == "__main__":
    main()
