"""Listing the top folder of a volume: the one thing that detection reads from a card itself."""

import os
import stat
import threading
from collections.abc import Callable, Collection
from itertools import islice

from ghostroll.cards.judging import ListingKey
from ghostroll.cards.mounts import Mount
from ghostroll.cards.sight import Listing
from ghostroll.errors import MachineShort

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ENTRIES = 70_000  # of a top folder that are looked at: FAT has no more
_FOLDERS = 2000  # of them that are remembered; a camera makes a handful
_MARKER = ".ghostroll/library.json"


def list_root(mount: Mount) -> Listing:
    """The folders at the top of a mounted volume. Nothing stays open; whatever goes wrong is in the answer.

    Raises OSError where files run out: that says nothing about the volume.
    """
    try:
        descriptor = os.open(mount.point, _FOLDER)
    except OSError as error:
        if error.errno in MachineShort.numbers:
            raise
        return Listing(error=error.strerror or str(error))
    try:
        device = os.fstat(descriptor).st_dev
        # Filesystems without a device of their own number their files as they like.
        if os.major(mount.device) and device != mount.device:
            return Listing(error="something else is mounted on top of it")
        with os.scandir(descriptor) as entries:
            found = (entry for entry in islice(entries, _ENTRIES) if entry.is_dir(follow_symlinks=False))
            folders = tuple(os.fsencode(entry.name) for entry in islice(found, _FOLDERS))
        return Listing(folders, library=_is_library(descriptor))
    except OSError as error:
        if error.errno in MachineShort.numbers:
            raise
        return Listing(error=error.strerror or str(error))
    finally:
        os.close(descriptor)


def _is_library(descriptor: int) -> bool:
    try:
        found = os.stat(_MARKER, dir_fd=descriptor, follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode)


class RootReader:
    """Lists top folders, each in a thread of its own: a dying card may never answer.

    `on_done` is called in such a thread after each answer. A thread that is stuck in the kernel is left behind.
    """

    def __init__(self, on_done: Callable[[], None]) -> None:
        self._on_done = on_done
        self._lock = threading.Lock()
        self._answers: dict[ListingKey, Listing] = {}
        self._asked: dict[ListingKey, threading.Thread] = {}

    def ask(self, key: ListingKey, mount: Mount) -> None:
        """Begin to list a mount, unless that was done before and not in vain."""
        asked = self._asked.get(key)
        if asked is not None and (asked.is_alive() or key in self.answers()):
            return
        thread = threading.Thread(target=self._list, args=(key, mount), name=f"list-{mount.id}", daemon=True)
        self._asked[key] = thread
        thread.start()

    def answers(self) -> dict[ListingKey, Listing]:
        """What is known by now."""
        with self._lock:
            return dict(self._answers)

    def keep(self, keys: Collection[ListingKey]) -> None:
        """Forget every other answer: those mounts are gone."""
        for key in [key for key in self._asked if key not in keys]:
            del self._asked[key]
        with self._lock:
            self._answers = {key: answer for key, answer in self._answers.items() if key in keys}

    def close(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for each thread; False where one is stuck."""
        threads = list(self._asked.values())
        for thread in threads:
            thread.join(timeout)
        return not any(thread.is_alive() for thread in threads)

    def _list(self, key: ListingKey, mount: Mount) -> None:
        try:
            answer = list_root(mount)
        except OSError:  # files have run out: without an answer the next look asks again
            return
        with self._lock:
            self._answers[key] = answer
        self._on_done()
