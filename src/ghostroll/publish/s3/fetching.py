"""An original out of the bucket again, range by range, so that a line that fails costs one range."""

from collections.abc import Callable

from ghostroll.errors import PermanentError, TargetUnreachable
from ghostroll.publish.s3.line import Check, Declined, Line, ensure_store_answered

RANGE_BYTES = 8 * 1024 * 1024  # what is held in memory
_TRIES = 3  # of one range
_NOT_THERE = frozenset({403, 404})  # 403 is the answer for what is absent where the bucket may not be listed
_BEYOND = 416  # the object ends before


class NotThere(PermanentError):
    """Nothing to be read lies under this name."""


def fetch_object(
    line: Line, key: str, size: int, sink: Callable[[memoryview], None], *, check: Check
) -> None:
    """Hand the first `size` bytes of an object to `sink`, in order; fewer where there are no more.

    Raises NotThere, what `sink` raises, and what `Line.call` raises.
    """
    at = 0
    while at < size:
        end = min(size, at + RANGE_BYTES)
        content = _fetch_range(line, key, at, end, check)
        if not content:
            return
        sink(memoryview(content))
        at += len(content)


def _fetch_range(line: Line, key: str, start: int, end: int, check: Check) -> bytes:
    for left in range(_TRIES - 1, -1, -1):
        try:
            answer = line.call(
                "get_object",
                key,
                check=check,
                declines=_NOT_THERE | {_BEYOND},
                Range=f"bytes={start}-{end - 1}",
            )
        except Declined as declined:
            if declined.status == _BEYOND:
                return b""
            raise NotThere(
                "it is not in the bucket, or these credentials may not read it (s3:GetObject)"
            ) from None
        except TargetUnreachable:
            if not left:
                raise
        else:
            ensure_store_answered(answer, line.place)
            content: bytes = answer["Body"]
            return content[: end - start]
    raise AssertionError("the last try ends in an answer or an error")
