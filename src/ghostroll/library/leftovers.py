"""Files that got their final name in a run that ended before their record: their content may have another home by now."""

import os
from collections.abc import Callable, Iterator

from ghostroll.library.durable import Folders, exists, is_file
from ghostroll.library.layout import vary_place


def find_leftovers(root: int, place: bytes, is_recorded: Callable[[bytes], bool]) -> Iterator[bytes]:
    """Where a file that belongs at `place` may stand without a record, below the library."""
    for one in vary_place(place):
        if not exists(root, one):
            return
        if is_file(root, one) and not is_recorded(one):
            yield one


def drop_leftover(root: int, path: bytes, folders: Folders) -> None:
    """Remove a file whose content is stored elsewhere; durable on return. Raises OSError."""
    os.unlink(path, dir_fd=root)
    folders.sync(root, [os.path.dirname(path)])
