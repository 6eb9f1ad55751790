"""A daemon as systemd starts it: told to, listened to, and stopped by signals."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from forking import Forked
from running import command, wait_until

Process = Forked | subprocess.Popen[bytes]


class RunningDaemon:
    """`ghostroll daemon` in a process of its own. What it tells systemd and its journal is kept."""

    def __init__(
        self, folder: Path, env: Mapping[str, str], *, watchdog: float | None = None, forked: bool = False
    ) -> None:
        """Start it. `folder` is where its runtime folder and its log are made; `forked`: see `forking`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.runtime = folder / "runtime"
        self.runtime.mkdir(mode=0o750, exist_ok=True)
        self._log = folder / "log"
        self._told: list[str] = []
        self._systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = folder / "notify"
        address.unlink(missing_ok=True)
        self._systemd.bind(os.fspath(address))
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        more = {
            "NOTIFY_SOCKET": str(address),
            "RUNTIME_DIRECTORY": str(self.runtime),
            "GHOSTROLL_LOG__FORMAT": "json",
        }
        if watchdog is not None:
            more["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
        with self._log.open("ab") as log:
            self._start = log.tell()
            self.process: Process = (
                Forked({**env, **more}, "daemon", err=log.fileno())
                if forked
                else subprocess.Popen(
                    command("daemon"),
                    env={**env, **more},
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    start_new_session=True,  # so that whatever it leaves behind can be found
                )
            )

    @property
    def told(self) -> list[str]:
        """Everything that systemd was told so far, a line each."""
        return list(self._told)

    def _listen(self) -> None:
        """Hear at once, as systemd does: whoever is not heard waits."""
        while message := self._systemd.recv(8192):
            self._told += message.decode().splitlines()

    def lines(self) -> list[dict[str, Any]]:
        """The log, as far as it is written."""
        text = self._log.read_bytes()[self._start :].decode()
        whole = text[: text.rfind("\n") + 1]
        return [json.loads(line) if line.startswith("{") else {"event": line} for line in whole.splitlines()]

    def text(self) -> str:
        """The log's sentences."""
        return "\n".join(str(line.get("event", line)) for line in self.lines())

    def wait_for(self, words: str, *, times: int = 1, timeout: float = 30) -> None:
        """Until the log says these words, so often."""

        def is_said() -> bool:
            # Before its words are read: its last ones are then among them.
            ended = self.process.poll() is not None
            said = self.text().count(words) >= times
            if ended and not said:
                raise AssertionError(f"the daemon ended with {self.process.returncode}:\n{self.text()}")
            return said

        try:
            wait_until(is_said, timeout)
        except AssertionError as error:
            raise AssertionError(f"never said {words!r}; said:\n{self.text()}") from error

    def is_up(self) -> bool:
        """Wait until systemd was told that it is up; False where it ended before."""
        wait_until(lambda: "READY=1" in self.told or self.process.poll() is not None)
        return "READY=1" in self.told

    def wait_ready(self) -> None:
        """Until systemd was told that it is up."""
        assert self.is_up(), self.text()

    def status(self) -> dict[str, Any]:
        """The snapshot that it keeps."""
        document = json.loads((self.runtime / "status.json").read_text())
        assert isinstance(document, dict)
        return document

    def stop(self, number: int = signal.SIGTERM, timeout: float = 20) -> int:
        """Send a signal and wait for the end; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout)

    def end(self) -> None:
        """Nothing of it is left, whatever the test came to."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(OSError):
            self._systemd.shutdown(socket.SHUT_RDWR)
        self._listener.join(5)
        self._systemd.close()
