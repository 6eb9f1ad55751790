"""A daemon whose bucket fails and comes back: cards are safe meanwhile, and it goes on without anybody's help."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from daemons import RunningDaemon
from outages import NETWORK, REFUSALS, VANISHED, Scene, Trouble, open_for
from running import command, wait_until


@contextlib.contextmanager
def running(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, before: tuple[str, ...] = ()
) -> Iterator[RunningDaemon]:
    """A daemon at work, started by `before`; at the end it stops in order and has shown no bug."""
    monkeypatch.setattr("daemons.command", lambda *words: [*before, *command(*words)])
    daemon = RunningDaemon(scene.person.home / "daemon", scene.person.env)
    try:
        daemon.wait_ready()
        yield daemon
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.text()
    finally:
        daemon.end()


def warnings(daemon: RunningDaemon) -> list[dict[str, Any]]:
    """What its journal warns of."""
    return [line for line in daemon.lines() if line["level"] not in ("info", "debug")]


def check_safe(scene: Scene, document: dict[str, Any]) -> None:
    """The card is secured, its pictures can be seen at home, and nothing has failed."""
    assert (document["state"], document["secured"], document["failed"]) == ("secured", True, [])
    assert document["seconds"]["secured"] is not None
    session = scene.person.find_session()
    assert json.loads((session / "gallery.json").read_text())["state"] == "complete"
    scene.check_copied()


def say(scene: Scene, *words: str) -> str:
    """What a command tells."""
    return scene.person.run(*words).out


def check_told(scene: Scene, daemon: RunningDaemon, trouble: Trouble) -> None:
    """The journal, the status and the job say which trouble it is and what becomes of it, and hold no secret."""
    (line,) = warnings(daemon)
    told = [line["event"], say(scene, "status"), say(scene, "show", "1"), json.dumps(daemon.status())]
    for text in told:
        assert trouble.says in text
        assert trouble.remedy in text
    assert line["cause"] == trouble.cause
    scene.check_secrets(*told, daemon.text())


@pytest.fixture
def stores(request: pytest.FixtureRequest) -> Any:
    """Stores by their names, each with a bucket of the test's own."""
    return request.getfixturevalue


@pytest.mark.parametrize("trouble", [*NETWORK, *REFUSALS, VANISHED], ids=str)
def test_goes_on_by_itself(
    trouble: Trouble, tmp_path: Path, stores: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong: the card is safe, everybody is told once what it is, and all is there once it is over."""
    with open_for(trouble, tmp_path / "home", stores) as scene:
        before = trouble.begin(scene)
        with running(scene, monkeypatch, before) as daemon:
            run = scene.person.ingest(code=6)
            check_safe(scene, run.document)
            assert {one["cause"] for one in run.document["waiting"]} == {trouble.cause}
            check_told(scene, daemon, trouble)
            trouble.end(scene)
            daemon.wait_for("the bucket can be used again", timeout=60)
            daemon.wait_for("gallery complete", timeout=60)
            daemon.wait_for("safe to format", timeout=60)
            if not before:
                scene.check_whole()
            wait_until(lambda: not daemon.status()["unfinished"])
            assert daemon.text().count("Link ready: ghostroll link 1") == 2  # the first, and the last word
            assert len(warnings(daemon)) == 1
            scene.check_secrets(daemon.text())
