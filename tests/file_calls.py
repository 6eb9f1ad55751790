"""What a process and its children do with files and addresses, as strace sees it."""

import os
import re
import sys
import sysconfig
from pathlib import Path

from running import need_tools
from tracing import join_calls

import ghostroll

_CALLS = "open,openat,openat2,creat,truncate,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat"
_MORE = "mkdir,mkdirat,rmdir,mknod,mknodat,chmod,fchmodat,chown,fchownat,setxattr,execve,connect,bind,mount,recvfrom"
_LINE = re.compile(rb"^(\d+) +(\w+)\((.*)\) += (-?\d+)(?:<(.*?)>)?")
_PATH = re.compile(rb'(?:<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')  # with the folder that it is looked for in
_WRITING = re.compile(rb"\bO_(WRONLY|RDWR|CREAT|TRUNC|APPEND)\b")
_CHANGES = frozenset(
    b"creat truncate unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat".split()
)
_CHANGES |= frozenset(
    b"mkdir mkdirat rmdir mknod mknodat chmod fchmodat chown fchownat setxattr mount".split()
)
# What loading libraries reads.
_SYSTEM = tuple(
    {sys.prefix, sys.base_prefix, os.path.realpath(sys.prefix), *sysconfig.get_paths().values()}
    | {
        "/usr/lib",
        "/usr/local/lib",
        "/lib",
        "/lib64",
        "/etc/ld.so.cache",
        "/usr/share/zoneinfo",
        "/etc/localtime",
    }
    | {
        "/proc/self/",
        "/proc/sys",
        "/proc/meminfo",
        "/proc/cpuinfo",
        "/sys/devices/system",
        "/dev/null",
        "/dev/urandom",
    }
    | {str(Path(ghostroll.__file__).parents[1]), "/etc/mime.types"}
)


def trace_files(trace: Path) -> list[str | Path]:
    """What to start a process by, so that `FileCalls(trace)` knows what it and its children did."""
    need_tools(strace="strace")
    return ["strace", "-f", "--seccomp-bpf", "-y", "-s", "4096", "-e", f"trace={_CALLS},{_MORE}", "-o", trace]


class FileCalls:
    """The calls of a trace that name a file or an address."""

    def __init__(self, trace: Path) -> None:
        self.addresses: set[str] = set()
        self._reads: dict[str, set[int]] = {}
        self._writes: dict[str, set[int]] = {}
        self._workers: set[int] = set()
        self._asked: set[int] = (
            set()
        )  # processes that have begun to listen: what they read to start is behind them
        for line in join_calls(trace.read_bytes().splitlines()):
            if (found := _LINE.match(line)) is not None:
                pid, call, arguments, _, opened = found.groups()
                self._add(int(pid), call, arguments, opened)

    def _add(self, pid: int, call: bytes, arguments: bytes, opened: bytes | None) -> None:
        paths = [
            os.path.join(os.fsdecode(folder), os.fsdecode(path)) for folder, path in _PATH.findall(arguments)
        ]
        if call in (b"connect", b"bind"):
            if pid in self._asked:
                self.addresses.add(os.fsdecode(arguments))
        elif call == b"execve":
            if b"ghostroll.render.worker" in arguments:
                self._workers.add(pid)
        elif call == b"recvfrom":
            self._asked.add(pid)
        elif call in _CHANGES or _WRITING.search(arguments):
            for path in paths[: 2 if call in _CHANGES else 1]:
                if path not in ("/dev/null", "/proc/self/oom_score_adj"):
                    self._writes.setdefault(path, set()).add(pid)
        elif pid in self._asked:
            for path in (*paths[:1], *([os.fsdecode(opened)] if opened else [])):
                self._reads.setdefault(path, set()).add(pid)

    @property
    def workers(self) -> int:
        """How many render workers were started."""
        return len(self._workers)

    def writes(self) -> set[str]:
        """Every path that was to be made, changed or opened for writing."""
        return set(self._writes)

    def writes_of_workers(self) -> set[str]:
        """Those of the render workers among them."""
        return {path for path, pids in self._writes.items() if pids & self._workers}

    def strange_reads_of_workers(self, *places: Path) -> set[str]:
        """What they opened for their tasks, or wanted to, that is neither Python's, nor the system's, nor in these places."""
        assert self._workers & self._asked, "no worker was seen"
        known = (*_SYSTEM, *map(str, places))
        return {
            path for path, pids in self._reads.items() if pids & self._workers and not path.startswith(known)
        }
