"""What the end of an ingest says of the bucket: what went up, what waits for what, the link."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from codes import make_link
from rich.console import Console

from ghostroll.cli.ending import print_ending

LINK = make_link(1700)


def tell(capsys: pytest.CaptureFixture[str], **more: Any) -> list[str]:
    """The lines about an ingest of 26 photos that went well, but for what is given."""
    document = {
        "job": 42,
        "state": "secured",
        "publication": "complete",
        "secured": True,
        "files": 30,
        "bytes": 270_000_000,
        "new": 30,
        "known": 0,
        "duplicates": 0,
        "renditions": 52,
        "failed": [],
        "waiting": [],
        "session_dir": "/library/session",
        "known_in": None,
        "link": None,
        "link_expires": None,
        "formattable": None,
        "seconds": {"secured": 4.0, "first_picture": 1.0, "published": 9.0},
        "stages": {},
        **more,
    }
    print_ending(Console(highlight=False, width=60), document, stopped=False)
    return capsys.readouterr().out.splitlines()


def test_without_a_bucket(capsys: pytest.CaptureFixture[str]) -> None:
    """Who shows galleries in folders hears nothing of uploads, formatting and links."""
    lines = tell(capsys)
    assert [line.split()[0] for line in lines] == ["SECURED:", "files", "pictures", "gallery"]


def test_the_link_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """The link stands alone on its line, however long, and below until when it works and for whom."""
    expires = datetime.now(UTC) + timedelta(days=7)
    *_, link, end, _ = tell(capsys, link=LINK, link_expires=expires.isoformat())
    assert link == LINK
    local = expires.astimezone()
    assert end.startswith(f"link     works until {local.day} ")
    assert end.endswith(f"{local:%Y, %H:%M} (7 days); anybody who has it sees the pictures")


def test_a_public_address(capsys: pytest.CaptureFixture[str]) -> None:
    """An address that needs no signature has no end."""
    assert tell(capsys, link="https://example.org/a/index.html")[-3:] == [
        "https://example.org/a/index.html",
        "link     works until the pictures are taken from the bucket; anybody who has it sees the pictures",
        "QR code  link.png beside the gallery, and 'ghostroll link 42'",
    ]


def test_what_went_up(capsys: pytest.CaptureFixture[str]) -> None:
    """Uploads are counted, in files and bytes."""
    sent = {"items": 27, "bytes": 32_100_000, "seconds": 3.0, "per_second": 10_700_000}
    assert "uploaded 27 files, 32.1 MB" in tell(capsys, stages={"upload": sent})


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ("network-down", "the network"),
        ("target", "a bucket that takes them"),
        ("clock-unset", "the clock to be set"),
    ],
)
def test_what_waits(capsys: pytest.CaptureFixture[str], cause: str, words: str) -> None:
    """What could not go up is named with its cause, and with what makes it go on."""
    lines = tell(capsys, waiting=[{"stage": "upload", "cause": cause, "tasks": 3, "error": "no answer"}])
    at = lines.index(f"waiting  3 files to upload, for {words}: no answer")
    assert "'ghostroll retry 42'" in lines[at + 1]


@pytest.mark.parametrize(
    ("formattable", "secured", "first"),
    [(True, True, "FORMAT"), (False, True, "format"), (False, False, None), (None, True, None)],
)
def test_safe_to_format(
    capsys: pytest.CaptureFixture[str], *, formattable: bool | None, secured: bool, first: str | None
) -> None:
    """Formatting is allowed in capitals, and only where every place has confirmed; else it is said that it is not."""
    state = "secured" if secured else "interrupted"
    lines = tell(capsys, formattable=formattable, secured=secured, state=state)
    said = [line for line in lines if line.casefold().startswith("format")]
    assert [line.split()[0] for line in said] == ([] if first is None else [first])
    assert [" safe: " in line for line in said] == ([] if first is None else [first == "FORMAT"])
