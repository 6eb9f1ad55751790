"""A daemon that serves a person's library, and the people who ask it for something."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from commanding import POWERLESS, Person
from running import command, wait_until

from ghostroll.state.owner import find_owner


class Served:
    """`ghostroll daemon` for one library. It finds no cards by itself: they come by request."""

    def __init__(
        self,
        person: Person,
        line: Sequence[str | bytes | Path] = (*POWERLESS, *command("daemon")),
        more: Mapping[str, str] | None = None,
    ) -> None:
        self._place = person.home / "daemon"
        self._place.mkdir(exist_ok=True)
        self.runtime = self._place / "run"
        env = person.env | {
            "RUNTIME_DIRECTORY": str(self.runtime),
            "GHOSTROLL_CARDS__MOUNT_ROOTS": f'["{person.home}/media"]',
            **(more or {}),
        }
        with (self._place / "log").open("ab") as log:
            self.process = subprocess.Popen(line, env=env, stdout=subprocess.DEVNULL, stderr=log)
        self._state = str(person.state)

    @property
    def log(self) -> str:
        """Everything that it logged."""
        return (self._place / "log").read_text()

    def wait_ready(self) -> None:
        """Until it listens."""

        def listens() -> bool:
            assert self.process.poll() is None, self.log
            owner = find_owner(self._state)
            return owner is not None and owner.pid == self.process.pid and (self.runtime / "socket").exists()

        wait_until(listens)

    def count_threads(self) -> int:
        """How many threads it has."""
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def stop(self) -> None:
        """End it in order."""
        self.process.terminate()
        assert self.process.wait(30) == 0, self.log


@contextlib.contextmanager
def served(person: Person, **more: str) -> Iterator[Served]:
    """A daemon at work; nothing of it is left, whatever the test came to, and it met no bug."""
    daemon = Served(person, more=more)
    try:
        daemon.wait_ready()
        yield daemon
        if daemon.process.poll() is None:
            daemon.stop()
        assert "Traceback" not in daemon.log, daemon.log
    finally:
        if daemon.process.poll() is None:
            daemon.process.kill()
        daemon.process.wait()


def become(uid: int, gid: int, groups: Sequence[int] = ()) -> list[str]:
    """What a command of another user is started by: nothing of root is left, not even while it is started."""
    more = [f"--groups={','.join(map(str, groups))}"] if groups else ["--clear-groups"]
    powerless = [] if uid == 0 else ["--bounding-set=-all", "--inh-caps=-all"]
    return ["setpriv", f"--reuid={uid}", f"--regid={gid}", *more, *powerless, "env"]


def find_common_python(stranger: int) -> str | None:
    """A Python that a stranger may run, with the program and all that it needs; None where there is none."""
    own = shutil.which(
        f"python{sys.version_info.major}.{sys.version_info.minor}", path="/usr/bin:/usr/local/bin"
    )
    for python in filter(None, (sys.executable, own)):
        done = subprocess.run(
            [*become(stranger, stranger), python, "-c", "import ghostroll.cli.app"],
            env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]},
            check=False,
            capture_output=True,
        )
        if done.returncode == 0:
            return python
    return None
