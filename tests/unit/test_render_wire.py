"""What a lane believes of what its worker says."""

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ghostroll.model import Kind, PhotoInfo, Rendered
from ghostroll.render.wire import (
    HEAD,
    LENGTH,
    REASON_LARGEST,
    TEXT_LARGEST,
    Rubbish,
    Tag,
    clean,
    pack_reason,
    pack_rendered,
    pack_task,
    unpack_head,
    unpack_reason,
    unpack_rendered,
    unpack_task,
)

JPEG = b"\xff\xd8\xff\xe0 picture \xff\xd9"
HEADER = {
    "share_bytes": len(JPEG),
    "share_size": [20, 10],
    "thumb_bytes": len(JPEG),
    "thumb_size": [2, 1],
    "info": {"taken": None, "camera": None, "lens": None, "exposure": None, "duration": None},
}

captions = st.none() | st.text().map(lambda text: clean(text, TEXT_LARGEST))


def answer(header: object, body: bytes = JPEG + JPEG) -> bytes:
    packed = header if isinstance(header, bytes) else json.dumps(header).encode()
    return LENGTH.pack(len(packed)) + packed + body


@settings(deadline=None)  # a busy machine is no failure
@given(st.binary(max_size=300), st.sampled_from(Kind))
def test_a_task_arrives_byte_for_byte(path: bytes, kind: Kind) -> None:
    """A path with any bytes in it, also NUL and newlines, reaches the worker unchanged."""
    frame = pack_task(path, kind)
    tag, length = unpack_head(frame[: HEAD.size])
    assert (tag, length) == (Tag.TASK, len(frame) - HEAD.size)
    assert unpack_task(frame[HEAD.size :]) == (path, kind)


@settings(deadline=None)  # a busy machine is no failure
@given(captions, captions, st.none() | st.floats(0, 1e6), st.binary(), st.binary())
def test_an_answer_arrives_as_it_was(
    taken: str | None, camera: str | None, duration: float | None, share: bytes, thumb: bytes
) -> None:
    """Both pictures, their sizes and the caption are what the worker packed."""
    rendered = Rendered(
        share=b"\xff\xd8\xff" + share + b"\xff\xd9",
        share_size=(2048, 1),
        thumb=b"\xff\xd8\xff" + thumb + b"\xff\xd9",
        thumb_size=(512, 512),
        info=PhotoInfo(taken, camera, None, None, duration),
    )
    assert unpack_rendered(pack_rendered(rendered)[HEAD.size :], 2048, 512) == rendered


@settings(deadline=None)  # a busy machine is no failure
@given(st.binary(max_size=400))
def test_random_bytes_are_rubbish(payload: bytes) -> None:
    """Whatever a broken worker writes ends in Rubbish, never in another error."""
    with pytest.raises(Rubbish):
        unpack_rendered(payload, 2048, 512)


@settings(deadline=None)  # a busy machine is no failure
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
def test_other_json_is_rubbish(value: object) -> None:
    """A header of any other shape is refused, also one that fits but for a single value."""
    for name in HEADER:
        with pytest.raises(Rubbish):
            unpack_rendered(answer(HEADER | {name: [value]}), 2048, 512)
    with pytest.raises(Rubbish):
        unpack_rendered(answer(value), 2048, 512)


def test_the_example_of_these_tests_is_accepted() -> None:
    """The header that the other tests spoil is a good one."""
    assert unpack_rendered(answer(HEADER), 2048, 512).share_size == (20, 10)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        answer(b"[" * 8000),
        answer(HEADER | {"more": 1}),
        answer(HEADER | {"share_size": [2049, 10]}),
        answer(HEADER | {"share_size": [0, 10]}),
        answer(HEADER | {"thumb_size": [True, True]}),
        answer(HEADER | {"thumb_bytes": -1}),
        answer(HEADER | {"info": HEADER["info"] | {"camera": "a\x1b[31mb"}}),  # type: ignore[operator]  # a dict
        answer(HEADER | {"info": HEADER["info"] | {"camera": "x" * 121}}),  # type: ignore[operator]  # a dict
        answer(HEADER | {"info": HEADER["info"] | {"camera": "\ud800"}}),  # type: ignore[operator]  # a dict
        answer(HEADER | {"info": HEADER["info"] | {"duration": float("nan")}}),  # type: ignore[operator]  # a dict
        answer(HEADER | {"info": HEADER["info"] | {"duration": 10**4000}}),  # type: ignore[operator]  # a dict
        answer(HEADER | {"info": HEADER["info"] | {"duration": -1}}),  # type: ignore[operator]  # a dict
        answer(HEADER | {"info": HEADER["info"] | {"place": "51.5, 0.1"}}),  # type: ignore[operator]  # a dict
        answer(HEADER, JPEG + JPEG + b"x"),
        answer(HEADER, JPEG + b"<html></html>"[: len(JPEG)].ljust(len(JPEG))),
        struct.pack(">I", 2**32 - 1) + b"{}",
    ],
)
def test_an_answer_that_is_wrong_in_one_place_is_rubbish(payload: bytes) -> None:
    """Sizes, lengths, texts, numbers and the pictures' first bytes are all checked."""
    with pytest.raises(Rubbish):
        unpack_rendered(payload, 2048, 512)


def test_an_answer_larger_than_any_picture_is_rubbish() -> None:
    """A length that no honest worker sends is refused before a byte of it is read."""
    with pytest.raises(Rubbish):
        unpack_head(HEAD.pack(Tag.RENDERED.value, 2**31))
    with pytest.raises(Rubbish):
        unpack_head(HEAD.pack(b"?", 1))


def test_a_reason_is_one_short_printable_line() -> None:
    """A reason with terminal codes, line breaks or a novel in it is tamed on both sides."""
    packed = pack_reason(Tag.PERMANENT, "a\x1b[2Jb\n\tc " + "d" * 1000)[HEAD.size :]
    assert packed.decode().startswith("a [2Jb c ddd")
    assert len(packed) == REASON_LARGEST
    assert unpack_reason(b"\xffa\x07b\r\n") == "�a b"
    assert unpack_reason(b"\0") == "no reason was given"
