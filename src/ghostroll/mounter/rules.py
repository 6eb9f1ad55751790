"""The few keys of the configuration that the root program heeds; everything else is the daemon's."""

import os
import tomllib
from dataclasses import dataclass
from typing import Any

from ghostroll.mounter.filesystems import CAMERA_FILESYSTEMS, RECIPES

_EXAMPLES = {"filesystems": "vfat", "readers": "ProGrade_*", "deny": "MUSIC"}


class BadConfiguration(Exception):
    """The file can't be understood; the message is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the configuration says about mounting."""

    filesystems: frozenset[str] = CAMERA_FILESYSTEMS
    readers: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    library: tuple[bytes, ...] = ()


def read_wishes(path: str) -> Wishes:
    """The wishes in a configuration file; the defaults where there is no file. Raises BadConfiguration.

    `cards.filesystems` are mounted; `cards.readers` are patterns of disks that are card readers although
    they don't say so; volumes with a label or UUID of `cards.deny`, and the disks of `library.path` and
    `state.path`, are never touched.
    """
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except FileNotFoundError:
        return Wishes()
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfiguration(
            f"{path} can't be read ({error}): mend it, `ghostroll config check` says where"
        ) from error
    cards = document.get("cards", {})
    places = (_find_text(document, "library"), _find_text(document, "state"))
    return Wishes(
        _read_filesystems(cards, path),
        _read_readers(cards, path),
        _list_texts(cards, "deny", path),
        # A home folder is of the user who runs ghostroll, and on the system's own disk or in fstab.
        tuple(os.fsencode(place) for place in places if place.startswith("/")),
    )


def _read_filesystems(cards: Any, path: str) -> frozenset[str]:
    found = frozenset(_list_texts(cards, "filesystems", path)) or CAMERA_FILESYSTEMS
    if not found <= RECIPES.keys():
        raise BadConfiguration(f"{path}: cards.filesystems can only be of {', '.join(RECIPES)}")
    return found


def _read_readers(cards: Any, path: str) -> tuple[str, ...]:
    found = _list_texts(cards, "readers", path)
    if not all(pattern.strip("*?. ") for pattern in found):
        raise BadConfiguration(f"{path}: cards.readers must say more of a disk than *")
    return found


def _find_text(document: dict[str, Any], section: str) -> str:
    table = document.get(section, {})
    found = table.get("path", "") if isinstance(table, dict) else ""
    return found if isinstance(found, str) else ""


def _list_texts(cards: Any, key: str, path: str) -> tuple[str, ...]:
    found = cards.get(key, []) if isinstance(cards, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise BadConfiguration(
            f'{path}: cards.{key} must be a list of texts, such as {key} = ["{_EXAMPLES[key]}"]'
        )
    return tuple(found)
