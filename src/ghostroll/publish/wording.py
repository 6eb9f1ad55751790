"""The words of the gallery page for times and counts. The page's script says them the same way.

A fixed English, not the machine's locale: what the page says must not depend on who rendered it.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime

from ghostroll.model import Gallery, Publication

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_TAKEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?", re.ASCII)
_UNITS = ("kB", "MB", "GB", "TB")
_SESSION = re.compile(r"\d{4}-\d\d-\d\d(?=_)", re.ASCII)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def parse_taken(taken: str | None) -> datetime | None:
    """The camera's local time without its offset, or None where there is none that makes sense.

    The offset is dropped because most cameras write none: only local times can all be compared, and
    they are the days that people remember.
    """
    if not (local := _TAKEN.match(taken or "")):
        return None
    try:
        return datetime.fromisoformat(local[0])
    except ValueError:  # the 30th of February
        return None


def say_day(day: date | None) -> str:
    """The heading of one day's pictures: "Sunday, 22 November 2026", or "No date"."""
    return "No date" if day is None else f"{_DAYS[day.weekday()]}, {_say_date(day)}"


def say_span(days: Sequence[date]) -> str:
    """The time from the first to the last day, said as short as it goes.

    Empty where there are no days. The days may come in any order.
    """
    if not days:
        return ""
    first, last = min(days), max(days)
    if first == last:
        return _say_date(first)
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}–{_say_date(last)}"  # noqa: RUF001  # an en dash joins a range
    if first.year == last.year:
        return f"{first.day} {_MONTHS[first.month - 1]} – {_say_date(last)}"  # noqa: RUF001  # same
    return f"{_say_date(first)} – {_say_date(last)}"  # noqa: RUF001  # same


def say_title(gallery: Gallery, days: Sequence[date]) -> str:
    """The page's title: the days of its pictures; before the first, the day of the session.

    Empty where no picture has a date.
    """
    if not gallery.items and (session := _SESSION.match(gallery.session)):
        with suppress(ValueError):
            return _say_date(date.fromisoformat(session[0]))
    return say_span(days)


def say_state(gallery: Gallery) -> str:
    """The line under the title: how many pictures there are, and whether more will come."""
    here = len(gallery.items)
    if gallery.state is not Publication.COMPLETE:
        if not here:
            return "The first pictures are on their way"
        if gallery.total <= here:
            return f"{_count(here, 'picture')}, more are coming"
        return f"{here:,} of {_count(gallery.total, 'picture')}, {gallery.total - here:,} still to come"
    return f"{_count(here, 'picture')}, complete" if here else "No pictures"


def say_empty(gallery: Gallery) -> str:
    """What stands where the pictures would be, while there are none."""
    if gallery.state is not Publication.COMPLETE:
        return "Pictures appear here as they arrive."
    return "There is nothing to show. Files that are not pictures are kept in the originals."


def say_archive(gallery: Gallery) -> str:
    """The words on the link to all pictures in one file: "Download all, 1.2 GB"."""
    return f"Download all, {say_size(gallery.archive_bytes)}"


def say_size(size: int) -> str:
    """Bytes in the decimal unit that people see on disks and downloads, with two digits at least."""
    number, unit = float(max(size, 0)), 0
    while unit < len(_UNITS) and round(number) >= 1000:
        number, unit = number / 1000, unit + 1
    if not unit:
        return _count(round(number), "byte")
    return f"{number:.1f} {_UNITS[unit - 1]}" if round(number, 1) < 10 else f"{number:.0f} {_UNITS[unit - 1]}"


def say_failed(gallery: Gallery) -> str:
    """The heading of the files that have no picture."""
    return f"{_count(len(gallery.failed), 'file')} could not be shown"


def _say_date(day: date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
