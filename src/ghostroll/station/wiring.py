"""What every stage is handed: the parts of one station, made once and shared by its threads."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

import structlog

from ghostroll.cards.volume import Medium
from ghostroll.config import Settings
from ghostroll.engine.crew import CrewThread
from ghostroll.errors import CardGone
from ghostroll.library.copying import ContentClaims
from ghostroll.library.durable import Folders
from ghostroll.library.identity import Library
from ghostroll.model import Cause, GalleryId, JobId, Volume
from ghostroll.observe.meter import Meter
from ghostroll.state.database import Database
from ghostroll.station.cloud import Cloud
from ghostroll.station.outage import Outage


@dataclass(frozen=True, slots=True)
class Sources:
    """Where time and randomness come from. `boot` counts while the machine sleeps and never goes back."""

    wall: Callable[[], datetime]
    boot: Callable[[], float]
    random: Random


@dataclass(slots=True)
class Slot:
    """A card that is in. `job` is settled once its scan is; one reader at a time holds `reader`.

    `threads` read it now. `gone`: it left, and is let go.
    """

    volume: Volume
    medium: Medium
    job: JobId
    wanted: str | None = None
    resume: JobId | None = None  # a person named the job to go on with
    reader: threading.Lock = field(default_factory=threading.Lock)
    threads: list[CrewThread] = field(default_factory=list)
    gone: bool = False


@dataclass(slots=True)
class Wiring:
    """The parts that stages share. The station owns and closes them."""

    settings: Settings
    database: Database
    library: Library
    clock: Sources
    meter: Meter
    log: structlog.stdlib.BoundLogger
    folders: Folders = field(default_factory=Folders)
    cloud: Cloud | None = None  # the bucket, where there is one
    renew_at: float = 0.0  # boot time of the next look at addresses that die
    outage: Outage = field(default_factory=Outage)  # why nothing goes to the bucket just now
    claims: ContentClaims = field(default_factory=ContentClaims)
    slots: dict[JobId, Slot] = field(default_factory=dict)
    review_lock: threading.Lock = field(default_factory=threading.Lock)
    records_lock: threading.Lock = field(default_factory=threading.Lock)
    session_lock: threading.Lock = field(default_factory=threading.Lock)
    telling_lock: threading.Lock = field(default_factory=threading.Lock)
    published: dict[GalleryId, float] = field(
        default_factory=dict
    )  # boot time until which a gallery may rest
    written: dict[GalleryId, float] = field(default_factory=dict)  # boot time of a gallery's last writing
    first_picture: dict[JobId, float] = field(default_factory=dict)  # boot time
    # Whether the card of this job holds another volume that is not safe yet; only who sees all volumes can tell.
    is_half_safe: Callable[[JobId], bool] = lambda _job: False
    linked: set[GalleryId] = field(default_factory=set)  # whose new link is to be told of
    unconfirmed: set[JobId] = field(default_factory=set)  # told that the bucket has all, without checksums
    half_safe: set[JobId] = field(default_factory=set)  # secured, and their card must stay in
    growing: set[JobId] = field(default_factory=set)  # galleries that were not complete when last told of
    waiting: set[Cause] = field(default_factory=set)  # causes that were told of and did not go away yet
    resumed: dict[Cause, float] = field(
        default_factory=dict
    )  # boot time when what waited for it last went on

    def now_text(self) -> str:
        """The wall-clock time for people: local, with its offset."""
        return self.clock.wall().isoformat(timespec="seconds")

    def now_seconds(self) -> int:
        """The wall-clock time in unix seconds."""
        return int(self.clock.wall().timestamp())

    def slot_of(self, job: JobId) -> Slot:
        """The slot whose card this job reads; CardGone where there is none."""
        slot = self.slots.get(job)
        if slot is None:
            raise CardGone("the card is not in: put it back in and the copy goes on")
        return slot
