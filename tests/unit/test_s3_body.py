"""What is handed to boto3 piece by piece."""

import hashlib
import os
from collections.abc import Iterator

import pytest

from ghostroll.errors import Stopped
from ghostroll.model import Sha256
from ghostroll.publish.s3.body import PIECE, Body, Cut, Damaged, read_bytes, read_descriptor

CONTENT = bytes(range(256)) * 1024  # four pieces
HASH = Sha256(hashlib.sha256(CONTENT).digest())


@pytest.fixture
def descriptor() -> Iterator[int]:
    handle = os.memfd_create("original")
    os.write(handle, CONTENT)
    yield handle
    os.close(handle)


def _drain(body: Body) -> bytes:
    got = bytearray()
    while piece := body.read(16):
        assert len(piece) <= PIECE
        got += piece
    return bytes(got)


def test_body_gives_all_bytes_in_pieces_and_again(descriptor: int) -> None:
    """A second attempt gets the same bytes; each byte is counted once, and the file's position stays."""
    counted: list[int] = []
    before: list[int] = []
    body = Body(
        read_descriptor(descriptor), len(CONTENT), before=before.append, progress=counted.append, sha256=HASH
    )
    assert len(body) == len(CONTENT)
    body.read()
    assert body.tell() == PIECE
    body.seek(0)
    assert _drain(body) == CONTENT
    assert _drain(body) == b""
    body.seek(0)
    assert _drain(body) == CONTENT
    assert sum(counted) == len(CONTENT)
    assert sum(before) == 2 * len(CONTENT) + PIECE
    assert os.lseek(descriptor, 0, os.SEEK_CUR) == len(CONTENT)


def test_body_of_a_range_starts_where_it_should(descriptor: int) -> None:
    """A part is its own range of the file."""
    body = Body(read_descriptor(descriptor, 100), 1000, before=lambda _: None, progress=lambda _: None)
    assert _drain(body) == CONTENT[100:1100]


def test_body_withholds_the_end_of_what_is_not_whole() -> None:
    """Bytes that don't hash to the asset never get to their end, whichever piece is wrong."""
    for wrong in (0, len(CONTENT) - 1):
        content = bytearray(CONTENT)
        content[wrong] ^= 1
        body = Body(
            read_bytes(bytes(content)),
            len(content),
            before=lambda _: None,
            progress=lambda _: None,
            sha256=HASH,
        )
        with pytest.raises(Cut) as cut:
            _drain(body)
        assert isinstance(cut.value.reason, Damaged)
        assert body.tell() == len(CONTENT)


def test_body_of_a_shorter_file_is_damaged(descriptor: int) -> None:
    """A file that ends too early is named as damaged, not sent short."""
    os.ftruncate(descriptor, 10)
    body = Body(read_descriptor(descriptor), len(CONTENT), before=lambda _: None, progress=lambda _: None)
    with pytest.raises(Cut) as cut:
        body.read()
    assert isinstance(cut.value.reason, Damaged)


def test_body_carries_what_stops_it_past_every_handler() -> None:
    """A stop, and a file that can't be read, leave as no Exception, which botocore would take for a bad line."""

    def stop(_: int) -> None:
        raise Stopped("stop")

    body = Body(read_bytes(CONTENT), len(CONTENT), before=stop, progress=lambda _: None)
    with pytest.raises(Cut) as cut:
        body.read()
    assert isinstance(cut.value.reason, Stopped)
    assert not isinstance(cut.value, Exception)
    body = Body(read_descriptor(-1), 10, before=lambda _: None, progress=lambda _: None)
    with pytest.raises(Cut) as cut:
        body.read()
    assert isinstance(cut.value.reason, OSError)


def test_body_only_starts_again_from_its_beginning() -> None:
    """No other place is ever asked for, and would break the hash."""
    body = Body(read_bytes(CONTENT), len(CONTENT), before=lambda _: None, progress=lambda _: None)
    with pytest.raises(ValueError, match="beginning"):
        body.seek(5)
