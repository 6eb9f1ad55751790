"""The database file: who owns it, how it is opened, how a transaction ends.

The settings are those of DESIGN section 6: WAL, one writer connection, `synchronous=NORMAL`, and
FULL for the one commit before a promise is spoken. Durability per mode: sqlite.org/pragma.html.
"""

import contextlib
import errno
import importlib.resources
import os
import sqlite3
import threading
from collections.abc import Iterator
from urllib.parse import quote

from ghostroll.errors import NoSpace, StateUnusable
from ghostroll.faults import crash_point

_CHECKED_AT_EVERY_START = 32 * 2**20  # bytes; a larger file is checked after a crash only: it takes seconds
_ROOM = 64 * 1024  # bytes; SQLite's shared memory grows by half of that
_BLOCK = 4096
# Where a file can't be opened for writing SQLite tries to open it for reading, and calls it a read-only database.
_MAYBE_FULL = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_MIGRATIONS = importlib.resources.files("ghostroll.state") / "migrations"


def load_migrations() -> list[str]:
    """All migrations in order; number n brings `user_version` from n-1 to n."""
    names = sorted(entry.name for entry in _MIGRATIONS.iterdir() if entry.name.endswith(".sql"))
    return [(_MIGRATIONS / name).read_text(encoding="utf-8") for name in names]


class Database:
    """The one writer connection of the owning process, shared by its threads under a lock.

    Opening migrates. The folder is there, durably: whoever took the ownership has made it. Raises StateUnusable,
    and leaves the file as it was, where it is not a database, is damaged, or was written by a newer version;
    NoSpace where there is no room for it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.RLock()
        if os.path.exists(path):
            check_untouched(path, thorough=True)
        _make_file(path)
        with _tell_disk(path):
            self._connection = _connect(path)
        try:
            with _tell_disk(path):
                self._migrate()
            self._file = _identify(path)
        except BaseException:
            self._connection.close()
            raise

    def _migrate(self) -> None:
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute("PRAGMA foreign_keys=ON")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        for number, script in enumerate(load_migrations()[version:], start=version + 1):
            crash_point("state.migrating")
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {script}; PRAGMA user_version={number}; COMMIT;"
            )
            crash_point("state.migrated")

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction. On return it is committed and seen by every reader; an exception undoes it.

        Durable against a killed process at once, against a power cut only with the next `promise()`.
        Raises NoSpace where the disk is full, StateUnusable where it doesn't give the file back.
        """
        with self._lock, _tell_disk(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                crash_point("state.committing")
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite undoes some failures by itself
                    self._connection.execute("ROLLBACK")
                raise
            crash_point("state.committed")

    @contextlib.contextmanager
    def promise(self) -> Iterator[sqlite3.Connection]:
        """One transaction that, on return, survives a power cut with everything committed before it.

        It must change a row: SQLite does no fsync for an empty commit. Raises StateUnusable where the file was taken
        away meanwhile: what is committed then goes with it.
        """
        with self._lock:
            before = self._connection.total_changes
            self._connection.execute("PRAGMA synchronous=FULL")
            try:
                with self.write() as connection:
                    yield connection
                    if self._connection.total_changes == before:
                        raise AssertionError("a promise that changes no row is not made durable")
                self._check_place()
            finally:
                self._connection.execute("PRAGMA synchronous=NORMAL")

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """The owner's view, for a few short statements. Raises StateUnusable where the disk doesn't give the file back."""
        with self._lock, _tell_disk(self.path):
            yield self._connection

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """All that is committed now, and nothing that comes later, for who reads so much that nobody may wait for it.

        Meanwhile others write. Raises what `read` does, and StateUnusable where another file took the state's place.
        """
        self._check_place()
        with _tell_disk(self.path), contextlib.closing(_connect(self.path, "mode=ro")) as connection:
            connection.execute("BEGIN")
            # What is seen begins with the first read, not with BEGIN (sqlite.org/lang_transaction.html).
            connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
            yield connection

    def _check_place(self) -> None:
        """Raise StateUnusable unless the file at the path is the one that is written, and can be seen.

        Where its whole folder is gone it went along with it, and whoever looks at the library says so.
        """
        found = _identify(self.path)
        folder = os.path.dirname(os.path.abspath(self.path))
        if found != self._file and (found is not None or os.path.isdir(folder)):
            raise StateUnusable(
                f"the state at {self.path} was moved or replaced while it was in use: nothing that was recorded since"
                " is in it; run 'ghostroll adopt', then the same command again"
            )

    def close(self) -> None:
        """Close the last connection; SQLite then folds the WAL into the file."""
        with self._lock:
            self._connection.close()


def open_reader(path: str) -> sqlite3.Connection:
    """A connection that only reads, beside an owner or without one. The caller closes it.

    Raises StateUnusable where there is nothing to read. Only an owner looks for damage in every page.
    """
    try:
        os.stat(path)
    except FileNotFoundError as error:
        raise StateUnusable(
            f"there is no state at {path} yet: ingest a card first, or check state.path"
        ) from error
    except OSError as error:
        raise StateUnusable(
            f"the state at {path} can't be opened: {error.strerror}; check its permissions"
        ) from error
    check_untouched(path, thorough=False)
    return _connect(path, _choose_mode(path))


def _identify(path: str) -> tuple[int, int] | None:
    """Which file is there, None for none. Raises StateUnusable where it can't be seen."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StateUnusable(
            f"the state at {path} can't be seen ({error.strerror}): check its disk"
        ) from error
    return found.st_dev, found.st_ino


def _make_file(path: str) -> None:
    """Let a new state be written by the owner's group, as far as the umask has it: SQLite itself makes 0644.

    The files beside it take its mode (sqlite.org/wal.html). What can't be made, SQLite says why.
    """
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o664))


def _choose_mode(path: str) -> str:
    """How to read a state beside whoever may be at work on it. Only where certainly nobody is, it is as it stands."""
    try:
        os.stat(path + "-wal")
    except FileNotFoundError:
        return "mode=ro&immutable=1"  # a clean file, that a stranger may not make a -shm for
    except OSError:  # what can't be seen may hold the newest records; SQLite says what is wrong with it
        pass
    return "mode=ro"


def _connect(path: str, mode: str = "mode=rwc") -> sqlite3.Connection:
    uri = f"file://{quote(os.fsencode(os.path.abspath(path)))}?{mode}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=30)
    connection.row_factory = sqlite3.Row
    return connection


@contextlib.contextmanager
def _tell_disk(path: str) -> Iterator[None]:
    """Turn SQLite's failures on a full disk into NoSpace, and on one that doesn't give pages back into StateUnusable.

    Of a quota, and where its shared memory file doesn't fit, SQLite itself says that it is an I/O error; of a
    page that can't be read (EIO), that the file is damaged.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        code = _tell_code(error) or 0
        if code == sqlite3.SQLITE_FULL or (code & 0xFF in _MAYBE_FULL and _takes_no_more(path)):
            raise NoSpace(f"no space for the state at {path}: make room on its disk") from error
        raise
    except sqlite3.DatabaseError as error:
        unread = _find_read_error(path) if _tell_code(error) == sqlite3.SQLITE_CORRUPT else None
        if unread is not None:
            raise _refuse_unreadable(path, unread) from error
        raise


def _find_read_error(path: str) -> str | None:
    """Why a state that SQLite calls damaged can't be read, None where it can be and is damaged indeed.

    Closing the file gives up SQLite's own locks on it (fcntl(2)); an owner that gets here is at its end.
    """
    try:
        for name in (path, path + "-wal"):
            with contextlib.suppress(FileNotFoundError), open(name, "rb") as file:
                while file.read(1 << 20):
                    pass
        with contextlib.closing(_connect(path, _choose_mode(path))) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except OSError as error:
        return error.strerror
    except sqlite3.DatabaseError:
        return None
    return "a read failed, and the next one did not" if found == "ok" else None


def _refuse_unreadable(path: str, why: str) -> StateUnusable:
    return StateUnusable(f"the state at {path} can't be read ({why}): check its permissions and its disk")


def _takes_no_more(path: str) -> bool:
    """Whether there is no room beside the state for this user: a file is written and synced there.

    Free space as the filesystem tells it knows no quota, and a disk may be full only when it is synced (fsync(2)).
    """
    trial = path + ".trial"
    try:
        descriptor = os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, _ROOM)
            os.write(descriptor, bytes(_BLOCK))
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
            os.unlink(trial)
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return False


