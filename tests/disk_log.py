"""What a program asked of a disk, in the order in which the disk was asked; and how that is kept in a file.

A node is a file or a folder; its number is never used again, whatever its names. Number 0 is the top folder.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

TOP = 0


@dataclass(frozen=True, slots=True)
class Make:
    """A new file or folder with its first name."""

    node: int
    folder: int
    name: str
    is_folder: bool


@dataclass(frozen=True, slots=True)
class Link:
    """One more name for a file."""

    node: int
    folder: int
    name: str


@dataclass(frozen=True, slots=True)
class Remove:
    """A name goes: unlink and rmdir."""

    folder: int
    name: str


@dataclass(frozen=True, slots=True)
class Rename:
    """A node leaves one name and has another; what had that is replaced."""

    node: int
    folder: int
    name: str
    to_folder: int
    to_name: str


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes at a place of a file."""

    node: int
    at: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Resize:
    """A file's size is set: truncate, O_TRUNC."""

    node: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """The disk has said that a file's bytes, or a folder's names, are safe: fsync and fdatasync."""

    node: int


Operation = Make | Link | Remove | Rename | Write | Resize | Sync
_KINDS = {kind.__name__: kind for kind in (Make, Link, Remove, Rename, Write, Resize, Sync)}


def encode(operation: Operation) -> bytes:
    """One operation as a line, and a write's bytes behind it."""
    fields = asdict(operation)
    data: bytes = fields.pop("data", b"")
    head = {"kind": type(operation).__name__, "bytes": len(data), **fields}
    return json.dumps(head).encode("ascii") + b"\n" + data


def read_log(path: Path) -> list[Operation]:
    """Everything that was asked, in its order."""
    with path.open("rb") as file:
        return list(_decode(file))


def _decode(file: BinaryIO) -> Iterator[Operation]:
    for line in file:
        fields = json.loads(line)
        kind, size = _KINDS[fields.pop("kind")], fields.pop("bytes")
        yield kind(**fields, data=file.read(size)) if kind is Write else kind(**fields)


def find_node(log: Sequence[Operation], path: str) -> int:
    """The first file or folder that ever had this path below the top. KeyError if there was none."""
    node = TOP
    for name in path.split("/"):
        found = [one.node for one in log if isinstance(one, Make) and (one.folder, one.name) == (node, name)]
        if not found:
            raise KeyError(path)
        node = found[0]
    return node


def find_words(log: Sequence[Operation], folder: int, words: re.Pattern[bytes]) -> int | None:
    """How many operations it took until a file that was made in or below a folder held such words.

    None where none ever did. Files are taken to grow only.
    """
    folders, texts = {folder}, dict[int, bytes]()
    for number, operation in enumerate(log, start=1):
        match operation:
            case Make(node, parent, _, is_folder) if parent in folders:
                if is_folder:
                    folders.add(node)
                else:
                    texts[node] = b""
            case Write(node, _, data) if node in texts:
                texts[node] += data
                if words.search(texts[node]):
                    return number
    return None
