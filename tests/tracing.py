"""What a command reads from a card, as the kernel sees it."""

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from running import Run, command, need_tools

_READ = re.compile(rb"\b(?:read|readv|pread64|preadv)\(\d+<([^>]*)>.* = (\d+)$")
_OPENED = re.compile(rb"\bopenat\(.* = \d+<([^>]*)>")
_CUT = b" <unfinished ...>"
_RESUMED = re.compile(rb"^(\d+) +<\.\.\. \w+ resumed>(.*)")


def run_traced(
    env: Mapping[str, str], place: Path, *arguments: str | bytes | Path
) -> tuple[Run, Counter[bytes], set[bytes]]:
    """Run a command under strace: how it ended, bytes read by path, and every path that was opened."""
    need_tools(strace="strace")
    trace = place / "trace"
    calls = "trace=openat,read,readv,pread64,preadv"
    done = subprocess.run(
        [*("strace", "-f", "-y", "-s", "0", "-e", calls, "-o", trace), *command(*arguments)],
        env=env,
        capture_output=True,
        check=False,
        timeout=100,
    )
    sizes: Counter[bytes] = Counter()
    opened: set[bytes] = set()
    for line in join_calls(trace.read_bytes().splitlines()):
        if (match := _READ.search(line)) is not None:
            sizes[match[1]] += int(match[2])
        if (match := _OPENED.search(line)) is not None:
            opened.add(match[1])
    run = Run(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))
    return run, sizes, opened


def join_calls(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Calls in the order of their ends, each on one line, however strace cut them."""
    begun: dict[bytes, bytes] = {}
    for line in lines:
        if line.endswith(_CUT):
            begun[line.split(b" ", 1)[0]] = line[: -len(_CUT)]
        elif (match := _RESUMED.match(line)) is not None:
            yield begun.pop(match[1], b"") + match[2]
        else:
            yield line


def below(top: Path, sizes: Counter[bytes]) -> int:
    """Bytes that were read from files below a folder."""
    return sum(size for path, size in sizes.items() if path.startswith(os.fsencode(top) + b"/"))
