"""An ingest whose bucket fails: it copies as if there were none, says what is wrong, and what waits goes up later."""

import contextlib
import json
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clouds import check_gallery, find_original_key, open_cloud_person, read_gallery
from commanding import make_person
from mischief import ACCESS_DENIED, BAD_DIGEST
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
from running import Run, check_sentence, command, finish_command, run_command, wait_until
from stores import Store


@contextlib.contextmanager
def ingesting(scene: Scene, before: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """The card is being ingested; nothing of it is left, whatever the test came to."""
    process = subprocess.Popen(
        [*before, *command("ingest", scene.person.card)],
        env=scene.person.env | {"GHOSTROLL_LOG__FORMAT": "json"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def list_warnings(run: Run) -> list[dict[str, Any]]:
    """What the journal of an ingest warns of."""
    lines = [json.loads(line) for line in run.err.splitlines() if line.startswith("{")]
    return [line for line in lines if line["level"] not in ("info", "debug")]


def check_waits(scene: Scene, run: Run, trouble: Trouble) -> None:
    """It ended with a safe card, a whole gallery at home, and one warning that says what is wrong."""
    assert run.code == 6, (run.out, run.err)
    check_sentence(run)
    document = scene.person.run("show", "1", "--json").document
    assert (document["state"], document["failed"]) == ("secured", [])
    assert {one["cause"] for one in document["waiting"]} == {trouble.cause}
    assert {one["stage"] for one in document["waiting"]} == {"publish", "upload"}
    session = scene.person.find_session()
    assert json.loads((session / "gallery.json").read_text())["state"] == "complete"
    scene.check_copied()
    (warning,) = list_warnings(run)
    assert warning["cause"] == trouble.cause
    told = [
        warning["event"],
        run.out,
        *(scene.person.run(*words).out for words in (("status",), ("show", "1"))),
    ]
    for text in told:
        assert trouble.says in text
        assert trouble.remedy in text
    scene.check_secrets(run.err, *told)


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
        with ingesting(scene) as process:
            check_waits(scene, finish_command(process), trouble)
        trouble.end(scene)
        check_goes_up(scene)


@pytest.mark.timeout(300)
def test_no_network(tmp_path: Path, moto_server: Store, rclone_server: Store) -> None:
    """Without a network an ingest ends with 6 after a short patience, and says how the network fails."""
    servers = {"moto": moto_server, "rclone": rclone_server}
    troubles = [*NETWORK, NO_NETWORK]
    with contextlib.ExitStack() as stack:
        begun = []
        for trouble in troubles:  # at once: each of them waits a while whether the network comes back
            scene = stack.enter_context(
                open_scene(tmp_path / trouble.name, servers[trouble.store].with_new_bucket())
            )
            process = stack.enter_context(ingesting(scene, trouble.begin(scene)))
            begun.append((scene, trouble, process))
        runs = [finish_command(process, 100) for _, _, process in begun]
        for (scene, trouble, _), run in zip(begun, runs, strict=True):
            check_waits(scene, run, trouble)
            if trouble in (REFUSED, NO_NETWORK):
                trouble.end(scene)
                check_goes_up(scene)


@pytest.mark.parametrize("trouble", [REFUSED, VANISHED, STALLED], ids=str)
def test_network_comes_back(trouble: Trouble, tmp_path: Path, stores: Any) -> None:
    """An ingest that is still there when the network comes back goes on by itself, and ends as if nothing had been."""
    with open_for(trouble, tmp_path / "home", stores) as scene:
        trouble.begin(scene)
        with ingesting(scene) as process:
            wait_until(lambda: is_safe(scene))
            if trouble is REFUSED:
                wait_until(lambda: "waiting" in scene.person.run("status").out)
            trouble.end(scene)
            run = finish_command(process)
        assert run.code == 0, run.err
        assert scene.person.run("show", "1", "--json").document["publication"] == "complete"
        assert run.err.count("Link ready") == 2
        assert len(list_warnings(run)) == (trouble is REFUSED)
        scene.check_whole()


def is_safe(scene: Scene) -> bool:
    """Whether the card may be removed and its pictures can be seen at home."""
    run = run_command(scene.person.env, "show", "1", "--json")  # there may be no state yet
    if run.code or run.document["state"] != "secured":
        return False
    session = run.document["session_dir"]
    gallery = Path(session) / "gallery.json"  # written a moment after the card was secured
    return gallery.exists() and json.loads(gallery.read_text())["state"] == "complete"


@pytest.mark.parametrize("trouble", [STALLED, STALLED_BODY, VANISHED, REFUSED], ids=str)
def test_stop_while_nothing_answers(trouble: Trouble, tmp_path: Path, stores: Any) -> None:
    """Ctrl-C ends an ingest that waits for a silent store in order, without a word of slow disks; the rest goes up later."""
    with open_for(trouble, tmp_path / "home", stores) as scene:
        (scene.person.card / "DCIM" / "100CANON" / "SND_0007.WAV").write_bytes(bytes(range(256)) * 32_000)
        trouble.begin(scene)
        with ingesting(scene) as process:
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
    return trouble is VANISHED or scene.wire.traffic.faults > 0


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


def test_bandwidth(tmp_path: Path, moto: Store) -> None:
    """With a limit an upload takes about as long as its bytes need at that rate, over all threads together."""
    with open_scene(tmp_path / "home", moto) as scene:
        for number in range(3):
            sound = scene.person.card / "DCIM" / "100CANON" / f"SND_{number:04}.WAV"
            sound.write_bytes(random.Random(number).randbytes(1_500_000))
        limit = 8_000_000 / 8
        uploads = scene.person.ingest(GHOSTROLL_PUBLISH__S3__BANDWIDTH_MBIT="8").document["stages"]["upload"]
        assert uploads["bytes"] >= 4_500_000
        assert scene.wire.traffic.up >= uploads["bytes"]
        assert 0.3 * limit < uploads["bytes"] / uploads["seconds"] < 1.25 * limit


def test_one_object_that_never_arrives(tmp_path: Path, moto: Store) -> None:
    """A picture whose bytes are changed on every way is named at the end: nobody waits for it for ever, the others are seen."""
    with open_cloud_person(tmp_path, moto) as (person, proxy):
        proxy.refuse(BAD_DIGEST, operation="PutObject", key="*/share/IMG_0002*")
        run = person.ingest(code=6)
        (waiting,) = run.document["waiting"]
        assert (waiting["stage"], waiting["cause"], waiting["tasks"]) == ("upload", "target", 1)
        assert "received other bytes" in waiting["error"]
        assert len(read_gallery(moto)["items"]) == 2
