"""What a lane and its worker say to each other: framed bytes, and never pickles.

A frame is one byte of tag, four bytes of length (big-endian) and that many bytes. The worker decodes
hostile pictures, so everything it says is checked here before anybody believes it: types, lengths,
and that the pictures start and end like JPEG files.
"""

import json
import struct
from dataclasses import asdict
from enum import Enum

from ghostroll.model import Kind, PhotoInfo, Rendered

HEAD = struct.Struct(">cI")
LENGTH = struct.Struct(">I")

TEXT_LARGEST = 120  # characters of one text of a PhotoInfo
REASON_LARGEST = 300  # characters
REQUEST_LARGEST = 16 * 1024  # a path has at most 4 KiB
ANSWER_LARGEST = 64 * 2**20  # two JPEG files and their header
_HEADER_LARGEST = 8 * 1024
_DURATION_LARGEST = 1e9  # seconds


class Tag(Enum):
    """The first byte of a frame."""

    TASK = b"T"  # lane to worker: render this
    TAKEN = b"t"  # worker to lane: from now on, what goes wrong is this photo's
    RENDERED = b"r"
    PERMANENT = b"p"  # the picture can't be decoded; a reason in words
    TRANSIENT = b"x"  # something else went wrong; a reason in words


class Rubbish(Exception):  # named for what was received
    """What arrived is not what this module writes."""


def pack(tag: Tag, payload: bytes = b"") -> bytes:
    """One frame, ready to send."""
    return HEAD.pack(tag.value, len(payload)) + payload


def unpack_head(head: bytes) -> tuple[Tag, int]:
    """The tag and the payload's length in bytes. Raises Rubbish for a tag nobody knows, or too much."""
    mark, length = HEAD.unpack(head)
    try:
        tag = Tag(mark)
    except ValueError:
        raise Rubbish from None
    if length > ANSWER_LARGEST:
        raise Rubbish
    return tag, length


def pack_task(path: bytes, kind: Kind) -> bytes:
    """The frame that asks for a picture of the file at `path`."""
    return pack(Tag.TASK, kind.value.encode() + b"\0" + path)


def unpack_task(payload: bytes) -> tuple[bytes, Kind]:
    """What `pack_task` was given."""
    kind, _, path = payload.partition(b"\0")
    return path, Kind(kind.decode())


def pack_rendered(rendered: Rendered) -> bytes:
    """The frame that answers with two pictures: length of the header, header as JSON, share, thumb."""
    header = json.dumps(
        {
            "share_bytes": len(rendered.share),
            "share_size": rendered.share_size,
            "thumb_bytes": len(rendered.thumb),
            "thumb_size": rendered.thumb_size,
            "info": asdict(rendered.info),
        }
    ).encode()
    payload = b"".join((LENGTH.pack(len(header)), header, rendered.share, rendered.thumb))
    return pack(Tag.RENDERED, payload)


def unpack_rendered(payload: bytes, share_edge: int, thumb_edge: int) -> Rendered:
    """What `pack_rendered` was given, with every part checked; edges in pixels bound the sizes.

    Raises Rubbish for anything that it would not have written.
    """
    if len(payload) < LENGTH.size:
        raise Rubbish
    (length,) = LENGTH.unpack_from(payload)
    if not 2 <= length <= _HEADER_LARGEST or LENGTH.size + length > len(payload):
        raise Rubbish
    start = LENGTH.size + length
    try:
        header = json.loads(payload[LENGTH.size : start])
    except (ValueError, RecursionError):
        raise Rubbish from None
    match header:
        case {
            "share_bytes": int(share_bytes),
            "share_size": [int(), int()] as share_size,
            "thumb_bytes": int(thumb_bytes),
            "thumb_size": [int(), int()] as thumb_size,
            "info": dict(info),
            **rest,
        } if not rest and share_bytes > 0 and start + share_bytes + thumb_bytes == len(payload):
            middle = start + share_bytes
            return Rendered(
                share=_check_jpeg(payload[start:middle]),
                share_size=_check_size(share_size, share_edge),
                thumb=_check_jpeg(payload[middle:]),
                thumb_size=_check_size(thumb_size, thumb_edge),
                info=_check_info(info),
            )
        case _:
            raise Rubbish


def pack_reason(tag: Tag, reason: str) -> bytes:
    """The frame that answers with a sentence."""
    return pack(tag, clean(reason, REASON_LARGEST).encode())


def unpack_reason(payload: bytes) -> str:
    """The sentence, without anything that a terminal would obey."""
    return clean(payload.decode(errors="replace"), REASON_LARGEST) or "no reason was given"


def clean(text: str, largest: int) -> str:
    """`text` on one line, printable characters only, trimmed, at most `largest` characters."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:largest].rstrip()


def _check_jpeg(data: bytes) -> bytes:
    if not (data.startswith(b"\xff\xd8\xff") and data.endswith(b"\xff\xd9")):
        raise Rubbish
    return data


def _check_size(size: list[int], edge: int) -> tuple[int, int]:
    width, height = size
    if isinstance(width, bool) or isinstance(height, bool):
        raise Rubbish
    if not (1 <= width <= edge and 1 <= height <= edge):
        raise Rubbish
    return width, height


def _check_info(info: dict[str, object]) -> PhotoInfo:
    match info:
        case {
            "taken": str() | None as taken,
            "camera": str() | None as camera,
            "lens": str() | None as lens,
            "exposure": str() | None as exposure,
            "duration": int() | float() | None as duration,
            **rest,
        } if not rest:
            for text in (taken, camera, lens, exposure):
                if text is not None and text != clean(text, TEXT_LARGEST):
                    raise Rubbish
            if duration is not None and not 0 <= duration < _DURATION_LARGEST:  # false for NaN too
                raise Rubbish
            return PhotoInfo(taken, camera, lens, exposure, None if duration is None else float(duration))
        case _:
            raise Rubbish
