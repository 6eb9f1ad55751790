"""Checksums and manifest: everything about every source, byte for byte."""

import json

from hypothesis import given
from hypothesis import strategies as st

from ghostroll.library.manifest import Entry, build_manifest, build_sha256sums, describe_path, read_path
from ghostroll.model import (
    Asset,
    AssetId,
    Job,
    JobId,
    Kind,
    Publication,
    Safety,
    Session,
    SessionId,
    Sha256,
    Source,
    SourceId,
    SourceState,
    Volume,
)

SESSION = Session(SessionId(1), "2026-11-22_143015-CARD-k3f7", "2026-11-22T14:30:15+01:00")


def asset(number: int, path: bytes) -> Asset:
    """An asset at a path below the library."""
    checksum = Sha256(bytes([number]) * 32)
    return Asset(AssetId(number), checksum, number, checksum, path, SESSION.id, 1_800_000_000)


def source(number: int, path: bytes, state: SourceState, error: str | None = None) -> Source:
    """A source in a state."""
    settled = state in (SourceState.STORED, SourceState.DUPLICATE, SourceState.KNOWN)
    return Source(
        SourceId(number),
        JobId(7),
        path,
        number,
        number * 10**9,
        Kind.JPEG,
        state,
        AssetId(number) if settled else None,
        error,
    )


def job(volume: Volume) -> Job:
    """A secured job of a volume."""
    return Job(
        JobId(7),
        volume,
        b"/mnt",
        SESSION.id,
        "CARD",
        Safety.SECURED,
        Publication.COMPLETE,
        SESSION.created_at,
        SESSION.created_at,
        None,
    )


@given(st.binary(min_size=1, max_size=60))
def test_a_path_comes_back_byte_for_byte(path: bytes) -> None:
    """Whatever bytes a name has, JSON gives them back; what is UTF-8 needs no second spelling."""
    described = json.loads(json.dumps(describe_path("path", path)))
    assert read_path(described, "path") == path
    try:
        path.decode()
    except UnicodeDecodeError:
        assert "path_b64" in described
    else:
        assert described == {"path": path.decode()}


def test_checksums_are_of_the_sessions_own_originals() -> None:
    """Assets of other sessions are left out; the lines come as the assets do, and odd names escaped as coreutils does."""
    name = SESSION.name.encode()
    sums = build_sha256sums(
        [
            asset(3, b"2025-01-01_000000-OLD-aaaa/originals/CARD/c.jpg"),
            asset(1, name + b"/originals/CARD/a.jpg"),
            asset(2, name + b"/originals/CARD/b\n\\.jpg"),
        ],
        SESSION.name,
    )
    assert b"".join(sums) == (
        b"01" * 32 + b"  originals/CARD/a.jpg\n" + b"\\" + b"02" * 32 + b"  originals/CARD/b\\n\\\\.jpg\n"
    )


def test_every_source_is_in_the_manifest() -> None:
    """Stored, duplicate, known, failed, skipped and pending files are all there, each with what is known of it."""
    stored = asset(1, SESSION.name.encode() + b"/originals/CARD/caf\xe9.jpg")
    elsewhere = asset(2, b"2025-01-01_000000-OLD-aaaa/originals/CARD/old.jpg")
    entries = [
        Entry(source(1, b"caf\xe9.jpg", SourceState.STORED), stored),
        Entry(source(2, b"old.jpg", SourceState.DUPLICATE), elsewhere),
        Entry(source(2, b"known.jpg", SourceState.KNOWN), elsewhere),
        Entry(source(3, b"bad.jpg", SourceState.FAILED, "ended early"), None),
        Entry(source(4, b"link", SourceState.SKIPPED, "a symbolic link"), None),
        Entry(source(5, b"open.jpg", SourceState.PENDING), None),
    ]
    volume = Volume("ABCD-1234", "CARD", 64_000_000_000, "exfat")
    (told,) = json.loads(b"".join(build_manifest(SESSION, [(job(volume), entries)])))["jobs"]
    assert told["volume"] == {
        "uuid": "ABCD-1234",
        "label": "CARD",
        "size": 64_000_000_000,
        "filesystem": "exfat",
    }
    sources = {read_path(entry, "path"): entry for entry in told["sources"]}
    assert [entry["state"] for entry in told["sources"]] == [
        "stored",
        "duplicate",
        "known",
        "failed",
        "skipped",
        "pending",
    ]
    assert read_path(sources[b"caf\xe9.jpg"], "stored") == stored.path
    assert read_path(sources[b"old.jpg"], "stored") == elsewhere.path
    assert sources[b"known.jpg"]["sha256"] == "02" * 32
    assert sources[b"bad.jpg"]["error"] == "ended early"
    assert sources[b"link"]["error"] == "a symbolic link"
    assert sources[b"open.jpg"]["error"] == "not copied"
    assert all(entry["size"] and entry["mtime_ns"] == entry["size"] * 10**9 for entry in told["sources"])
