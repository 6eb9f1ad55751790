"""The classic design of an import, as well as it can be written: one stage for the whole card after the other.

Hash every file by 8 threads, copy every file by 6, make the pictures of each photo from two full decodes in a pool
of all cores, upload by 4 threads. This is what `whole.py` puts ghostroll beside, so nothing here is slow on purpose:
the pool is started before the first byte is read, reads are of 1 MiB, copies are made by the kernel (shutil.copy2
uses sendfile), the decoders write straight into the target folder, all threads share one client. As in the tools that
work so, a copy is neither flushed to the medium nor read back, and a whole card is larger than the page cache, so the
card's pages are dropped between the two passes over it.

Share picture: `exif_transpose`, at most 2048 pixels, LANCZOS, quality 85; thumb: the same with 512, BILINEAR, 80; both
by `Image.thumbnail` and with `optimize`, as ghostroll's are. A JSON object with the seconds of each stage is printed.
"""

import argparse
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image, ImageOps

_HASH_THREADS, _COPY_THREADS, _UPLOAD_THREADS = 8, 6, 4
_SHARE, _THUMB = 2048, 512  # long edges in pixels
_SHARE_QUALITY, _THUMB_QUALITY = 85, 80
_CHUNK = 1 << 20  # bytes
_PICTURES = (".jpg", ".jpeg")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where pictures are uploaded to; credentials come by boto3's own chain."""

    endpoint: str
    name: str
    prefix: str


def main() -> None:
    """Import one card, stage by stage."""
    parser = argparse.ArgumentParser(description="the classic design of an import, for comparison")
    parser.add_argument("card", type=Path)
    parser.add_argument("into", type=Path)
    parser.add_argument("--endpoint", help="of a bucket that the pictures are uploaded to")
    parser.add_argument("--bucket")
    parser.add_argument("--prefix", default="sessions/sequential")
    told = parser.parse_args()
    bucket = Bucket(told.endpoint, told.bucket, told.prefix) if told.endpoint else None
    print(json.dumps(import_card(told.card, told.into, bucket)))


def import_card(card: Path, into: Path, bucket: Bucket | None) -> dict[str, Any]:
    """Hash, copy, render, upload; counts, and the seconds of each stage."""
    for name in ("originals", "share", "thumbs"):
        (into / name).mkdir(parents=True)
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("fork")) as pool:
        pool.submit(Image.init).result()
        seconds: dict[str, float] = {}
        files = _time(seconds, "scan", lambda: _list_files(card))
        hashes = _time(seconds, "hash", lambda: _spread(_HASH_THREADS, _hash, files))
        _drop_from_cache(files)
        new = dict(zip(hashes, files, strict=True))  # one file of each content
        copies = _time(
            seconds,
            "copy",
            lambda: _spread(_COPY_THREADS, lambda path: _copy(path, card, into / "originals"), new.values()),
        )
        photos = [(path, into) for path in copies if path.suffix.lower() in _PICTURES]
        made = _time(seconds, "render", lambda: list(pool.map(_render, photos)))
    if bucket is not None:
        pictures = [path for pair in made for path in pair]
        _time(seconds, "upload", lambda: _upload(bucket, into, pictures))
    _time(seconds, "publish", lambda: _write_gallery(into, made))
    return {"files": len(files), "photos": len(photos), "seconds": seconds}


def _time(seconds: dict[str, float], stage: str, do: Callable[[], T]) -> T:
    begun = time.perf_counter()
    result = do()
    seconds[stage] = round(time.perf_counter() - begun, 3)
    return result


def _list_files(card: Path) -> list[Path]:
    found = (Path(top, name) for top, _, names in os.walk(card) for name in names)
    return sorted(found)


def _spread(threads: int, do: Callable[[Path], Any], files: Any) -> list[Any]:
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(do, files))


def _hash(path: Path) -> bytes:
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").digest()


def _drop_from_cache(files: Sequence[Path]) -> None:
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def _copy(path: Path, card: Path, into: Path) -> Path:
    target = into / path.relative_to(card)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, target)
    return target


def _render(photo: tuple[Path, Path]) -> tuple[Path, Path]:
    path, into = photo
    share = into / "share" / f"{path.stem}.jpg"
    thumb = into / "thumbs" / f"{path.stem}.jpg"
    _make(path, share, _SHARE, Image.Resampling.LANCZOS, _SHARE_QUALITY)
    _make(path, thumb, _THUMB, Image.Resampling.BILINEAR, _THUMB_QUALITY)
    return share, thumb


def _make(path: Path, target: Path, edge: int, resampling: Image.Resampling, quality: int) -> None:
    with Image.open(path) as image:
        picture = ImageOps.exif_transpose(image)
        picture.thumbnail((edge, edge), resampling)
        picture.convert("RGB").save(target, quality=quality, optimize=True)


def _upload(bucket: Bucket, into: Path, pictures: Sequence[Path]) -> None:
    import boto3  # noqa: PLC0415  # an import into a folder doesn't pay for it
    from botocore.config import Config  # noqa: PLC0415  # the same

    client = boto3.client(
        "s3",
        endpoint_url=bucket.endpoint,
        config=Config(
            signature_version="s3v4",
            max_pool_connections=_UPLOAD_THREADS,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"},
        ),
    )

    def put(path: Path) -> None:
        key = f"{bucket.prefix}/{path.relative_to(into)}"
        client.put_object(Bucket=bucket.name, Key=key, Body=path.read_bytes(), ContentType="image/jpeg")

    _spread(_UPLOAD_THREADS, put, pictures)


def _write_gallery(into: Path, made: Sequence[tuple[Path, Path]]) -> None:
    items = [{"share": f"share/{share.name}", "thumb": f"thumbs/{thumb.name}"} for share, thumb in made]
    (into / "gallery.json").write_text(json.dumps({"items": items}))


if __name__ == "__main__":
    main()
