"""A daemon whose bucket fails and comes back: cards are safe meanwhile, and it goes on without anybody's help."""

import contextlib
import json
import os
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from clouds import count_stored, fetch, find_page, read_gallery
from commanding import make_person, write_photo
from daemons import RunningDaemon
from mischief import EXPIRED_TOKEN, INTERNAL_ERROR
from outages import NETWORK, REFUSALS, STALLED_BODY, VANISHED, Scene, Trouble, open_for, open_scene
from running import command, finish_command, start_command, wait_until
from stores import Store
from waiting import wait_for
from wires import Wire

from ghostroll.publish.s3.client import ATTEMPTS


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
    # The snapshot is written once in a second: an answer may be faster.
    wait_until(lambda: trouble.says in json.dumps(daemon.status()))
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


# One for each way in which it hears of the end; the others are an ingest's.
TROUBLES = [
    one
    for one in (*NETWORK, *REFUSALS, VANISHED)
    if one.name not in ("closed", "broken", "wrong-key", "denied", "quota", "storage")
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
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
            daemon.wait_for(scene.tell_format(), timeout=60)
            scene.check_whole()
            wait_until(lambda: not daemon.status()["unfinished"])
            assert daemon.text().count("Link ready: ghostroll link 1") == 2  # the first, and the last word
            assert len([line for line in warnings(daemon) if "waiting" in line["event"]]) == 1
            scene.check_secrets(daemon.text())


def test_waiting_costs_little(tmp_path: Path, moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a bucket fails there is one request now and then, each time later; memory, threads and CPU stay low."""
    with open_scene(tmp_path / "home", moto) as scene, running(scene, monkeypatch) as daemon:
        for number in range(20, 40):
            write_photo(scene.person.card / "DCIM" / "100CANON" / f"IMG_{number:04}.JPG", number)
        scene.proxy.refuse(INTERNAL_ERROR)
        held = scene.proxy.hold()
        with ingesting(scene) as process:
            daemon.wait_for("safe to remove")
            wait_until(lambda: read_home(scene).get("state") == "complete")
            held.release()  # everything is queued by now, and several requests fail at once
            assert finish_command(process).code == 6
        at_once = 16 + 4 + 3  # threads for pictures, for originals and for pages
        first = len(scene.proxy.tell())
        assert first <= at_once * ATTEMPTS
        before, began = measure(daemon), time.monotonic()
        tries = 3
        wait_for(lambda: len(scene.proxy.tell()) >= first + tries * ATTEMPTS, "no try came", 90)
        seconds = time.monotonic() - began
        assert seconds > 2 + 4
        after = measure(daemon)
        assert after.threads <= before.threads
        assert after.memory < before.memory + (16 << 20)
        assert after.cpu - before.cpu < 0.25 * seconds
        assert len(scene.proxy.tell()) <= first + (tries + 1) * ATTEMPTS
        assert len(warnings(daemon)) == 1


@dataclass(frozen=True, slots=True)
class Load:
    """What a process takes: threads, bytes, seconds of CPU."""

    threads: int
    memory: int
    cpu: float


def measure(daemon: RunningDaemon) -> Load:
    """What a daemon takes now (proc(5))."""
    place = Path("/proc") / str(daemon.process.pid)
    told = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    times = (place / "stat").read_text().rpartition(")")[2].split()
    ticks = int(times[11]) + int(times[12])
    return Load(int(told["Threads"]), int(told["VmRSS"].split()[0]) << 10, ticks / os.sysconf("SC_CLK_TCK"))


@pytest.mark.parametrize("trouble", [STALLED_BODY, VANISHED], ids=str)
def test_stop_while_nothing_answers(
    trouble: Trouble, tmp_path: Path, stores: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon told to stop doesn't wait for a store that is silent, ends in order, and goes on at its next start."""
    with open_for(trouble, tmp_path / "home", stores) as scene:
        (scene.person.card / "DCIM" / "100CANON" / "SND_0007.WAV").write_bytes(bytes(range(256)) * 32_000)
        trouble.begin(scene)
        with running(scene, monkeypatch) as daemon, ingesting(scene):
            daemon.wait_for("safe to remove")
            wait_until(lambda: trouble is VANISHED or scene.wire.traffic.faults > 0)
            assert daemon.stop() == 0
        assert "does not answer" not in daemon.text()
        trouble.end(scene)
        with running(scene, monkeypatch) as daemon:
            daemon.wait_for("gallery complete", timeout=60)
            daemon.wait_for("safe to format", timeout=60)
            scene.check_whole()


@contextlib.contextmanager
def ingesting(scene: Scene, card: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Somebody asks for a card to be ingested, and is let go of at the end."""
    process = start_command(scene.person.env, "ingest", card or scene.person.card)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_copying_never_waits(tmp_path: Path, moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card is safe to remove and shown at home while the store has not answered a single request."""
    with open_scene(tmp_path / "home", moto) as scene, running(scene, monkeypatch) as daemon:
        held = scene.proxy.hold()
        with ingesting(scene):
            daemon.wait_for("safe to remove")
            wait_until(lambda: read_home(scene).get("state") == "complete")
            assert scene.proxy.tell() == []
            held.release()
            daemon.wait_for("safe to format", timeout=60)
        scene.check_whole()


def read_home(scene: Scene) -> dict[str, Any]:
    """The gallery in the session's folder, once there is one."""
    if not (scene.person.find_session() / "gallery.json").exists():
        return {}
    found = json.loads((scene.person.find_session() / "gallery.json").read_text())
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_network_that_comes_and_goes(
    seed: int, tmp_path: Path, moto: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However a network fails and comes back, everything arrives, and the journal says no more than what happened."""
    chance = random.Random(seed)
    with open_scene(tmp_path / "home", moto) as scene, running(scene, monkeypatch) as daemon:
        for number in range(20, 50):
            write_photo(scene.person.card / "DCIM" / "100CANON" / f"IMG_{number:04}.JPG", number)
        scene.wire.shape(rtt=0.02, bits_per_second=2e6)
        moment = threading.Event()
        with ingesting(scene):
            daemon.wait_for("asked for")
            troubles = 12
            for _ in range(troubles):
                moment.wait(chance.uniform(0.1, 0.6))
                spoil(scene.wire, chance)
                moment.wait(chance.uniform(0.1, 0.8))
                scene.wire.mend()
            scene.wire.shape(rtt=0, bits_per_second=0)
            daemon.wait_for("gallery complete", timeout=90)
            daemon.wait_for("safe to format", timeout=90)
        scene.check_whole(once=False)
        said = Counter(line["event"] for line in daemon.lines())
        assert said["EOS_DIGITAL: Link ready: ghostroll link 1"] == 1
        assert sum(number for event, number in said.items() if "waiting" in event) <= troubles
        assert sum(number for event, number in said.items() if "can be used again" in event) <= troubles
        assert sum(said.values()) < 4 * troubles


def spoil(wire: Wire, chance: random.Random) -> None:
    """One of the ways in which a network fails."""
    wrong: list[Callable[[], None]] = [
        wire.refuse,
        wire.cut,
        wire.vanish,
        lambda: wire.reset_after(chance.randrange(1, 20_000)),
        lambda: wire.close_after(chance.randrange(1, 400), "down"),
        lambda: wire.stall_after(chance.randrange(1, 20_000)),
    ]
    chance.choice(wrong)()


def test_second_card_while_originals_take_long(
    tmp_path: Path, moto: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slowly the originals of a card go up, the next card's link and pictures are out before they are through."""
    with (
        open_scene(tmp_path / "home", moto, GHOSTROLL_PUBLISH__S3__THREADS="4") as scene,
        running(scene, monkeypatch) as daemon,
    ):
        folder = scene.person.card / "DCIM" / "100CANON"
        for number in range(4):
            sound = random.Random(number).randbytes(1_500_000)
            (folder / f"SND_{number:04}.WAV").write_bytes(sound)
        other = make_person(tmp_path / "other").card
        for number, path in enumerate(sorted(other.rglob("*.JPG")), start=40):
            write_photo(path, number)
        held = scene.proxy.hold(key="originals/*")
        with ingesting(scene):
            daemon.wait_for("safe to remove")
            for _ in range(4):  # as many as there are threads
                held.wait()
            with ingesting(scene, other):
                daemon.wait_for("safe to remove", times=2)
                daemon.wait_for("Link ready: ghostroll link 2")
                wait_for(lambda: count_pictures(moto) == 3 + 4, "no pictures")
                wait_for(
                    lambda: " to be uploaded" in daemon.status()["status"], "its line hides the originals"
                )
                assert not [key for key in moto.list_keys() if "originals" in key]
                held.release()
                daemon.wait_for("gallery complete", times=2, timeout=60)


def count_pictures(store: Store) -> int:
    """How many pictures people can see."""
    return sum("/share/" in key for key in store.list_keys())


def test_whole_run_told(tmp_path: Path, moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal tells a run with its job, card, counts and rates, the status what is uploaded; neither has the link."""
    with open_scene(tmp_path / "home", moto) as scene, running(scene, monkeypatch) as daemon:
        link = scene.person.ingest().document["link"]
        daemon.wait_for("safe to format")
        lines = [line for line in daemon.lines() if line.get("job") == 1]
        assert {line["card"] for line in lines} == {"EOS_DIGITAL"}
        told = [line["event"].removeprefix("EOS_DIGITAL: ").split(",")[0].split(" in ")[0] for line in lines]
        assert told[0].startswith("5 files")
        for words in ("copied and verified 5 files", "safe to remove", "Link ready: ghostroll link 1"):
            assert told.count(words) == 1
        (sent,) = (line for line in lines if line.get("stage") == "upload")
        assert (sent["objects"], sent["level"]) == (8, "info")  # four originals, three pictures, the archive
        assert sent["bytes"] > 0
        (last,) = (line for line in lines if "gallery complete with 3 pictures" in line["event"])
        assert last["stage"] == "publish"
        assert warnings(daemon) == []
        wait_until(lambda: (daemon.status()["last"] or {}).get("confirmed_at") is not None)
        status = daemon.status()
        assert status["last"]["uploads"] == {"wanted": 8, "there": 8, "confirmed": 4}
        for text in (daemon.text(), json.dumps(daemon.lines()), json.dumps(status)):
            assert link not in text
        scene.check_secrets(json.dumps(daemon.lines()), json.dumps(status))


def test_requests(tmp_path: Path, moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """`link` and `publish` of a daemon say in one sentence why there is none now, and give the link once there is."""
    with open_scene(tmp_path / "home", moto) as scene, running(scene, monkeypatch) as daemon:
        scene.proxy.refuse(EXPIRED_TOKEN)
        scene.person.ingest(code=6)
        for word in ("link", "publish"):
            run = scene.person.run(word, "1", code=6)
            assert "have expired" in run.err
            scene.check_secrets(run.err, run.out)
        scene.proxy.relent()
        published = scene.person.run("publish", "1", "--json").document
        assert fetch(published["link"]).status == 200
        daemon.wait_for("gallery complete")
        made = scene.person.run("link", "1", "--json").document
        assert fetch(made["link"]).status == 200
        assert (scene.person.find_session() / "link.txt").read_text().splitlines()[0] == made["link"]
        assert count_stored(scene.proxy, "*/index.html") == 2
        scene.check_secrets(daemon.text())


_SHORT_CREDENTIALS = """#!/bin/sh
end=$(date -u -d "+{seconds} seconds" +%Y-%m-%dT%H:%M:%SZ)
printf '{{"Version": 1, "AccessKeyId": "{key}", "SecretAccessKey": "{secret}",
 "SessionToken": "token", "Expiration": "%s"}}' "$end"
"""


def test_addresses_are_renewed(tmp_path: Path, moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses of pictures are signed anew before they die, for as long as the link to the page lives."""
    with open_scene(tmp_path / "home", moto) as scene:
        script = tmp_path / "credentials"
        environ = moto.environ
        script.write_text(
            _SHORT_CREDENTIALS.format(
                seconds=30, key=environ["AWS_ACCESS_KEY_ID"], secret=environ["AWS_SECRET_ACCESS_KEY"]
            )
        )
        script.chmod(0o755)
        config = tmp_path / "config"
        config.write_text(f"[default]\ncredential_process = {script}\n")
        scene.keys.write_text("")
        scene.person.env["AWS_CONFIG_FILE"] = str(config)
        with running(scene, monkeypatch) as daemon:
            scene.person.ingest()
            page, first = find_page(moto), read_gallery(moto)
            link = (scene.person.find_session() / "link.txt").read_text()
            wait_for(lambda: read_gallery(moto) != first, "the addresses were not renewed", 60)
            second = read_gallery(moto)
            for before, after in zip(first["items"], second["items"], strict=True):
                for part in ("share", "thumb"):
                    made, dies = read_life(before[part])
                    again, later = read_life(after[part])
                    assert made < again < dies < later
                    assert fetch(after[part]).status == 200
            assert count_stored(scene.proxy, f"{page}/index.html") == 1
            assert (scene.person.find_session() / "link.txt").read_text() == link
            assert warnings(daemon) == []


def read_life(address: str) -> tuple[datetime, datetime]:
    """From when until when a presigned address works."""
    query = parse_qs(urlsplit(address).query)
    made = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return made, made + timedelta(seconds=int(query["X-Amz-Expires"][0]))


def test_a_restart_keeps_addresses(tmp_path: Path, moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart a gallery that is written again has the same addresses, so that browsers keep its pictures."""
    with open_scene(tmp_path / "home", moto) as scene:
        with running(scene, monkeypatch):
            scene.person.ingest()
        first = read_gallery(moto)
        link = scene.person.run("show", "1", "--json").document
        with running(scene, monkeypatch):
            scene.person.run("publish", "1")
        assert count_stored(scene.proxy, "*/gallery.json") > 1
        assert read_gallery(moto) == first
        assert scene.person.run("show", "1", "--json").document == link
