"""Whether the library's disk takes what is written: found out by writing."""

import os

from ghostroll.library.durable import library_errors, remove_quietly, write_all
from ghostroll.library.identity import INCOMING

_TRIAL = INCOMING + b"/trial"
_BLOCK = 4096


def try_writing(root: int, size: int) -> None:
    """See whether there is room for a file of `size` bytes, and whether a block of it gets to the medium.

    Nothing of it stays. What a filesystem tells of its free space knows no quota, no number of files, and no
    disk that fails. One try at a time. Raises NoSpace, LibraryNotThere or LibraryFailing.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with library_errors("writing a file to try it"):
        descriptor = os.open(_TRIAL, flags, 0o664, dir_fd=root)
        try:
            if size:
                os.posix_fallocate(descriptor, 0, size)
            write_all(descriptor, memoryview(bytes(_BLOCK)))
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
            remove_quietly(root, _TRIAL)
