"""The words of ghostroll: what a card, a job, an asset is, and the states they can be in.

Frozen dataclasses and enums from the standard library, nothing else. Paths that come from a card
are `bytes`, exactly as the medium has them; times of day are ISO 8601 strings with an offset.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

JobId = NewType("JobId", int)
SessionId = NewType("SessionId", int)
SourceId = NewType("SourceId", int)
AssetId = NewType("AssetId", int)
TaskId = NewType("TaskId", int)
GalleryId = NewType("GalleryId", int)
ObjectId = NewType("ObjectId", int)
Sha256 = NewType("Sha256", bytes)  # 32 bytes, not hex

RANK_BITS = (
    40  # a task's priority holds its rank above these: crews of one stage that don't wait for each other
)
HEAD_BYTES = 64 * 1024  # what is read of a known source before it is believed


class Safety(StrEnum):
    """Whether the card may be pulled and formatted, for one job."""

    SCANNING = "scanning"  # the inventory is being made
    COPYING = "copying"  # the inventory is committed whole; bytes are on their way
    SECURED = "secured"  # every source has a verified, durable asset: safe to remove
    INTERRUPTED = "interrupted"  # the card left before it was secured
    ATTENTION = "attention"  # some sources can't be read; everything else is done
    CLOSED = "closed"  # given up by a person; never secured


class Publication(StrEnum):
    """Whether people can see a job's pictures."""

    NONE = "none"  # nothing shown yet
    LIVE = "live"  # the gallery is there and grows
    COMPLETE = "complete"  # nothing open is left for what is in the library


class Stage(StrEnum):
    """The steps of an ingest, in the order in which a photo takes them."""

    SCAN = "scan"
    COPY = "copy"
    RENDER = "render"
    UPLOAD = "upload"
    PUBLISH = "publish"


class TaskState(StrEnum):
    """Where a task is between being wanted and being settled."""

    READY = "ready"  # may be claimed once its due time has come
    RUNNING = "running"  # claimed by a worker of this process
    DONE = "done"
    PARKED = "parked"  # waits for its cause to go away
    DEAD = "dead"  # failed for good; only renders can


class Cause(StrEnum):
    """What a parked task waits for."""

    CARD_GONE = "card-gone"  # the card to come back
    UNREADABLE = "unreadable"  # `ghostroll retry`, after the card was cleaned
    NO_SPACE = "no-space"  # room on the library's disk
    LIBRARY_GONE = "library-gone"  # the library's disk to be there and to take what is written
    NETWORK_DOWN = "network-down"  # the bucket to be reachable
    TARGET = "target"  # the place of the gallery to be writable: a folder's rights, a bucket's credentials or quota
    CLOCK_UNSET = "clock-unset"  # the machine's clock to be right
    NO_WORKER = "no-worker"  # render workers to start again, at the next start of the program


class SourceState(StrEnum):
    """What became of a file found on a card."""

    PENDING = "pending"  # not in the library yet
    STORED = "stored"  # copied in this job; its asset was made from it
    DUPLICATE = "duplicate"  # read, and its content was in the library already
    KNOWN = "known"  # settled by an earlier job's record, without a full read
    FAILED = "failed"  # can't be read or listed; named, and the card is not secured
    SKIPPED = "skipped"  # never opened: a link, a device, a folder on the short list


class Kind(StrEnum):
    """What sort of file a source is, by its name."""

    JPEG = "jpeg"
    IMAGE = "image"  # TIFF, PNG, WebP
    HEIF = "heif"
    RAW = "raw"
    VIDEO = "video"
    SIDECAR = "sidecar"  # THM, XMP, XML, WAV beside a picture or clip
    OTHER = "other"


PICTURE_KINDS = frozenset({Kind.JPEG, Kind.IMAGE, Kind.HEIF, Kind.RAW, Kind.VIDEO})


@dataclass(frozen=True, slots=True)
class Volume:
    """One filesystem on a card, as far as it can be told from outside.

    `uuid` is None where the filesystem has none that stays the same; then nothing on it is ever
    taken from memory. `size` is the device's size in bytes.
    """

    uuid: str | None
    label: str
    size: int
    filesystem: str


