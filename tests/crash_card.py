"""A small card for tests that run an ingest many times."""

import random
from datetime import UTC, datetime
from pathlib import Path

from ghostroll.demo.photos import make_photo


def make_crash_card(place: Path) -> Path:
    """Four photos, one of them twice, a sidecar, and a file without a picture; returns the card's folder."""
    root = place / "EOS_DIGITAL"
    folder = root / "DCIM" / "100CANON"
    folder.mkdir(parents=True)
    for number in range(1, 5):
        photo = make_photo(seed=number, size=(320, 240), taken=datetime(2026, 11, 22, 10, number, tzinfo=UTC))
        (folder / f"IMG_{number:04}.JPG").write_bytes(photo)
    second = root / "DCIM" / "101CANON"
    second.mkdir()
    (second / "IMG_0001.JPG").write_bytes((folder / "IMG_0001.JPG").read_bytes())
    (folder / "IMG_0002.XMP").write_text("<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    (root / "notes.bin").write_bytes(random.Random(1).randbytes(3_000_000))
    return root
