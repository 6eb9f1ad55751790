"""Settings as an object, and rules between values."""

from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest

from ghostroll.config import (
    S3,
    Addressing,
    Library,
    Originals,
    Publish,
    PublishOnly,
    PublishTarget,
    Render,
    Settings,
    State,
)
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


def sentences(publish: Publish) -> list[tuple[str, str]]:
    """What is wrong with this way of publishing: the key that is blamed, and the sentence."""
    return [(keys[0], sentence) for keys, sentence in disagreements(replace(PLAIN, publish=publish))]


def test_s3_wants_a_bucket() -> None:
    """The S3 target without a bucket is a problem; with one, nothing else has to be said."""
    assert sentences(Publish(target=PublishTarget.S3)) == [
        ("publish.target", "s3 needs a bucket; set publish.s3.bucket")
    ]
    assert sentences(Publish(target=PublishTarget.S3, s3=S3(bucket="photos"))) == []


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({"auto": False}, "false"),
        ({"only": PublishOnly.PROTECTED}, '"protected"'),
        ({"originals": Originals.RAW}, '"raw"'),
        ({"viewer_originals": True}, "true"),
    ],
)
def test_what_only_a_bucket_can_do(changed: dict[str, Any], shown: str) -> None:
    """With galleries in folders these keys would promise what is not done; with a bucket they stand."""
    (name,) = changed
    needs = f'{shown} needs publish.target = "s3"; in its own folder a session always has everything'
    assert sentences(Publish(**changed)) == [(f"publish.{name}", needs)]
    bucket = Publish(target=PublishTarget.S3, s3=S3(bucket="photos"), originals=Originals.ALL)
    assert sentences(replace(bucket, **changed)) == []


def test_viewers_can_only_have_originals_that_are_there() -> None:
    """Originals for viewers need originals in the bucket."""
    publish = Publish(target=PublishTarget.S3, s3=S3(bucket="photos"), viewer_originals=True)
    sentence = 'true needs originals in the bucket; set publish.originals = "all" or "raw"'
    assert sentences(publish) == [("publish.viewer_originals", sentence)]
    assert sentences(replace(publish, originals=Originals.RAW)) == []


@pytest.mark.parametrize("bucket", ["Photos", "my_photos", "my.photos"])
def test_not_every_bucket_can_stand_in_front_of_a_host(bucket: str) -> None:
    """A bucket whose name is no label of a host's name is refused with virtual addressing, and with no other."""
    for addressing in Addressing:
        s3 = S3(bucket=bucket, addressing=addressing)
        said = [key for key, _ in sentences(Publish(target=PublishTarget.S3, s3=s3))]
        assert said == (["publish.s3.addressing"] if addressing is Addressing.VIRTUAL else [])
    plain = S3(bucket="my-photos", addressing=Addressing.VIRTUAL)
    assert sentences(Publish(target=PublishTarget.S3, s3=plain)) == []
