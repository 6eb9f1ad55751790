"""What a disk may hold after a power cut: a model, pure, of the least that POSIX and Linux promise.

What is certain, and all that is:

- A file's bytes and size are those of its last fsync or fdatasync (POSIX fsync, fdatasync; man 2 fsync).
- A folder's names are those of its last fsync: "Calling fsync() does not necessarily ensure that the entry in the
  directory containing the file has also reached disk. For that an explicit fsync() on a file descriptor for the
  directory is also needed" (man 2 fsync). One name leads to the old file or to the new one, never to half of one.

Everything asked since then may be there or not, each for itself, in any order (what filesystems really do of this:
Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014):

- A write reaches the disk in sectors of 512 bytes or blocks of 4096, each alone; what no write touched stays as it
  was ("powersafe overwrite", sqlite.org/psow.html). Where a later write of the same sector is there, an earlier one
  may be missing: more than a page cache does.
- A file that grew may have its new size without its bytes: there are zeros, or what stood there before.
- A rename is two changes, of the name that goes and of the name that comes, even in one folder: afterwards there may
  be both names, or none. Journaling filesystems are kinder.
- What has no name that leads to the top is lost.

Owners, modes, times and extended attributes are not looked at.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from disk_log import TOP, Link, Make, Operation, Remove, Rename, Resize, Sync, Write

SECTOR, BLOCK = 512, 4096

Tree = dict[str, bytes | None]
"""Paths below the top, folders before what is in them; the bytes of files, None for folders."""


@dataclass(frozen=True, slots=True)
class Odds:
    """How likely each thing that was not synced has reached the disk, from 0 to 1.

    `names` for each change of a name, `data` for each piece of a write, `sizes` for a new size without its bytes.
    None: another likelihood is drawn for each file and folder.
    """

    names: float | None
    data: float | None
    sizes: float | None


NOTHING = Odds(0, 0, 0)
EVERYTHING = Odds(1, 1, 1)  # as after a kill
NAMES_ALONE = Odds(1, 0, 1)  # the famous empty files
DATA_ALONE = Odds(0, 1, 1)
MIXED = Odds(None, None, None)
EVEN = Odds(0.5, 0.5, 0.5)
ALL_ODDS = (NOTHING, EVERYTHING, NAMES_ALONE, DATA_ALONE, MIXED, EVEN)


@dataclass(slots=True)
class _File:
    synced: bytearray = field(default_factory=bytearray)
    since: list[Write | Resize] = field(default_factory=list)


@dataclass(slots=True)
class _Folder:
    synced: dict[str, int] = field(default_factory=dict)
    since: list[tuple[str, int | None]] = field(default_factory=list)


class Disk:
    """A disk that is told every operation in order, and can be asked at any time what a cut would leave.

    `lies` says of which files and folders, by the paths at which they were made, the disk forgets the syncs.
    """

    def __init__(self, lies: Callable[[str], bool] = lambda _path: False) -> None:
        self._nodes: dict[int, _File | _Folder] = {TOP: _Folder()}
        self._paths: dict[int, str] = {TOP: ""}
        self._lies = lies

    def tell(self, operation: Operation) -> None:
        """Take one operation."""
        match operation:
            case Make(node, folder, name, is_folder):
                self._nodes[node] = _Folder() if is_folder else _File()
                self._paths[node] = f"{self._paths[folder]}/{name}".removeprefix("/")
                self._folder(folder).since.append((name, node))
            case Link(node, folder, name):
                self._folder(folder).since.append((name, node))
            case Remove(folder, name):
                self._folder(folder).since.append((name, None))
            case Rename(node, folder, name, to_folder, to_name):
                self._folder(to_folder).since.append((to_name, node))
                if (folder, name) != (to_folder, to_name):
                    self._folder(folder).since.append((name, None))
            case Write(node) | Resize(node):
                self._file(node).since.append(operation)
            case Sync(node):
                self._sync(node)

    def tell_all(self, log: Sequence[Operation]) -> None:
        """Take operations in their order."""
        for operation in log:
            self.tell(operation)

    def cut(self, odds: Odds, chance: random.Random) -> Tree:
        """One of the things that the disk may hold if the power fails now; the disk itself goes on unchanged."""
        return dict(self._walk(TOP, "", odds, chance, {}))

    def _sync(self, node: int) -> None:
        if self._lies(self._paths[node]):
            return
        found = self._nodes[node]
        if isinstance(found, _Folder):
            found.synced = _rename(found, lambda: True)
        else:
            for operation in found.since:
                _apply(found.synced, operation)
        found.since.clear()

    def _walk(
        self, node: int, path: str, odds: Odds, chance: random.Random, files: dict[int, bytes]
    ) -> Iterator[tuple[str, bytes | None]]:
        names = _draw(odds.names, chance)
        for name, below in sorted(_rename(self._folder(node), lambda: chance.random() < names).items()):
            here = f"{path}/{name}".removeprefix("/")
            found = self._nodes[below]
            if isinstance(found, _Folder):
                yield here, None
                yield from self._walk(below, here, odds, chance, files)
            else:
                if below not in files:  # all names of a file lead to the same bytes
                    files[below] = _survive(found, odds, chance)
                yield here, files[below]

    def _folder(self, node: int) -> _Folder:
        found = self._nodes[node]
        assert isinstance(found, _Folder)
        return found

    def _file(self, node: int) -> _File:
        found = self._nodes[node]
        assert isinstance(found, _File)
        return found


def _draw(likelihood: float | None, chance: random.Random) -> float:
    """A likelihood; where none is given often all or nothing, which a coin for each piece hardly ever gives."""
    if likelihood is not None:
        return likelihood
    return chance.choice((0.0, 1.0, chance.random()))


def _rename(folder: _Folder, keep: Callable[[], bool]) -> dict[str, int]:
    names = dict(folder.synced)
    for name, node in folder.since:
        if not keep():
            continue
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node
    return names


def _survive(file: _File, odds: Odds, chance: random.Random) -> bytes:
    if not file.since:
        return bytes(file.synced)
    data, sizes = _draw(odds.data, chance), _draw(odds.sizes, chance)
    content = bytearray(file.synced)
    for operation in file.since:
        if isinstance(operation, Resize):
            if chance.random() < data:
                _apply(content, operation)
            continue
        for piece in _split(operation, chance.choice((SECTOR, BLOCK))):
            end = piece.at + len(piece.data)
            if chance.random() < data:
                _apply(content, piece)
            elif end > len(content) and chance.random() < sizes:
                before = end - len(content)
                content += bytes(before) if chance.random() < 0.5 else chance.randbytes(before)
    return bytes(content)


def _split(write: Write, size: int) -> Iterator[Write]:
    """A write in pieces that begin and end where the disk's do."""
    end = write.at + len(write.data)
    start = write.at
    while start < end:
        stop = min(end, start - start % size + size)
        yield Write(write.node, start, write.data[start - write.at : stop - write.at])
        start = stop


def _apply(content: bytearray, operation: Write | Resize) -> None:
    if isinstance(operation, Resize):
        if operation.size < len(content):
            del content[operation.size :]
        else:
            content += bytes(operation.size - len(content))
        return
    if operation.at > len(content):
        content += bytes(operation.at - len(content))
    content[operation.at : operation.at + len(operation.data)] = operation.data
