"""What boto3 sends: bytes handed out piece by piece, so that a transfer can be paced, counted and cut."""

import hashlib
import os
from collections.abc import Callable
from typing import Protocol

from ghostroll.errors import PermanentError
from ghostroll.model import Sha256

PIECE = 64 * 1024  # at 13 kB/s it still leaves within the 5 s that a socket may take for one


class Damaged(PermanentError):
    """The bytes in the library are not those that the camera wrote; nothing of them stays in the bucket."""


class Cut(BaseException):
    """Carries what `check` raised out of the middle of a transfer.

    No Exception: botocore and urllib3 take every Exception for a fault of the network and try again.
    """

    def __init__(self, reason: BaseException) -> None:
        super().__init__()
        self.reason = reason


class Reader(Protocol):
    """Gives `amount` bytes from `offset`; fewer only at the end."""

    def __call__(self, offset: int, amount: int, /) -> bytes | memoryview:
        """The bytes."""


def read_bytes(content: bytes | bytearray) -> Reader:
    """A reader of bytes in memory, without copying them."""
    view = memoryview(content)
    return lambda offset, amount: view[offset : offset + amount]


def read_descriptor(descriptor: int, start: int = 0) -> Reader:
    """A reader of an open file from `start` on; its position is neither used nor moved."""
    return lambda offset, amount: os.pread(descriptor, amount, start + offset)


class Body:
    """A file as botocore understands it, over `size` bytes of a reader.

    `before(n)` is called before each piece of n bytes and may wait or raise; what it raises, and an OSError
    of the reader, leaves as Cut. `progress(n)` counts each byte once, however often it is sent. With `sha256`
    the last piece is handed out only if the whole has this hash, so that a store never gets a damaged one to
    its end: else Cut carries Damaged.
    """

    def __init__(
        self,
        reader: Reader,
        size: int,
        *,
        before: Callable[[int], None],
        progress: Callable[[int], None],
        sha256: Sha256 | None = None,
        piece: int = PIECE,
    ) -> None:
        self._reader = reader
        self._size = size
        self._before = before
        self._progress = progress
        self._sha256 = sha256
        self._piece = piece
        self._hash = hashlib.sha256()
        self._at = 0
        self._counted = 0

    def __len__(self) -> int:
        return self._size

    def tell(self) -> int:
        """Where the next piece starts."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go back to the start, for another attempt; the only place that is ever asked for."""
        if offset or whence:
            raise ValueError("a body starts again from its beginning")
        self._at = 0
        self._hash = hashlib.sha256()
        return 0

    def read(self, _amount: int = -1) -> bytes | memoryview:
        """The next piece, of a size of our own; empty at the end."""
        amount = min(self._piece, self._size - self._at)
        if not amount:
            return b""
        try:
            return self._take(amount)
        except BaseException as reason:  # noqa: BLE001  # whatever it is has to get through botocore as it is
            raise Cut(reason) from None

    def _take(self, amount: int) -> bytes | memoryview:
        self._before(amount)
        piece = self._reader(self._at, amount)
        if len(piece) != amount:
            raise Damaged("A file in the library is shorter than it was: `ghostroll verify` tells which.")
        self._at += amount
        if self._sha256 is not None:
            self._hash.update(piece)
            if self._at == self._size and self._hash.digest() != self._sha256:
                raise Damaged(
                    "A file in the library has changed since it was copied: `ghostroll verify` tells which."
                )
        if self._at > self._counted:
            self._progress(self._at - self._counted)
            self._counted = self._at
        return piece
