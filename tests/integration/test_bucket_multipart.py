"""Large originals in parts: they go on where they stopped, and are whole or not there."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from buckets import PART, File, Kept, make_original, open_bucket, put
from mischief import open_mischief
from refusing import INTERNAL_ERROR, NO_SUCH_UPLOAD, NOT_IMPLEMENTED, Asked
from stores import Store
from wires import open_wire

from ghostroll.errors import Stopped, TargetUnreachable, TransientError
from ghostroll.publish.s3.body import Damaged
from ghostroll.publish.s3.bucket import Bucket

SIZE = 3 * PART + 1000  # four parts


def _put_and_stop(bucket: Bucket, file: File, kept: Kept, after: int) -> int:
    """Put until so many bytes were sent, then stop; what was sent."""
    sent: list[int] = []

    def check() -> None:
        if sum(sent) >= after:
            raise Stopped("stop")

    with pytest.raises(Stopped, match="stop"):
        put(bucket, file, kept, check, sent)
    return sum(sent)


@pytest.mark.parametrize("name", ["moto", "rclone"])
def test_large_original_arrives_whole(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts, with the headers of an original, and nothing of the upload remembered afterwards."""
    store: Store = request.getfixturevalue(name)
    kept = Kept()
    with make_original(SIZE) as file, open_bucket(store, monkeypatch) as bucket:
        sent: list[int] = []
        found = put(bucket, file, kept, sent=sent)
        assert found.confirmed == (name == "moto")
        assert sum(sent) == SIZE
        assert kept.id is None
        assert len(kept.said) == 2
        assert store.read(file.key) == os.pread(file.descriptor, SIZE, 0)
        head = store.client().head_object(Bucket=store.bucket, Key=file.key)
        assert head["ContentDisposition"] == 'attachment; filename="IMG_1.CR3"'
        sent.clear()
        assert put(bucket, file, kept, sent=sent).confirmed == found.confirmed
        assert sent == []


