"""Which card is mounted at a folder, and that it is none of our own places."""

import os

from ghostroll.cards.volume import Medium, identify_volume
from ghostroll.config import Settings
from ghostroll.errors import UsageError
from ghostroll.library.layout import show_path
from ghostroll.model import Volume


def find_card(path: bytes, settings: Settings) -> tuple[Volume, Medium]:
    """What card is mounted at a folder. Raises UsageError where it can't be one: nothing is written to a card."""
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


def _is_inside(path: bytes, folder: bytes) -> bool:
    return (path + b"/").startswith(folder.rstrip(b"/") + b"/")