def _tell_code(error: sqlite3.Error) -> int | None:
    return getattr(error, "sqlite_errorcode", None)  # absent where Python itself raised


def check_untouched(path: str, *, thorough: bool) -> None:
    """Raise StateUnusable unless the file is a sound database of ours; look without changing it."""
    newest = len(load_migrations())
    try:
        with open(path, "rb") as file:
            header, size = file.read(16), os.fstat(file.fileno()).st_size
    except OSError as error:
        raise StateUnusable(f"the state at {path} can't be opened: {error.strerror}") from error
    if header and header != b"SQLite format 3\x00":
        raise StateUnusable(
            f"{path} is not a database of ghostroll; it was left untouched: move it away, then run 'ghostroll adopt'"
        )
    mode = _choose_mode(path)
    thorough = thorough and ("immutable" not in mode or size <= _CHECKED_AT_EVERY_START)
    try:
        with contextlib.closing(_connect(path, mode)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            check = "quick_check(1)" if thorough else "schema_version"
            (damage,) = connection.execute(f"PRAGMA {check}").fetchone()
            damage = damage if thorough else "ok"
    except sqlite3.OperationalError as error:  # no permission, a locked file, a disk that fails: no damage
        raise _refuse_unreadable(path, str(error)) from error
    except sqlite3.DatabaseError as error:
        unread = _find_read_error(path)
        if unread is not None:
            raise _refuse_unreadable(path, unread) from error
        version, damage = 0, str(error)
    if damage != "ok":
        raise StateUnusable(
            f"the state at {path} is damaged ({damage}); it was left untouched: move it away, then run 'ghostroll adopt'"
        )
    if version > newest:
        raise StateUnusable(
            f"the state at {path} was written by a newer ghostroll (version {version}, this one knows {newest});"
            " it was left untouched: install the newer version"
        )
