"""A booted root folder: systemd-nspawn with a real systemd as PID 1, and its journal. It knows nothing of ghostroll. Needs root."""

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cgroups import ControlGroup
from journals import ask_journal, read_lines
from running import Run, need_tools
from waiting import wait_for

_numbers = itertools.count(1)
# Nobody else is there to end the container if this process is killed. Its number may be another's by then, its namespace is not.
_HOLD = """
echo in
cat
if read -r leader namespace < "$1" && [ "$(readlink "/proc/$leader/ns/pid")" = "$namespace" ]; then
  kill -KILL "$leader"
fi 2>/dev/null
"""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Machine:
    """A booted root folder: the part that knows nothing of cards."""

    def __init__(
        self, folder: Path, layers: Sequence[Path], *, binds: Mapping[Path, str], upper: Path | None
    ) -> None:
        """`layers` lie on top of each other, the first on top. What is written goes to `upper`, or to memory."""
        need_tools(
            **{"systemd-nspawn": "systemd-container", "nsenter": "util-linux", "setpriv": "util-linux"}
        )
        self._folder = folder
        self._binds = dict(binds)
        self._leader: int | None = None
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._console = folder / "console.log"
        self._name = f"ghostroll-{os.getpid()}-{next(_numbers)}"
        # Where systemd runs it gives a container a place of its own.
        self._group = None if Path("/run/systemd/system").is_dir() else ControlGroup(self._name)
        self._alive = folder / "alive"  # which process is PID 1 in here, while one is
        # The mounts live in a namespace of a process that ends with this one.
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", _HOLD, "sh", self._alive],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"in\n"
        self.root = folder / "root"
        self.root.mkdir()
        if upper is None:
            upper = folder / "memory"
            upper.mkdir()
            self.prepare("mount", "-t", "tmpfs", "-o", "size=2g,mode=755", "tmpfs", upper)
        for name in ("upper", "work"):
            self.prepare("mkdir", "-p", upper / name)
        lower = ":".join(map(str, layers))
        options = f"lowerdir={lower},upperdir={upper}/upper,workdir={upper}/work"
        self.prepare("mount", "-t", "overlay", "-o", options, "overlay", self.root)

    def prepare(self, *command: str | Path, text: str | None = None) -> str:
        """Run a tool beside the container, where its mounts are; before it is booted `self.root` is its root."""
        entering = ["nsenter", "--target", str(self._holder.pid), "--mount"]
        done = subprocess.run(
            [*entering, *command], input=text, check=False, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def outside(self, path: str) -> Path:
        """A path of the root folder for reading and writing from outside, booted or not. No link on the way may be absolute."""
        return Path(f"/proc/{self._holder.pid}/root{self.root}{path}")

    def boot(self, timeout: float = 60) -> None:
        """Start systemd in here; it has finished starting up, whatever failed, on return."""
        assert self._nspawn is None, "it runs"
        told = self._folder / "told"
        told.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ears, self._console.open("ab") as console:
            ears.bind(str(told))
            self._nspawn = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,  # a Ctrl-C is for the tests alone
                env={
                    "PATH": _PATH,
                    "NOTIFY_SOCKET": str(told),
                    "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "1",  # udevd wants to write to /sys
                    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
                },
            )
            self._await_ready(ears, timeout)

    def _command(self) -> list[str]:
        binds = [f"--bind={outside}:{inside}" for outside, inside in self._binds.items()]
        place = [] if self._group is None else ["--keep-unit"]
        entering = ["sh", "-c", 'for one in $1; do echo $$ > "$one"; done; shift; exec "$@"', "sh"]
        entering.append("" if self._group is None else " ".join(self._group.members))
        return [
            *entering,
            *("nsenter", "--target", str(self._holder.pid), "--mount"),
            *("setpriv", "--pdeathsig", "KILL"),
            *("systemd-nspawn", "--quiet", "--boot", f"--directory={self.root}"),
            *(f"--machine={self._name}", "--hostname=ghostroll-test", "--register=no", *place),
            *(
                "--private-network",
                "--link-journal=no",
                "--console=pipe",
                "--resolv-conf=off",
                "--timezone=off",
            ),
            *("--notify-ready=yes", "--kill-signal=SIGRTMIN+4"),
            *("--capability=CAP_BPF", "--system-call-filter=bpf"),
            *binds,
        ]

    def _await_ready(self, ears: socket.socket, timeout: float) -> None:
        ears.settimeout(0.2)

        def is_ready() -> bool:
            assert self._nspawn is not None
            assert self._nspawn.poll() is None, f"the container ended: {self._console.read_text()[-2000:]}"
            try:
                message = ears.recv(65536).decode()
            except TimeoutError:
                return False
            for line in message.splitlines():
                if line.startswith("X_NSPAWN_LEADER_PID="):
                    self._leader = int(line.partition("=")[2])
                    space = os.readlink(f"/proc/{self._leader}/ns/pid")
                    self._alive.write_text(f"{self._leader} {space}\n")
            return "READY=1" in message.splitlines()

        wait_for(is_ready, "the container did not finish starting up", timeout)

    @property
    def is_running(self) -> bool:
        """Whether it was booted, and neither shut down nor killed."""
        return self._leader is not None

    def enter(self, *command: str | Path, user: str | None = None) -> list[str]:
        """A command line that runs in here, with a clean environment, as root or as a user with all groups.

        What it starts is a child of nsenter, and is killed when that is.
        """
        assert self._leader is not None, "it is not running"
        inside = ["nsenter", f"--target={self._leader}", "--all", "--root", "--wd", "--"]
        clean = ["env", "-i", f"PATH={_PATH}", "LANG=C.UTF-8", "HOME=/root", "TERM=dumb"]
        by = [f"--reuid={user}", f"--regid={user}", "--init-groups", "--reset-env"] if user else []
        return [*inside, *clean, "setpriv", "--pdeathsig=KILL", *by, *map(str, command)]

    def execute(
        self, *command: str | Path, user: str | None = None, text: str | None = None, timeout: float = 60
    ) -> Run:
        """Run a command in here to its end, however it ends."""
        done = subprocess.run(
            self.enter(*command, user=user),
            input=None if text is None else text.encode(),
            stdin=subprocess.DEVNULL if text is None else None,
            check=False,
            capture_output=True,
            timeout=timeout,
        )
        return Run(
            done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
        )

    def run(
        self, *command: str | Path, user: str | None = None, text: str | None = None, timeout: float = 60
    ) -> str:
        """Run a command in here that must succeed; what it printed, without the last line feed. `text` is its input."""
        done = self.execute(*command, user=user, text=text, timeout=timeout)
        assert done.code == 0, f"{command} ended with {done.code}: {done.out}{done.err}"
        return done.out.removesuffix("\n")

    def start(self, *command: str | Path, user: str | None = None) -> subprocess.Popen[bytes]:
        """Start a command in here and go on; see `running.finish_command`. `kill` ends it, as SIGKILL does."""
        return subprocess.Popen(
            self.enter(*command, user=user),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def write(self, path: str, text: str) -> None:
        """Write a file in here; its folder is made."""
        self.run("sh", "-c", 'mkdir -p "$(dirname "$1")" && cat > "$1"', "sh", path, text=text)

    def read(self, path: str) -> str:
        """The text of a file in here."""
        return self.execute("cat", path).out if self.exists(path) else ""

    def exists(self, path: str) -> bool:
        """Whether something is there, for root."""
        return self.execute("test", "-e", path).code == 0

    def wait_until(
        self, is_so: Callable[[], bool], otherwise: str = "it never came to be", timeout: float = 30
    ) -> None:
        """Look until something is so; AssertionError with the end of the journal after `timeout` seconds."""
        try:
            wait_for(is_so, otherwise, timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tell()}") from None

    def tell(self, lines: int = 60, unit: str = "ghostroll*") -> str:
        """The end of the journal of these units, as a person reads it; with "*" that of all."""
        shown = ["journalctl", "--no-pager", "--output=short-precise", f"--lines={lines}", f"--unit={unit}"]
        return self.execute(*shown).out

    def mark(self) -> str:
        """A cursor of the journal that stands for now."""
        self.execute("journalctl", "--sync")
        last = self.run("journalctl", "--lines=1", "--output=json", "--output-fields=MESSAGE")
        return str(json.loads(last)["__CURSOR"])

    def journal(
        self, unit: str = "ghostroll", *, since: str | None = None, boot: bool = True, **fields: str
    ) -> list[dict[str, Any]]:
        """The entries of a unit (a pattern may stand for several), oldest first, as journald gives them.

        `since`: only after a `mark`. `boot=False`: of earlier boots too. `fields`: only with these values,
        such as PRIORITY="4" or GHOSTROLL_JOB="1".
        """
        self.execute("journalctl", "--sync")
        # With a pattern that no unit fits yet it fails.
        out = self.execute(*ask_journal(unit, since, boot, fields)).out
        return [json.loads(line) for line in out.splitlines()]

    def follow(
        self, unit: str = "ghostroll", *, since: str | None = None, timeout: float = 30, **fields: str
    ) -> Generator[dict[str, Any]]:
        """The entries of a unit in this boot, those that are there and those that come; AssertionError with the journal's end after `timeout` seconds."""
        until = time.monotonic() + timeout
        command = [*ask_journal(unit, since, True, fields), "--follow", "--lines=all"]
        with subprocess.Popen(
            self.enter(*command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        ) as reader:
            try:
                yield from (json.loads(line) for line in read_lines(reader, until))
            finally:
                reader.kill()
        message = f"nothing more from {unit} within {timeout:g} s\n{self.tell()}"
        raise AssertionError(message)

    def wait_for_line(
        self,
        text: str,
        unit: str = "ghostroll",
        *,
        since: str | None = None,
        timeout: float = 30,
        **fields: str,
    ) -> dict[str, Any]:
        """Wait for an entry whose MESSAGE holds `text`; returns the first. AssertionError with the journal's end after `timeout` seconds."""
        with contextlib.closing(self.follow(unit, since=since, timeout=timeout, **fields)) as entries:
            try:
                return next(entry for entry in entries if text in str(entry.get("MESSAGE")))
            except AssertionError as error:
                message = f"never said: {text!r}; {error}"
                raise AssertionError(message) from None

    def power_off(self, timeout: float = 60) -> None:
        """Shut down in order: services get their SIGTERM. `boot` starts it again, with everything that was written."""
        assert self._nspawn is not None
        self.execute("systemctl", "--no-block", "poweroff")
        self._ended(timeout)

    def reboot(self, timeout: float = 60) -> None:
        """Shut down in order and start again."""
        self.power_off(timeout)
        self.boot(timeout)

    def kill(self) -> None:
        """Everything in here is dead at once, by SIGKILL; what was written is still there at the next `boot`."""
        assert self._leader is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._leader, signal.SIGKILL)
        self._ended(30)

    def _ended(self, timeout: float) -> None:
        assert self._nspawn is not None
        try:
            self._nspawn.wait(timeout)
        except subprocess.TimeoutExpired:
            if timeout:
                message = (
                    f"the container did not end within {timeout:g} s: {self._console.read_text()[-2000:]}"
                )
                raise AssertionError(message) from None
        finally:
            self._nspawn.kill()
            self._nspawn.wait()
            self._nspawn, self._leader = None, None
            self._alive.unlink(missing_ok=True)

    def end(self) -> None:
        """Nothing of it is left but its folder."""
        if self._leader is not None:
            self.kill()
        elif self._nspawn is not None:  # it never came up
            self._ended(0)
        self._holder.communicate()
        if self._group is not None:
            self._group.remove()
        with contextlib.suppress(OSError):
            os.rmdir(f"/run/systemd/nspawn/propagate/{self._name}")
