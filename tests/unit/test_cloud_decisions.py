"""Decisions about addresses in a bucket that a review proved wrong once."""

from typing import cast

from ghostroll.state.galleries import Signed
from ghostroll.station.cloud import Cloud
from ghostroll.station.posting import choose_addresses

HOUR, WEEK = 3600, 7 * 86_400  # seconds


class Signer:
    """Credentials of which an address lives so long."""

    def __init__(self, life: int) -> None:
        self.life = life

    def sign_at(self, now: int) -> Signed:
        """As Cloud does."""
        return Signed(now, self.life)


def choose(signed: Signed, now: int, *, life: int) -> Signed:
    """The addresses of a gallery that grows."""
    return choose_addresses(signed, cast("Cloud", Signer(life)), now, new_link=False)


def test_addresses_are_kept_while_they_live() -> None:
    """Addresses stay as they are, so that a browser keeps its pictures, until half of their life is over."""
    assert choose(Signed(1000, WEEK), 1000 + WEEK // 2 - 1, life=WEEK) == Signed(1000, WEEK)
    assert choose(Signed(1000, HOUR), 1001, life=HOUR - 2) == Signed(1000, HOUR)
    assert choose(Signed(1000, WEEK), 1000 + WEEK // 2, life=WEEK) == Signed(1000 + WEEK // 2, WEEK)


def test_addresses_live_no_longer_than_credentials_that_came_since() -> None:
    """Signed for a week, and the keys are temporary ones now: what dies with them is not believed to live on."""
    assert choose(Signed(1000, WEEK), 1010, life=HOUR) == Signed(1010, HOUR)
