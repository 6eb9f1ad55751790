"""Which library belongs to a state and to a folder, so that an empty mount point is not taken for a new one."""

import contextlib
import os
import sqlite3

import structlog

from ghostroll.cards.volume import tell_filesystem
from ghostroll.config import Settings
from ghostroll.errors import LibraryNotThere, TransientError
from ghostroll.library.identity import Library, open_library
from ghostroll.library.layout import show_path
from ghostroll.state import jobs as job_rows
from ghostroll.state.database import Database, open_reader
from ghostroll.station.witness import Witness


def find_library(settings: Settings, witness: Witness, *, new_id: str) -> Library:
    """The library of these settings; founded with `new_id` where neither the state nor the witness knows one there.

    Raises LibraryNotThere, UsageError, NoSpace, and StateUnusable or TransientError where it can't be told which one
    belongs there: then none is founded.
    """
    path = os.fsencode(settings.library.path)
    recorded = _recall_library(os.fspath(settings.state_path))
    remembered = None if recorded else _recall_witness(witness, path)
    try:
        return open_library(
            path,
            new_id=new_id,
            expected=recorded or remembered,
            filesystem=tell_filesystem(path),
            allow_weak=settings.library.allow_weak_filesystem,
        )
    except LibraryNotThere as error:
        if remembered is not None:
            raise LibraryNotThere(
                f"{error}; if it is gone for good, remove its line from {witness.file}"
            ) from error
        raise


def tie_library(database: Database, library: Library) -> None:
    """Have a state describe this library alone, for good. Raises LibraryNotThere where it describes another one."""
    with database.write() as db:
        known = job_rows.get_library_id(db)
        if known is None:
            job_rows.set_library_id(db, library.id)
            return
    if known != library.id:
        raise LibraryNotThere(
            f"the state at {database.path} belongs to another library: mount the right disk, or change state.path"
        )


def remember_library(witness: Witness, library: Library, log: structlog.stdlib.BoundLogger) -> None:
    """Keep in mind, outside it, which library is in its folder; a warning says where that can't be."""
    try:
        witness.remember(library.path, library.id)
    except OSError as error:
        log.warning(
            f"which library is at {show_path(library.path)} can't be remembered in {witness.file} ({error.strerror}):"
            " if its disk is not mounted one day, nothing will tell"
        )


def _recall_library(state_path: str) -> str | None:
    """The library that an existing state belongs to. Raises StateUnusable where it can't be told whether there is one."""
    try:
        os.stat(state_path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:  # whoever opens the library, or takes the state, says whose it is
        return None
    except OSError:  # what can't be seen is not gone; opening it says why
        pass
    with contextlib.closing(open_reader(state_path)) as db:
        try:
            return job_rows.get_library_id(db)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # no table: killed before its first migration
                return None
            raise


def _recall_witness(witness: Witness, library: bytes) -> str | None:
    """The library that was last used at this folder. Raises TransientError where that can't be told: nothing is founded."""
    try:
        return witness.recall(library)
    except OSError as error:
        raise TransientError(
            f"which library belongs at {show_path(library)} can't be told, for {witness.file} can't be read"
            f" ({error.strerror}): check its disk, or move that file away"
        ) from error
