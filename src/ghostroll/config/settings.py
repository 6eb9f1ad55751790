"""Every key there is: its type, its default and what a valid value looks like, as frozen dataclasses.

A section of the file is a class, a key is a field. The types here are for reading; `load_settings`
holds values to them. A size or a duration carries its unit in the key's name.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, assert_never

from annotated_types import Interval, Len

from ghostroll.config.values import (
    Address,
    BucketName,
    CardNames,
    DiskPatterns,
    Expected,
    FilesystemNames,
    Flag,
    FullPath,
    Prefix,
    Region,
    RootFolders,
    Text,
    VolumeNames,
    Whole,
)


class PublishTarget(StrEnum):
    """Where galleries go."""

    FOLDER = "folder"  # the session's own folder, for a web server or a file manager
    S3 = "s3"  # a private bucket, read by presigned links


class Originals(StrEnum):
    """Which originals are published beside the renditions."""

    NONE = "none"
    RAW = "raw"  # only RAW files
    ALL = "all"


class PublishOnly(StrEnum):
    """Which pictures of a card are published."""

    ALL = "all"
    PROTECTED = "protected"  # those locked in the camera


class Addressing(StrEnum):
    """Where the bucket's name stands in an address."""

    AUTO = "auto"  # path with an endpoint_url, else as AWS wants it
    VIRTUAL = "virtual"  # in front of the host: https://my-photos.s3.example.org/...
    PATH = "path"  # behind it: https://s3.example.org/my-photos/...


class LogLevel(StrEnum):
    """The least important line that is still written."""

    DEBUG = "debug"  # a line per file
    INFO = "info"  # a line per stage of a job
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How log lines look."""

    AUTO = "auto"  # the journal under systemd, a console elsewhere
    JOURNAL = "journal"
    CONSOLE = "console"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Station:
    """The computer, as people see it. An empty name means the host's name."""

    name: Text = ""


@dataclass(frozen=True, slots=True)
class Library:
    """Where the bytes are kept. An empty group leaves new folders with the group they get.

    `path` is absolute. It has no default here, so that nothing is ever written into a home
    folder because a caller forgot to say where; `load_settings` knows the default.
    """

    path: FullPath
    reverify_days: Annotated[Whole, Interval(ge=0, le=3650)] = 30
    join_hours: Annotated[Whole, Interval(ge=0, le=168)] = 0
    allow_weak_filesystem: Flag = False
    keep_free_mib: Annotated[Whole, Interval(ge=0, le=1_048_576)] = 256
    group: Text = ""


@dataclass(frozen=True, slots=True)
class State:
    """The database. None stands for `.ghostroll/state.db` in the library: see `Settings.state_path`."""

    path: FullPath | None = None


@dataclass(frozen=True, slots=True)
class Cards:
    """What makes a volume a camera's, what on it is not worth keeping, and where cards are looked for.

    `readers` are patterns of kernel names and serial numbers (udev's ID_SERIAL) of disks. `filesystems` and
    `readers` are what root's helper heeds as well, from the system's configuration alone.
    """

    markers: Annotated[
        CardNames, Len(1), Expected('a list of at least one folder name, such as ["DCIM"]')
    ] = (
        "DCIM",
        "PRIVATE",
        "CONTENTS",
        "M4ROOT",
        "AVCHD",
        "MP_ROOT",
        "BPAV",
        "XDROOT",
    )
    leave_out: CardNames = ("System Volume Information", ".Trashes", ".Spotlight-V100", "._*")
    allow: VolumeNames = ()
    deny: VolumeNames = ()
    readers: DiskPatterns = ()
    filesystems: FilesystemNames = ("vfat", "exfat")
    mount_roots: RootFolders = ("/run/ghostroll/cards", "/run/media", "/media", "/mnt")
    debounce_ms: Annotated[Whole, Interval(ge=0, le=10_000)] = 200
    patience_seconds: Annotated[Whole, Interval(ge=1, le=600)] = 10
    rescan_seconds: Annotated[Whole, Interval(ge=1, le=3600)] = 60


@dataclass(frozen=True, slots=True)
class Copy:
    """How bytes get from the card to the library. A batch ends at its files or its MiB."""

    trust_known: Flag = True
    reread_source: Flag = False
    chunk_kib: Annotated[Whole, Interval(ge=64, le=8192)] = 1024
    threads_per_card: Annotated[Whole, Interval(ge=1, le=4)] = 2
    batch_files: Annotated[Whole, Interval(ge=1, le=200)] = 32
    batch_mib: Annotated[Whole, Interval(ge=1, le=1024)] = 16
    attempts: Annotated[Whole, Interval(ge=1, le=10)] = 3


