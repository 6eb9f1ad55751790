"""The floors of an ingest: pictures made, or files copied and verified, and nothing else, by one process.

Usage: bare_ingest.py render|render-by-all|copy INTO FILE...
render: Pillow alone: draft, bicubic to 2048, optimised JPEG, thumb of 512 from it.
render-by-all: the same by as many processes as there are cores, each with every nth file.
copy: read, SHA-256, write, fdatasync, read back around the page cache, SHA-256.
Prints the seconds of the work alone.
"""

import hashlib
import mmap
import os
import sys
import time
from collections.abc import Sequence

from PIL import Image

_SHARE, _THUMB = 2048, 512  # long edges in pixels
_SHARE_QUALITY, _THUMB_QUALITY = 85, 80
_CHUNK = 1 << 20  # bytes


def render(into: str, files: Sequence[str]) -> None:
    """Write a share picture and a thumb of each file."""
    for number, path in enumerate(files):
        with Image.open(path) as image:
            size = _fit(image.size, _SHARE)
            image.draft(None, size)
            share = image.resize(size, Image.Resampling.BICUBIC)
        share.save(f"{into}/{number}-share.jpg", quality=_SHARE_QUALITY, optimize=True)
        thumb = share.resize(_fit(size, _THUMB), Image.Resampling.BICUBIC)
        thumb.save(f"{into}/{number}-thumb.jpg", quality=_THUMB_QUALITY, optimize=True)


def render_by_all(into: str, files: Sequence[str]) -> None:
    """Render by one process for each core."""
    processes = len(os.sched_getaffinity(0))
    children = []
    for number in range(processes):
        child = os.fork()
        if child == 0:
            folder = f"{into}/{number}"
            os.mkdir(folder)
            render(folder, files[number::processes])
            os._exit(0)
        children.append(child)
    for child in children:
        _, status = os.waitpid(child, 0)
        if status != 0:
            sys.exit(1)


def copy(into: str, files: Sequence[str]) -> None:
    """Copy each file to the medium and compare what the medium gives back."""
    buffer = mmap.mmap(-1, _CHUNK)
    for number, path in enumerate(files):
        place = f"{into}/{number}"
        target = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        given = _hash(path, 0, buffer, target)
        os.fdatasync(target)
        os.close(target)
        try:
            stored = _hash(place, os.O_DIRECT, buffer)
        except OSError:  # a filesystem without O_DIRECT
            stored = _hash(place, 0, buffer)
        assert stored == given


def _fit(size: tuple[int, int], edge: int) -> tuple[int, int]:
    longest = max(edge, *size)
    return round(size[0] * edge / longest), round(size[1] * edge / longest)


def _hash(path: str, flags: int, buffer: mmap.mmap, target: int | None = None) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | flags)
    whole, left = hashlib.sha256(), os.fstat(descriptor).st_size
    with memoryview(buffer) as view:
        while left > 0 and (count := os.readv(descriptor, [view])):
            whole.update(view[:count])
            if target is not None:
                os.write(target, view[:count])
            left -= count
    os.close(descriptor)
    return whole.digest()


if __name__ == "__main__":
    begun = time.perf_counter()
    {"render": render, "render-by-all": render_by_all, "copy": copy}[sys.argv[1]](sys.argv[2], sys.argv[3:])
    print(time.perf_counter() - begun)
