"""What a value may look like, and how a person is told so: the types that keys have."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from annotated_types import Len, Predicate

# What root's helper knows to mount without writing to it; a test holds its table equal.
FILESYSTEMS = ("vfat", "exfat", "ext2", "ext3", "ext4")


@dataclass(frozen=True, slots=True)
class Expected:
    """What a person is told that a key wants, where type and range alone don't say it."""

    words: str


@dataclass(frozen=True, slots=True)
class Exact:
    """Takes values of this very type: pydantic alone would take "yes" for true and 2.0 for 2."""

    def __get_pydantic_core_schema__(
        self, source: object, schema_of: Callable[[object], dict[str, object]]
    ) -> dict[str, object]:
        """Return the type's schema, made strict."""
        return schema_of(source) | {"strict": True}


def _is_plain(text: str) -> bool:
    return text.isprintable()


def _is_full_path(path: Path) -> bool:
    # Control characters would spoil logs and terminals; bytes that are not UTF-8 are a path all the same.
    return path.is_absolute() and re.search(r"[\x00-\x1f\x7f]", str(path)) is None


def _is_card_name(name: str) -> bool:
    # A pattern of wildcards alone would leave out every file of a card.
    return "/" not in name and "\0" not in name and name.strip("*?. ") != ""


def _is_pattern(pattern: str) -> bool:
    # A pattern of wildcards alone would make every disk of the machine a card reader.
    return pattern.isprintable() and pattern.strip("*?. ") != ""


def _is_name(name: str) -> bool:
    return name.isprintable() and name.strip() != ""


def _is_root(folder: str) -> bool:
    path = Path(folder)
    # Below / is everything, network shares too.
    return _is_full_path(path) and folder.strip("/") != "" and ".." not in path.parts


def _is_bucket(name: str) -> bool:
    return re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]{1,62})?", name) is not None


def _is_region(name: str) -> bool:
    return re.fullmatch(r"[a-z0-9-]*", name) is not None


def _is_prefix(prefix: str) -> bool:
    if prefix == "":
        return True
    if not prefix.isprintable() or len(prefix.encode()) > 512:  # a whole key may have 1024 bytes
        return False
    return not {"", ".", ".."}.intersection(prefix.removesuffix("/").split("/"))


def _is_address(address: str) -> bool:
    if address == "":
        return True
    if not address.isprintable() or " " in address:
        return False
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port  # a port that is no number raises
    except ValueError:
        return False
    if parts.scheme not in {"http", "https"} or not host:
        return False
    # Whatever could carry a password or a token has no place in the file.
    return "@" not in parts.netloc and not parts.query and not parts.fragment


Whole = Annotated[int, Exact()]
Flag = Annotated[bool, Exact()]
Text = Annotated[str, Predicate(_is_plain), Expected("text on one line")]
FullPath = Annotated[
    Path, Predicate(_is_full_path), Expected('a full path, such as "/srv/photos" or "~/photos"')
]
CardNames = Annotated[
    tuple[Annotated[str, Predicate(_is_card_name)], ...],
    Expected('a list of file or folder names, such as ["Thumbs.db", "._*"]'),
]
VolumeNames = Annotated[
    tuple[Annotated[str, Predicate(_is_name)], ...],
    Expected('a list of labels or UUIDs, such as ["EOS_DIGITAL", "8355-7F0A"]'),
]
DiskPatterns = Annotated[
    tuple[Annotated[str, Predicate(_is_pattern)], ...],
    Expected('a list of disks, such as ["ProGrade_*", "sdc"]; a * alone is none'),
]
FilesystemNames = Annotated[
    tuple[Annotated[str, Predicate(FILESYSTEMS.__contains__)], ...],
    Len(1),
    Expected(f"a list of at least one of: {', '.join(FILESYSTEMS)}"),
]
RootFolders = Annotated[
    tuple[Annotated[str, Predicate(_is_root)], ...],
    Len(1),
    Expected('a list of at least one full path, such as ["/media"]; / alone is none'),
]
BucketName = Annotated[str, Predicate(_is_bucket), Expected("the name of a bucket, such as my-photos")]
Prefix = Annotated[
    str, Predicate(_is_prefix), Expected("a folder in the bucket, such as weddings, without a / in front")
]
Region = Annotated[str, Predicate(_is_region), Expected("a region such as eu-central-1")]
Address = Annotated[
    str,
    Predicate(_is_address),
    Expected("an address such as https://s3.example.org, without user, password or ?query"),
]
