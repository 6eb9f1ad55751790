"""An ingest whose bucket fails: it copies as if there were none, says what is wrong, and what waits goes up later."""

import contextlib
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from clouds import check_gallery, find_original_key
from commanding import make_person
from mischief import ACCESS_DENIED
from outages import (
    NETWORK,
    NO_NETWORK,
    REFUSALS,
    REFUSED,
    STALLED,
    STALLED_BODY,
    VANISHED,
    Scene,
    Trouble,
    open_for,
    open_scene,
)
from running import Run, command, finish_command, run_command, wait_until
from stores import Store

from ghostroll.state.database import open_reader


def start(scene: Scene, before: tuple[str, ...] = (), *more: str) -> subprocess.Popen[bytes]:
    """Begin to ingest the card."""
    return subprocess.Popen(
        [*before, *command("ingest", scene.person.card, *more)],
        env=scene.person.env | {"GHOSTROLL_LOG__FORMAT": "json"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def read_log(run: Run) -> list[dict[str, Any]]:
    """The journal of an ingest."""
    return [json.loads(line) for line in run.err.splitlines() if line.startswith("{")]


def check_waits(scene: Scene, run: Run, trouble: Trouble) -> None:
    """It ended with a safe card, a whole gallery at home, and one warning that says what is wrong."""
    assert run.code == 6, (run.out, run.err)
    document = run.document
    assert (document["state"], document["secured"], document["failed"]) == ("secured", True, [])
    assert {one["cause"] for one in document["waiting"]} == {trouble.cause}
    assert {one["stage"] for one in document["waiting"]} == {"publish", "upload"}
    session = scene.person.find_session()
    assert json.loads((session / "gallery.json").read_text())["state"] == "complete"
    scene.check_copied()
    (warning,) = (line for line in read_log(run) if line["level"] not in ("info", "debug"))
    assert warning["cause"] == trouble.cause
    told = [warning["event"], *(scene.person.run(*words).out for words in (("status",), ("show", "1")))]
    for text in told:
        assert trouble.says in text
        assert trouble.remedy in text
    scene.check_secrets(run.err, run.out, *told)


def check_goes_up(scene: Scene) -> None:
    """The next command that works on the library brings up what waits."""
    run = scene.person.ingest()
    assert run.document["waiting"] == []
    scene.check_whole()
    assert "nothing under way" in scene.person.run("status").out


@pytest.fixture
def stores(request: pytest.FixtureRequest) -> Any:
    """Stores by their names, each with a bucket of the test's own."""
    return request.getfixturevalue


@pytest.mark.parametrize("trouble", REFUSALS, ids=str)
def test_refused(trouble: Trouble, tmp_path: Path, stores: Any) -> None:
    """What a person must change ends an ingest with 6 as soon as the card is safe and its gallery is made."""
    with open_for(trouble, tmp_path / "home", stores) as scene:
        trouble.begin(scene)
        check_waits(scene, finish_command(start(scene, (), "--json")), trouble)
        trouble.end(scene)
        check_goes_up(scene)


def test_no_network(tmp_path: Path, moto_server: Store) -> None:
    """Without a network an ingest ends with 6 after a short patience, and says how the network fails."""
    troubles = [*NETWORK, NO_NETWORK]
    with contextlib.ExitStack() as stack:
        begun = []
        for trouble in troubles:  # at once: each of them waits a while whether the network comes back
            scene = stack.enter_context(open_scene(tmp_path / trouble.name, moto_server.with_new_bucket()))
            begun.append((scene, trouble, start(scene, trouble.begin(scene), "--json")))
        runs = [finish_command(process, 100) for _, _, process in begun]
        for (scene, trouble, _), run in zip(begun, runs, strict=True):
            check_waits(scene, run, trouble)
            trouble.end(scene)
            scene.person.env["GHOSTROLL_PUBLISH__S3__ENDPOINT_URL"] = scene.wire.endpoint
            check_goes_up(scene)


@pytest.mark.parametrize("trouble", [REFUSED, VANISHED, STALLED], ids=str)
def test_network_comes_back(trouble: Trouble, tmp_path: Path, stores: Any) -> None:
    """An ingest that is still there when the network comes back goes on by itself, and ends as if nothing had been."""
    with open_for(trouble, tmp_path / "home", stores) as scene:
        trouble.begin(scene)
        process = start(scene, (), "--json")
        wait_until(lambda: is_safe(scene))
        if trouble is REFUSED:
            wait_until(lambda: "waiting" in scene.person.run("status").out)
        trouble.end(scene)
        run = finish_command(process)
        assert run.code == 0, run.err
        assert run.document["publication"] == "complete"
        assert run.document["link"] is not None
        assert run.err.count("Link ready") == 2
        scene.check_whole()


def is_safe(scene: Scene) -> bool:
    """Whether the card may be removed and its pictures can be seen at home."""
    state = scene.person.state
    if not state.exists():
        return False
    with contextlib.closing(open_reader(str(state))) as db:
        made = db.execute("SELECT 1 FROM gallery WHERE place = 'folder' AND state = 'complete'").fetchone()
        return (
            made is not None
            and db.execute("SELECT 1 FROM job WHERE safety = 'secured'").fetchone() is not None
        )


@pytest.mark.parametrize("trouble", [STALLED, STALLED_BODY, VANISHED, REFUSED], ids=str)
def test_stop_while_nothing_answers(trouble: Trouble, tmp_path: Path, stores: Any) -> None:
    """Ctrl-C ends an ingest that waits for a silent store in order, without a word of slow disks; the rest goes up later."""
    with open_for(trouble, tmp_path / "home", stores) as scene:
        (scene.person.card / "DCIM" / "100CANON" / "MVI_0007.MOV").write_bytes(bytes(range(256)) * 32_000)
        trouble.begin(scene)
        process = start(scene)
        wait_until(lambda: is_safe(scene) and is_stuck(scene, trouble))
        process.send_signal(signal.SIGINT)
        run = finish_command(process)
        assert run.code == 130, run.err
        assert "SECURED" in run.out
        assert "slow disk" not in run.err
        scene.check_secrets(run.out, run.err)
        trouble.end(scene)
        check_goes_up(scene)


def is_stuck(scene: Scene, trouble: Trouble) -> bool:
    """Whether requests wait for an answer, or, where nothing can be asked, uploads for a network."""
    if trouble is REFUSED:
        return "waiting" in scene.person.run("status").out
    return trouble is VANISHED or scene.wire.traffic.faults >= 2


def test_may_not_look(tmp_path: Path, moto: Store) -> None:
    """A bucket that has the originals and may not be asked about them gets everything else; formatting is not safe."""
    with open_scene(tmp_path / "home", moto) as scene:
        person = scene.person
        for path in person.card.rglob("*"):
            if path.is_file():
                moto.client().put_object(
                    Bucket=moto.bucket, Key=find_original_key(path), Body=path.read_bytes()
                )
        scene.proxy.refuse(ACCESS_DENIED, operation="HeadObject")
        document = person.ingest().document
        assert document["formattable"] is False
        assert document["waiting"] == []
        check_gallery(moto, person.find_session())
        other = make_person(tmp_path / "other")
        run = run_command(person.env | {"GHOSTROLL_LIBRARY__PATH": str(other.library)}, "ingest", person.card)
        assert "may not look at it (s3:GetObject)" in run.err
        assert "safe to format" not in run.err


def test_corrected_bucket(tmp_path: Path, moto: Store) -> None:
    """Once the name of the bucket is corrected, the gallery that never came up goes to the right one by itself."""
    with open_scene(tmp_path / "home", moto) as scene:
        person = scene.person
        run = person.ingest(code=6, GHOSTROLL_PUBLISH__S3__BUCKET="test-none-of-that-name")
        assert "There is no bucket test-none-of-that-name" in run.document["waiting"][0]["error"]
        check_goes_up(scene)
        link = person.run("link", "1", "--json").document["link"]
        assert moto.bucket in link
