"""Manifests as they are read back: checked whole before anything in them is believed.

Whoever can write to the library's disk can write a manifest, so it is hostile input: types, ranges and
places are checked here, and what passes can be put into the ledger as it is.
"""

import base64
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ghostroll.library.layout import ORIGINALS
from ghostroll.library.manifest import VERSION
from ghostroll.model import Found, Kind, PhotoInfo, Safety, Sha256, SourceState, Volume

_SETTLED = frozenset({SourceState.STORED, SourceState.DUPLICATE, SourceState.KNOWN})
_MOST = 2**63 - 1  # what SQLite's integers hold

_Count = Annotated[int, Field(ge=0, le=_MOST)]
_Moment = Annotated[int, Field(ge=-_MOST, le=_MOST)]
_Hex = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Name = Annotated[str, Field(pattern="^[A-Za-z0-9_][A-Za-z0-9._-]{0,254}$")]


class _Checked(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, hide_input_in_errors=True)


class _Picture(_Checked):
    share: _Name
    width: _Count
    height: _Count
    share_bytes: _Count
    thumb_bytes: _Count
    taken: str | None
    camera: str | None
    lens: str | None
    exposure: str | None
    duration: Annotated[float, Field(allow_inf_nan=False)] | None


class _NoPicture(_Checked):
    error: str


class _Source(_Checked):
    path: str
    path_b64: str | None = None
    state: SourceState
    kind: Kind
    size: _Count
    mtime_ns: _Moment
    protected: bool = False
    error: str | None = None
    sha256: _Hex | None = None
    head_sha256: _Hex | None = None
    verified: _Count | None = None
    stored: str | None = None
    stored_b64: str | None = None
    picture: _Picture | _NoPicture | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        content = (self.sha256, self.head_sha256, self.verified, self.stored)
        if (self.state in _SETTLED) != all(part is not None for part in content):
            raise ValueError("a settled file has a content, another has none")
        if self.state in (SourceState.FAILED, SourceState.SKIPPED) and self.error is None:
            raise ValueError("a file that failed says why")
        return self


class _Volume(_Checked):
    uuid: str | None
    label: str
    size: _Count
    filesystem: str


class _Job(_Checked):
    job: _Count
    safety: Safety
    created: str
    secured: str | None
    folder: _Name
    volume: _Volume
    sources: tuple[_Source, ...]


class _Document(_Checked):
    version: int
    session: _Name
    created: str
    jobs: tuple[_Job, ...]


@dataclass(frozen=True, slots=True)
class ListedContent:
    """What a settled source's manifest says of its asset. `path` is below the library, among originals."""

    sha256: Sha256
    head: Sha256
    path: bytes
    verified_at: int


@dataclass(frozen=True, slots=True)
class Renditions:
    """A picture's files and what its caption says."""

    share: str
    width: int
    height: int
    share_bytes: int
    thumb_bytes: int
    info: PhotoInfo


@dataclass(frozen=True, slots=True)
class ListedSource:
    """A source, what had become of it, and where its bytes and picture were."""

    found: Found
    state: SourceState
    content: ListedContent | None
    picture: Renditions | None


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job of a session. `number` is what it was called when the manifest was written."""

    number: int
    volume: Volume
    folder: str
    safety: Safety
    created_at: str
    secured_at: str | None
    sources: tuple[ListedSource, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A session with its jobs, oldest first."""

    session: str
    created_at: str
    jobs: tuple[ListedJob, ...]


def parse_manifest(data: bytes, session: str) -> Manifest:
    """Read the manifest of a session. Raises ValueError for anything that this program would not have written."""
    document = _Document.model_validate_json(data)
    if document.version != VERSION or document.session != session:
        raise ValueError("it is of another version or session")
    _check_time(document.created)
    jobs = tuple(_read_job(job) for job in sorted(document.jobs, key=lambda job: job.job))
    _check_once(job.folder for job in jobs)
    _check_once(source.picture.share for job in jobs for source in job.sources if source.picture)
    return Manifest(document.session, document.created, jobs)


def _read_job(job: _Job) -> ListedJob:
    _check_time(job.created)
    if job.safety is Safety.SECURED:
        _check_time(job.secured or "")
    sources = tuple(_read_source(source) for source in job.sources)
    _check_once(source.found.path for source in sources)
    volume = Volume(job.volume.uuid, job.volume.label, job.volume.size, job.volume.filesystem)
    return ListedJob(job.job, volume, job.folder, job.safety, job.created, job.secured, sources)


def _read_source(source: _Source) -> ListedSource:
    path = _read_path(source.path, source.path_b64)
    lasting = source.state in (SourceState.FAILED, SourceState.SKIPPED)
    found = Found(
        path=path if path == b"." else _check_inside(path),
        size=source.size,
        mtime_ns=source.mtime_ns,
        kind=source.kind,
        state=source.state if lasting else SourceState.PENDING,
        error=source.error if lasting else None,
        protected=source.protected,
    )
    return ListedSource(found, source.state, _read_content(source), _read_picture(source.picture))


def _read_content(source: _Source) -> ListedContent | None:
    if (
        source.sha256 is None
        or source.head_sha256 is None
        or source.stored is None
        or source.verified is None
    ):
        return None
    place = _check_inside(_read_path(source.stored, source.stored_b64))
    folders = place.split(b"/")
    if len(folders) < 4 or folders[1] != ORIGINALS:
        raise ValueError("a content is stored among the originals of a session")
    return ListedContent(
        Sha256(bytes.fromhex(source.sha256)),
        Sha256(bytes.fromhex(source.head_sha256)),
        place,
        source.verified,
    )


def _read_picture(picture: _Picture | _NoPicture | None) -> Renditions | None:
    if not isinstance(picture, _Picture):
        return None  # one that failed is tried again
    info = PhotoInfo(picture.taken, picture.camera, picture.lens, picture.exposure, picture.duration)
    return Renditions(
        picture.share, picture.width, picture.height, picture.share_bytes, picture.thumb_bytes, info
    )


def _read_path(shown: str, whole: str | None) -> bytes:
    return shown.encode() if whole is None else base64.b64decode(whole, validate=True)


def _check_inside(path: bytes) -> bytes:
    """The path itself; ValueError where it leaves the folder that it is taken from."""
    if b"\0" in path or any(part in (b"", b".", b"..") for part in path.split(b"/")):
        raise ValueError("a path stays inside its folder")
    return path


def _check_time(text: str) -> None:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("a time has its offset")


def _check_once(names: Iterable[bytes | str]) -> None:
    if any(number > 1 for number in Counter(names).values()):
        raise ValueError("a name stands in it twice")
