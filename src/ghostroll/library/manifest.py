"""What a session says of itself on disk: `SHA256SUMS` and `manifest.json`. Both can be made anew at any time."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ghostroll.library.layout import show_path
from ghostroll.model import Asset, Job, Session, Source, SourceState

MANIFEST = b"manifest.json"
SHA256SUMS = b"SHA256SUMS"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A source and, once it is settled, its asset. `picture` is what is recorded of its renditions."""

    source: Source
    asset: Asset | None
    picture: Mapping[str, Any] | None = None


def build_sha256sums(assets: Iterable[Asset], session: str) -> Iterator[bytes]:
    """The checksums of a session's own originals, as `sha256sum -c` in its folder reads them.

    A line for each, in the order in which the assets come. Names with a backslash, newline or carriage return are
    escaped, and the line then starts with a backslash (GNU coreutils manual, "md5sum invocation").
    """
    prefix = session.encode() + b"/"
    for asset in assets:
        if not asset.path.startswith(prefix):
            continue
        name = asset.path[len(prefix) :]
        escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
        mark = b"\\" if escaped != name else b""
        yield mark + asset.sha256.hex().encode() + b"  " + escaped + b"\n"


def build_manifest(session: Session, jobs: Iterable[tuple[Job, Iterable[Entry]]]) -> Iterator[bytes]:
    """Every source of every job of a session, with where its bytes are; enough to rebuild the ledger.

    One JSON object, a source on each line, so that it can be searched line by line. It comes piece by piece: ten
    thousand sources at once would be the largest thing in the daemon's memory.
    """
    yield _open_list({"version": VERSION, "session": session.name, "created": session.created_at}, "jobs")
    for number, (job, entries) in enumerate(jobs):
        yield b",\n" if number else b"\n"
        yield _open_list(_describe_job(job), "sources")
        for place, entry in enumerate(entries):
            yield b",\n" if place else b"\n"
            yield _encode(_describe(entry))
        yield b"\n]}"
    yield b"\n]}\n"


def _open_list(fields: Mapping[str, Any], key: str) -> bytes:
    """An object in JSON up to the start of a list, its last field; both are closed by `]}`."""
    return _encode(fields)[:-1] + b", " + _encode(key) + b": ["


def _encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogateescape")


def _describe_job(job: Job) -> dict[str, Any]:
    return {
        "job": job.id,
        "safety": job.safety,
        "created": job.created_at,
        "secured": job.secured_at,
        "folder": job.folder,
        "volume": {
            "uuid": job.volume.uuid,
            "label": job.volume.label,
            "size": job.volume.size,
            "filesystem": job.volume.filesystem,
        },
    }


def _describe(entry: Entry) -> dict[str, Any]:
    source, asset = entry.source, entry.asset
    described: dict[str, Any] = {
        **describe_path("path", source.path),
        "state": source.state,
        "kind": source.kind,
        "size": source.size,
        "mtime_ns": source.mtime_ns,
    }
    if source.protected:
        described["protected"] = True
    if source.error is not None:
        described["error"] = source.error
    if asset is not None:
        described |= {
            "sha256": asset.sha256.hex(),
            "head_sha256": asset.head.hex(),
            "verified": asset.verified_at,
            **describe_path("stored", asset.path),
        }
        if entry.picture is not None:
            described["picture"] = dict(entry.picture)
    elif source.state is SourceState.PENDING:
        described["error"] = "not copied"
    return described


def describe_path(key: str, path: bytes) -> dict[str, str]:
    """A path for JSON: readable under `key`; where that loses bytes, all of them under `key_b64`."""
    shown = show_path(path)
    described = {key: shown}
    if shown.encode() != path:
        described[key + "_b64"] = base64.b64encode(path).decode()
    return described


def read_path(described: Mapping[str, Any], key: str) -> bytes:
    """The bytes that `describe_path` described. Raises KeyError or ValueError for anything else."""
    if key + "_b64" in described:
        return base64.b64decode(described[key + "_b64"], validate=True)
    return str(described[key]).encode()
