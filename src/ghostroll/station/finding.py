"""Which card is mounted at a folder, and that it is none of our own places."""

import os
import stat

from ghostroll.cards.volume import Medium, explain_unreadable, identify_volume
from ghostroll.config import Settings
from ghostroll.errors import UsageError
from ghostroll.library.layout import show_path
from ghostroll.model import Volume


def find_card(path: bytes, settings: Settings) -> tuple[Volume, Medium]:
    """What card is mounted at a folder. Raises UsageError where it can't be one: nothing is written to a card.

    Raises CardFailing where there is one that can't be read at all.
    """
    volume, medium = identify_volume(path)
    library = os.path.realpath(os.fsencode(settings.library.path))
    state = os.path.realpath(os.fsencode(settings.state_path))
    if _is_inside(medium.root, library):
        raise UsageError(
            f"{show_path(path)} is inside the library: give the folder where the card is mounted"
        )
    if _is_inside(library, medium.root):
        raise UsageError(f"{show_path(path)} holds the library itself: change library.path")
    if _is_inside(state, medium.root):
        raise UsageError(f"{show_path(path)} holds the state itself: change state.path")
    return volume, medium


def is_card_at(root: bytes) -> bool:
    """Whether there is a folder where a card was. Raises CardFailing where the card in it can't be read."""
    if not root:
        return False
    try:
        return stat.S_ISDIR(os.stat(root).st_mode)
    except OSError as error:
        told = explain_unreadable(show_path(root), error)
        if not isinstance(told, UsageError):
            raise told from error
        return False


def _is_inside(path: bytes, folder: bytes) -> bool:
    return (path + b"/").startswith(folder.rstrip(b"/") + b"/")
