"""One owner: only one process at a time works on a state."""

import contextlib
import errno
import fcntl
import grp
import json
import os
import pwd
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from ghostroll.disk import make_folder
from ghostroll.errors import NoSpace, StateHeld, StateUnusable

_FULL = (errno.ENOSPC, errno.EDQUOT)
_LONGEST_WORD = 64 * 1024  # bytes of a lock file that are looked at; a path may be long


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a state, as far as it left word. `socket` is where it takes requests: a daemon does."""

    pid: int | None = None
    command: str = ""
    socket: str | None = None


def find_owner(state_path: str) -> Owner | None:
    """The process that owns a state at this moment, None where nobody does. Takes nothing and changes nothing.

    Raises StateUnusable where only members of a group may look. What else can't be looked at has no owner
    here: taking the state says why.
    """
    lock = state_path + ".lock"
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        refusal = explain_refusal(lock) if isinstance(error, PermissionError) else None
        if refusal is None:
            return None
        raise StateUnusable(refusal) from error
    try:
        # Shared and for a moment: whoever wants to become the owner just now tries again after 0.1 s.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_owner(descriptor)
    except OSError:  # the disk, or a filesystem without locks
        return None
    else:
        return None
    finally:
        os.close(descriptor)


def explain_refusal(path: str) -> str | None:
    """What keeps this user from a file, where it is that they are not in its group; None for anything else."""
    mine = {os.getegid(), *os.getgroups()}
    for entry in (*reversed(_list_folders_above(path)), path):
        try:
            found = os.stat(entry)
        except OSError:
            return None
        folder = stat.S_ISDIR(found.st_mode)
        if os.access(entry, os.X_OK if folder else os.R_OK | os.W_OK):
            continue
        if found.st_gid in mine or not found.st_mode & (stat.S_IXGRP if folder else stat.S_IRGRP):
            return None
        group, user = _name_group(found.st_gid), _name_user(os.geteuid())
        return f"you are not in the group {group}: 'sudo usermod -aG {group} {user}', then log in again"
    return None


def _list_folders_above(path: str) -> list[str]:
    """From the nearest to the root."""
    folders = []
    folder = os.path.dirname(os.path.abspath(path))
    while folder not in folders:
        folders.append(folder)
        folder = os.path.dirname(folder)
    return folders


def _name_group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _name_user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def make_state_folder(state_path: str) -> None:
    """See to it that the state's folder exists, durably. Raises NoSpace or StateUnusable."""
    try:
        make_folder(os.path.dirname(os.path.abspath(state_path)))
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpace(f"no space for the state at {state_path}: make room on its disk") from error
        raise StateUnusable(
            f"the folder for the state at {state_path} can't be made ({error.strerror}): check state.path"
        ) from error


class Ownership:
    """An exclusive lock beside the database, held until `release()` or the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(
        cls,
        state_path: str,
        *,
        command: str,
        socket: str | None = None,
        wait_seconds: float = 2.0,
        pause: Callable[[float], None] = time.sleep,
    ) -> Self:
        """Become the owner of the state at `state_path`.

        `socket` is where the owner takes requests. Waits a moment for an owner that is just leaving. Raises
        StateHeld, which names the holder, StateUnusable where the state's place can't be written, NoSpace where it is full.
        """
        make_state_folder(state_path)
        try:
            descriptor = os.open(state_path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
        except OSError as error:
            if error.errno in _FULL:
                raise NoSpace(f"no space for the state at {state_path}: make room on its disk") from error
            raise StateUnusable(
                explain_refusal(state_path + ".lock")
                or f"the state at {state_path} can't be owned ({error.strerror}): check state.path and its permissions"
            ) from error
        for attempt in range(max(1, int(wait_seconds / 0.1))):
            if attempt:
                pause(0.1)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            except OSError as error:
                os.close(descriptor)
                raise StateUnusable(
                    f"the state at {state_path} can't be locked ({error.strerror}): check its disk, or change state.path"
                ) from error
            holder = json.dumps(
                {"pid": os.getpid(), "command": command} | ({} if socket is None else {"socket": socket})
            )
            # On a disk that is full or fails the holder has no name; the lock holds all the same.
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, holder.encode(), 0)
            return cls(descriptor)
        owner = _read_owner(descriptor)
        os.close(descriptor)
        raise StateHeld(_say_held(state_path, owner))

    def release(self) -> None:
        """Let another process become the owner, also where the disk takes no writes any more."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def _read_owner(descriptor: int) -> Owner:
    """What an owner left in its lock. It is a courtesy: anything may stand there, or nothing that can be read."""
    try:
        word = json.loads(os.pread(descriptor, _LONGEST_WORD, 0))
        return Owner(
            int(word["pid"]), str(word["command"]), str(word["socket"]) if word.get("socket") else None
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Owner()


def _say_held(state_path: str, owner: Owner) -> str:
    if owner.pid is None:
        return f"another ghostroll holds {state_path}: a process that left no name; wait for it or stop it"
    holder = f"process {owner.pid} ({owner.command})"
    if owner.socket is None:
        return f"another ghostroll holds {state_path}: {holder}; wait for it or stop it"
    return f"the daemon holds {state_path}: {holder}; stop it first with '{_say_stop(owner.pid)}', and start it afterwards"


def _say_stop(pid: int) -> str:
    with contextlib.suppress(OSError):
        if os.stat(f"/proc/{pid}").st_uid == os.geteuid() != 0:
            return "systemctl --user stop ghostroll"
    return "sudo systemctl stop ghostroll"
