"""Names and places in the library."""

import os
import re
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostroll.library.layout import (
    clean_label,
    name_rendition,
    name_session,
    place_original,
    show_path,
    vary_place,
)
from ghostroll.model import Sha256

paths = st.binary(min_size=1, max_size=80).map(lambda raw: raw.replace(b"\0", b"x"))


@given(st.text(max_size=80))
def test_a_label_is_a_plain_name(text: str) -> None:
    """Whatever a card is called, its folder is 1 to 32 of `[A-Za-z0-9._-]`, and never hidden, `..` or an option."""
    assert re.fullmatch(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,30}[A-Za-z0-9])?|[A-Za-z0-9]", clean_label(text))


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("EOS_DIGITAL", "EOS_DIGITAL"),
        ("NIKON D850", "NIKON_D850"),
        ("../../etc", "etc"),
        ("", "CARD"),
        ("写真", "CARD"),
        ("x" * 40, "x" * 32),
    ],
)
def test_labels_by_example(text: str, label: str) -> None:
    """Ordinary labels stay as they are, others become what people still recognise."""
    assert clean_label(text) == label


def test_a_session_is_named_by_time_label_and_chance() -> None:
    """The name is local time, label and four letters that nobody confuses when reading aloud."""
    name = name_session(when="2026-11-22T14:30:15+01:00", label="EOS_DIGITAL", randomness=0)
    assert name == "2026-11-22_143015-EOS_DIGITAL-aaaa"
    letters = {
        name_session(when="2026-11-22T14:30:15", label="X", randomness=value)[-4:] for value in range(32)
    }
    assert len(letters) == 32
    assert not set("".join(letters)) & set("lo01")


@given(paths)
def test_other_places_are_new_names_in_the_same_folder(path: bytes) -> None:
    """Each variation has another name, not longer than Linux takes, in the same folder, with its extension."""
    place = place_original("session", "CARD", path)
    varied = list(islice(vary_place(place), 12))
    assert varied[0] == place
    assert len(set(varied)) == 12
    assert {os.path.dirname(other) for other in varied} == {os.path.dirname(place)}
    extension = os.path.splitext(os.path.basename(place))[1]
    if len(extension) <= 64:
        assert all(other.endswith(extension) for other in varied)


def test_a_long_name_is_varied_within_255_bytes() -> None:
    """A name of 255 bytes stays that short."""
    second = next(islice(vary_place(b"folder/" + b"n" * 251 + b".JPG"), 1, None))
    assert second == b"folder/" + b"n" * 249 + b"~2.JPG"


@given(paths, st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_renditions_of_different_contents_do_not_collide(path: bytes, first: bytes, second: bytes) -> None:
    """A rendition's name is plain ASCII, safe in an address, and tells contents apart."""
    name = name_rendition(path, Sha256(first))
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,60}-[0-9a-f]{10}\.jpg", name)
    assert not name.startswith((".", "-"))
    if first[:5] != second[:5]:
        assert name != name_rendition(path, Sha256(second))


@given(st.binary(max_size=40))
def test_a_shown_path_can_be_written_anywhere(path: bytes) -> None:
    """What people see of a path is valid Unicode, whatever its bytes."""
    show_path(path).encode()
