"""A picture file, opened once for whichever decoder wants it, and what the decoders hand on."""

import contextlib
import os
import stat
import struct
import traceback
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image

from ghostroll.errors import GhostrollError, PermanentError, TransientError
from ghostroll.model import PhotoInfo

# What calls of decoders raise on broken input; see `is_complaint` for what their own code raises.
BROKEN = (
    ArithmeticError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    ValueError,
    struct.error,
    zlib.error,
)
# Readers of metadata raise these as well. They cost a line of the caption, never the picture.
BROKEN_METADATA = (*BROKEN, AssertionError, AttributeError, TypeError)


@dataclass(frozen=True, slots=True)
class Opened:
    """An open, regular, non-empty file. `address` names it for libraries that can't take bytes."""

    file: BinaryIO
    name: bytes
    address: str
    size: int  # bytes
    head: bytes  # the first 32 bytes


@dataclass(frozen=True, slots=True)
class Picture:
    """An upright picture in sRGB, mode RGB, already of share size, and what its metadata says."""

    image: Image.Image
    info: PhotoInfo


def is_complaint(error: Exception) -> bool:
    """Whether a decoder complains of its input; else it may be a mistake of ours.

    What a library's own code raises on bytes that nobody wrote can't be listed, so that it is known by
    where it was raised. A mistake of ours ends the worker, is charged to the photo and leaves a traceback.
    """
    if isinstance(error, BROKEN):
        return True
    if isinstance(error, MemoryError | GhostrollError):
        return False
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return not str(frame.f_globals.get("__name__")).startswith("ghostroll.")


@contextlib.contextmanager
def open_source(path: bytes) -> Iterator[Opened]:
    """The file at `path`, closed on leaving.

    Raises PermanentError where it is empty or no regular file, TransientError where the disk fails.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise TransientError(f"the stored file can't be opened: {error.strerror}") from error
    try:
        size = _checked_size(os.fstat(descriptor))
    except PermanentError:
        os.close(descriptor)
        raise
    with open(descriptor, "rb") as file:
        head = file.read(32)
        file.seek(0)
        yield Opened(file, os.path.basename(path), f"/proc/self/fd/{descriptor}", size, head)


def _checked_size(status: os.stat_result) -> int:
    if not stat.S_ISREG(status.st_mode):
        raise PermanentError("not a regular file")
    if status.st_size == 0:
        raise PermanentError("the file is empty")
    return status.st_size
