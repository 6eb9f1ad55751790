"""All pictures in one ZIP file that is never on disk."""

import io
import struct
import subprocess
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostroll.errors import Stopped
from ghostroll.publish.s3.archive import Entry, name_entries, tell_archive_size, zip_pictures


def _entry(name: str, content: bytes, taken: str | None = None) -> Entry:
    return Entry(name, len(content), lambda: io.BytesIO(content), taken)


def _pack(*entries: Entry) -> bytes:
    return b"".join(zip_pictures(entries, lambda: None))


def test_archive_holds_what_was_packed_under_its_names() -> None:
    """Names in any script, bytes and times come out again, stored and not deflated."""
    packed = _pack(
        _entry("a.jpg", b"A" * 9000, "2026-11-22T14:30:15"),
        _entry("Fête.jpg", b"", "2026-11-22T14:30:15+02:00"),
    )
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a.jpg", "Fête.jpg"]
        assert archive.read("a.jpg") == b"A" * 9000
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.infolist()[0].date_time == (2026, 11, 22, 14, 30, 14)


def test_archive_says_sizes_in_front_of_each_entry() -> None:
    """A reader from front to back, which can't look at the directory, knows where an entry ends."""
    packed = _pack(_entry("a.jpg", b"A" * 9000))
    flags, crc, stored = struct.unpack("<6xH6xIII", packed[:26])[0:3]
    assert flags & 0x08 == 0
    assert crc == zipfile.crc32(b"A" * 9000)  # type: ignore[attr-defined]
    assert stored == 9000


def test_archive_is_the_size_that_was_told() -> None:
    """The size beside the download is exact."""
    entries = [_entry(f"ü{n}.jpg", bytes(n)) for n in range(50)]
    assert len(_pack(*entries)) == tell_archive_size(entries)
    assert len(_pack()) == tell_archive_size([]) == 22


def test_archive_beyond_four_gigabytes_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the limits of ZIP64 made small, packing and telling still agree and the file is whole."""
    entries = [_entry(f"{n}.jpg", bytes(300)) for n in range(20)]
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    packed = _pack(*entries)
    assert len(packed) == tell_archive_size(entries)
    monkeypatch.undo()
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 10)
    assert len(_pack(*entries)) == tell_archive_size(entries)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None


def test_other_programs_open_the_archive(tmp_path: Path) -> None:
    """Python's zipfile in a process of its own lists and tests it."""
    file = tmp_path / "share.zip"
    file.write_bytes(_pack(_entry("a.jpg", b"A" * 9000), _entry("b.jpg", b"B")))
    done = subprocess.run(["python3", "-m", "zipfile", "-t", file], capture_output=True, check=True)
    assert b"Done testing" in done.stdout


def test_archive_comes_in_pieces_and_stops_when_told() -> None:
    """No more than an entry is held in memory, and `check` ends it between two pieces."""
    entries = [Entry(f"{n}.jpg", 2**20, lambda: io.BytesIO(bytes(2**20))) for n in range(30)]
    tracemalloc.start()
    size = sum(len(piece) for piece in zip_pictures(entries, lambda: None))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == tell_archive_size(entries)
    assert peak < 8 * 2**20

    def stop() -> None:
        raise Stopped("stop")

    with pytest.raises(Stopped):
        list(zip_pictures(entries, stop))


@given(st.lists(st.text(max_size=20), max_size=20))
def test_entry_names_are_safe_and_unique(names: list[str]) -> None:
    """Whatever the names, none leaves the folder it is unpacked in, and none overwrites another anywhere."""
    safe = name_entries(names)
    assert len(safe) == len(names)
    assert len({name.casefold() for name in safe}) == len(names)
    assert not [name for name in safe if set(name) & set("/\\:\0\n") or name in {"", ".", ".."}]


def test_entry_names_that_differ_only_in_case_are_told_apart() -> None:
    """IMG_1.JPG and IMG_1.jpg both survive on any filesystem."""
    assert name_entries(["IMG.JPG", "img.jpg", "a", "a"]) == ["IMG.JPG", "img-2.jpg", "a", "a-2"]


def test_impossible_times_don_t_stop_the_archive() -> None:
    """A camera without a clock gives times that a ZIP file can't hold."""
    for taken in ("0001-01-01T00:00:00", "rubbish", None, "2200-01-01T00:00:00"):
        with zipfile.ZipFile(io.BytesIO(_pack(_entry("a", b"x", taken)))) as archive:
            assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)
