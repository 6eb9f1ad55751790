"""Settings as an object, and rules between values."""

from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from ghostroll.config import S3, Library, Publish, PublishTarget, Render, Settings, State
from ghostroll.config.settings import disagreements

PLAIN = Settings(library=Library(path=Path("/photos")))


def test_the_state_stands_in_the_library_unless_said_otherwise() -> None:
    """Library and state move together by default; a path of its own wins."""
    assert PLAIN.state_path == Path("/photos/.ghostroll/state.db")
    assert replace(PLAIN, state=State(path=Path("/s.db"))).state_path == Path("/s.db")


def test_settings_can_not_be_changed() -> None:
    """Settings are one frozen value for the life of the process."""
    with pytest.raises(FrozenInstanceError):
        PLAIN.library.path = Path("/elsewhere")  # type: ignore[misc]  # what is tested


def test_plain_settings_agree() -> None:
    """The defaults contradict each other in nothing."""
    assert list(disagreements(PLAIN)) == []


def test_a_thumb_is_not_larger_than_the_share_picture() -> None:
    """The thumb is made from the share picture; an equal edge is still possible."""
    assert list(disagreements(replace(PLAIN, render=Render(share_edge=512, thumb_edge=512)))) == []
    ((keys, sentence),) = disagreements(replace(PLAIN, render=Render(share_edge=511, thumb_edge=512)))
    assert keys == ("render.thumb_edge", "render.share_edge")
    assert sentence == "expected at most render.share_edge (511), got 512"


def test_s3_wants_a_bucket() -> None:
    """The S3 target without a bucket is a problem of its own."""
    wants = "s3 needs a bucket; set publish.s3.bucket"
    bare = replace(PLAIN, publish=Publish(target=PublishTarget.S3))
    named = replace(PLAIN, publish=Publish(target=PublishTarget.S3, s3=S3(bucket="photos")))
    assert wants in [sentence for _, sentence in disagreements(bare)]
    assert wants not in [sentence for _, sentence in disagreements(named)]


def test_s3_is_not_there_yet() -> None:
    """The S3 target is refused in words, with what to use instead."""
    named = replace(PLAIN, publish=Publish(target=PublishTarget.S3, s3=S3(bucket="photos")))
    assert [sentence for _, sentence in disagreements(named)] == [
        "s3 is not available in this version; use folder"
    ]