@dataclass(frozen=True, slots=True)
class Render:
    """How pictures are made. No workers (0) means one per core. Edges are in pixels."""

    workers: Annotated[Whole, Interval(ge=0, le=64)] = 0
    attempts: Annotated[Whole, Interval(ge=1, le=10)] = 3
    seconds: Annotated[Whole, Interval(ge=1, le=3600)] = 60
    memory_mib: Annotated[Whole, Interval(ge=128, le=65_536)] = 1280
    share_edge: Annotated[Whole, Interval(ge=256, le=8192)] = 2048
    thumb_edge: Annotated[Whole, Interval(ge=64, le=2048)] = 512
    share_quality: Annotated[Whole, Interval(ge=30, le=95)] = 85
    thumb_quality: Annotated[Whole, Interval(ge=30, le=95)] = 80
    niceness: Annotated[Whole, Interval(ge=0, le=19)] = 10

    def count_workers(self, cores: int) -> int:
        """How many there are on a machine that lets this process run on so many cores."""
        return self.workers or cores


@dataclass(frozen=True, slots=True)
class S3:
    """The bucket. Empty strings leave the choice to boto3. Credentials never stand here.

    No threads (0) means that their number follows the line. No bandwidth (0) means no limit.
    """

    bucket: BucketName = ""
    prefix: Prefix = ""
    region: Region = ""
    endpoint_url: Address = ""
    base_url: Address = ""
    addressing: Addressing = Addressing.AUTO
    threads: Annotated[Whole, Interval(ge=0, le=32)] = 0
    bandwidth_mbit: Annotated[Whole, Interval(ge=0, le=100_000)] = 0


@dataclass(frozen=True, slots=True)
class Publish:
    """What people see, and where."""

    target: PublishTarget = PublishTarget.FOLDER
    originals: Originals = Originals.NONE
    auto: Flag = True
    only: PublishOnly = PublishOnly.ALL
    viewer_originals: Flag = False
    keep_days: Annotated[Whole, Interval(ge=0, le=3650)] = 7
    s3: S3 = field(default_factory=S3)


@dataclass(frozen=True, slots=True)
class Status:
    """The snapshot file. None stands for `status.json` in the daemon's runtime directory."""

    path: FullPath | None = None


@dataclass(frozen=True, slots=True)
class Log:
    """What is logged, and how it looks."""

    level: LogLevel = LogLevel.INFO
    format: LogFormat = LogFormat.AUTO


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration, as it is in force."""

    station: Station = field(default_factory=Station)
    library: Library
    state: State = field(default_factory=State)
    cards: Cards = field(default_factory=Cards)
    copy: Copy = field(default_factory=Copy)
    render: Render = field(default_factory=Render)
    publish: Publish = field(default_factory=Publish)
    status: Status = field(default_factory=Status)
    log: Log = field(default_factory=Log)

    @property
    def state_path(self) -> Path:
        """The database's file: `state.path`, or inside the library, so that both move together."""
        return self.state.path or self.library.path / ".ghostroll" / "state.db"


def disagreements(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what is wrong between values that are each fine alone: the keys that take part, a sentence."""
    render = settings.render
    if render.thumb_edge > render.share_edge:
        yield (
            ("render.thumb_edge", "render.share_edge"),
            f"expected at most render.share_edge ({render.share_edge}), got {render.thumb_edge}",
        )
    match settings.publish.target:
        case PublishTarget.FOLDER:
            yield from _disagreements_of_folder(settings.publish)
        case PublishTarget.S3:
            yield from _disagreements_of_s3(settings.publish)
        case target:
            assert_never(target)


def _disagreements_of_folder(publish: Publish) -> Iterator[tuple[tuple[str, ...], str]]:
    # What is not done must not be promised, least of all what keeps pictures private.
    default = Publish()
    for key in ("auto", "only", "originals", "viewer_originals"):
        value = getattr(publish, key)
        if value != getattr(default, key):
            shown = str(value).lower() if isinstance(value, bool) else f'"{value}"'
            needs = f'{shown} needs publish.target = "s3"; in its own folder a session always has everything'
            yield (f"publish.{key}", "publish.target"), needs


def _disagreements_of_s3(publish: Publish) -> Iterator[tuple[tuple[str, ...], str]]:
    if not publish.s3.bucket:
        yield ("publish.target", "publish.s3.bucket"), "s3 needs a bucket; set publish.s3.bucket"
    if publish.viewer_originals and publish.originals is Originals.NONE:
        yield (
            ("publish.viewer_originals", "publish.originals"),
            'true needs originals in the bucket; set publish.originals = "all" or "raw"',
        )
    if publish.s3.addressing is Addressing.VIRTUAL and not _is_host_name(publish.s3.bucket):
        yield (
            ("publish.s3.addressing", "publish.s3.bucket"),
            'no host name can begin with this bucket, for its capitals, _ or dots; use "path" or "auto"',
        )


def _is_host_name(bucket: str) -> bool:
    return re.search("[A-Z_.]", bucket) is None  # a dot would need a certificate of its own
