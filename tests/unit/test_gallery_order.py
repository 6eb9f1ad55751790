"""The order of the pictures, and the words for their days."""

from dataclasses import replace
from datetime import date
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostroll.model import GalleryItem, Kind
from ghostroll.publish.gallery import order_items
from ghostroll.publish.wording import parse_taken, say_day, say_span

ITEM = GalleryItem("IMG_1.JPG", None, None, "", Kind.JPEG, "share/1.jpg", "thumbs/1.jpg", 3, 2)


def make_items(*pictures: tuple[str, str | None]) -> list[GalleryItem]:
    return [replace(ITEM, name=name, taken=taken) for name, taken in pictures]


def test_earlier_pictures_come_first_and_undated_last() -> None:
    """Pictures stand in the order in which they were taken; those without a time come last."""
    items = make_items(
        ("A.JPG", None),
        ("B.JPG", "2026-11-22T10:00:01"),
        ("C.JPG", "2026-11-22T10:00:00"),
        ("D.JPG", "not a time"),
        ("E.JPG", "2026-11-22T10:00:00.50"),
        ("F.JPG", "2026-02-30T10:00:00"),
    )
    assert [item.name[0] for item in order_items(items)] == list("CEBADF")


def test_numbers_in_names_count_as_numbers() -> None:
    """Of one second, IMG_9 comes before IMG_10, whatever the case and the zeros."""
    names = ["IMG_0008.JPG", "IMG_9.JPG", "img_10.JPG", "IMG_0010_2.JPG", "IMG_100.JPG", "ING_1.JPG"]
    items = make_items(*((name, "2026-11-22T10:00:00") for name in reversed(names)))
    assert [item.name for item in order_items(items)] == names


def test_a_number_of_many_digits_is_only_a_name() -> None:
    """Thousands of digits in a name, or digits of another script, are no error."""
    names = ["7" * 9, "7" * 9000, "٣²½"]
    assert {item.name for item in order_items(make_items(*((name, None) for name in names)))} == set(names)


def test_local_times_are_compared() -> None:
    """An offset, which most cameras don't write, changes neither order nor day."""
    items = make_items(("LATE", "2026-11-22T10:00:00-05:00"), ("EARLY", "2026-11-22T09:00:00"))
    assert [item.name for item in order_items(items)] == ["EARLY", "LATE"]


@given(
    st.lists(st.tuples(st.text(max_size=9), st.sampled_from([None, "", "2026-11-22T10:00:00"]) | st.text())),
    st.randoms(),
)
def test_order_does_not_depend_on_how_the_items_came(
    pictures: list[tuple[str, str | None]], random: Random
) -> None:
    """Any pictures give the same order however they are shuffled, and none is lost."""
    items = [replace(item, share=str(number)) for number, item in enumerate(make_items(*pictures))]
    shuffled = random.sample(items, len(items))
    assert order_items(shuffled) == order_items(items)
    assert set(order_items(items)) == set(items)
    assert len(order_items(items)) == len(items)


@pytest.mark.parametrize(
    ("days", "words"),
    [
        ([], ""),
        ([date(2026, 11, 22)], "22 November 2026"),
        ([date(2026, 11, 23), date(2026, 11, 21)], "21–23 November 2026"),  # noqa: RUF001  # a range
        ([date(2026, 10, 30), date(2026, 11, 2)], "30 October – 2 November 2026"),  # noqa: RUF001  # a range
        ([date(2025, 12, 31), date(2026, 1, 1)], "31 December 2025 – 1 January 2026"),  # noqa: RUF001  # a range
    ],
)
def test_a_span_of_days_is_said_short(days: list[date], words: str) -> None:
    """What the first and the last day have in common is said once."""
    assert say_span(days) == words


def test_days_have_names() -> None:
    """A day is said with its weekday; pictures without one stand under their own heading."""
    taken = parse_taken("2026-11-22T10:00:00+13:00")
    assert taken is not None
    assert say_day(taken.date()) == "Sunday, 22 November 2026"
    assert say_day(None) == "No date"