@dataclass(frozen=True, slots=True)
class Found:
    """A directory entry of a card, before anything was read from it.

    `path` is relative to the volume's root, byte for byte. `error` names why it can't be listed
    (state FAILED) or why it is not opened (state SKIPPED).
    """

    path: bytes
    size: int
    mtime_ns: int
    kind: Kind
    state: SourceState = SourceState.PENDING
    error: str | None = None
    protected: bool = False  # locked in the camera


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was found on a card, and what became of it."""

    id: SourceId
    job_id: JobId
    path: bytes
    size: int
    mtime_ns: int
    kind: Kind
    state: SourceState
    asset_id: AssetId | None
    error: str | None
    protected: bool = False  # locked in the camera


@dataclass(frozen=True, slots=True)
class Asset:
    """One unique content in the library.

    `path` is relative to the library; `head` is the SHA-256 of the first 64 KiB; `verified_at` is
    the wall-clock second in which the stored bytes were last read back and matched.
    """

    id: AssetId
    sha256: Sha256
    size: int
    head: Sha256
    path: bytes
    session_id: SessionId
    verified_at: int

    @property
    def is_believed(self) -> bool:
        """Whether nobody found its bytes damaged: `verify` records those as verified at 0."""
        return self.verified_at > 0


@dataclass(frozen=True, slots=True)
class Session:
    """The folder and gallery that one or more jobs fill."""

    id: SessionId
    name: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Job:
    """One volume's ingest, from insertion to done.

    `folder` is the volume's folder inside the session's `originals/`; None until there is a session.
    `root` is where the volume was last seen mounted.
    """

    id: JobId
    volume: Volume
    root: bytes
    session_id: SessionId | None
    folder: str | None
    safety: Safety
    publication: Publication
    created_at: str
    secured_at: str | None
    published_at: str | None
    confirmed_at: str | None = None  # since when every original is confirmed where the configuration wants it


@dataclass(frozen=True, slots=True)
class Task:
    """One claimed piece of work. `subject` is the row that the stage works on.

    `claim` grows with every claim and is compared when the task is settled, so that a worker which
    lost its claim can't settle.
    """

    id: TaskId
    stage: Stage
    job_id: JobId
    subject: int
    attempts: int
    claim: int


@dataclass(frozen=True, slots=True)
class PhotoInfo:
    """What the caption of a picture says. Read from its metadata; never a place or a serial number.

    `taken` is local camera time, `YYYY-MM-DDTHH:MM:SS`, with an offset only where the camera wrote
    one. `exposure` is ready to read: "1/250 s, f/2.8, ISO 400, 50 mm".
    """

    taken: str | None = None
    camera: str | None = None
    lens: str | None = None
    exposure: str | None = None
    duration: float | None = None  # seconds, of a clip


@dataclass(frozen=True, slots=True)
class Rendered:
    """The two renditions of one asset, as JPEG bytes in sRGB without any metadata. Sizes in pixels."""

    share: bytes
    share_size: tuple[int, int]
    thumb: bytes
    thumb_size: tuple[int, int]
    info: PhotoInfo


@dataclass(frozen=True, slots=True)
class GalleryItem:
    """One picture as the viewer sees it. `share`, `thumb` and `original` are addresses for the page to use."""

    name: str
    taken: str | None
    camera: str | None
    caption: str  # lens, exposure or duration, joined for people; may be empty
    kind: Kind
    share: str
    thumb: str
    width: int
    height: int
    original: str | None = None  # only where viewers may have originals


@dataclass(frozen=True, slots=True)
class GalleryFailure:
    """A file that has no picture in the gallery, and why, in words for the viewer."""

    name: str
    error: str


@dataclass(frozen=True, slots=True)
class Gallery:
    """Everything that `gallery.json` says, its items as `publish.gallery.order_items` has them. `total` counts the pictures there will be.

    `archive` is the address of all share pictures in one file of `archive_bytes`, once it is there.
    """

    session: str
    state: Publication
    total: int
    items: tuple[GalleryItem, ...]
    failed: tuple[GalleryFailure, ...]
    archive: str | None = None
    archive_bytes: int = 0
