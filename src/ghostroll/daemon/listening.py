"""The socket's file, and how a request is read from a connection: nothing that comes in is trusted."""

import contextlib
import os
import socket
import stat
import time
from collections.abc import Iterator

from ghostroll.daemon.wire import LONGEST_REQUEST, Request, parse_request
from ghostroll.disk import make_folder
from ghostroll.errors import StateHeld, UsageError
from ghostroll.library.layout import show_path

BACKLOG = 16  # connections that wait to be taken
_HEARING = 5.0  # seconds for a whole request to arrive
_MODE = 0o660
_FOLDER_MODE = 0o750


def listen_at(path: str, group: int | None) -> tuple[socket.socket, tuple[int, int]]:
    """A socket that listens at `path` for its owner and group, and its file's device and inode.

    A file that nobody listens at any more is replaced. Raises StateHeld where somebody does, UsageError
    where the place can't be used.
    """
    folder, name = os.path.split(os.path.abspath(path))
    shown = show_path(os.fsencode(path))
    try:
        if not os.path.isdir(folder):
            make_folder(folder, _FOLDER_MODE)
            if group is not None:
                os.chown(folder, -1, group)
        with _reach(folder, name) as address:
            _clear(address, shown)
            listener = socket.socket(socket.AF_UNIX)
            try:
                # Nobody can connect before it listens, and then its mode is right.
                listener.bind(address)
                if group is not None:
                    os.chown(address, -1, group)
                os.chmod(address, _MODE)
                found = os.lstat(address)
                listener.listen(BACKLOG)
            except BaseException:
                listener.close()
                raise
    except OSError as error:
        raise UsageError(
            f"no request can come in at {shown} ({error.strerror}): check its folder's permissions"
        ) from error
    return listener, (found.st_dev, found.st_ino)


@contextlib.contextmanager
def _reach(folder: str, name: str) -> Iterator[str]:
    """An address for a socket in a folder, however long the folder's own path: 107 bytes is all that one may have."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)


def _clear(address: str, shown: str) -> None:
    """Take a dead socket away. Raises StateHeld for a living one, UsageError for what is none."""
    try:
        mode = os.lstat(address).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise UsageError(f"{shown} is in the way of the daemon's socket: move it away")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(address)
        except ConnectionRefusedError:
            os.unlink(address)
            return
        except FileNotFoundError:
            return
        except BlockingIOError:
            pass  # it listens, and has its hands full
    raise StateHeld(f"another ghostroll answers at {shown}: stop it first")


def hear_request(connection: socket.socket) -> Request:
    """Read one request. Raises UsageError for anything else, and for one that takes too long."""
    data = bytearray()
    until = time.monotonic() + _HEARING
    try:
        while b"\n" not in data:
            connection.settimeout(max(0.001, until - time.monotonic()))
            part = connection.recv(LONGEST_REQUEST)
            data += part
            if not part:
                raise UsageError("the request ends in the middle")
            if len(data) > LONGEST_REQUEST:
                raise UsageError("the request is too long")
    except TimeoutError as error:
        raise UsageError("the request takes too long to come") from error
    except OSError as error:
        raise UsageError(f"the request can't be read ({error.strerror})") from error
    return parse_request(bytes(data.partition(b"\n")[0]))