@pytest.mark.parametrize("name", ["moto", "rclone"])
def test_stopped_upload_goes_on_at_its_last_part(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop in the middle of a part comes out at once; the next run, with a new client, sends what is missing."""
    store: Store = request.getfixturevalue(name)
    kept = Kept()
    with make_original(SIZE) as file:
        with open_bucket(store, monkeypatch) as bucket:
            sent = _put_and_stop(bucket, file, kept, 2 * PART + 1000)
            assert 2 * PART < sent < 2 * PART + 200_000
            assert kept.id is not None
        with open_bucket(store, monkeypatch) as bucket:
            again: list[int] = []
            found = put(bucket, file, kept, sent=again)
        assert found.confirmed == (name == "moto")
        assert sum(again) == SIZE - 2 * PART
        assert store.read(file.key) == os.pread(file.descriptor, SIZE, 0)
        assert kept.id is None


def test_killed_upload_goes_on_in_another_process(
    moto: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """SIGKILL after the second part: what the store has of it is not sent again."""
    place = tmp_path / "upload"
    with make_original(SIZE) as file, open_bucket(moto, monkeypatch) as bucket:
        process = multiprocessing.get_context("fork").Process(target=_put_and_die, args=(moto, file, place))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        kept = Kept(place.read_text())
        sent: list[int] = []
        assert put(bucket, file, kept, sent=sent).confirmed
        assert sum(sent) == SIZE - 2 * PART
        assert moto.read(file.key) == os.pread(file.descriptor, SIZE, 0)


def _put_and_die(store: Store, file: File, place: Path) -> None:
    class Written(Kept):
        def remember(self, id: str | None) -> None:  # noqa: A002  # as the protocol has it
            super().remember(id)
            place.write_text(id or "")

    sent: list[int] = []

    def check() -> None:
        if sum(sent) > 2 * PART:
            os.kill(os.getpid(), signal.SIGKILL)

    with open_bucket(store, pytest.MonkeyPatch()) as bucket:
        put(bucket, file, Written(), check, sent)


def test_part_that_the_store_has_wrong_is_sent_again(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of an earlier run count only if the store's word about them fits what is on disk now."""
    kept = Kept()
    with make_original(SIZE) as file, open_bucket(moto, monkeypatch) as bucket:
        _put_and_stop(bucket, file, kept, 2 * PART + 1000)
        moto.client().upload_part(
            Bucket=moto.bucket, Key=file.key, UploadId=kept.id, PartNumber=1, Body=bytes(PART)
        )
        sent: list[int] = []
        assert put(bucket, file, kept, sent=sent).confirmed
        assert sum(sent) == SIZE - PART


def test_file_that_changed_between_two_runs_is_not_completed(
    moto: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole is hashed with the parts of the first run in it: damaged, nothing of it stays."""
    kept = Kept()
    with make_original(SIZE) as file, open_bucket(moto, monkeypatch) as bucket:
        _put_and_stop(bucket, file, kept, 2 * PART + 1000)
        os.pwrite(file.descriptor, b"\0" * 8, 100)
        with pytest.raises(Damaged):
            put(bucket, file, kept)
        assert kept.id is None
    assert moto.list_keys() == []
    assert "Uploads" not in moto.client().list_multipart_uploads(Bucket=moto.bucket)


def test_upload_that_the_store_forgot_starts_again(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lifecycle rule may remove what lay about too long: before the run and in the middle of it."""
    with (
        open_mischief(moto.address) as proxy,
        make_original(SIZE) as file,
        open_bucket(moto.at(proxy.endpoint), monkeypatch) as bucket,
    ):
        proxy.refuse(NO_SUCH_UPLOAD, operation="ListParts", times=1)
        kept = Kept("gone")
        proxy.refuse(NO_SUCH_UPLOAD, operation="UploadPart", having=_is_part("3"), times=1)
        with pytest.raises(TransientError, match="starts again"):
            put(bucket, file, kept)
        assert kept.id is None
        proxy.refuse(NO_SUCH_UPLOAD, operation="CompleteMultipartUpload", times=1)
        with pytest.raises(TransientError, match="starts again"):
            put(bucket, file, kept)
        assert kept.id is None
        assert put(bucket, file, kept).confirmed


def _is_part(number: str) -> Callable[[Asked], bool]:
    return lambda asked: asked.query.get("partNumber") == number


def test_lost_answer_of_the_completion_is_found_out(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store made the object and its answer never came: the next try looks, and confirms it."""
    kept = Kept()
    with (
        open_mischief(moto.address) as proxy,
        make_original(SIZE) as file,
        open_bucket(moto.at(proxy.endpoint), monkeypatch) as bucket,
    ):
        proxy.refuse(INTERNAL_ERROR, operation="CompleteMultipartUpload", times=1, late=True)
        assert put(bucket, file, kept).confirmed
        assert kept.id is None
    assert moto.list_keys() == [file.key]


def test_station_that_comes_second_leaves_no_parts(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two stations send one video at once: one object, both confirmed, nothing left over."""
    kept = Kept()
    with (
        open_mischief(moto.address) as proxy,
        make_original(SIZE) as file,
        open_bucket(moto.at(proxy.endpoint), monkeypatch) as bucket,
        open_bucket(moto, monkeypatch) as first,
    ):
        held = proxy.hold(operation="CompleteMultipartUpload", times=1)
        found: list[bool] = []
        thread = threading.Thread(target=lambda: found.append(put(bucket, file, kept).confirmed))
        thread.start()
        held.wait()
        assert put(first, file).confirmed
        held.release()
        thread.join(60)
        assert found == [True]
        assert [each.status for each in proxy.tell("CompleteMultipartUpload")] == [412]
    assert "Uploads" not in moto.client().list_multipart_uploads(Bucket=moto.bucket)


def test_store_without_conditions_completes_all_the_same(
    moto: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """501 for the condition of a completion: it is looked at once more, then completed without."""
    with (
        open_mischief(moto.address) as proxy,
        make_original(SIZE) as file,
        open_bucket(moto.at(proxy.endpoint), monkeypatch) as bucket,
    ):
        proxy.refuse(
            NOT_IMPLEMENTED,
            operation="CompleteMultipartUpload",
            having=lambda asked: "if-none-match" in asked.headers,
        )
        assert put(bucket, file).confirmed
        assert [each.status for each in proxy.tell("CompleteMultipartUpload")] == [501, 200]


def test_reset_in_the_middle_costs_one_part(moto: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is reset once is no error; the part is sent again, the others aren't."""
    with (
        open_wire(moto.address) as wire,
        make_original(SIZE) as file,
        open_bucket(moto.at(wire.endpoint), monkeypatch) as bucket,
    ):
        wire.reset_after(PART // 2, times=1)
        assert put(bucket, file).confirmed
        assert wire.traffic.faults == 1
        assert wire.traffic.up < SIZE + PART


def test_line_that_stays_bad_leaves_the_upload_for_later(
    moto: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When attempts are used up the upload waits as it is, and goes on when the line is back."""
    kept = Kept()
    with (
        open_wire(moto.address) as wire,
        make_original(SIZE) as file,
        open_bucket(moto.at(wire.endpoint), monkeypatch) as bucket,
    ):
        sent: list[int] = []

        def check() -> None:
            if sum(sent) > PART:
                wire.refuse()
                wire.cut()

        with pytest.raises(TargetUnreachable, match="refuses connections"):
            put(bucket, file, kept, check, sent)
        assert kept.id is not None
        wire.mend()
        sent.clear()
        assert put(bucket, file, kept, sent=sent).confirmed
        assert sum(sent) == SIZE - PART
