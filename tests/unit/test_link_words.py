"""Until when a link works, in words."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from ghostroll.publish.link import say_end

NOW = datetime(2026, 11, 22, 14, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (timedelta(days=7), "29 November 2026, 14:30 (7 days)"),
        (timedelta(days=7, minutes=-9), "29 November 2026, 14:21 (7 days)"),
        (timedelta(hours=48), "24 November 2026, 14:30 (2 days)"),
        (timedelta(hours=47), "24 November 2026, 13:30 (47 hours)"),
        (timedelta(hours=12, seconds=-20), "23 November 2026, 02:29 (12 hours)"),
        (timedelta(hours=2), "22 November 2026, 16:30 (2 hours)"),
        (timedelta(hours=1), "22 November 2026, 15:30 (60 minutes)"),
        (timedelta(seconds=70), "22 November 2026, 14:31 (1 minute)"),
        (timedelta(seconds=1), "22 November 2026, 14:30 (1 minute)"),
    ],
)
def test_a_links_end(left: timedelta, words: str) -> None:
    """The moment, and how long that still is."""
    assert say_end(NOW + left, NOW) == f"works until {words}"


@pytest.mark.parametrize("later", [timedelta(0), timedelta(seconds=1), timedelta(days=400)])
def test_a_dead_link(later: timedelta) -> None:
    """A link whose end is over is never said to work."""
    assert say_end(NOW, NOW + later) == "ended on 22 November 2026, 14:30"


def test_an_end_in_another_zone() -> None:
    """The clock that is read is the link's, and where no time is left to be said its zone is."""
    expires = NOW.astimezone(timezone(timedelta(hours=1), "CET"))
    assert say_end(expires, NOW - timedelta(days=3)) == "works until 22 November 2026, 15:30 (3 days)"
    assert say_end(expires) == "works until 22 November 2026, 15:30 CET"


def test_an_address_without_an_end() -> None:
    """What needs no signature lasts as long as the pictures."""
    assert say_end(None, NOW) == say_end(None) == "works until the pictures are taken from the bucket"
