"""Files that people look at are replaced as a whole: nobody ever reads half of one."""

import os
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress

from ghostroll.faults import crash_point

_replacing = threading.Lock()  # two jobs may fill one session, and the temporary names are fixed


def replace_files(
    folder: bytes, files: Mapping[bytes, Iterable[bytes] | None], *, private: bool = False
) -> None:
    """Give each of these names in a folder its new content, in their order, piece by piece; None takes a file away.

    On return all of it would survive a power cut. Raises OSError as it comes; what was not replaced yet is
    then the old file, and whole. A `private` file is for its owner, and for the folder's group as far as that
    may read the folder; others follow the umask. A link that stands under a name is replaced, not followed.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with _replacing:
            for name, content in files.items():
                if content is None:
                    _take_away(handle, name)
                else:
                    _replace_file(handle, name, content, private=private)
            os.fsync(handle)
            crash_point("publish.folder_synced")
    finally:
        os.close(handle)


def _replace_file(folder: int, name: bytes, content: Iterable[bytes], *, private: bool) -> None:
    temporary = b"." + name + b".new"
    _take_away(folder, temporary)  # left by a crash
    # Exclusive: in a folder that a group may write to, never through a link somebody put there.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600 if private else 0o666, dir_fd=folder)
    try:
        with open(descriptor, "wb") as file:
            if private:
                _let_group_read(descriptor, folder)
            file.writelines(content)
            file.flush()
            crash_point("publish.file_written")
            os.fdatasync(descriptor)
        crash_point("publish.file_synced")
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        crash_point("publish.file_renamed")
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise


def _let_group_read(descriptor: int, folder: int) -> None:
    """Give a new file the folder's group, as far as that may read the folder."""
    of_folder = os.fstat(folder)
    with suppress(PermissionError):  # not a member, or no groups there: then it is its owner's alone
        os.fchown(descriptor, -1, of_folder.st_gid)
        os.fchmod(descriptor, 0o600 | (of_folder.st_mode & 0o040))


def _take_away(folder: int, name: bytes) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
