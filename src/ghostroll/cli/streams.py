"""Standard output and standard error as they may be: closed, broken, full, in an old encoding."""

import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

from ghostroll.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _PatientFile(io.FileIO):
    """A stream whose reader may leave: what nobody reads any more is dropped, and the work goes on."""

    _lost = False

    def write(self, data: "ReadableBuffer", /) -> int:
        size = memoryview(data).nbytes
        if self._lost:
            return size
        try:
            return super().write(data)
        except BrokenPipeError:
            self._lost = True
            return size
        except OSError as error:
            self._lost = True  # said once
            raise UsageError(
                f"the output can't be written ({error.strerror}): send it somewhere else"
            ) from error


def open_streams() -> None:
    """Make stdout and stderr safe to write to, whatever they are. For a process's start.

    A closed one leads nowhere: without that, the next file to be opened would take its number, and its bytes.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout = _open(1, sys.stdout)
    sys.stderr = _open(2, sys.stderr)


def _open(descriptor: int, before: TextIO | None) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(_PatientFile(descriptor, "wb", closefd=False)),
        encoding="utf-8" if before is None else before.encoding,
        errors="replace",  # a name that the terminal can't show is no reason to stop
        line_buffering=True,
    )
